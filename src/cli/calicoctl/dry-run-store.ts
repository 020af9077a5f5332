/** A store that is read and never written: what a dry run would have written is seen by its later reads only. */

import type { Compare, KeyValue, Store, Transaction, TransactionOutcome } from "../../store/store.ts";

/** What writing resources needs of a store. */
export type ResourceStore = Pick<Store, "get" | "list" | "transact">;

/** Revisions no store has reached. */
const firstRevision = 2 ** 52;

export class DryRunStore implements ResourceStore {
  readonly #store: Pick<Store, "get" | "list">;
  readonly #changes = new Map<string, KeyValue | undefined>();
  #revision = firstRevision;

  constructor(store: Pick<Store, "get" | "list">) {
    this.#store = store;
  }

  async get(key: string): Promise<KeyValue | undefined> {
    return this.#changes.has(key) ? this.#changes.get(key) : await this.#store.get(key);
  }

  async list(prefix: string): Promise<{ revision: number; kvs: readonly KeyValue[] }> {
    const { revision, kvs } = await this.#store.list(prefix);
    const changed = [...this.#changes].flatMap(([key, kv]) => (key.startsWith(prefix) && kv !== undefined ? [kv] : []));
    return { revision, kvs: [...kvs.filter(({ key }) => !this.#changes.has(key)), ...changed] };
  }

  async transact({ compare, success }: Transaction): Promise<TransactionOutcome> {
    const holds = await Promise.all(compare.map((one) => this.#holds(one)));
    if (holds.includes(false)) return { succeeded: false, revision: this.#revision, responses: [] };
    this.#revision++;
    for (const operation of success) {
      if ("delete" in operation) this.#changes.set(operation.delete, undefined);
      if ("put" in operation) {
        const { put: key, value } = operation;
        const modRevision = this.#revision;
        this.#changes.set(key, { key, value, createRevision: modRevision, modRevision, version: 1, leaseId: "0" });
      }
    }
    return { succeeded: true, revision: this.#revision, responses: [] };
  }

  async #holds(compare: Compare): Promise<boolean> {
    const kv = await this.get(compare.key);
    if ("modRevision" in compare) return (kv?.modRevision ?? 0) === compare.modRevision;
    return "version" in compare ? (kv?.version ?? 0) === compare.version : kv?.value === compare.value;
  }
}
