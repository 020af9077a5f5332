/**
 * Renames stored policies to the form of 3.32 (calico-datastore.md 1.10), as model/policy-names.ts plans it. Somebody has to
 * ask for it: clients of older releases do not find renamed policies any more.
 * - A policy is renamed in one transaction: at no revision is it there twice, or not at all, so nothing opens or closes.
 * - Each rename is compared with what was planned on. Several hosts may do it at once, and whoever is killed leaves
 *   policies that are renamed and policies that are not, never half of one; the next run does the rest.
 */
import { OperationError } from "../base/errors.ts";
import { kindPrefix } from "../model/keys.ts";
import { type PolicyMigration, type PolicyMove, planPolicyMigration } from "../model/policy-names.ts";
import { tieredKinds } from "../model/tiered-policies.ts";
import type { Operation, Store } from "../store/store.ts";

const attemptsMax = 20;

export interface PolicyMigrationResult {
  /** Keys that are gone now, each for one with the user's own name. */
  readonly renamed: readonly string[];
  /** Those that stay, with why. */
  readonly left: PolicyMigration["left"];
}

export async function migratePolicyNames(store: Store, signal: AbortSignal): Promise<PolicyMigrationResult> {
  const renamed: string[] = [];
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { moves, left } = planPolicyMigration(await storedPolicies(store, signal));
    if (moves.length === 0) return { renamed, left };
    for (const move of moves) {
      signal.throwIfAborted();
      // Lost to somebody who changed or renamed it: the next look shows what is there now.
      if (await rename(store, move, signal)) renamed.push(move.from);
    }
  }
  throw new OperationError("STORE_CONFLICT", "policies were changed again and again while they were renamed", {
    retry: "backoff",
  });
}

export async function storedPolicies(store: Store, signal: AbortSignal) {
  const lists = await Promise.all(tieredKinds.map((kind) => store.list(kindPrefix(kind), { signal })));
  return lists.flatMap(({ kvs }) => kvs);
}

async function rename(store: Store, move: PolicyMove, signal: AbortSignal): Promise<boolean> {
  const created: readonly Operation[] = move.create === undefined ? [] : [{ put: move.to, value: move.create }];
  const { succeeded } = await store.transact(
    {
      compare: [
        { key: move.from, modRevision: move.fromRevision },
        { key: move.to, modRevision: move.toRevision },
      ],
      success: [...created, { delete: move.from }],
    },
    { signal },
  );
  return succeeded;
}
