/**
 * A change to the address plan in the making: what was read, what shall be written, and the ONE transaction that makes
 * it so if nothing it rests on has changed meanwhile.
 * - Every key written is compared with the revision it was read at; so is every key a decision rests on (rely()).
 * - Several requests share a draft; one that fails is taken out again (attempt()) without harm to the others.
 */

import { type Cidr, ipFamily } from "../base/addresses.ts";
import { OperationError } from "../base/errors.ts";
import {
  type AffinityState,
  type Block,
  decodeAffinity,
  decodeBlock,
  decodeHandle,
  encodeAffinity,
  encodeBlock,
  encodeHandle,
  type HandleCounts,
} from "../model/ipam-documents.ts";
import {
  affinitiesPrefix,
  affinityKey,
  blockKey,
  blocksOfFamilyPrefix,
  handleKey,
  parseAffinityKey,
  parseBlockKey,
} from "../model/keys.ts";
import type { Compare, KeyValue, Operation, Store, Transaction } from "../store/store.ts";
import { touch } from "./block-allocation.ts";
import { ipamError } from "./ipam-error.ts";
import { type KnownDocuments, unknown } from "./known-documents.ts";

/** Values to be written; undefined deletes. */
interface Changes {
  readonly blocks: Map<Cidr, Block | undefined>;
  readonly handles: Map<string, HandleCounts>;
  readonly affinities: Map<string, AffinityState | undefined>;
  readonly plain: Map<string, string>;
  readonly relied: Set<string>;
  readonly callerCompares: Compare[];
  readonly callerOperations: Operation[];
}

/** etcd refuses more than 128 operations or comparisons in one transaction; gets of a read count too. */
const readsPerTransactionMax = 100;

export class Draft {
  readonly #store: Store;
  readonly #known: KnownDocuments | undefined;
  readonly #read = new Map<string, KeyValue | undefined>();
  readonly #listed = new Map<string, readonly KeyValue[]>();
  readonly #decodedBlocks = new Map<string, Block>();
  #changes: Changes = emptyChanges();

  /** @param known what need not be read. */
  constructor(store: Store, known?: KnownDocuments) {
    this.#store = store;
    this.#known = known;
  }

  /** Reads keys and prefixes in as few round trips as can be; what was read before is not read again. */
  async fetch(keys: Iterable<string>, prefixes: Iterable<string> = []): Promise<void> {
    const wantedKeys = [...new Set(keys)].filter((key) => !this.#isKnown(key) && !this.#take(key));
    const wantedPrefixes = [...new Set(prefixes)].filter(
      (prefix) => !this.#listed.has(prefix) && !this.#takeAll(prefix),
    );
    const reads: Operation[] = [...wantedPrefixes.map((list) => ({ list })), ...wantedKeys.map((get) => ({ get }))];
    for (let from = 0; from < reads.length; from += readsPerTransactionMax) {
      const part = reads.slice(from, from + readsPerTransactionMax);
      const { responses } = await this.#store.transact({ compare: [], success: part });
      for (const [at, read] of part.entries()) {
        const kvs = responses[at]?.kvs ?? [];
        if ("get" in read && !this.#read.has(read.get)) this.#read.set(read.get, kvs[0]);
        if (!("list" in read)) continue;
        this.#noteList(read.list, kvs);
      }
    }
  }

  #noteList(prefix: string, kvs: readonly KeyValue[]): void {
    this.#listed.set(prefix, kvs);
    for (const kv of kvs) if (!this.#read.has(kv.key)) this.#read.set(kv.key, kv);
  }

  #take(key: string): boolean {
    const kv = this.#known?.get(key) ?? (this.#known === undefined ? unknown : undefined);
    if (kv === unknown) return false;
    this.#read.set(key, kv);
    return true;
  }

  #takeAll(prefix: string): boolean {
    const kvs = this.#known?.list(prefix) ?? unknown;
    if (kvs === unknown) return false;
    this.#noteList(prefix, kvs);
    return true;
  }

