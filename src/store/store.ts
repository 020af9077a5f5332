/**
 * The one interface to the place where everything is kept: a revisioned key-value store in etcd v3's sense.
 *
 * - One revision counter for the whole store; a transaction is one revision, however many keys it changes.
 * - A watch from revision R sees every change with revision >= R, in order, a transaction's changes together,
 *   or fails with STORE_COMPACTED: never a silent gap.
 * - Whoever acknowledges a write has it durably (see sqlite-store.ts for what the embedded store promises).
 * Two implementations behind the same contract suite (testing/store-contract.ts): sqlite-store.ts, etcd-client.ts.
 *
 * Errors are `OperationError` (base/errors.ts) with one of the codes in `StoreErrorCode`.
 * Absent on purpose: locks and elections (a compare on a leased key is enough), values that are not UTF-8 text,
 * partial results (a call answers completely or fails).
 */

/** One key as it was at one revision. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Revision of the transaction that created the key (since it last did not exist). */
  readonly createRevision: number;
  /** Revision of the transaction that last wrote the key: what a compare-and-swap presents. */
  readonly modRevision: number;
  /** Number of writes since the key was created; 1 after creation, 0 in the event of a deletion. */
  readonly version: number;
  /** Decimal id of the lease the key hangs on; "0" for none. */
  readonly leaseId: string;
}

/** A condition of a transaction; all of them must hold. `modRevision: 0` and `version: 0` mean "the key is absent". */
export type Compare =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly version: number }
  | { readonly key: string; readonly value: string };

/** One step of a transaction. A key may be put at most once within one branch. */
export type Operation =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly delete: string }
  | { readonly deletePrefix: string }
  | { readonly get: string }
  | { readonly list: string };

/** If all of `compare` hold, `success` is done, otherwise `failure`; atomically. */
export interface Transaction {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure?: readonly Operation[];
}

/** Answer to one operation: what a get or list found; how many keys a delete removed. */
export interface OperationOutcome {
  readonly kvs: readonly KeyValue[];
  readonly deleted: number;
}

export interface TransactionOutcome {
  /** Whether all comparisons held, so that `success` was done. */
  readonly succeeded: boolean;
  /** The store's revision after the transaction; the mod revision of every key it put. */
  readonly revision: number;
  /** One per operation of the branch done, in its order. */
  readonly responses: readonly OperationOutcome[];
}

export interface ListPagesOptions {
  readonly except?: string;
  readonly signal?: AbortSignal;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** The key after the change; of a deletion the key and the deleting revision with an empty value and version 0. */
  readonly kv: KeyValue;
}

/** Changes delivered together. `revision`: everything up to and including it has now been delivered. */
export interface WatchBatch {
  readonly revision: number;
  /** Never cuts a transaction in two; empty for a bare progress report. */
  readonly events: readonly WatchEvent[];
}

export interface ListPage {
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
}

/** Codes of the OperationErrors a store throws. */
export type StoreErrorCode =
  /** The store could not be asked or did not answer in time; a write may or may not have happened. retry: "backoff". */
  | "STORE_UNAVAILABLE"
  /** The revision asked for (watch or read) has been compacted: list again and go on from there. retry: "now". */
  | "STORE_COMPACTED"
  /** A revision that has not happened yet was asked for. */
  | "STORE_FUTURE_REVISION"
  /** The lease does not exist (any more). */
  | "STORE_LEASE_NOT_FOUND"
  /** Too large, too many operations, the same key put twice, or otherwise not acceptable. retry: "never". */
  | "STORE_BAD_REQUEST"
  /** The store is there but out of space or refuses writes. */
  | "STORE_FULL"
  /** The settings or the credentials were refused. */
  | "STORE_UNAUTHORIZED"
  /** This Store object was disposed. */
  | "STORE_CLOSED";

export interface Store extends AsyncDisposable {
  /** The key now, or as of `revision`; undefined if absent. */
  get(
    key: string,
    options?: { readonly revision?: number; readonly signal?: AbortSignal },
  ): Promise<KeyValue | undefined>;

  /** All keys that begin with `prefix` ("" for all), by key in byte order; `revision` is what the answer is true of. */
  list(
    prefix: string,
    options?: { readonly revision?: number; readonly limit?: number; readonly signal?: AbortSignal },
  ): Promise<ListPage>;

  /**
   * As list(), in parts, each as soon as it is there, so that a large prefix is worked on while the rest is under way. All
   * are true of the same revision; STORE_COMPACTED when that went meanwhile: what was told of it is to be listed again.
   * Without the keys that begin with `except`, which are not read either.
   */
  listPages(prefix: string, options?: ListPagesOptions): AsyncIterable<ListPage>;

  /** Writes unconditionally; answers the write's revision. Without `lease` a lease the key had is taken off. */
  put(
    key: string,
    value: string,
    options?: { readonly lease?: string; readonly signal?: AbortSignal },
  ): Promise<number>;

  /** Deletes unconditionally; answers whether the key existed. */
  delete(key: string, options?: { readonly signal?: AbortSignal }): Promise<boolean>;

  transact(transaction: Transaction, options?: { readonly signal?: AbortSignal }): Promise<TransactionOutcome>;

  /**
   * Changes below `prefix` with revision >= `fromRevision`; to miss nothing after a list, pass its revision + 1.
   * Survives reconnects without a gap. Ends (returns) when `signal` aborts, throws STORE_COMPACTED when the
   * revision is gone. Breaking out of the loop ends the watch too.
   */
  watch(
    prefix: string,
    options: { readonly fromRevision: number; readonly signal: AbortSignal },
  ): AsyncIterable<WatchBatch>;

  /** A new lease; keys put with it vanish when it runs out. Answers its decimal id. */
  grantLease(ttlSeconds: number): Promise<string>;

  /** Renews the lease; answers the seconds left, 0 if it is gone. */
  keepAlive(lease: string, signal?: AbortSignal): Promise<number>;

  /** Ends the lease and deletes its keys. A lease that is gone already is fine. */
  revokeLease(lease: string): Promise<void>;
}
