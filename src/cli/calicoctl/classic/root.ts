/** Commands that change the host need root; the others do not (calicoctl.md 3.1). */

import { type CalicoctlContext, CommandFailure } from "../command.ts";

/** @throws CommandFailure with exit code 2 */
export function requireRoot({ host }: CalicoctlContext): void {
  if (!host.isRoot) throw new CommandFailure("stderr", "This command must be run as root.\n", 2);
}
