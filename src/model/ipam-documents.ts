/**
 * The documents of IPAM v2: block, affinity, handle, configuration (calico-datastore.md 6.1, 6.2), read tolerantly and
 * written as upstream writes them. What a change to a block means is decided in ipam/, not here.
 * - Sequence numbers are bigints: they start at nanoseconds and a number would corrupt them.
 * - `unallocated` is a queue: its order is kept as read.
 * - Where `allocations` and `unallocated` contradict each other, `allocations` is right.
 */

import { z } from "zod";
import { addressAt, type Cidr, type IpAddress, prefixLength, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { stringifyJson } from "./json.ts";
import { absentOr, decode } from "./resource.ts";

export interface BlockAttribute {
  readonly handle: string | undefined;
  readonly secondary: Readonly<Record<string, string>>;
  /** Members nobody here knows, kept as read. */
  readonly rest: Readonly<Record<string, unknown>>;
}

export interface Block {
  readonly cidr: Cidr;
  /** "host:<name>", "virtual:<name>", or undefined for a block nobody owns. */
  readonly affinity: string | undefined;
  readonly claimTime: string | undefined;
  /** One entry per address: undefined = free, else an index into `attributes`. */
  readonly allocations: readonly (number | undefined)[];
  readonly unallocated: readonly number[];
  readonly attributes: readonly BlockAttribute[];
  readonly sequenceNumber: bigint;
  /** Block sequence number before the write that assigned the ordinal. */
  readonly sequenceByOrdinal: ReadonlyMap<number, bigint>;
  readonly rest: Readonly<Record<string, unknown>>;
}

const integer = z.union([z.int(), z.bigint()]).transform((value) => BigInt(value));
const Attribute = z.looseObject({
  handle_id: absentOr(z.string()),
  secondary: absentOr(z.record(z.string(), z.string())),
});

const BlockDocument = z.looseObject({
  cidr: z.string(),
  affinity: z.string().nullish(),
  affinity_claim_time: z.string().nullish(),
  allocations: z.array(z.int().min(0).nullable()).max(4096),
  unallocated: z.array(z.int().min(0)).max(4096).nullish(),
  attributes: z.array(Attribute).nullish(),
  sequenceNumber: integer.nullish(),
  sequenceNumberForAllocation: z.record(z.string(), integer).nullish(),
  deleted: z.boolean().nullish(),
});

/** @throws BadInput for a value that is no valid block. */
export function decodeBlock(text: string, path = ""): Block {
  const document = decode(BlockDocument, text, path);
  const { cidr: cidrText, affinity, affinity_claim_time, allocations, unallocated, attributes } = document;
  const { sequenceNumber, sequenceNumberForAllocation, deleted: _deleted, ...others } = document;
  const {
    cidr: _c,
    affinity: _a,
    affinity_claim_time: _t,
    allocations: _l,
    unallocated: _u,
    attributes: _r,
    ...rest
  } = others;
  const cidr = tryParseCidr(cidrText);
  if (cidr === undefined) throw new BadInput(`${path}.cidr`, `"${cidrText}" is not a CIDR`, "the block's CIDR");
  const size = blockSizeOf(cidr);
  if (size !== allocations.length) {
    throw new BadInput(`${path}.allocations`, `${allocations.length} entries in block ${cidr}`, `${size} entries`);
  }
  const known = (attributes ?? []).map(({ handle_id, secondary, ...attributeRest }) => ({
    // Upstream cuts a handle at the first carriage return before comparing.
    handle: handle_id?.split("\r")[0],
    secondary: secondary ?? {},
    rest: attributeRest,
  }));
  for (const index of allocations) {
    if (index !== null && index >= known.length) {
      throw new BadInput(`${path}.allocations`, `attribute ${index} does not exist`, `0 to ${known.length - 1}`);
    }
  }
  return {
    cidr,
    affinity: affinity ?? undefined,
    claimTime: affinity_claim_time ?? undefined,
    allocations: allocations.map((index) => index ?? undefined),
    unallocated: freeQueue(allocations, unallocated ?? []),
    attributes: known,
    sequenceNumber: sequenceNumber ?? 0n,
    sequenceByOrdinal: new Map(
      Object.entries(sequenceNumberForAllocation ?? {}).map(([ordinal, sequence]) => [Number(ordinal), sequence]),
    ),
    rest,
  };
}

export function encodeBlock(block: Block): string {
  return stringifyJson({
    cidr: block.cidr,
    affinity: block.affinity ?? null,
    ...(block.claimTime === undefined ? {} : { affinity_claim_time: block.claimTime }),
    allocations: block.allocations.map((index) => index ?? null),
    unallocated: block.unallocated,
    attributes: block.attributes.map(({ handle, secondary, rest }) => ({
      ...(handle === undefined ? {} : { handle_id: handle }),
      ...(Object.keys(secondary).length === 0 ? {} : { secondary }),
      ...rest,
    })),
    sequenceNumber: block.sequenceNumber,
    sequenceNumberForAllocation: Object.fromEntries(block.sequenceByOrdinal),
    deleted: false,
    ...block.rest,
  });
}

/** Number of addresses in a block of that CIDR (Calico's are at most 4096). */
export function blockSizeOf(cidr: Cidr): number {
  return 2 ** Math.min(32, (cidr.includes(":") ? 128 : 32) - prefixLength(cidr));
}

export interface Allocation {
  readonly address: IpAddress;
  readonly ordinal: number;
  readonly handle: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  /** What a release presents to be sure that it frees this allocation and no later one. */
  readonly sequence: bigint | undefined;
}

export function allocationsOf(block: Block): readonly Allocation[] {
  return block.allocations.flatMap((index, ordinal) => {
    if (index === undefined) return [];
    const attribute = block.attributes[index];
    const sequence = block.sequenceByOrdinal.get(ordinal);
    const address = addressAt(block.cidr, ordinal);
    return [{ address, ordinal, handle: attribute?.handle, attributes: attribute?.secondary ?? {}, sequence }];
  });
}

/** The host that owns the block. */
export function ownerHost(block: Pick<Block, "affinity">): string | undefined {
  return block.affinity?.startsWith("host:") ? block.affinity.slice("host:".length) : undefined;
}

function freeQueue(allocations: readonly (number | null)[], stored: readonly number[]): readonly number[] {
  const queue: number[] = [];
  const queued = new Set<number>();
  const enqueue = (ordinal: number) => {
    if (allocations[ordinal] !== null || queued.has(ordinal)) return;
    queued.add(ordinal);
    queue.push(ordinal);
  };
  for (const ordinal of stored) enqueue(ordinal);
  for (const ordinal of allocations.keys()) enqueue(ordinal);
  return queue;
}

export type AffinityState = "pending" | "confirmed" | "pendingDeletion";

const AffinityDocument = z.looseObject({ state: absentOr(z.string()) });

/** An empty value and an empty state (very old writers) count as confirmed. @throws BadInput */
export function decodeAffinity(text: string, path = ""): AffinityState {
  if (text === "") return "confirmed";
  const { state } = decode(AffinityDocument, text, path);
  if (state === undefined || state === "" || state === "confirmed") return "confirmed";
  return state === "pendingDeletion" ? "pendingDeletion" : "pending";
}

export function encodeAffinity(state: AffinityState): string {
  return stringifyJson({ state, deleted: false });
}

/** How many addresses of each block a handle holds; may overcount after crashes of upstream clients. */
export type HandleCounts = ReadonlyMap<Cidr, number>;

const HandleDocument = z.looseObject({ block: absentOr(z.record(z.string(), z.number())) });

/** @throws BadInput */
export function decodeHandle(text: string, path = ""): HandleCounts {
  const counts = new Map<Cidr, number>();
  for (const [text_, count] of Object.entries(decode(HandleDocument, text, path).block ?? {})) {
    const cidr = tryParseCidr(text_);
    if (cidr !== undefined) counts.set(cidr, count);
  }
  return counts;
}

export function encodeHandle(counts: HandleCounts): string {
  return stringifyJson({ block: Object.fromEntries(counts), deleted: false });
}

export interface IpamConfig {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  /** 0: no limit was set. */
  readonly blocksPerHostMax: number;
}

const ConfigDocument = z.looseObject({
  strict_affinity: absentOr(z.boolean()),
  auto_allocate_blocks: absentOr(z.boolean()),
  maxBlocksPerHost: absentOr(z.int().min(0)),
});

/** An existing object that lacks auto_allocate_blocks means false; only the absent object means true. @throws BadInput */
export function decodeIpamConfig(text: string, path = ""): IpamConfig {
  const document = decode(ConfigDocument, text, path);
  return {
    strictAffinity: document.strict_affinity ?? false,
    autoAllocateBlocks: document.auto_allocate_blocks ?? false,
    blocksPerHostMax: document.maxBlocksPerHost ?? 0,
  };
}

/** What the first use of IPAM writes (3.32). */
export const defaultIpamConfig: IpamConfig = { strictAffinity: false, autoAllocateBlocks: true, blocksPerHostMax: 0 };
export const defaultIpamConfigText = stringifyJson({
  auto_allocate_blocks: true,
  kubeVirtVMAddressPersistence: "Enabled",
});
