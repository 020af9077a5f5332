/**
 * The words of a classic or seed command, matched against the forms it has: docopt's rules as scripts rely on them
 * (calicoctl.md 3.1). Options may stand anywhere, be shortened while that is unambiguous, and end at "--".
 */

import { type CalicoctlContext, type Command, UsageError } from "../command.ts";
import { nearestWord } from "../nearest-word.ts";

export interface Form {
  /** What has to be typed: "add CONTAINER IP"; upper case is any word, "on|off" one of these, "NAME..." one or more, "NAME*" any. */
  readonly words: string;
  /** "--ipip", and with a value "--at=". */
  readonly options?: readonly string[];
  readonly run: (context: CalicoctlContext, typed: Typed) => number | Promise<number>;
}

/** What the user typed for the upper-case words and the options of a form. */
export class Typed {
  readonly #words: ReadonlyMap<string, readonly string[]>;
  readonly #options: ReadonlyMap<string, string>;

  constructor(words: ReadonlyMap<string, readonly string[]>, options: ReadonlyMap<string, string>) {
    this.#words = words;
    this.#options = options;
  }

  /** "" for an optional word that is not there. */
  word(name: string): string {
    return this.#words.get(name)?.[0] ?? "";
  }

  all(name: string): readonly string[] {
    return this.#words.get(name) ?? [];
  }

  has(option: string): boolean {
    return this.#options.has(option);
  }

  option(name: string): string | undefined {
    return this.#options.get(name);
  }
}

/** A command that is the first of its forms that fits; none: its usage, on standard error. */
export function commandOfForms(usage: string, forms: readonly Form[]): Command {
  const run = async (context: CalicoctlContext, args: readonly string[]) => {
    const { words, options } = readOptions(
      args,
      forms.flatMap((form) => form.options ?? []),
      usage,
    );
    for (const form of forms) {
      const captured = matchWords(form.words, words);
      const allowed = (form.options ?? []).map(optionName);
      if (captured === undefined || [...options.keys()].some((name) => !allowed.includes(name))) continue;
      return await form.run(context, new Typed(captured, options));
    }
    throw new UsageError(`${hint(words, forms)}${usage}`);
  };
  return Object.assign(run, { forms: forms.map(({ words }) => words) });
}

/** The upper-case words of the pattern, or undefined when the words are not of this form. */
export function matchWords(
  pattern: string,
  words: readonly string[],
): ReadonlyMap<string, readonly string[]> | undefined {
  const captured = new Map<string, readonly string[]>();
  const parts = pattern.split(" ").filter((part) => part !== "");
  for (const [at, part] of parts.entries()) {
    const [, name, many] = /^([A-Z_0-9]+)(\.\.\.|\*|\?)?$/.exec(part) ?? [];
    const word = words[at];
    if (name !== undefined && (many === "..." || many === "*")) {
      const rest = words.slice(at);
      if (many === "..." && rest.length === 0) return undefined;
      return captured.set(name, rest);
    }
    if (word === undefined) {
      if (many === "?") return captured;
      return undefined;
    }
    if (name === undefined && !part.split("|").includes(word)) return undefined;
    captured.set(name ?? part, [word]);
  }
  return words.length <= parts.length ? captured : undefined;
}

function optionName(option: string): string {
  return option.replace(/=$/, "");
}

function readOptions(
  args: readonly string[],
  known: readonly string[],
  usage: string,
): { words: readonly string[]; options: ReadonlyMap<string, string> } {
  const names = [...new Set(known)];
  const words: string[] = [];
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--") {
      words.push(...args.slice(at + 1));
      break;
    }
    if (!arg.startsWith("--")) {
      words.push(arg);
      continue;
    }
    const [given = "", ...value] = arg.split("=");
    const matching = names.filter((name) => name.startsWith(given));
    const found = names.find((name) => optionName(name) === given) ?? (matching.length === 1 ? matching[0] : undefined);
    if (found === undefined) throw new UsageError(usage);
    if (found.endsWith("=")) {
      const text = value.length > 0 ? value.join("=") : args[++at];
      if (text === undefined) throw new UsageError(usage);
      options.set(optionName(found), text);
    } else {
      if (value.length > 0) throw new UsageError(usage);
      options.set(found, "");
    }
  }
  return { words, options };
}

/** Where the first word is nearly that of a form. */
function hint([first = ""]: readonly string[], forms: readonly Form[]): string {
  const literals = forms
    .flatMap(({ words }) => words.split(" ")[0]?.split("|") ?? [])
    .filter((word) => /^[a-z]/.test(word));
  const nearest = literals.includes(first) ? undefined : nearestWord(first, literals);
  return nearest === undefined ? "" : `Did you mean "${nearest}"?\n`;
}
