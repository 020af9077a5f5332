/**
 * What may be done to a block of addresses: pure, a new block for each change (calico-datastore.md 6.1).
 * - An ordinal is either allocated or queued as free, never both, never neither.
 * - Free addresses are given from the head of the queue and come back to its tail: that is the protection against
 *   quick reuse of an address.
 * - Each write of a block counts its sequence number up once (touch()), whatever was changed in it.
 */

import { addressAt, type Cidr, type IpAddress, indexOf } from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import {
  type Allocation,
  allocationsOf,
  type Block,
  type BlockAttribute,
  blockSizeOf,
} from "../model/ipam-documents.ts";
import { timestamp } from "../model/resource.ts";

export interface Owner {
  readonly handle: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Windows hosts reserve some addresses of a block under this handle; a block with only those counts as empty. */
const reservedHandle = "windows-reserved-ipam-handle";

export function newBlock(cidr: Cidr, host: string, nowMs: number): Block {
  const size = blockSizeOf(cidr);
  return {
    cidr,
    affinity: `host:${host}`,
    claimTime: timestamp(nowMs),
    allocations: new Array<undefined>(size).fill(undefined),
    unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
    attributes: [],
    // Unix nanoseconds: later blocks of the same CIDR never repeat a sequence number of an earlier one.
    sequenceNumber: BigInt(Math.floor(nowMs)) * 1_000_000n,
    sequenceByOrdinal: new Map(),
    rest: {},
  };
}

export function withOwner(block: Block, host: string | undefined, nowMs: number): Block {
  return {
    ...block,
    affinity: host === undefined ? undefined : `host:${host}`,
    claimTime: host === undefined ? undefined : timestamp(nowMs),
  };
}

/** The block as it is written: one step further in its sequence. */
export function touch(block: Block): Block {
  return { ...block, sequenceNumber: block.sequenceNumber + 1n };
}

export function isEmpty(block: Block): boolean {
  return block.allocations.every((index) => index === undefined || block.attributes[index]?.handle === reservedHandle);
}

/** The free address that is next in the queue and not reserved. */
export function nextFree(block: Block, reserved: (address: IpAddress) => boolean): number | undefined {
  return block.unallocated.find((ordinal) => !reserved(addressAt(block.cidr, ordinal)));
}

export function ordinalOf(block: Block, address: IpAddress): number {
  const ordinal = Number(indexOf(block.cidr, address));
  invariant(ordinal >= 0 && ordinal < block.allocations.length, `${address} is not in block ${block.cidr}`);
  return ordinal;
}

export function isAllocated(block: Block, ordinal: number): boolean {
  return block.allocations[ordinal] !== undefined;
}

export function allocationAt(block: Block, ordinal: number): Allocation | undefined {
  return allocationsOf(block).find((allocation) => allocation.ordinal === ordinal);
}

export function allocate(block: Block, ordinal: number, owner: Owner): Block {
  invariant(!isAllocated(block, ordinal), `ordinal ${ordinal} of block ${block.cidr} is taken`);
  const known = block.attributes.findIndex((attribute) => isOwner(attribute, owner));
  const index = known >= 0 ? known : block.attributes.length;
  const fresh: BlockAttribute = { handle: owner.handle, secondary: owner.attributes, rest: {} };
  return {
    ...block,
    allocations: block.allocations.with(ordinal, index),
    unallocated: block.unallocated.filter((free) => free !== ordinal),
    attributes: known >= 0 ? block.attributes : [...block.attributes, fresh],
    sequenceByOrdinal: new Map(block.sequenceByOrdinal).set(ordinal, block.sequenceNumber),
  };
}

export function release(block: Block, ordinals: ReadonlySet<number>): Block {
  const allocations = block.allocations.map((index, ordinal) => (ordinals.has(ordinal) ? undefined : index));
  const freed = [...ordinals].filter((ordinal) => isAllocated(block, ordinal));
  return {
    ...block,
    ...withoutUnusedAttributes(allocations, block.attributes),
    unallocated: [...block.unallocated, ...freed],
    sequenceByOrdinal: new Map([...block.sequenceByOrdinal].filter(([ordinal]) => !ordinals.has(ordinal))),
  };
}

export function ordinalsOfHandle(block: Block, handle: string): ReadonlySet<number> {
  return new Set(
    allocationsOf(block).flatMap((allocation) => (allocation.handle === handle ? [allocation.ordinal] : [])),
  );
}

/** Removes attributes nobody refers to; later indexes move down. */
function withoutUnusedAttributes(
  allocations: Block["allocations"],
  attributes: Block["attributes"],
): Pick<Block, "allocations" | "attributes"> {
  const used = attributes.map((_, index) => allocations.includes(index));
  const moved = used.map((_, index) => used.slice(0, index).filter((isUsed) => isUsed).length);
  return {
    allocations: allocations.map((index) => (index === undefined ? undefined : moved[index])),
    attributes: attributes.filter((_, index) => used[index]),
  };
}

function isOwner(attribute: BlockAttribute, { handle, attributes }: Owner): boolean {
  const { secondary } = attribute;
  const names = Object.keys(attributes);
  return (
    attribute.handle === handle &&
    Object.keys(attribute.rest).length === 0 &&
    names.length === Object.keys(secondary).length &&
    names.every((name) => secondary[name] === attributes[name])
  );
}
