/**
 * Which command the words mean. The same words mean different things in the releases of the seed, the classic ones and
 * today's: the second word or the form decides (calicoctl.md 8). Only tables are read here; a command's code is loaded
 * when it is called.
 */

import { classicCommands } from "./classic/commands.ts";
import type { CommandEntry, CommandTable } from "./command.ts";
import { modernCommands } from "./modern/commands.ts";
import { nearestWord } from "./nearest-word.ts";
import { seedCommands } from "./seed/commands.ts";
import { formerWords, presentWords } from "./synonyms.ts";

/** Of two families that have the same words the first that takes the arguments is meant. */
const tables: readonly CommandTable[] = [seedCommands, classicCommands, modernCommands];

/** All there are, for commands about commands. */
export const allCommands: CommandTable = { ...seedCommands, ...classicCommands, ...modernCommands };

export type Picked =
  | { readonly kind: "command"; readonly entry: CommandEntry; readonly args: readonly string[] }
  /** Several families have it, and help is asked for. */
  | { readonly kind: "help"; readonly entries: readonly CommandEntry[] }
  | { readonly kind: "unknown"; readonly typed: string; readonly nearest: string | undefined };

/** @param given whether the option of the seed that says where the store is, --etcd, is there */
export function pickCommand(typed: readonly string[], given: { readonly etcd: boolean }): Picked {
  const words = presentWords(typed);
  const wantsHelp = helpWanted(words);
  const plain = wantsHelp ? words.filter((word) => word !== "--help" && word !== "-h") : words;
  for (const count of [3, 2, 1]) {
    const name = plain.slice(0, count).join(" ");
    const entries = tables.flatMap((table) => (Object.hasOwn(table, name) ? (table[name] ?? []) : []));
    if (entries.length === 0 || plain.length < count) continue;
    if (wantsHelp) return { kind: "help", entries };
    const args = words.slice(count);
    const entry = entries.find(({ takes }) => takes === undefined || takes(args, given)) ?? entries.at(-1);
    if (entry !== undefined) return { kind: "command", entry, args };
  }
  return { kind: "unknown", ...nearestCommand(plain) };
}

function helpWanted(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).some((word) => word === "--help" || word === "-h");
}

function nearestCommand([first = "", second]: readonly string[]): { typed: string; nearest: string | undefined } {
  const names = tables.flatMap((table) => Object.keys(table));
  const firsts = [...new Set([...names.map((name) => name.split(" ")[0] ?? ""), ...formerWords])];
  if (!firsts.includes(first)) return { typed: first, nearest: nearestWord(first, firsts) };
  const seconds = names.filter((name) => name.startsWith(`${first} `)).map((name) => name.split(" ")[1] ?? "");
  if (second === undefined) return { typed: first, nearest: `${first} ${[...new Set(seconds)].join("|")}` };
  const nearest = nearestWord(second, seconds);
  return { typed: `${first} ${second}`, nearest: nearest && `${first} ${nearest}` };
}
