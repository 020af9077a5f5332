/** JSON from a request body: with a limit on nesting, and with line and column of a mistake, which the runtime does not tell. */

export type ParsedJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly details: string };

const depthMax = 64;

export function parseJsonText(text: string): ParsedJson {
  const depthProblem = findTooDeep(text);
  if (depthProblem !== undefined)
    return { ok: false, details: at(text, depthProblem, `nested deeper than ${depthMax} levels`) };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    const scanner = new Scanner(text);
    scanner.document();
    return { ok: false, details: at(text, scanner.problemAt, scanner.problem) };
  }
}

function at(text: string, position: number, problem: string): string {
  const before = text.slice(0, position);
  const line = before.split("\n").length;
  const column = position - before.lastIndexOf("\n");
  return `${problem}\n at [Source: request body; line: ${line}, column: ${column}]`;
}

function findTooDeep(text: string): number | undefined {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index];
    if (inString) {
      if (char === "\\") index += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{" || char === "[") {
      depth += 1;
      if (depth > depthMax) return index;
    } else if (char === "}" || char === "]") depth -= 1;
  }
  return undefined;
}

/** Reads only to find the first mistake; recursion is bounded by the depth check before it. */
class Scanner {
  readonly #text: string;
  #position = 0;
  problem = "Unexpected end-of-input";
  problemAt = 0;
  #failed = false;

  constructor(text: string) {
    this.#text = text;
    this.problemAt = text.length;
  }

  document(): void {
    this.#value();
    this.#space();
    if (!this.#failed && this.#position < this.#text.length) this.#fail("expected the end of the document");
  }

  #value(): void {
    this.#space();
    const char = this.#text[this.#position];
    if (char === "{") this.#members("}", () => this.#member());
    else if (char === "[") this.#members("]", () => this.#value());
    else if (char === '"')
      this.#match(
        /"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy,
        "a string is not ended, or holds a bad character",
      );
    else if (char !== undefined && /[-0-9]/.test(char))
      this.#match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![0-9.a-zA-Z])/y, "not a number");
    else
      this.#match(
        /(?:true|false|null)\b/y,
        "expected a value (object, array, string, number, 'true', 'false' or 'null')",
      );
  }

  #member(): void {
    this.#space();
    if (this.#text[this.#position] !== '"') {
      this.#fail("was expecting double-quote to start field name");
      return;
    }
    this.#value();
    this.#space();
    if (this.#failed) return;
    if (this.#text[this.#position] !== ":") {
      this.#fail("was expecting a colon to separate field name and value");
      return;
    }
    this.#position += 1;
    this.#value();
  }

  #members(end: string, one: () => void): void {
    this.#position += 1;
    this.#space();
    if (this.#text[this.#position] === end) {
      this.#position += 1;
      return;
    }
    while (!this.#failed) {
      one();
      this.#space();
      if (this.#failed) return;
      const char = this.#text[this.#position];
      if (char !== "," && char !== end) {
        this.#fail(`was expecting comma to separate entries, or ${end}`);
        return;
      }
      this.#position += 1;
      if (char === end) return;
    }
  }

  #match(pattern: RegExp, problem: string): void {
    if (this.#failed) return;
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text);
    if (found === null) this.#fail(problem);
    else this.#position += found[0].length;
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#position] ?? "")) this.#position += 1;
  }

  #fail(problem: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.problemAt = this.#position;
    const char = this.#text[this.#position];
    this.problem =
      char === undefined
        ? `Unexpected end-of-input: ${problem}`
        : `Unexpected character ('${char}' (code ${char.codePointAt(0)})): ${problem}`;
  }
}
