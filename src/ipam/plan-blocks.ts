/**
 * How a host comes by blocks and keeps them (calico-datastore.md 6.3, 6.4), as changes to a draft. The block says who owns
 * it; the affinity key is its index. Both are written in one transaction here; upstream writes them one after the other, so
 * whatever stands between its steps is met here and completed or dropped:
 *   pending without block      the host claims the block
 *   pending, pendingDeletion   beside a block of the host: confirmed again, and the block is written too, so that whoever
 *                              was about to give it back loses its comparison
 *   any state, foreign block   the affinity is stale and goes
 *   own block, no affinity     the affinity is written
 */

import {
  addressAt,
  type Cidr,
  cidrAround,
  cidrCovers,
  cidrOverlaps,
  ipFamily,
  prefixLength,
} from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import type { Pool } from "../model/ip-pool.ts";
import { type Block, ownerHost } from "../model/ipam-documents.ts";
import { affinityKey, blockKey } from "../model/keys.ts";
import { isEmpty, newBlock, nextFree, withOwner } from "./block-allocation.ts";
import type { Draft } from "./draft.ts";
import { type HostView, poolOfBlock } from "./host-view.ts";
import { ipamError } from "./ipam-error.ts";
import { blockCidrs, inHostOrder, whollyWithin } from "./pool-blocks.ts";

export interface BlockInPool {
  readonly block: Block;
  readonly pool: Pool;
}

/** A block claimed a moment ago is empty because its owner is just about to use it. */
const reclaimAgeMinMs = 60_000;

/** The host's blocks in the given pools, whatever state a crash has left their affinity in. */
export async function ownBlocks(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  nowMs: number,
): Promise<readonly BlockInPool[]> {
  const affine = await draft.affineCidrs(view.host);
  await draft.fetch(affine.map(blockKey));
  const own: BlockInPool[] = [];
  for (const cidr of affine) {
    const pool = poolOfBlock(pools, cidr);
    if (pool === undefined) continue;
    const block = await draft.readableBlock(cidr);
    if (block === "unreadable") continue;
    if (block === undefined) {
      const fits = cidr === cidrAround(addressAt(cidr, 0), pool.blockSize) && (await isVacant(draft, cidr));
      if (fits) own.push({ block: await claim(draft, view.host, cidr, nowMs), pool });
      else draft.setAffinity(view.host, cidr, undefined);
      continue;
    }
    if (ownerHost(block) !== view.host) draft.setAffinity(view.host, cidr, undefined);
    else own.push({ block: await confirmed(draft, view.host, block), pool });
  }
  return own;
}

/** Gives back empty blocks of pools that do not want this host any more. */
export async function returnUnwantedBlocks(draft: Draft, view: HostView, wanted: readonly Pool[]): Promise<void> {
  for (const cidr of await draft.affineCidrs(view.host)) {
    const pool = poolOfBlock(view.pools, cidr);
    if (pool === undefined || wanted.includes(pool) || view.selected(pool)) continue;
    const block = await draft.readableBlock(cidr);
    if (block === undefined || block === "unreadable" || ownerHost(block) !== view.host || !isEmpty(block)) continue;
    draft.setBlock(cidr, undefined);
    draft.setAffinity(view.host, cidr, undefined);
  }
}

/** A block of the host with an unreserved free address: one nobody has, or an empty one another host has let lie. */
export async function findNewBlock(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  family: 4 | 6,
  nowMs: number,
): Promise<BlockInPool | undefined> {
  const existing = await draft.blockCidrs(family);
  const known = new Set(await draft.affineCidrs(view.host));
  // Blocks of this host without an affinity key: an upstream client died between its writes.
  const unlisted = (await draft.cidrsNaming(view.host, family)).filter((cidr) => !known.has(cidr));
  for (const pool of pools) {
    for (const cidr of inHostOrder(
      pool,
      view.host,
      unlisted.filter((cidr) => cidrCovers(pool.cidr, cidr)),
    )) {
      const block = await draft.readableBlock(cidr);
      if (block === undefined || block === "unreadable" || ownerHost(block) !== view.host) continue;
      if (nextFree(block, view.reserved) === undefined) continue;
      return { block: await confirmed(draft, view.host, block), pool };
    }
    for (const cidr of blockCidrs(pool, view.host, [...existing, ...whollyWithin(pool, view.reservedCidrs)])) {
      if (nextFree(newBlock(cidr, view.host, nowMs), view.reserved) === undefined) continue;
      return { block: await claim(draft, view.host, cidr, nowMs), pool };
    }
  }
  return await takeOver(draft, view, pools, family, nowMs);
}

/** Another host's block with an unreserved free address. */
export async function findBorrowable(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  family: 4 | 6,
): Promise<BlockInPool | undefined> {
  for await (const found of existingIn(draft, view, pools, family)) {
    if (nextFree(found.block, view.reserved) !== undefined) return found;
  }
  return undefined;
}

