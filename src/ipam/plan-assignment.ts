/**
 * How an address is found for a host (calico-datastore.md 6.4, 6.5), as changes to a draft:
 * from a block the host owns; else from a block it claims or takes over; else, unless affinity is strict, borrowed from
 * another host's block. Claiming writes block and affinity in the transaction of the assignment, so that no half-claimed
 * block is left by a crash; those of upstream clients are mended on the way (plan-blocks.ts).
 */

import { addressAt, type Cidr, cidrAround, cidrContains, type IpAddress, ipFamily } from "../base/addresses.ts";
import { invariant, OperationError } from "../base/errors.ts";
import type { Pool } from "../model/ip-pool.ts";
import { type Block, ownerHost } from "../model/ipam-documents.ts";
import { blockKey, handleKey } from "../model/keys.ts";
import { allocate, isAllocated, nextFree, type Owner, ordinalOf } from "./block-allocation.ts";
import type { Draft } from "./draft.ts";
import { ensureConfig, type HostView, relyOnPool, usablePools } from "./host-view.ts";
import { type IpamErrorCode, ipamError } from "./ipam-error.ts";
import {
  type BlockInPool,
  claim,
  confirmed,
  findBorrowable,
  findNewBlock,
  isVacant,
  ownBlocks,
  returnUnwantedBlocks,
} from "./plan-blocks.ts";
import { addressesOf } from "./plan-release.ts";

export interface AssignmentWish {
  readonly family: 4 | 6;
  readonly pools?: readonly Cidr[];
  readonly address?: IpAddress;
  readonly use: string;
  readonly handle: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Blocks the host may own after this request; the configuration's limit, if there is one, holds all the same. */
  readonly blocksMax?: number;
}

/** Upstream's limit if none is configured. */
const blocksPerHostDefault = 20;

/** @throws OperationError with an IpamErrorCode */
export async function planAssignment(
  draft: Draft,
  view: HostView,
  wish: AssignmentWish,
  nowMs: number,
): Promise<IpAddress> {
  const { block, ordinal, pool } = await find(draft, view, wish, nowMs);
  const { handle } = wish;
  const owner: Owner = { handle, attributes: { node: view.host, ...wish.attributes } };
  draft.setBlock(block.cidr, allocate(block, ordinal, owner));
  relyOnPool(draft, pool);
  const counts = await draft.handle(handle);
  draft.setHandle(handle, new Map(counts).set(block.cidr, (counts.get(block.cidr) ?? 0) + 1));
  return addressAt(block.cidr, ordinal);
}

/** What planAssignment would assign; written is only what it takes to have a block. */
export async function planSettingAside(
  draft: Draft,
  view: HostView,
  wish: FindingWish,
  nowMs: number,
): Promise<IpAddress> {
  const { block, ordinal } = await find(draft, view, wish, nowMs);
  return addressAt(block.cidr, ordinal);
}

/** Exactly these addresses, set aside or not; those that the handle has already stay as they are. */
export async function planThese(
  draft: Draft,
  view: HostView,
  addresses: readonly IpAddress[],
  wish: Pick<AssignmentWish, "use" | "handle" | "attributes">,
  nowMs: number,
): Promise<void> {
  const counts = await draft.handle(wish.handle);
  await draft.fetch([...counts.keys()].map(blockKey));
  const had = await addressesOf(draft, wish.handle, counts.keys());
  draft.rely(handleKey(wish.handle)); // also when it has them all
  for (const address of addresses) {
    if (had.includes(address)) continue;
    const asked = { ...wish, family: ipFamily(address), address };
    await planAssignment(draft, { ...view, isSetAside: () => false }, asked, nowMs);
  }
}

export interface SeveralAssigned {
  readonly addresses: readonly IpAddress[];
  /** Why there are fewer than were asked for; a short result is no error. */
  readonly shortage: OperationError | undefined;
}

/** A transaction has room for so many blocks and affinities; the rest of a request goes into the next. */
const operationsPerPartMax = 64;

/** As many as can be had and fit into one transaction. */
export async function planSeveral(
  draft: Draft,
  count: number,
  plan: () => Promise<IpAddress>,
): Promise<SeveralAssigned> {
  const addresses: IpAddress[] = [];
  const before = draft.operationCount;
  while (addresses.length < count && draft.operationCount - before < operationsPerPartMax) {
    try {
      addresses.push(await draft.attempt(plan));
    } catch (error) {
      if (!(error instanceof OperationError) || !shortages.has(error.code)) throw error;
      return { addresses, shortage: error };
    }
  }
  return { addresses, shortage: undefined };
}

const shortages: ReadonlySet<string> = new Set<IpamErrorCode>(["IPAM_POOL_EXHAUSTED", "IPAM_BLOCK_LIMIT"]);

/** A block of the host in one of the pools, claimed if it has none; nothing is assigned from it. */
export async function planEnsureBlock(
  draft: Draft,
  view: HostView,
  wish: Pick<AssignmentWish, "family" | "pools" | "use" | "blocksMax">,
  nowMs: number,
): Promise<Cidr> {
  await ensureConfig(draft);
  const { block, pool } = await hostBlock(draft, view, usablePools(view, wish), wish, nowMs);
  relyOnPool(draft, pool);
  return block.cidr;
}

