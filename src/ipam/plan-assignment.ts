/**
 * How one address is found for a host (calico-datastore.md 6.4, 6.5), as changes to a draft:
 * from a block the host owns; else from a block it claims; else from an empty block another host has let lie; else,
 * unless affinity is strict, borrowed from another host's block. Claiming writes block and affinity in the transaction
 * of the assignment, so that no half-claimed block is left by a crash; those of upstream clients are mended on the way.
 */

import {
  addressAt,
  type Cidr,
  cidrAround,
  cidrContains,
  cidrCovers,
  cidrOverlaps,
  type IpAddress,
  ipFamily,
  prefixLength,
} from "../base/addresses.ts";
import { OperationError } from "../base/errors.ts";
import type { Pool } from "../model/ip-pool.ts";
import { type Block, ownerHost } from "../model/ipam-documents.ts";
import { affinityKey, blockKey } from "../model/keys.ts";
import {
  allocate,
  isAllocated,
  isEmpty,
  newBlock,
  nextFree,
  type Owner,
  ordinalOf,
  withOwner,
} from "./block-allocation.ts";
import type { Draft } from "./draft.ts";
import { ensureConfig, type HostView, poolOfBlock, relyOnPool, usablePools } from "./host-view.ts";
import { ipamError } from "./ipam-error.ts";
import { blockCidrs, inHostOrder } from "./pool-blocks.ts";

export interface AssignmentWish {
  readonly family: 4 | 6;
  readonly pools?: readonly Cidr[];
  readonly address?: IpAddress;
  readonly use: string;
  readonly handle: string | ((address: IpAddress) => string);
  readonly attributes: Readonly<Record<string, string>>;
}

/** Upstream's limit if none is configured. */
const blocksPerHostDefault = 20;
/** A block claimed a moment ago is empty because its owner is just about to use it. */
const reclaimAgeMinMs = 60_000;

/** @throws OperationError with an IpamErrorCode */
export async function planAssignment(
  draft: Draft,
  view: HostView,
  wish: AssignmentWish,
  nowMs: number,
): Promise<IpAddress> {
  await ensureConfig(draft);
  const found =
    wish.address === undefined
      ? await findFree(draft, view, wish, nowMs)
      : await findGiven(draft, view, wish, wish.address, nowMs);
  const address = addressAt(found.block.cidr, found.ordinal);
  const handle = typeof wish.handle === "string" ? wish.handle : wish.handle(address);
  const owner: Owner = { handle, attributes: { node: view.host, ...wish.attributes } };
  draft.setBlock(found.block.cidr, allocate(found.block, found.ordinal, owner));
  relyOnPool(draft, found.pool);
  const counts = await (typeof wish.handle === "string" ? draft.handle(handle) : draft.handleAssumedNew(handle));
  draft.setHandle(handle, new Map(counts).set(found.block.cidr, (counts.get(found.block.cidr) ?? 0) + 1));
  return address;
}

interface Found {
  readonly block: Block;
  readonly ordinal: number;
  readonly pool: Pool;
}

async function findGiven(
  draft: Draft,
  view: HostView,
  wish: AssignmentWish,
  address: IpAddress,
  nowMs: number,
): Promise<Found> {
  const requested = wish.pools ?? [];
  // A pool that was asked for but is not there is another mistake than an address outside of it.
  if (requested.length > 0) usablePools(view, wish);
  const pool = view.pools.find(
    (candidate) =>
      !candidate.disabled &&
      cidrContains(candidate.cidr, address) &&
      (requested.length === 0 || requested.includes(candidate.cidr)),
  );
  if (pool === undefined) {
    const problem = `The provided IP address ${address} is not in a configured pool`;
    throw ipamError("IPAM_ADDRESS_OUTSIDE_POOLS", problem, { remedy: "choose an address of an enabled pool" });
  }
  const cidr = cidrAround(address, pool.blockSize);
  let block = await draft.block(cidr);
  if (block === undefined) {
    block = await claim(draft, view.host, cidr, nowMs);
  } else if (view.config.strictAffinity && ownerHost(block) !== view.host) {
    const problem = `Block host affinity does not match: ${address} belongs to ${block.affinity ?? "nobody"}`;
    throw ipamError("IPAM_ADDRESS_OF_OTHER_HOST", problem);
  }
  const ordinal = ordinalOf(block, address);
  if (isAllocated(block, ordinal)) {
    throw ipamError("IPAM_ADDRESS_IN_USE", `${address} is already assigned in block ${cidr}`);
  }
  return { block, ordinal, pool };
}

