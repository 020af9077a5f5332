/** `calicoctl datastore migrate lock|unlock` (calicoctl.md 4.9) */

import { type CalicoctlContext, type Command, UsageError } from "../command.ts";
import { setLocked } from "./cluster-lock.ts";
import { readWords } from "./words.ts";

export const lockUsage = (word: "lock" | "unlock") => `Usage:
  calicoctl datastore migrate ${word}
`;

export const lockHelp = (word: "lock" | "unlock") => `${
  word === "lock"
    ? "Locks the datastore: hosts keep what they enforce, and addresses and endpoints do not change."
    : "Unlocks the datastore."
}

${lockUsage(word)}
Examples:
  calicoctl datastore migrate lock
  calicoctl datastore migrate export > saved.yaml
  calicoctl datastore migrate unlock
`;

export function lockCommand(word: "lock" | "unlock"): Command {
  return async ({ io, store }: CalicoctlContext, args) => {
    if (readWords(args, {}, lockUsage(word)).positionals.length > 0) throw new UsageError(lockUsage(word));
    await setLocked(await store(), word === "lock");
    io.stdout(`Datastore ${word}ed.\n`);
    return 0;
  };
}