/** A new block of the host. The caller has made sure that there is none. */
export async function claim(draft: Draft, host: string, cidr: Cidr, nowMs: number): Promise<Block> {
  await draft.fetch([affinityKey(host, cidr), blockKey(cidr)]);
  invariant((await draft.block(cidr)) === undefined, `block ${cidr} exists`);
  const block = newBlock(cidr, host, nowMs);
  draft.setBlock(cidr, block);
  draft.setAffinity(host, cidr, "confirmed");
  return block;
}

/** A block of the host, with its affinity in order. */
export async function confirmed(draft: Draft, host: string, block: Block): Promise<Block> {
  if ((await draft.affinity(host, block.cidr)) === "confirmed") return block;
  draft.setAffinity(host, block.cidr, "confirmed");
  draft.setBlock(block.cidr, block);
  return block;
}

/** Whether no block of another size, left from a pool that had another block size, lies across the range. */
export async function isVacant(draft: Draft, cidr: Cidr): Promise<boolean> {
  for (const other of await draft.blockCidrs(ipFamily(cidr))) if (cidrOverlaps(other, cidr)) return false;
  return true;
}

/** Makes the block the host's without assigning from it; false if it is somebody else's. */
export async function planClaimBlock(draft: Draft, host: string, cidr: Cidr, nowMs: number): Promise<boolean> {
  await draft.fetch([affinityKey(host, cidr), blockKey(cidr)]);
  const block = await draft.block(cidr);
  if (block === undefined) {
    if (!(await isVacant(draft, cidr))) return false;
    await claim(draft, host, cidr, nowMs);
    return true;
  }
  if (ownerHost(block) === host) {
    await confirmed(draft, host, block);
    return true;
  }
  if ((await draft.affinity(host, cidr)) !== undefined) draft.setAffinity(host, cidr, undefined);
  return false;
}

/** The blocks a range consists of. @throws IPAM_RANGE_INVALID */
export function blocksOfRange(pools: readonly Pool[], range: Cidr): readonly Cidr[] {
  const pool = pools.find(({ cidr }) => cidrCovers(cidr, range));
  if (pool === undefined) {
    throw ipamError("IPAM_RANGE_INVALID", `The requested CIDR (${range}) is not within any configured pools.`);
  }
  const bits = pool.blockSize - prefixLength(range);
  if (bits < 0) throw ipamError("IPAM_RANGE_INVALID", `The requested CIDR (${range}) is smaller than the minimum.`);
  if (bits > blocksPerRangeBitsMax) {
    const problem = `The requested CIDR (${range}) has more than ${2 ** blocksPerRangeBitsMax} blocks`;
    throw ipamError("IPAM_RANGE_INVALID", problem, { remedy: "claim smaller ranges" });
  }
  return [...blockCidrs({ ...pool, cidr: range }, "")];
}

/** A host has 20 blocks; what goes far beyond that is a slip of the keyboard. */
const blocksPerRangeBitsMax = 12;

async function takeOver(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  family: 4 | 6,
  nowMs: number,
): Promise<BlockInPool | undefined> {
  for await (const { block, pool } of existingIn(draft, view, pools, family)) {
    const owner = ownerHost(block);
    if (block.affinity !== undefined && owner === undefined) continue; // a virtual owner decides for itself
    if (prefixLength(block.cidr) !== pool.blockSize) continue;
    if (!isEmpty(block) || nowMs - claimedAtMs(block) < reclaimAgeMinMs) continue;
    const taken = withOwner(block, view.host, nowMs);
    if (nextFree(taken, view.reserved) === undefined) continue;
    await draft.fetch([affinityKey(view.host, block.cidr), ...(owner ? [affinityKey(owner, block.cidr)] : [])]);
    if (owner !== undefined) draft.setAffinity(owner, block.cidr, undefined);
    draft.setAffinity(view.host, block.cidr, "confirmed");
    draft.setBlock(block.cidr, taken);
    return { block: taken, pool };
  }
  return undefined;
}

/** Reads on only as far as its reader goes. */
async function* existingIn(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  family: 4 | 6,
): AsyncGenerator<BlockInPool> {
  const existing = [...(await draft.blockCidrs(family))];
  for (const pool of pools) {
    const inPool = existing.filter((cidr) => cidrCovers(pool.cidr, cidr));
    for (const cidr of inHostOrder(pool, view.host, inPool)) {
      const block = await draft.readableBlock(cidr);
      if (block !== undefined && block !== "unreadable") yield { block, pool };
    }
  }
}

/** Blocks of older writers have no claim time; their sequence began at the nanosecond of their creation. */
function claimedAtMs(block: Block): number {
  const claimed = block.claimTime === undefined ? Number.NaN : Date.parse(block.claimTime);
  return Number.isNaN(claimed) ? Number(block.sequenceNumber / 1_000_000n) : claimed;
}