async function findFree(draft: Draft, view: HostView, wish: AssignmentWish, nowMs: number): Promise<Found> {
  const pools = usablePools(view, wish);
  const own = await ownBlocks(draft, view, pools, nowMs);
  for (const { block, pool } of own) {
    const ordinal = nextFree(block, view.reserved);
    if (ordinal !== undefined) return { block, ordinal, pool };
  }
  const limit = view.config.blocksPerHostMax || blocksPerHostDefault;
  if (own.length >= limit) {
    const problem = `Need to allocate an IPAM block but could not - limit of ${limit} blocks reached for this node`;
    throw ipamError("IPAM_BLOCK_LIMIT", problem, { remedy: "calicoctl ipam configure --max-blocks-per-host" });
  }
  if (view.config.autoAllocateBlocks) {
    await returnUnusableBlocks(draft, view, wish.family);
    const claimed = await findNewBlock(draft, view, pools, wish.family, nowMs);
    if (claimed !== undefined) return claimed;
  }
  const borrowed = view.config.strictAffinity ? undefined : await borrow(draft, view, pools, wish.family);
  if (borrowed !== undefined) return borrowed;
  const where = pools.map(({ cidr }) => cidr).join(", ");
  const why = view.config.strictAffinity ? ": No more free affine blocks and strict affinity enabled" : "";
  throw ipamError("IPAM_POOL_EXHAUSTED", `no free address in pools [${where}] for host ${view.host}${why}`, {
    remedy: "add a pool, or release addresses nobody uses any more",
  });
}

/** The host's blocks in the given pools, whatever state a crash has left their affinity in. */
async function ownBlocks(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  nowMs: number,
): Promise<readonly { block: Block; pool: Pool }[]> {
  const affine = await draft.affineCidrs(view.host);
  await draft.fetch(affine.map(blockKey));
  const own: { block: Block; pool: Pool }[] = [];
  for (const cidr of affine) {
    const pool = poolOfBlock(pools, cidr);
    if (pool === undefined) continue;
    const block = await readableBlock(draft, cidr);
    if (block === "unreadable") continue;
    if (block === undefined) {
      // An affinity without block: its claim died half-way. Finish it, if the pool still has such blocks.
      if (cidr !== cidrAround(addressAt(cidr, 0), pool.blockSize)) draft.setAffinity(view.host, cidr, undefined);
      else own.push({ block: await claim(draft, view.host, cidr, nowMs), pool });
      continue;
    }
    if (ownerHost(block) !== view.host) {
      draft.setAffinity(view.host, cidr, undefined); // the block is right, the affinity is only its index
      continue;
    }
    if ((await draft.affinity(view.host, cidr)) !== "confirmed") draft.setAffinity(view.host, cidr, "confirmed");
    own.push({ block, pool });
  }
  return own;
}

/** Gives back empty blocks of pools that do not want this host any more. */
async function returnUnusableBlocks(draft: Draft, view: HostView, family: 4 | 6): Promise<void> {
  for (const cidr of await draft.affineCidrs(view.host)) {
    const pool = poolOfBlock(view.pools, cidr);
    if (ipFamily(cidr) !== family || pool === undefined || view.selected(pool)) continue;
    const block = await readableBlock(draft, cidr);
    if (block === undefined || block === "unreadable" || ownerHost(block) !== view.host || !isEmpty(block)) continue;
    draft.setBlock(cidr, undefined);
    draft.setAffinity(view.host, cidr, undefined);
  }
}

