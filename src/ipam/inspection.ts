/**
 * Whether the address plan and those who use its addresses agree (calicoctl.md 4.7, check). Pure: one reading of both in,
 * findings out. Nothing here is a judgement that frees anything: that is a release with the sequence number seen.
 */

import { type Cidr, cidrContains, type IpAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import type { Pool } from "../model/ip-pool.ts";
import {
  type Allocation,
  allocationsOf,
  type Block,
  decodeBlock,
  type HandleCounts,
  ownerHost,
} from "../model/ipam-documents.ts";
import { parseJson } from "../model/json.ts";
import { affinityKey } from "../model/keys.ts";

export interface PlanSnapshot {
  readonly pools: readonly Pool[];
  /** By key. */
  readonly blocks: ReadonlyMap<string, string>;
  readonly handles: ReadonlyMap<string, { readonly revision: number; readonly counts: HandleCounts }>;
  readonly affinityKeys: ReadonlySet<string>;
  /** Who uses an address, by whatever says so. */
  readonly users: ReadonlyMap<IpAddress, string>;
  /** Handles of what uses an address without an endpoint. */
  readonly isUsedByHandle: (handle: string) => boolean;
  readonly nowMs: number;
  /** An address assigned this short ago may be about to be used. */
  readonly graceMs: number;
}

export interface InspectedAddress extends Allocation {
  readonly block: Cidr;
  readonly blockOwner: string | undefined;
  readonly user: string | undefined;
  readonly inUse: boolean;
  /** Of a block of another host than the one that uses it. */
  readonly borrowed: boolean;
  readonly young: boolean;
}

export interface PlanFindings {
  readonly blocks: readonly Block[];
  readonly addresses: readonly InspectedAddress[];
  /** Allocated, old enough, and used by nobody. */
  readonly leaked: readonly InspectedAddress[];
  readonly usedOutsidePools: readonly IpAddress[];
  readonly usedUnallocated: readonly IpAddress[];
  /** Handles that hold no address. */
  readonly emptyHandles: readonly { readonly handle: string; readonly revision: number }[];
  /** Handles that blocks name and nobody has stored. */
  readonly missingHandles: readonly string[];
  readonly broken: readonly { readonly key: string; readonly problem: string }[];
}

export function inspectPlan(snapshot: PlanSnapshot): PlanFindings {
  const { pools, users, handles } = snapshot;
  const broken: { key: string; problem: string }[] = [];
  const blocks: Block[] = [];
  for (const [key, text] of snapshot.blocks) {
    broken.push(...blockProblems(key, text, snapshot.affinityKeys).map((problem) => ({ key, problem })));
    const block = readable(text);
    if (block !== undefined) blocks.push(block);
  }
  const addresses = blocks.flatMap((block) => allocationsOf(block).map((held) => inspected(held, block, snapshot)));
  const allocated = new Set(addresses.map(({ address }) => address));
  const missing = [...users.keys()].filter((address) => !allocated.has(address));
  const inPool = (address: IpAddress) => pools.some(({ cidr }) => cidrContains(cidr, address));
  const named = new Set(addresses.flatMap(({ handle }) => handle ?? []));
  return {
    blocks,
    addresses,
    leaked: addresses.filter(({ inUse, young }) => !inUse && !young),
    usedOutsidePools: missing.filter((address) => !inPool(address)),
    usedUnallocated: missing.filter(inPool),
    emptyHandles: [...handles].flatMap(([handle, { revision }]) => (named.has(handle) ? [] : [{ handle, revision }])),
    missingHandles: [...named].filter((handle) => handle !== "" && !handles.has(handle)),
    broken,
  };
}

function inspected(held: Allocation, block: Block, snapshot: PlanSnapshot): InspectedAddress {
  const { users, isUsedByHandle, nowMs, graceMs } = snapshot;
  const { address, handle, attributes } = held;
  const blockOwner = ownerHost(block);
  const sinceMs = Date.parse(attributes.timestamp?.replace(/ \+0000 UTC.*$/, "Z") ?? "");
  const user = users.get(address);
  return {
    ...held,
    block: block.cidr,
    blockOwner,
    user,
    inUse: user !== undefined || (handle !== undefined && isUsedByHandle(handle)),
    borrowed: attributes.node !== undefined && blockOwner !== undefined && attributes.node !== blockOwner,
    young: nowMs - sinceMs < graceMs,
  };
}

function readable(text: string): Block | undefined {
  try {
    return decodeBlock(text);
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}

interface RawBlock {
  readonly allocations?: readonly (number | null)[];
  readonly unallocated?: readonly number[] | null;
  readonly deleted?: boolean;
}

/** What reading a block forgives without a word. */
function blockProblems(key: string, text: string, affinityKeys: ReadonlySet<string>): readonly string[] {
  let block: Block;
  try {
    block = decodeBlock(text, "");
  } catch (error) {
    if (error instanceof BadInput) return [error.message];
    throw error;
  }
  const { allocations = [], unallocated, deleted } = parseJson(text, key) as RawBlock;
  const free = unallocated ?? [];
  const problems: string[] = [];
  const owner = ownerHost(block);
  const freeAndHeld = free.filter((ordinal) => (allocations[ordinal] ?? null) !== null);
  const neither = allocations.flatMap((index, ordinal) => (index === null && !free.includes(ordinal) ? [ordinal] : []));
  if (freeAndHeld.length > 0) problems.push(`allocated and free at once: ordinals ${freeAndHeld.join(", ")}`);
  if (neither.length > 0) problems.push(`neither allocated nor free: ordinals ${neither.join(", ")}`);
  if (new Set(free).size !== free.length) problems.push("an ordinal is free twice");
  if (deleted === true) problems.push("is marked as deleted");
  if (owner !== undefined && !affinityKeys.has(affinityKey(owner, block.cidr))) {
    problems.push(`belongs to ${owner}, which has no affinity to it`);
  }
  return problems;
}