  /** A key below a prefix that was listed without it was absent then: reading it now would mix two states. */
  #isKnown(key: string): boolean {
    return this.#read.has(key) || [...this.#listed.keys()].some((prefix) => key.startsWith(prefix));
  }

  async value(key: string): Promise<string | undefined> {
    await this.fetch([key]);
    return this.#read.get(key)?.value;
  }

  async list(prefix: string): Promise<readonly KeyValue[]> {
    await this.fetch([], [prefix]);
    return this.#listed.get(prefix) ?? [];
  }

  /** The block as it will be; undefined if there is none. @throws IPAM_CORRUPT */
  async block(cidr: Cidr): Promise<Block | undefined> {
    if (this.#changes.blocks.has(cidr)) return this.#changes.blocks.get(cidr);
    const text = await this.value(blockKey(cidr));
    return text === undefined ? undefined : this.#decodeBlock(blockKey(cidr), text);
  }

  /**
   * Where blocks of the family will stand, readable or not. One that was there when its key was read alone counts, though the
   * list, read later, has lost it: this draft would write it as it was.
   */
  async blockCidrs(family: 4 | 6): Promise<ReadonlySet<Cidr>> {
    const listed = await this.list(blocksOfFamilyPrefix(family));
    const alone = [...this.#read.values()].filter((kv) => kv?.key.startsWith(blocksOfFamilyPrefix(family)));
    const cidrs = new Set([...listed, ...alone].flatMap((kv) => (kv && parseBlockKey(kv.key)) ?? []));
    for (const [cidr, block] of this.#changes.blocks) {
      if (ipFamily(cidr) !== family) continue;
      if (block === undefined) cidrs.delete(cidr);
      else cidrs.add(cidr);
    }
    return cidrs;
  }

  /** Blocks of the family whose stored text names the host: few to read where all would be many. */
  async cidrsNaming(host: string, family: 4 | 6): Promise<readonly Cidr[]> {
    const affinity = JSON.stringify(`host:${host}`);
    const kvs = await this.list(blocksOfFamilyPrefix(family));
    return kvs.flatMap(({ key, value }) => (value.includes(affinity) ? (parseBlockKey(key) ?? []) : []));
  }

  /** As block(), but what cannot be read is an answer: nobody may use the range, nothing else depends on it. */
  async readableBlock(cidr: Cidr): Promise<Block | undefined | "unreadable"> {
    try {
      return await this.block(cidr);
    } catch (error) {
      if (error instanceof OperationError && error.code === "IPAM_CORRUPT") return "unreadable";
      throw error;
    }
  }

  /** Everything read so far that was there. */
  get documents(): readonly KeyValue[] {
    return [...this.#read.values()].filter((kv) => kv !== undefined);
  }

  /** Revision the key was read at; 0 if it was absent. */
  async revision(key: string): Promise<number> {
    await this.fetch([key]);
    return this.#read.get(key)?.modRevision ?? 0;
  }

  /** Every block of the family as it will be; "unreadable" where something else stands. */
  async blocks(family: 4 | 6): Promise<ReadonlyMap<Cidr, Block | "unreadable">> {
    const blocks = new Map<Cidr, Block | "unreadable">();
    for (const { key } of await this.list(blocksOfFamilyPrefix(family))) {
      const cidr = parseBlockKey(key);
      const text = this.#read.get(key)?.value;
      if (cidr === undefined || text === undefined) continue;
      try {
        blocks.set(cidr, this.#decodeBlock(key, text));
      } catch {
        blocks.set(cidr, "unreadable"); // corrupt: nobody may use the range, nothing else depends on it
      }
    }
    for (const [cidr, block] of this.#changes.blocks) {
      if (ipFamily(cidr) !== family) continue;
      if (block === undefined) blocks.delete(cidr);
      else blocks.set(cidr, block);
    }
    return blocks;
  }

  setBlock(cidr: Cidr, block: Block | undefined): void {
    this.#changes.blocks.set(cidr, block);
  }

  async handle(handle: string): Promise<HandleCounts> {
    const changed = this.#changes.handles.get(handle);
    if (changed !== undefined) return changed;
    const text = await this.value(handleKey(handle));
    if (text === undefined) return new Map();
    return corruptAware(handleKey(handle), () => decodeHandle(text));
  }

  setHandle(handle: string, counts: HandleCounts): void {
    this.#changes.handles.set(handle, counts);
  }

  async affinity(host: string, cidr: Cidr): Promise<AffinityState | undefined> {
    const key = affinityKey(host, cidr);
    if (this.#changes.affinities.has(key)) return this.#changes.affinities.get(key);
    const text = await this.value(key);
    return text === undefined ? undefined : corruptAware(key, () => decodeAffinity(text));
  }

  /** CIDRs of the host's affinity keys as they will be, in key order. */
  async affineCidrs(host: string): Promise<readonly Cidr[]> {
    const keys = new Set((await this.list(affinitiesPrefix(host))).map(({ key }) => key));
    for (const [key, state] of this.#changes.affinities) {
      if (state === undefined) keys.delete(key);
      else if (key.startsWith(affinitiesPrefix(host))) keys.add(key);
    }
    return [...keys].sort().flatMap((key) => parseAffinityKey(key)?.cidr ?? []);
  }

  /** The key is an index of what the block says: it changes only while the block is as it was read. */
  setAffinity(host: string, cidr: Cidr, state: AffinityState | undefined): void {
    this.rely(blockKey(cidr));
    this.#changes.affinities.set(affinityKey(host, cidr), state);
  }

  setPlain(key: string, value: string): void {
    this.#changes.plain.set(key, value);
  }

  /** The decision rests on this key being as it was read. */
  rely(key: string): void {
    this.#changes.relied.add(key);
  }

  attach(operations: readonly Operation[], compares: readonly Compare[]): void {
    this.#changes.callerOperations.push(...operations);
    this.#changes.callerCompares.push(...compares);
  }

  /** Runs one request's planning; if it throws, the draft is as before. */
  async attempt<Result>(plan: () => Promise<Result>): Promise<Result> {
    const before = copyOf(this.#changes);
    try {
      return await plan();
    } catch (error) {
      this.#changes = before;
      throw error;
    }
  }

  get operationCount(): number {
    const { blocks, handles, affinities, plain, relied, callerOperations, callerCompares } = this.#changes;
    const own = blocks.size + handles.size + affinities.size + plain.size;
    return Math.max(own + callerOperations.length, own + relied.size + callerCompares.length);
  }

  get blocksTouched(): readonly string[] {
    return [...this.#changes.blocks.keys()].map(blockKey);
  }

  transaction(): Transaction {
    const { blocks, handles, affinities, plain, relied, callerCompares, callerOperations } = this.#changes;
    const writes = new Map<string, string | undefined>(plain);
    for (const [cidr, block] of blocks) writes.set(blockKey(cidr), block && encodeBlock(touch(block)));
    for (const [handle, counts] of handles) {
      writes.set(handleKey(handle), counts.size === 0 ? undefined : encodeHandle(counts));
    }
    for (const [key, state] of affinities) writes.set(key, state && encodeAffinity(state));
    const success: Operation[] = [];
    for (const [key, value] of writes) {
      if (value !== undefined) success.push({ put: key, value });
      else if (this.#read.get(key) !== undefined) success.push({ delete: key });
    }
    const compare = [...new Set([...writes.keys(), ...relied])].map((key) => ({
      key,
      modRevision: this.#read.get(key)?.modRevision ?? 0,
    }));
    const compared = [...new Set([...compare, ...callerCompares].map(({ key }) => key))];
    return {
      compare: [...compare, ...callerCompares],
      success: [...success, ...callerOperations],
      failure: compared.map((key) => ({ get: key })),
    };
  }

  #decodeBlock(key: string, text: string): Block {
    const known = this.#decodedBlocks.get(key);
    if (known !== undefined) return known;
    const block = corruptAware(key, () => decodeBlock(text));
    this.#decodedBlocks.set(key, block);
    return block;
  }
}

function corruptAware<Result>(key: string, decode: () => Result): Result {
  try {
    return decode();
  } catch (cause) {
    if (cause instanceof OperationError) throw cause;
    throw ipamError("IPAM_CORRUPT", `what is stored at ${key} cannot be read`, { cause });
  }
}

function emptyChanges(): Changes {
  return {
    blocks: new Map(),
    handles: new Map(),
    affinities: new Map(),
    plain: new Map(),
    relied: new Set(),
    callerCompares: [],
    callerOperations: [],
  };
}

function copyOf(changes: Changes): Changes {
  return {
    blocks: new Map(changes.blocks),
    handles: new Map(changes.handles),
    affinities: new Map(changes.affinities),
    plain: new Map(changes.plain),
    relied: new Set(changes.relied),
    callerCompares: [...changes.callerCompares],
    callerOperations: [...changes.callerOperations],
  };
}
