/** `calicoctl datastore migrate-policy-names`: policies of older releases get the names under which today's look for them. */

import { kindPrefix } from "../../../model/keys.ts";
import { planPolicyMigration } from "../../../model/policy-names.ts";
import { tieredKinds } from "../../../model/policy-resource.ts";
import type { Operation } from "../../../store/store.ts";
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
  const stored = (await Promise.all(tieredKinds.map((kind) => opened.list(kindPrefix(kind))))).flatMap(
    ({ kvs }) => kvs,
  );
  const { moves, left } = planPolicyMigration(stored);
  let migrated = 0;
  const changed: string[] = [];
  for (const { from, to, create, fromRevision } of moves) {
    if (values["dry-run"]) {
      io.stdout(`${from} -> ${to}\n`);
      continue;
    }
    const puts: readonly Operation[] = create === undefined ? [] : [{ put: to, value: create }];
    const { succeeded } = await opened.transact({
      compare: [
        { key: from, modRevision: fromRevision },
        ...(create === undefined ? [] : [{ key: to, modRevision: 0 }]),
      ],
      success: [...puts, { delete: from }],
    });
    if (succeeded) migrated++;
    else changed.push(from);
  }
  for (const { key, reason } of left) io.stderr(`left as it is: ${key}: ${reason}\n`);
  for (const key of changed) io.stderr(`changed by somebody else meanwhile: ${key}: run this again\n`);
  if (!values["dry-run"]) io.stdout(`Policy name migration complete, migrated ${migrated} policies.\n`);
  return changed.length === 0 ? 0 : 1;
}
