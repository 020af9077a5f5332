/** What commands about this host need of whoever calls them. */

import { CommandFailure } from "../command.ts";

/** @throws CommandFailure in the original's words, on its stream */
export function needRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new CommandFailure("stdout", "Need super user privileges: Operation not permitted\n");
}
