/**
 * How addresses are given back and change their owner (calico-datastore.md 6.5), as changes to a draft.
 * The count a handle holds of a block is always set to what the block says: overcounts left by upstream clients vanish.
 */

import { addressAt, type Cidr, cidrAround, cidrContains, type IpAddress, ipFamily } from "../base/addresses.ts";
import { type Block, ownerHost } from "../model/ipam-documents.ts";
import { affinityKey, blockKey } from "../model/keys.ts";
import {
  allocationAt,
  isEmpty,
  ordinalOf,
  ordinalsOfHandle,
  reassign,
  release,
  withOwner,
} from "./block-allocation.ts";
import type { Draft } from "./draft.ts";
import { readPools } from "./host-view.ts";
import { ipamError } from "./ipam-error.ts";

export interface ReleaseGuard {
  /** Release only if the address belongs to this handle. */
  readonly handle?: string | undefined;
  /** Release only this allocation, not a later one of the same address. */
  readonly sequence?: bigint | undefined;
}

/** Answers false if the address was not allocated. @throws IPAM_OWNER_MISMATCH */
export async function planReleaseAddress(draft: Draft, address: IpAddress, guard: ReleaseGuard): Promise<boolean> {
  const block = await blockOfAddress(draft, address);
  const allocation = block === undefined ? undefined : allocationAt(block, ordinalOf(block, address));
  if (block === undefined || allocation === undefined) return false;
  if (guard.handle !== undefined && allocation.handle !== guard.handle) {
    const problem = `${address} belongs to handle ${allocation.handle ?? "<none>"}, not to ${guard.handle}`;
    throw ipamError("IPAM_OWNER_MISMATCH", problem);
  }
  if (guard.sequence !== undefined && allocation.sequence !== guard.sequence) {
    throw ipamError("IPAM_OWNER_MISMATCH", `${address} has been assigned anew meanwhile`);
  }
  const freed = release(block, new Set([allocation.ordinal]));
  settle(draft, freed);
  if (allocation.handle !== undefined) await recount(draft, allocation.handle, freed);
  return true;
}

/** Answers the addresses released; none if the handle does not exist. */
export async function planReleaseHandle(draft: Draft, handle: string): Promise<readonly IpAddress[]> {
  const counts = await draft.handle(handle);
  await draft.fetch([...counts.keys()].map(blockKey));
  const released: IpAddress[] = [];
  for (const cidr of counts.keys()) {
    const block = await draft.block(cidr);
    const ordinals = block === undefined ? new Set<number>() : ordinalsOfHandle(block, handle);
    if (block === undefined || ordinals.size === 0) continue;
    released.push(...[...ordinals].map((ordinal) => addressAt(cidr, ordinal)));
    settle(draft, release(block, ordinals));
  }
  if (counts.size > 0) draft.setHandle(handle, new Map());
  return released;
}

export interface HandleMove {
  readonly from: readonly string[];
  readonly to: string;
  /** Added to the attributes of each address. */
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * Answers the addresses `to` holds afterwards. A handle that is not there is fine if `to` has its addresses already
 * (the caller repeats itself after a crash). @throws IPAM_HANDLE_UNKNOWN if nothing is held in the end
 */
export async function planMoveHandle(
  draft: Draft,
  { from, to, attributes }: HandleMove,
): Promise<readonly IpAddress[]> {
  const target = new Map(await draft.handle(to));
  for (const handle of from) {
    if (handle === to) continue;
    const counts = await draft.handle(handle);
    await draft.fetch([...counts.keys()].map(blockKey));
    for (const cidr of counts.keys()) {
      const block = await draft.block(cidr);
      const ordinals = block === undefined ? new Set<number>() : ordinalsOfHandle(block, handle);
      if (block === undefined || ordinals.size === 0) continue;
      const moved = reassign(block, handle, (before) => ({ handle: to, attributes: { ...before, ...attributes } }));
      draft.setBlock(cidr, moved);
      target.set(cidr, ordinalsOfHandle(moved, to).size);
    }
    if (counts.size > 0) draft.setHandle(handle, new Map());
  }
  const held = await addressesOf(draft, to, target.keys());
  if (held.length === 0) throw ipamError("IPAM_HANDLE_UNKNOWN", `no address is held by ${[...from, to].join(" or ")}`);
  draft.setHandle(to, target);
  return held;
}

/** Takes a block from its host: an empty one goes, one in use stays without owner. Answers whether anything was done. */
export async function planReleaseAffinity(
  draft: Draft,
  host: string,
  cidr: Cidr,
  emptyOnly: boolean,
): Promise<boolean> {
  await draft.fetch([affinityKey(host, cidr), blockKey(cidr)]);
  const block = await draft.block(cidr);
  const owned = block !== undefined && ownerHost(block) === host;
  if (owned && emptyOnly && !isEmpty(block)) return false;
  if ((await draft.affinity(host, cidr)) === undefined && !owned) return false;
  if (owned) draft.setBlock(cidr, isEmpty(block) ? undefined : withOwner(block, undefined, 0));
  draft.setAffinity(host, cidr, undefined);
  return true;
}

export async function addressesOf(draft: Draft, handle: string, cidrs: Iterable<Cidr>): Promise<readonly IpAddress[]> {
  const addresses: IpAddress[] = [];
  for (const cidr of cidrs) {
    const block = await draft.block(cidr);
    if (block === undefined) continue;
    for (const ordinal of ordinalsOfHandle(block, handle)) addresses.push(addressAt(cidr, ordinal));
  }
  return addresses;
}

/** Through the pools, disabled ones included; else, if its pool is gone, among all blocks. */
export async function blockOfAddress(draft: Draft, address: IpAddress): Promise<Block | undefined> {
  for (const pool of await readPools(draft)) {
    if (!cidrContains(pool.cidr, address)) continue;
    const block = await draft.block(cidrAround(address, pool.blockSize));
    if (block !== undefined) return block;
  }
  for (const [cidr, block] of await draft.blocks(ipFamily(address))) {
    if (block !== "unreadable" && cidrContains(cidr, address)) return block;
  }
  return undefined;
}

/** A block nobody owns vanishes with its last address. */
function settle(draft: Draft, block: Block): void {
  draft.setBlock(block.cidr, block.affinity === undefined && isEmpty(block) ? undefined : block);
}

async function recount(draft: Draft, handle: string, block: Block): Promise<void> {
  const counts = new Map(await draft.handle(handle));
  if (counts.size === 0) return;
  const left = ordinalsOfHandle(block, handle).size;
  if (left === 0) counts.delete(block.cidr);
  else counts.set(block.cidr, left);
  draft.setHandle(handle, counts);
}
