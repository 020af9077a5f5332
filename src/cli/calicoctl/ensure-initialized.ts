/** A store nobody has used yet gets its built-in tiers and cluster information before the first resource is written. */

import type { Clock } from "../../base/clock.ts";
import { BadInput } from "../../base/errors.ts";
import { initializationKeys, initializationWrites } from "../../model/cluster-information.ts";
import type { ResourceStore } from "./dry-run-store.ts";

/** Whoever comes first does it; one that cannot be read is left as it is. */
export async function ensureInitialized(store: ResourceStore, clock: Clock): Promise<void> {
  const current = new Map<string, string>();
  for (const key of initializationKeys) {
    const kv = await store.get(key);
    if (kv !== undefined) current.set(key, kv.value);
  }
  if (current.size === initializationKeys.length) return;
  try {
    const given = { clusterType: "margay", nowMs: clock.nowMs(), uuid: () => clock.uuid() };
    for (const { key, value, expected } of initializationWrites(current, given)) {
      const compare = expected === undefined ? { key, modRevision: 0 } : { key, value: expected };
      await store.transact({ compare: [compare], success: [{ put: key, value }] });
    }
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
  }
}
