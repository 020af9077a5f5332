/** What an id that others choose may look like: it becomes directory names and keys (reference: mesos-api 2.2). Pure. */

const idMaxChars = 255;

/** The problem in Mesos' words, or undefined. */
export function idProblem(id: string): string | undefined {
  if (id === "") return "ID must not be empty";
  if (id.length > idMaxChars) return `ID must not be greater than ${idMaxChars} characters`;
  if (id === "." || id === "..") return `'${id}' is disallowed`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f/\\]/.test(id)) return `'${id}' contains invalid characters`;
  return undefined;
}

/** `*` or components joined by slashes (reference: mesos-behaviour 4.3). */
export function roleProblem(role: string): string | undefined {
  if (role === "*") return undefined;
  if (role === "") return "Empty role name is invalid";
  if (role.startsWith("/")) return `Role '${role}' cannot start with a slash`;
  if (role.endsWith("/")) return `Role '${role}' cannot end with a slash`;
  if (role.includes("//")) return `Role '${role}' cannot contain two adjacent slashes`;
  for (const component of role.split("/")) {
    if (component === "." || component === "..") return `Role '${role}' cannot include '${component}' as a component`;
    if (component === "*") return `Role '${role}' cannot include '*' as a component`;
    if (component.startsWith("-")) return `Role component '${component}' is invalid because it begins with a dash`;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (/[\s\u0000-\u001f\u007f]/.test(component)) {
      return `Role component '${component}' is invalid because it contains backspace or whitespace`;
    }
  }
  return undefined;
}
