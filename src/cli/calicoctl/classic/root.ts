/** Commands that change the host need root; the others do not (calicoctl.md 3.1). */

import { type CalicoctlContext, CommandFailure } from "../command.ts";

/** @param why what it is needed for, as a sentence @throws CommandFailure with exit code 2 */
export function requireRoot({ host }: CalicoctlContext, why: string): void {
  if (!host.isRoot) throw new CommandFailure("stderr", `This command must be run as root. ${why}\n`, 2);
}