async function findNewBlock(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  family: 4 | 6,
  nowMs: number,
): Promise<Found | undefined> {
  const existing = await draft.blocks(family);
  for (const pool of pools) {
    // Blocks of another size, left from a pool that had another block size, may lie across this pool's.
    const odd = [...existing.keys()].filter((cidr) => prefixLength(cidr) !== pool.blockSize);
    for (const cidr of blockCidrs(pool, view.host)) {
      const block = existing.get(cidr);
      if (block === "unreadable") continue;
      if (block === undefined && odd.some((other) => cidrOverlaps(other, cidr))) continue;
      if (block !== undefined && ownerHost(block) !== view.host) continue;
      // A block that is ours but has no affinity key: an upstream client died between the two writes.
      const mine = block ?? newBlock(cidr, view.host, nowMs);
      const ordinal = nextFree(mine, view.reserved);
      if (ordinal === undefined) continue;
      await draft.fetch([affinityKey(view.host, cidr)]);
      draft.setAffinity(view.host, cidr, "confirmed");
      return { block: mine, ordinal, pool };
    }
  }
  return takeOver(draft, view, pools, existing, nowMs);
}

/** An empty block another host has let lie changes its owner. */
async function takeOver(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  existing: ReadonlyMap<Cidr, Block | "unreadable">,
  nowMs: number,
): Promise<Found | undefined> {
  for (const { block, pool } of existingIn(pools, view, existing)) {
    const owner = ownerHost(block);
    if (block.affinity !== undefined && owner === undefined) continue; // a virtual owner decides for itself
    if (!isEmpty(block) || nowMs - claimedAtMs(block) < reclaimAgeMinMs) continue;
    const taken = withOwner(block, view.host, nowMs);
    const ordinal = nextFree(taken, view.reserved);
    if (ordinal === undefined) continue;
    await draft.fetch([
      affinityKey(view.host, block.cidr),
      ...(owner === undefined ? [] : [affinityKey(owner, block.cidr)]),
    ]);
    if (owner !== undefined) draft.setAffinity(owner, block.cidr, undefined);
    draft.setAffinity(view.host, block.cidr, "confirmed");
    return { block: taken, ordinal, pool };
  }
  return undefined;
}

async function borrow(draft: Draft, view: HostView, pools: readonly Pool[], family: 4 | 6): Promise<Found | undefined> {
  for (const { block, pool } of existingIn(pools, view, await draft.blocks(family))) {
    const ordinal = nextFree(block, view.reserved);
    if (ordinal !== undefined) return { block, ordinal, pool };
  }
  return undefined;
}

function* existingIn(
  pools: readonly Pool[],
  view: HostView,
  existing: ReadonlyMap<Cidr, Block | "unreadable">,
): Generator<{ block: Block; pool: Pool }> {
  for (const pool of pools) {
    const inPool = [...existing.keys()].filter((cidr) => cidrCovers(pool.cidr, cidr));
    for (const cidr of inHostOrder(pool, view.host, inPool)) {
      const block = existing.get(cidr);
      if (block !== undefined && block !== "unreadable") yield { block, pool };
    }
  }
}

async function claim(draft: Draft, host: string, cidr: Cidr, nowMs: number): Promise<Block> {
  await draft.fetch([affinityKey(host, cidr)]);
  const block = newBlock(cidr, host, nowMs);
  draft.setBlock(cidr, block);
  draft.setAffinity(host, cidr, "confirmed");
  return block;
}

async function readableBlock(draft: Draft, cidr: Cidr): Promise<Block | undefined | "unreadable"> {
  try {
    return await draft.block(cidr);
  } catch (error) {
    if (error instanceof OperationError && error.code === "IPAM_CORRUPT") return "unreadable";
    throw error;
  }
}

/** Blocks of older writers have no claim time; their sequence began at the nanosecond of their creation. */
function claimedAtMs(block: Block): number {
  const claimed = block.claimTime === undefined ? Number.NaN : Date.parse(block.claimTime);
  return Number.isNaN(claimed) ? Number(block.sequenceNumber / 1_000_000n) : claimed;
}
