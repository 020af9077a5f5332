/** All commands of all families with each of their forms, from the tables: for tests that leave none out. */

import { classicCommands } from "../classic/commands.ts";
import { modernCommands } from "../modern/commands.ts";
import { seedCommands } from "../seed/commands.ts";

/** "seed: master", "classic: pool add CIDRS..." */
export async function everyCommand(): Promise<readonly string[]> {
  const names = new Set<string>();
  for (const commands of [seedCommands, classicCommands, modernCommands]) {
    for (const [name, entry] of Object.entries(commands)) {
      const { run } = await entry.load();
      for (const form of run.forms ?? [""]) names.add(`${entry.family}: ${name} ${form}`.trimEnd());
    }
  }
  return [...names];
}
