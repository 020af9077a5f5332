/**
 * The embedded store behind the Store interface, in this process: what tests use, and the twin of etcd-client.ts.
 *
 * Durability: with a file, a call returns when its write is synced to the disk, so it survives kill -9 and a power cut
 * (engine/durability.ts); concurrent writes share one sync. ":memory:" ends with the process.
 * One process owns the file; opening it twice is refused with STORE_IN_USE.
 */
import type { Clock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { Engine } from "./engine/engine.ts";
import type { CompareOp, EngineEvent, EngineOp, EngineResult, KeyRange, Row, TxnOp } from "./engine/requests.ts";
import { keyRange, prefixRange } from "./engine/requests.ts";
import type { RetentionLimits } from "./engine/retention.ts";
import type {
  Compare,
  KeyValue,
  ListPage,
  ListPagesOptions,
  Operation,
  OperationOutcome,
  Store,
  Transaction,
  TransactionOutcome,
  WatchBatch,
  WatchEvent,
} from "./store.ts";

export interface SqliteStoreOptions {
  /** ":memory:" or a file, made if missing. */
  readonly path: string;
  readonly clock: Clock;
  readonly retention?: Partial<RetentionLimits>;
}

/** The embedded store has more to it than a Store: what `compact` does is etcd's business on a real cluster. */
export interface SqliteStore extends Store {
  /** Forgets the history before `revision`: watches and reads from before it get STORE_COMPACTED. */
  compact(revision: number): Promise<void>;
}

export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  return new EngineStore(Engine.open(options));
}

class EngineStore implements SqliteStore {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async get(
    key: string,
    options: { readonly revision?: number; readonly signal?: AbortSignal } = {},
  ): Promise<KeyValue | undefined> {
    options.signal?.throwIfAborted();
    const result = await this.#engine.range({ kind: "range", ...single(key), revision: options.revision ?? 0 });
    return result.rows[0] === undefined ? undefined : keyValueOf(result.rows[0]);
  }

  async list(
    prefix: string,
    options: { readonly revision?: number; readonly limit?: number; readonly signal?: AbortSignal } = {},
  ): Promise<ListPage> {
    options.signal?.throwIfAborted();
    const asked = options.revision ?? 0;
    const op = { kind: "range", ...below(prefix), revision: asked, limit: options.limit ?? 0 } as const;
    const result = await this.#engine.range(op);
    return { revision: asked > 0 ? asked : result.revision, kvs: result.rows.map(keyValueOf) };
  }

  /** One part: it is all in this process. */
  async *listPages(prefix: string, { except, ...options }: ListPagesOptions = {}): AsyncGenerator<ListPage> {
    const { revision, kvs } = await this.list(prefix, options);
    yield { revision, kvs: except === undefined ? kvs : kvs.filter(({ key }) => !key.startsWith(except)) };
  }

  async put(
    key: string,
    value: string,
    options: { readonly lease?: string; readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    options.signal?.throwIfAborted();
    const lease = options.lease ?? "0";
    const { revision } = await this.#engine.put({ kind: "put", key: bytes(key), value: bytes(value), lease });
    return revision;
  }

  async delete(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    const { previous } = await this.#engine.delete({ kind: "delete", ...single(key) });
    return previous.length > 0;
  }

  async transact(
    transaction: Transaction,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<TransactionOutcome> {
    options.signal?.throwIfAborted();
    const result = await this.#engine.transact(transactionOp(transaction));
    return {
      succeeded: result.succeeded,
      revision: result.revision,
      responses: result.responses.map(outcomeOf),
    };
  }

  async *watch(
    prefix: string,
    options: { readonly fromRevision: number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchBatch> {
    if (options.signal.aborted) return;
    using watcher = this.#engine.watch(below(prefix), options.fromRevision);
    const onAbort = () => watcher.close();
    options.signal.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        const batch = await watcher.next();
        yield { revision: batch.revision, events: batch.events.map(watchEventOf) };
      }
    } catch (error) {
      if (!options.signal.aborted) throw error;
    } finally {
      options.signal.removeEventListener("abort", onAbort);
    }
  }

  async grantLease(ttlSeconds: number): Promise<string> {
    return (await this.#engine.grantLease(ttlSeconds)).id;
  }

  async keepAlive(lease: string, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    return this.#engine.renewLease(lease);
  }

  async revokeLease(lease: string): Promise<void> {
    try {
      await this.#engine.revokeLease(lease);
    } catch (error) {
      if (!(error instanceof OperationError && error.code === "STORE_LEASE_NOT_FOUND")) throw error;
    }
  }

  async compact(revision: number): Promise<void> {
    await this.#engine.compact(revision, true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}

function transactionOp(transaction: Transaction): TxnOp {
  return {
    kind: "txn",
    compare: transaction.compare.map(compareOp),
    success: transaction.success.map(engineOp),
    failure: (transaction.failure ?? []).map(engineOp),
  };
}

function compareOp(compare: Compare): CompareOp {
  const base = { ...single(compare.key), relation: "equal" } as const;
  if ("modRevision" in compare) return { ...base, target: "mod", number: compare.modRevision };
  if ("version" in compare) return { ...base, target: "version", number: compare.version };
  return { ...base, target: "value", value: bytes(compare.value) };
}

function engineOp(operation: Operation): EngineOp {
  if ("put" in operation) {
    const lease = operation.lease ?? "0";
    return { kind: "put", key: bytes(operation.put), value: bytes(operation.value), lease };
  }
  if ("delete" in operation) return { kind: "delete", ...single(operation.delete) };
  if ("deletePrefix" in operation) return { kind: "delete", ...below(operation.deletePrefix) };
  if ("get" in operation) return { kind: "range", ...single(operation.get) };
  return { kind: "range", ...below(operation.list) };
}

function outcomeOf(result: EngineResult): OperationOutcome {
  if (result.kind === "range") return { kvs: result.rows.map(keyValueOf), deleted: 0 };
  return { kvs: [], deleted: result.kind === "delete" ? result.previous.length : 0 };
}

function watchEventOf(event: EngineEvent): WatchEvent {
  return { type: event.type, kv: keyValueOf(event.row) };
}

function keyValueOf(row: Row): KeyValue {
  return {
    key: text(row.key),
    value: text(row.value),
    createRevision: row.createRevision,
    modRevision: row.modRevision,
    version: row.version,
    leaseId: row.lease,
  };
}

function single(key: string): KeyRange {
  return keyRange(bytes(key));
}

function below(prefix: string): KeyRange {
  return prefixRange(bytes(prefix));
}

function bytes(value: string): Uint8Array {
  return Buffer.from(value, "utf8");
}

function text(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
}
