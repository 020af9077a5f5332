/** Words that only stand before others ("ipam", "datastore migrate"): what may follow, and which was meant. */

import { type Command, type CommandTable, UsageError } from "../command.ts";
import { nearestWord } from "../nearest-word.ts";

export function groupHelp(name: string, commands: CommandTable): string {
  const lines = followersOf(name, commands).map((word) => `  calicoctl ${name} ${word}\n`);
  return `Usage:\n${lines.join("")}\n"--help" behind each of them tells more.\n`;
}

export function groupCommand(name: string): Command {
  return async ({ io, commands }, [word]) => {
    if (word === undefined) {
      io.stdout(groupHelp(name, commands));
      return 0;
    }
    const nearest = nearestWord(word, followersOf(name, commands));
    const meant = nearest === undefined ? "" : `\n  did you mean ${nearest}?`;
    throw new UsageError(`unknown command "${word}" for "calicoctl ${name}"${meant}\n\n${groupHelp(name, commands)}`);
  };
}

/** The words that may follow at once. */
function followersOf(name: string, commands: CommandTable): readonly string[] {
  const next = Object.keys(commands).flatMap((one) =>
    one.startsWith(`${name} `) ? (one.slice(name.length + 1).split(" ")[0] ?? []) : [],
  );
  return [...new Set(next)].sort();
}
