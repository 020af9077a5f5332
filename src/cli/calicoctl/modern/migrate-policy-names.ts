/** `calicoctl datastore migrate-policy-names`: policies of older releases get the names under which today's look for them. */

import { type PolicyMigration, planPolicyMigration } from "../../../model/policy-names.ts";
import { migratePolicyNames as renamePolicies, storedPolicies } from "../../../node/policy-migration.ts";
import { type CalicoctlContext, UsageError } from "../command.ts";
import { readWords } from "./words.ts";

export const migratePolicyNamesUsage = `Usage:
  calicoctl datastore migrate-policy-names [--dry-run]
`;

export const migratePolicyNamesHelp = `Renames policies that releases before v3.32 stored as "default.NAME" to NAME. Clients of those releases do not find
them afterwards: run it when all are upgraded. Running it again is safe.

${migratePolicyNamesUsage}
Options:
      --dry-run   say what would be renamed, and write nothing

Examples:
  calicoctl datastore migrate-policy-names --dry-run
`;

export async function migratePolicyNames({ io, store }: CalicoctlContext, args: readonly string[]): Promise<number> {
  const flags = { "dry-run": { type: "boolean", default: false } } as const;
  const { values, positionals } = readWords(args, flags, migratePolicyNamesUsage);
  if (positionals.length > 0) throw new UsageError(migratePolicyNamesUsage);
  const opened = await store();
  if (values["dry-run"]) {
    const { moves, left } = planPolicyMigration(await storedPolicies(opened, io.signal));
    for (const { from, to } of moves) io.stdout(`${from} -> ${to}\n`);
    sayLeft(left, io);
    return 0;
  }
  const { renamed, left } = await renamePolicies(opened, io.signal);
  sayLeft(left, io);
  io.stdout(`Policy name migration complete, migrated ${renamed.length} policies.\n`);
  return 0;
}

function sayLeft(left: PolicyMigration["left"], io: CalicoctlContext["io"]): void {
  for (const { key, reason } of left) io.stderr(`left as it is: ${key}: ${reason}\n`);
}
