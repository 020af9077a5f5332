/** What must not leave a host in an archive: values of fields whose names say that they are secret. Pure. */

const secretWord = /password|passwd|token|secret|credential|private/i;
const key = /^key$|[^A-Za-z]key$|[a-z]Key(Data)?$/;
const mask = "***";

/** A value of the datastore with what is secret replaced; what is no JSON is judged by its key. */
export function withoutSecrets(path: string, value: string): string {
  let document: unknown;
  try {
    document = JSON.parse(value);
  } catch {
    return isSecret(path.slice(path.lastIndexOf("/") + 1)) ? mask : maskedUrls(value);
  }
  return JSON.stringify(masked(document));
}

function isSecret(name: string): boolean {
  return secretWord.test(name) || key.test(name);
}

function masked(value: unknown, name = ""): unknown {
  if (value === null || typeof value === "boolean") return value;
  if (isSecret(name)) return mask;
  if (Array.isArray(value)) return value.map((one: unknown) => masked(one, name));
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([field, one]) => [field, masked(one, field)]));
  }
  return typeof value === "string" ? maskedUrls(value) : value;
}

/** http://user:password@host */
function maskedUrls(text: string): string {
  return text.replaceAll(/(\w+:\/\/[^\s:/@]+):[^\s@/]+@/g, `$1:${mask}@`);
}
