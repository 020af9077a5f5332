/**
 * How addresses are given back (calico-datastore.md 6.5), as changes to a draft.
 * A handle's count of a block is lowered by what is given back, never below what the block says and never to it: upstream
 * raises the count before it writes the block, so that a count which looks too high may be that of a write under way. What
 * stays too high is put right by garbage collection, when nobody can be writing any more.
 */

import { addressAt, type Cidr, cidrAround, cidrContains, type IpAddress, ipFamily } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { type Block, ownerHost } from "../model/ipam-documents.ts";
import { affinityKey, blockKey, handleKey, nodeKey } from "../model/keys.ts";
import { allocationAt, isEmpty, ordinalOf, ordinalsOfHandle, release, withOwner } from "./block-allocation.ts";
import type { Draft } from "./draft.ts";
import { poolOfBlock, readPools, selectedBy } from "./host-view.ts";
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
  await settle(draft, freed);
  if (allocation.handle !== undefined) await lowerCount(draft, allocation.handle, freed, 1);
  return true;
}

/** A transaction has room for so many blocks with their affinities; etcd's limit is 128 operations. */
const blocksPerPartMax = 48;

export interface HandleRelease {
  /** None if the handle does not exist. */
  readonly released: readonly IpAddress[];
  /** The handle has more blocks than fit: to be called again. */
  readonly more: boolean;
}

export async function planReleaseHandle(draft: Draft, handle: string): Promise<HandleRelease> {
  const counts = await draft.handle(handle);
  draft.rely(handleKey(handle)); // also when it seems to hold nothing
  await draft.fetch([...counts.keys()].map(blockKey));
  const released: IpAddress[] = [];
  let parts = 0;
  for (const cidr of counts.keys()) {
    const block = await draft.block(cidr);
    const ordinals = block === undefined ? new Set<number>() : ordinalsOfHandle(block, handle);
    if (ordinals.size > 0 && ++parts > blocksPerPartMax) return { released, more: true };
    const left = block === undefined ? undefined : release(block, ordinals);
    if (left !== undefined && ordinals.size > 0) await settle(draft, left);
    await lowerCount(draft, handle, left ?? cidr, ordinals.size);
    released.push(...[...ordinals].map((ordinal) => addressAt(cidr, ordinal)));
  }
  return { released, more: false };
}

export type AffinityRelease = "released" | "in-use" | "not-owned" | "changed";

/** Takes a block from its host: an empty one goes, one in use stays without owner. */
export async function planReleaseAffinity(
  draft: Draft,
  host: string,
  cidr: Cidr,
  { emptyOnly, sequence }: { readonly emptyOnly: boolean; readonly sequence?: bigint | undefined },
): Promise<AffinityRelease> {
  await draft.fetch([affinityKey(host, cidr), blockKey(cidr)]);
  const block = await draft.block(cidr);
  if (block !== undefined && sequence !== undefined && block.sequenceNumber !== sequence) return "changed";
  const owned = block !== undefined && ownerHost(block) === host;
  if (owned && emptyOnly && !isEmpty(block)) return "in-use";
  const listed = (await draft.affinity(host, cidr)) !== undefined;
  if (listed) draft.setAffinity(host, cidr, undefined);
  // Without a block there is nothing to give back, but the key of a claim that died goes all the same.
  if (!owned) return block === undefined && listed ? "released" : "not-owned";
  draft.setBlock(cidr, isEmpty(block) ? undefined : withOwner(block, undefined, 0));
  return "released";
}

/**
 * Sets a handle's counts to what the blocks say, if it is still the one seen at `revision`. `hints`: blocks it was seen in.
 * Answers whether anything had to be changed.
 */
export async function planRecount(
  draft: Draft,
  handle: string,
  revision: number,
  hints: readonly Cidr[],
): Promise<boolean> {
  if ((await draft.revision(handleKey(handle))) !== revision) return false;
  const counts = await draft.handle(handle);
  const cidrs = new Set([...counts.keys(), ...hints]);
  await draft.fetch([...cidrs].map(blockKey));
  const right = new Map(counts);
  let changes = 0;
  for (const cidr of cidrs) {
    const block = await draft.block(cidr);
    const held = block === undefined ? 0 : ordinalsOfHandle(block, handle).size;
    if (held === (counts.get(cidr) ?? 0)) continue;
    if (++changes > blocksPerPartMax) break; // the rest at the next look
    if (held > 0) right.set(cidr, held);
    else right.delete(cidr);
    draft.rely(blockKey(cidr));
  }
  if (changes > 0) draft.setHandle(handle, right);
  return changes > 0;
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

/** A block nobody owns vanishes with its last address; so does one whose pool does not want its owner any more. */
async function settle(draft: Draft, block: Block): Promise<void> {
  const owner = ownerHost(block);
  if (!isEmpty(block) || (block.affinity !== undefined && owner === undefined)) {
    draft.setBlock(block.cidr, block);
  } else if (owner === undefined) {
    draft.setBlock(block.cidr, undefined);
  } else if (await isUnwanted(draft, block.cidr, owner)) {
    draft.setBlock(block.cidr, undefined);
    await draft.fetch([affinityKey(owner, block.cidr)]);
    draft.setAffinity(owner, block.cidr, undefined);
  } else draft.setBlock(block.cidr, block);
}

/** Whether there is a pool around the block that does not select its owner; a host without Node is left alone. */
async function isUnwanted(draft: Draft, cidr: Cidr, owner: string): Promise<boolean> {
  const pool = poolOfBlock(await readPools(draft), cidr);
  const node = pool === undefined ? undefined : await draft.value(nodeKey(owner));
  if (pool === undefined || node === undefined) return false;
  try {
    return !selectedBy(node, owner)(pool);
  } catch (error) {
    if (error instanceof BadInput) return false; // a Node nobody can read says nothing about its labels
    throw error;
  }
}

/** `now`: the block as it is without the addresses given back; its CIDR alone if there is no such block any more. */
async function lowerCount(draft: Draft, handle: string, now: Block | Cidr, by: number): Promise<void> {
  const cidr = typeof now === "string" ? now : now.cidr;
  const counts = await draft.handle(handle);
  const count = counts.get(cidr) ?? 0;
  const held = typeof now === "string" ? 0 : ordinalsOfHandle(now, handle).size;
  const left = typeof now === "string" ? 0 : Math.max(held, count - by);
  if (left === count) return;
  const lowered = new Map(counts);
  if (left === 0) lowered.delete(cidr);
  else lowered.set(cidr, left);
  draft.setHandle(handle, lowered);
}