type FindingWish = Pick<AssignmentWish, "family" | "pools" | "address" | "use" | "blocksMax">;

interface Found {
  readonly block: Block;
  readonly ordinal: number;
  readonly pool: Pool;
}

async function find(draft: Draft, view: HostView, wish: FindingWish, nowMs: number): Promise<Found> {
  await ensureConfig(draft);
  return wish.address === undefined
    ? await findFree(draft, view, wish, nowMs)
    : await findGiven(draft, view, wish, wish.address, nowMs);
}

async function findGiven(
  draft: Draft,
  view: HostView,
  wish: FindingWish,
  address: IpAddress,
  nowMs: number,
): Promise<Found> {
  const requested = wish.pools ?? [];
  // A pool that was asked for but is not there is another mistake than an address outside of it.
  if (requested.length > 0) usablePools(view, wish);
  const pool = view.pools.find(
    (candidate) =>
      candidate.allocatable &&
      cidrContains(candidate.cidr, address) &&
      (requested.length === 0 || requested.includes(candidate.cidr)),
  );
  if (pool === undefined) {
    const problem = `The provided IP address ${address} is not in a configured pool`;
    throw ipamError("IPAM_ADDRESS_OUTSIDE_POOLS", problem, { remedy: "choose an address of an enabled pool" });
  }
  const block = await blockForGiven(draft, view, pool, address, nowMs);
  const ordinal = ordinalOf(block, address);
  if (isAllocated(block, ordinal)) {
    throw ipamError("IPAM_ADDRESS_IN_USE", `${address} is already assigned in block ${block.cidr}`);
  }
  if (view.isSetAside(address)) {
    throw ipamError("IPAM_ADDRESS_IN_USE", `${address} is set aside for a container that is about to start`);
  }
  return { block, ordinal, pool };
}

async function blockForGiven(
  draft: Draft,
  view: HostView,
  pool: Pool,
  address: IpAddress,
  nowMs: number,
): Promise<Block> {
  const cidr = cidrAround(address, pool.blockSize);
  const block = await draft.block(cidr);
  if (block !== undefined) {
    if (ownerHost(block) === view.host) return await confirmed(draft, view.host, block);
    if (!view.config.strictAffinity) return block;
    const problem = `Block host affinity does not match: ${address} belongs to ${block.affinity ?? "nobody"}`;
    throw ipamError("IPAM_ADDRESS_OF_OTHER_HOST", problem);
  }
  if (await isVacant(draft, cidr)) return await claim(draft, view.host, cidr, nowMs);
  const problem = `${address} lies in a block of another size than pool ${pool.name} has (${pool.blockSize})`;
  throw ipamError("IPAM_ADDRESS_IN_USE", problem, { remedy: "release the addresses of the old block" });
}

async function findFree(draft: Draft, view: HostView, wish: FindingWish, nowMs: number): Promise<Found> {
  const { block, pool } = await hostBlock(draft, view, usablePools(view, wish), wish, nowMs, (pools) =>
    findBorrowable(draft, view, pools, wish.family),
  );
  const ordinal = nextFree(block, view.reserved);
  invariant(ordinal !== undefined, `block ${block.cidr} was chosen but has no free address`);
  return { block, ordinal, pool };
}

/** A block with a free address: the host's, or the one `otherwise` finds where affinity is not strict. */
async function hostBlock(
  draft: Draft,
  view: HostView,
  pools: readonly Pool[],
  { family, blocksMax = 0 }: Pick<AssignmentWish, "family" | "blocksMax">,
  nowMs: number,
  otherwise: (pools: readonly Pool[]) => Promise<BlockInPool | undefined> = async () => undefined,
): Promise<BlockInPool> {
  const { config } = view;
  const own = await ownBlocks(draft, view, pools, nowMs);
  await returnUnwantedBlocks(draft, view, pools);
  const usable = own.find(({ block }) => nextFree(block, view.reserved) !== undefined);
  if (usable !== undefined) return usable;
  const limit = Math.min(blocksMax || Number.POSITIVE_INFINITY, config.blocksPerHostMax || Number.POSITIVE_INFINITY);
  const blocks = Number.isFinite(limit) ? limit : blocksPerHostDefault;
  if (own.length >= blocks) {
    const problem = `Need to allocate an IPAM block but could not - limit of ${blocks} blocks reached for this node`;
    throw ipamError("IPAM_BLOCK_LIMIT", problem, { remedy: "calicoctl ipam configure --max-blocks-per-host" });
  }
  const where = pools.map(({ cidr }) => cidr).join(", ");
  if (!config.autoAllocateBlocks) {
    const problem = `failed to find or claim a block in pools [${where}]: the IPAM configuration forbids new blocks`;
    throw ipamError("IPAM_POOL_EXHAUSTED", problem, { remedy: "claim a block for the host, or allow new blocks" });
  }
  const found = await findNewBlock(draft, view, pools, family, nowMs);
  if (found !== undefined) return found;
  const other = config.strictAffinity ? undefined : await otherwise(pools);
  if (other !== undefined) return other;
  const why = config.strictAffinity ? ": No more free affine blocks and strict affinity enabled" : "";
  throw ipamError("IPAM_POOL_EXHAUSTED", `no free address in pools [${where}] for host ${view.host}${why}`, {
    remedy: "add a pool, or release addresses nobody uses any more",
  });
}
