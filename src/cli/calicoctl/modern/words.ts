/** Words and flags of the modern commands, read and refused as their releases do (calicoctl.md 4.1). */

import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "../command.ts";

type Flags = NonNullable<ParseArgsConfig["options"]>;

/** Of all commands that are given files. */
export const fileFlags = {
  filename: { type: "string", short: "f" },
  recursive: { type: "boolean", short: "R", default: false },
  namespace: { type: "string", short: "n" },
  "skip-empty": { type: "boolean", default: false },
} as const;

/** @throws UsageError that says which flag is wrong, then the usage */
export function readWords<const Known extends Flags>(args: readonly string[], flags: Known, usage: string) {
  const given = args.flatMap((word) => switchWord(word, flags));
  try {
    return parseArgs({ args: given, options: flags, allowPositionals: true, strict: true });
  } catch {
    throw new UsageError(`${flagProblem(given, flags)}\n\n${usage}`);
  }
}

/** Go's flags that are on or off may be given a value. */
function switchWord(word: string, flags: Flags): readonly string[] {
  const [, name = "", value] = /^--([^=]+)=(true|false)$/.exec(word) ?? [];
  if (!Object.hasOwn(flags, name) || flags[name]?.type !== "boolean") return [word];
  return value === "true" ? [`--${name}`] : [];
}

function flagProblem(args: readonly string[], flags: Flags): string {
  const { tokens } = parseArgs({
    args: [...args],
    options: flags,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    const short = !token.rawName.startsWith("--");
    if (flag === undefined && short) return `unknown shorthand flag: '${token.name}' in ${args[token.index]}`;
    if (flag === undefined) return `unknown flag: ${token.rawName}`;
    if (flag.type === "boolean" && token.value !== undefined) {
      return `invalid argument "${token.value}" for "${token.rawName}" flag: true or false`;
    }
    if (flag.type === "string" && (token.value === undefined || (!token.inlineValue && /^-./.test(token.value)))) {
      return `flag needs an argument: ${short ? `'${token.rawName.slice(1)}' in ${token.rawName}` : token.rawName}`;
    }
  }
  return "the words do not fit";
}
