/**
 * What a host knows of the address plan without asking: documents as its watch told them last, and as it has read or written
 * them itself since. A change planned on them is committed like any other, compared with all it rests on; if something was
 * older than the store, the comparison fails and the change is planned anew on a fresh read. So being out of date costs a
 * round trip, never an address. What would be refused is read afresh first (change-queue.ts). Setting an address aside writes
 * nothing and compares nothing: that comes when it is assigned.
 * - Pools, reservations, configuration, this host's Node and affinities: all of them, so that absence is known too.
 * - Blocks that name this host: others are asked for.
 * - Handles: those written here, as they were then. Of others absence is guessed: nearly every handle is new when it is first
 *   written.
 */

import { blocksPrefix, handlesPrefix } from "../model/keys.ts";
import type { KeyValue, Operation } from "../store/store.ts";
import { hostViewKeys } from "./host-view-keys.ts";

/** Not known: ask the store. */
export const unknown = Symbol("unknown");

export interface KnownDocumentsOptions {
  readonly host: string;
  /** False: the watch has a gap, or has not told everything yet. */
  readonly isCurrent: () => boolean;
}

export class KnownDocuments {
  readonly #isCurrent: () => boolean;
  readonly #listed: readonly string[];
  readonly #single: ReadonlySet<string>;
  readonly #ownerText: string;
  /** Of `listed` and `single`. */
  readonly #complete = new Map<string, KeyValue>();
  readonly #blocks = new Map<string, KeyValue>();
  readonly #handles = new Map<string, KeyValue>();

  constructor({ host, isCurrent }: KnownDocumentsOptions) {
    this.#isCurrent = isCurrent;
    const { keys, prefixes } = hostViewKeys(host);
    this.#listed = prefixes;
    this.#single = new Set(keys);
    this.#ownerText = JSON.stringify(`host:${host}`);
  }

  get isCurrent(): boolean {
    return this.#isCurrent();
  }

  /** From the watch; it may come after what was written here later. */
  seen(key: string, kv: KeyValue | undefined): void {
    const documents = this.#documentsOf(key);
    if (documents === undefined || documents === this.#handles) return;
    const known = documents.get(key);
    if (kv !== undefined && known !== undefined && known.modRevision > kv.modRevision) return;
    if (kv === undefined || (documents === this.#blocks && !kv.value.includes(this.#ownerText))) documents.delete(key);
    else documents.set(key, kv);
  }

  /** A block that was read before the watch has told of its change. Only one that is known: the watch will tell of its end. */
  read(kv: KeyValue): void {
    if (this.#blocks.has(kv.key)) this.seen(kv.key, kv);
  }

  /** A transaction of this host that has succeeded. */
  written(operations: readonly Operation[], revision: number): void {
    for (const operation of operations) {
      if ("delete" in operation) this.#documentsOf(operation.delete)?.delete(operation.delete);
      if (!("put" in operation)) continue;
      const { put: key, value } = operation;
      this.#documentsOf(key)?.set(key, {
        key,
        value,
        createRevision: revision,
        modRevision: revision,
        version: 1,
        leaseId: "0",
      });
    }
  }

  get(key: string): KeyValue | undefined | typeof unknown {
    const documents = this.#documentsOf(key);
    if (documents === undefined) return unknown;
    return documents.get(key) ?? (documents === this.#blocks ? unknown : undefined);
  }

  list(prefix: string): readonly KeyValue[] | typeof unknown {
    if (!this.#listed.includes(prefix)) return unknown;
    const found = [...this.#complete.values()].filter(({ key }) => key.startsWith(prefix));
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #documentsOf(key: string): Map<string, KeyValue> | undefined {
    if (key.startsWith(handlesPrefix)) return this.#handles;
    if (key.startsWith(blocksPrefix)) return this.#blocks;
    return this.#single.has(key) || this.#listed.some((prefix) => key.startsWith(prefix)) ? this.#complete : undefined;
  }
}
