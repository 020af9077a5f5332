/** The first release said it on standard output; with exit code 0, which later ones made 2 (calicoctl.md 1.1, 1.6). */

import { type CalicoctlContext, CommandFailure } from "../command.ts";

/** @param why what it is needed for @throws CommandFailure */
export function requireRootAsSeed({ host }: CalicoctlContext, why: string): void {
  if (!host.isRoot) throw new CommandFailure("stdout", `calicoctl must be run as root: ${why}\n`, 2);
}
