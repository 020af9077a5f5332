/** What goes with a pool that is deleted (calico-datastore.md 2.8). */

import { tryParseCidr } from "../../../base/addresses.ts";
import type { Clock } from "../../../base/clock.ts";
import type { Ipam } from "../../../ipam/ipam.ts";
import { IpPool } from "../../../model/ip-pool.ts";
import { encode } from "../../../model/resource.ts";
import type { KeyValue } from "../../../store/store.ts";
import type { ResourceStore } from "../dry-run-store.ts";
import { readable } from "./readable-resource.ts";

interface PoolDeletionOptions {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly ipam: Ipam | undefined;
}

/** How long hosts get to see that a pool gives no more addresses. */
const disabledBeforeReleaseMs = 500;

/**
 * Disables the pool, gives back the hosts' blocks, deletes it; addresses in use stay in blocks without owner. False: the
 * pool was changed meanwhile.
 */
export async function deleteIpPool(
  { store, clock, signal, ipam }: PoolDeletionOptions,
  kv: KeyValue,
): Promise<boolean> {
  const pool = IpPool.safeParse(readable(kv.value, kv.key)).data;
  let { modRevision } = kv;
  if (pool !== undefined && pool.spec.disabled !== true) {
    const { succeeded, revision } = await store.transact({
      compare: [{ key: kv.key, modRevision }],
      success: [{ put: kv.key, value: encode({ ...pool, spec: { ...pool.spec, disabled: true } }) }],
    });
    if (!succeeded) return false;
    modRevision = revision;
    if (ipam !== undefined) await clock.sleep(disabledBeforeReleaseMs, signal);
  }
  const within = pool === undefined ? undefined : tryParseCidr(pool.spec.cidr);
  if (within !== undefined) await ipam?.releaseAffinities({ within });
  const { succeeded } = await store.transact({
    compare: [{ key: kv.key, modRevision }],
    success: [{ delete: kv.key }],
  });
  return succeeded;
}
