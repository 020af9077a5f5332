/** What commands about this host need of whoever calls them. */

import { type CalicoctlContext, CommandFailure } from "../command.ts";

/** @param why what it is needed for @throws CommandFailure in the original's words, on its stream */
export function needRoot({ host }: Pick<CalicoctlContext, "host">, why: string): void {
  if (host.isRoot) return;
  throw new CommandFailure("stdout", `Need super user privileges: Operation not permitted (${why})\n`);
}
