/** How to call this same program again: from source that is Bun with src/main.ts, compiled the executable itself. */

import { fileURLToPath } from "node:url";

/** Bun's --compile puts the sources below this path of a file system of its own. */
export const compiled = import.meta.path.startsWith("/$bunfs/");

/** The words before a role's own: `[...programWords, "node", "--name=host1"]`. */
export const programWords: readonly string[] = compiled
  ? [process.execPath]
  : [process.execPath, fileURLToPath(new URL("../main.ts", import.meta.url))];

/** A script for a directory on PATH: calls the program, under the name of a role unless that is "margay" itself. */
export function shim(name: string): string {
  const words = name === "margay" ? programWords : [...programWords, name];
  return `#!/bin/sh\nexec ${words.map(quoted).join(" ")} "$@"\n`;
}

/** For a POSIX shell's script: single quotes keep everything but themselves. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
