/**
 * A prefix of the store, followed for ever: tells what each key is now, and when everything has been told.
 *
 * - Level-triggered: `onChange` gives the present value, not what happened. After a gap (compaction, store gone) the
 *   prefix is listed again and only the differences to what was told before are told.
 * - Nothing told is taken back while the store is out of reach: what it said last stays in force (`onStale` says so).
 * - `onInSync` comes after each complete listing; deletions missed during a gap have been told by then.
 */
import { Backoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { describeError, OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValue, Store } from "./store.ts";

export interface WatchedPrefixOptions {
  readonly store: Store;
  readonly prefix: string;
  /** Keys below the prefix that nobody wants to be told of: they are not even listed. */
  readonly except?: string;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * The key's value now; undefined: it does not exist (any more). `known`: it was told of before. Must not throw: it ends
   * `run`.
   */
  readonly onChange: (key: string, value: KeyValue | undefined, known: boolean) => void;
  /** Everything that is in the store at some recent revision has been told. */
  readonly onInSync: () => void;
  /** From here until the next onInSync the picture may be out of date. */
  readonly onStale?: () => void;
}

const retryMinMs = 100;
const retryMaxMs = 5_000;

export class WatchedPrefix {
  readonly #options: WatchedPrefixOptions;
  readonly #backoff: Backoff;
  /** What was told: the mod revision of each key. */
  readonly #told = new Map<string, number>();
  /** Everything up to this revision has been told; 0 before the first listing. */
  #revision = 0;
  /** What was told last is true of this revision; during a listing it may be newer than what was told before. */
  #seenRevision = 0;
  #inSync = false;

  constructor(options: WatchedPrefixOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ clock: options.clock, minMs: retryMinMs, maxMs: retryMaxMs });
  }

  /** Revision up to which everything has been told. */
  get revision(): number {
    return this.#revision;
  }

  get inSync(): boolean {
    return this.#inSync;
  }

  /** Follows until the signal aborts; rejects only if a callback throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        // Anything the store did not throw is a mistake of ours and must be seen.
        if (!(error instanceof OperationError)) throw error;
        await this.#onFailure(error, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { store, prefix, except, onInSync } = this.#options;
    const gone = new Set(this.#told.keys());
    const before = this.#seenRevision;
    let listed = 0;
    for await (const { revision, kvs } of store.listPages(prefix, {
      signal,
      ...(except === undefined ? {} : { except }),
    })) {
      this.#seenRevision = listed = revision;
      // A store that is behind what it said before was restored or replaced: equal revisions mean nothing then.
      const comparable = revision >= before;
      for (const kv of kvs) {
        gone.delete(kv.key);
        if (comparable && this.#told.get(kv.key) === kv.modRevision) continue;
        this.#tell(kv.key, kv);
      }
    }
    for (const key of gone) this.#tell(key, undefined);
    this.#revision = listed;
    this.#inSync = true;
    callBack(onInSync);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, prefix, except } = this.#options;
    for await (const batch of store.watch(prefix, { fromRevision: this.#revision + 1, signal })) {
      for (const { type, kv } of batch.events) {
        if (except !== undefined && kv.key.startsWith(except)) continue;
        // A deletion of a key that was never told of is no news.
        if (type === "put" || this.#told.has(kv.key)) this.#tell(kv.key, type === "put" ? kv : undefined);
      }
      this.#revision = this.#seenRevision = batch.revision;
      this.#backoff.reset();
    }
    if (!signal.aborted) throw new OperationError("STORE_UNAVAILABLE", "the watch ended", { retry: "backoff" });
  }

  #tell(key: string, value: KeyValue | undefined): void {
    const known = this.#told.has(key);
    if (value === undefined) this.#told.delete(key);
    else this.#told.set(key, value.modRevision);
    callBack(() => this.#options.onChange(key, value, known));
  }

  async #onFailure(error: OperationError, signal: AbortSignal): Promise<void> {
    const { prefix, log, onStale } = this.#options;
    if (this.#inSync) {
      this.#inSync = false;
      if (onStale !== undefined) callBack(onStale);
    }
    log.warn({ event: "store-watch-failed", prefix, code: error.code, error: describeError(error) }, "listing again");
    try {
      await this.#backoff.wait(signal);
    } catch (aborted) {
      if (!signal.aborted) throw aborted;
    }
  }
}

/** So that an OperationError thrown by a callback is not taken for one of the store. */
function callBack(callback: () => void): void {
  try {
    callback();
  } catch (cause) {
    throw new Error("a callback of WatchedPrefix threw", { cause });
  }
}
