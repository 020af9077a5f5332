/**
 * Reads typed fields out of JSON and gathers what is wrong in Marathon's words: `{"path":"/instances","errors":
 * ["error.expected.jsnumber"]}`. `null` counts as absent, as old clients echo it. No rule about values lives here.
 */

import type { Problems } from "../refusal.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export class JsonReader {
  readonly #fields: JsonObject;
  readonly #path: string;
  readonly problems: Problems;

  constructor(fields: JsonObject, path: string, problems: Problems) {
    this.#fields = fields;
    this.#path = path;
    this.problems = problems;
  }

  pathOf(name: string): string {
    return `${this.#path}/${name}`;
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  /** Given as an explicit null. */
  isNull(name: string): boolean {
    return this.#fields[name] === null;
  }

  missing(name: string): void {
    this.problems.add(this.pathOf(name), "error.path.missing");
  }

  raw(name: string): unknown {
    return this.#fields[name] ?? undefined;
  }

  string(name: string): string | undefined {
    return this.#typed(name, "error.expected.jsstring", (value) => (typeof value === "string" ? value : undefined));
  }

  requiredString(name: string): string {
    if (!this.has(name)) this.missing(name);
    return this.string(name) ?? "";
  }

  number(name: string): number | undefined {
    return this.#typed(name, "error.expected.jsnumber", (value) =>
      typeof value === "number" && Number.isFinite(value) ? value : undefined,
    );
  }

  integer(name: string): number | undefined {
    const value = this.number(name);
    if (value === undefined || Number.isSafeInteger(value)) return value;
    this.problems.add(this.pathOf(name), "error.expected.int");
    return undefined;
  }

  boolean(name: string): boolean | undefined {
    return this.#typed(name, "error.expected.jsboolean", (value) => (typeof value === "boolean" ? value : undefined));
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.string(name);
    const word = words.find((candidate) => candidate === text);
    if (text !== undefined && word === undefined) {
      this.problems.add(
        this.pathOf(name),
        `error.unknown.enum.literal: '${text}', expected one of: ${words.join(", ")}`,
      );
    }
    return word;
  }

  strings(name: string): readonly string[] | undefined {
    return this.list(name, (value, path) => {
      if (typeof value === "string") return value;
      this.problems.add(path, "error.expected.jsstring");
      return undefined;
    });
  }

  integers(name: string): readonly number[] | undefined {
    return this.list(name, (value, path) => {
      if (Number.isSafeInteger(value)) return value as number;
      this.problems.add(path, typeof value === "number" ? "error.expected.int" : "error.expected.jsnumber");
      return undefined;
    });
  }

  stringMap(name: string): Readonly<Record<string, string>> | undefined {
    const object = this.#object(name);
    if (object === undefined) return undefined;
    const map: Record<string, string> = {};
    for (const [key, value] of Object.entries(object)) {
      if (typeof value === "string") map[key] = value;
      else this.problems.add(`${this.pathOf(name)}/${key}`, "error.expected.jsstring");
    }
    return map;
  }

  object(name: string): JsonReader | undefined {
    const object = this.#object(name);
    return object === undefined ? undefined : new JsonReader(object, this.pathOf(name), this.problems);
  }

  /** Items for which `read` answers undefined are left out: it has reported a problem then. */
  list<Item>(name: string, read: (value: unknown, path: string) => Item | undefined): readonly Item[] | undefined {
    const values = this.#typed(name, "error.expected.jsarray", (value) => (Array.isArray(value) ? value : undefined));
    return values?.flatMap((value: unknown, index) => {
      const item = read(value, `${this.pathOf(name)}(${index})`);
      return item === undefined ? [] : [item];
    });
  }

  objects<Item>(name: string, read: (item: JsonReader) => Item): readonly Item[] | undefined {
    return this.list(name, (value, path) => {
      if (isObject(value)) return read(new JsonReader(value, path, this.problems));
      this.problems.add(path, "error.expected.jsobject");
      return undefined;
    });
  }

  #object(name: string): JsonObject | undefined {
    return this.#typed(name, "error.expected.jsobject", (value) => (isObject(value) ? value : undefined));
  }

  #typed<Type>(name: string, error: string, check: (value: unknown) => Type | undefined): Type | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    const typed = check(value);
    if (typed === undefined) this.problems.add(this.pathOf(name), error);
    return typed;
  }
}
