/**
 * Which hosts the addresses of a block are on: all that an agent reads of the blocks of other hosts, and it reads every one
 * when it starts. The schema and the exact counters of a Block take ten times as long as JSON.parse, so documents of the
 * usual form go a shorter way; whatever is the least unusual is left to decodeBlock, and both ways answer the same, or
 * refuse the same (property test).
 */

import { type Cidr, tryParseCidr } from "../base/addresses.ts";
import { type Block, blockSizeOf, decodeBlock } from "./ipam-documents.ts";

export interface BlockHolders {
  readonly cidr: Cidr;
  /** As of a Block. */
  readonly affinity: string | undefined;
  /** Per address that is in use: the host its allocation names, if it names one. */
  readonly nodes: ReadonlyMap<number, string | undefined>;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws BadInput for a value that is no valid block. */
export function decodeBlockHolders(text: string, path = ""): BlockHolders {
  return usualHolders(text) ?? holdersOf(decodeBlock(text, path));
}

function holdersOf({ cidr, affinity, allocations, attributes }: Block): BlockHolders {
  const nodes = new Map<number, string | undefined>();
  for (const [ordinal, index] of allocations.entries()) {
    if (index !== undefined) nodes.set(ordinal, attributes[index]?.secondary.node);
  }
  return { cidr, affinity, nodes };
}

/** A number that is not written as an integer; inside of a text it costs the short way, nothing else. */
const noInteger = /[:,[]\s*-?\d+[.eE]/;

/** Undefined: ask the schema. */
function usualHolders(text: string): BlockHolders | undefined {
  if (noInteger.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // decodeBlock says what is wrong
  }
  if (!isObject(value) || !hasUsualRest(value) || typeof value.cidr !== "string") return undefined;
  const { affinity, allocations } = value;
  const attributes = value.attributes ?? [];
  const cidr = tryParseCidr(value.cidr);
  if (cidr === undefined || !isStringIfAny(affinity) || !Array.isArray(allocations)) return undefined;
  if (allocations.length !== blockSizeOf(cidr) || allocations.length > 4096) return undefined;
  if (!Array.isArray(attributes) || !attributes.every(isUsualAttribute)) return undefined;
  const nodes = new Map<number, string | undefined>();
  for (let ordinal = 0; ordinal < allocations.length; ordinal++) {
    const index: unknown = allocations[ordinal];
    if (index === null) continue;
    if (!isOrdinal(index) || index >= attributes.length) return undefined;
    const { secondary } = attributes[index] ?? {};
    nodes.set(ordinal, secondary?.node);
  }
  return { cidr, affinity: affinity ?? undefined, nodes };
}

/** What says nothing about holders, but makes the document a valid one. */
function hasUsualRest(value: Fields): boolean {
  const { unallocated, sequenceNumber, sequenceNumberForAllocation: sequences, deleted } = value;
  return (
    isStringIfAny(value.affinity_claim_time) &&
    (unallocated === undefined ||
      (Array.isArray(unallocated) && unallocated.length <= 4096 && unallocated.every(isOrdinal))) &&
    (sequenceNumber === undefined || typeof sequenceNumber === "number") &&
    (sequences === undefined || (isObject(sequences) && Object.values(sequences).every(isNumber))) &&
    (deleted === undefined || typeof deleted === "boolean")
  );
}

interface UsualAttribute {
  readonly secondary?: Readonly<Record<string, string>> | null;
}

function isUsualAttribute(value: unknown): value is UsualAttribute {
  if (!isObject(value) || !(value.handle_id === undefined || typeof value.handle_id === "string")) return false;
  const { secondary } = value;
  if (secondary === undefined || secondary === null) return true;
  if (!isObject(secondary)) return false;
  for (const name in secondary) if (typeof secondary[name] !== "string") return false;
  return true;
}

/** The schema drops a member of this one name, which JSON.parse makes a property like any other. */
function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !Object.hasOwn(value, "__proto__");
}

function isStringIfAny(value: unknown): value is string | null | undefined {
  return value === undefined || value === null || typeof value === "string";
}

function isOrdinal(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isNumber(value: unknown): boolean {
  return typeof value === "number";
}
