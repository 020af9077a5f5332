/** What a resource may say depends on others: its tier exists, its pool shares no address, nothing is in the tier to go. */

import { cidrContains, cidrOverlaps, networkAddress, prefixLength, tryParseCidr } from "../../../base/addresses.ts";
import { BadInput } from "../../../base/errors.ts";
import { IpPool } from "../../../model/ip-pool.ts";
import { checkIpPoolOverlap } from "../../../model/ip-pool-check.ts";
import { blocksPrefix, kindPrefix, parseBlockKey, tierKey } from "../../../model/keys.ts";
import type { Kind } from "../../../model/kinds.ts";
import { type AnyResource, check } from "../../../model/resource.ts";
import { builtInTiers } from "../../../model/tier.ts";
import { isTieredPolicy, tieredKinds, tierOf } from "../../../model/tiered-policies.ts";
import type { Compare } from "../../../store/store.ts";
import type { ResourceStore } from "../dry-run-store.ts";
import { readable } from "./readable-resource.ts";
import { doesNotExist, notSupported } from "./resource-error.ts";

/** What must still hold when the resource is written. @throws BadInput, ResourceError */
export async function checkCreation(store: ResourceStore, resource: AnyResource): Promise<readonly Compare[]> {
  if (resource.kind === "IPPool") await checkNewPool(store, check(IpPool, resource));
  if (!isTieredPolicy(resource.kind)) return [];
  const tier = tierOf(resource.spec as { tier?: string });
  const kv = await store.get(tierKey(tier));
  if (kv === undefined) throw doesNotExist({ kind: "Tier", name: tier });
  return [{ key: kv.key, modRevision: kv.modRevision }];
}

async function checkNewPool(store: ResourceStore, pool: IpPool): Promise<void> {
  const pools = await resourcesOfKind(store, "IPPool");
  checkIpPoolOverlap(
    pool,
    pools.flatMap((other) => IpPool.safeParse(other).data ?? []),
  );
  const range = tryParseCidr(pool.spec.cidr);
  const { blockSize } = pool.spec;
  if (range === undefined || blockSize === undefined) return;
  const { kvs } = await store.list(blocksPrefix);
  for (const { key } of kvs) {
    const block = parseBlockKey(key);
    if (block === undefined || !cidrOverlaps(range, block)) continue;
    if (prefixLength(block) === blockSize && cidrContains(range, networkAddress(block))) continue;
    const problem = "IPPool blocksSize conflicts with existing allocations that use a different blockSize";
    throw new BadInput("IPPool.Spec.BlockSize", problem, `${prefixLength(block)}`);
  }
}

/** @throws ResourceError for a tier that is built in or has policies */
export async function checkTierRemoval(store: ResourceStore, name: string): Promise<void> {
  if (builtInTiers.some((tier) => tier.name === name)) {
    throw notSupported("Delete", name, `Cannot delete ${name} tier`);
  }
  for (const kind of tieredKinds) {
    const policies = await resourcesOfKind(store, kind);
    if (policies.some(({ spec }) => tierOf((spec ?? {}) as { tier?: string }) === name)) {
      throw notSupported("delete", name, "Cannot delete a non-empty tier");
    }
  }
}

/** Those that can be read. */
export async function resourcesOfKind(store: ResourceStore, kind: Kind): Promise<readonly AnyResource[]> {
  const { kvs } = await store.list(kindPrefix(kind));
  return kvs.flatMap(({ key, value }) => readable(value, key) ?? []);
}
