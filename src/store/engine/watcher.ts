/**
 * A watcher is a position in the history and a range of keys; it pulls. Nothing is queued for it, so a slow one costs
 * nothing but its lag; when a compaction passes its position it is told so and must start over.
 */
import { refused, unavailable } from "../etcd-error.ts";
import type { Change } from "./recent-changes.ts";
import type { EngineEvent, KeyRange } from "./requests.ts";
import { rangeContains } from "./requests.ts";

export interface WatcherBatch {
  /** The watcher has now seen everything up to this revision. */
  readonly revision: number;
  readonly events: readonly EngineEvent[];
}

/** What a watcher needs of the engine. */
export interface WatchSource {
  /** Newest revision that may be shown. */
  readonly visibleRevision: number;
  readonly compactRevision: number;
  /** From memory; undefined if it has to be read from the file. */
  recent(first: number, last: number): readonly Change[] | undefined;
  /** From the file. */
  past(range: KeyRange, first: number, last: number): EngineEvent[];
}

/** Revisions looked at in one go; what bounds the size of a batch and the time the loop stands still. */
const revisionsPerBatch = 256;

export class Watcher implements Disposable {
  readonly range: KeyRange;
  readonly #source: WatchSource;
  readonly #onClose: (watcher: Watcher) => void;
  /** Everything below has been delivered or does not concern the range. */
  #nextRevision: number;
  #waiting: { readonly resolve: (batch: WatcherBatch) => void; readonly reject: (error: unknown) => void } | undefined;
  #closed: Error | undefined;

  constructor(source: WatchSource, range: KeyRange, fromRevision: number, onClose: (watcher: Watcher) => void) {
    this.#source = source;
    this.range = range;
    this.#nextRevision = fromRevision > 0 ? fromRevision : source.visibleRevision + 1;
    this.#onClose = onClose;
  }

  /** All changes up to this one have been delivered. */
  get deliveredRevision(): number {
    return this.#nextRevision - 1;
  }

  /** Someone waits in next(), so all that was pulled has been dealt with. */
  get idle(): boolean {
    return this.#waiting !== undefined;
  }

  /** The next changes; waits for some. Throws EtcdError "compacted" and, once closed, STORE_CLOSED. One call at a time. */
  next(): Promise<WatcherBatch> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.wake();
    });
  }

  /** Called whenever the visible revision or the compaction moved. */
  wake(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    try {
      if (this.#closed !== undefined) throw this.#closed;
      const batch = this.#pull();
      if (batch === undefined) return;
      this.#waiting = undefined;
      waiting.resolve(batch);
    } catch (error) {
      this.#waiting = undefined;
      waiting.reject(error);
    }
  }

  close(reason: Error = unavailable("the watch was closed")): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#onClose(this);
    this.wake();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #pull(): WatcherBatch | undefined {
    while (this.#nextRevision <= this.#source.visibleRevision) {
      if (this.#nextRevision < this.#source.compactRevision) throw refused("compacted");
      const last = Math.min(this.#source.visibleRevision, this.#nextRevision + revisionsPerBatch - 1);
      const events = this.#events(this.#nextRevision, last);
      this.#nextRevision = last + 1;
      if (events.length > 0) return { revision: last, events };
    }
    return undefined;
  }

  #events(first: number, last: number): EngineEvent[] {
    const recent = this.#source.recent(first, last);
    if (recent === undefined) return this.#source.past(this.range, first, last);
    const events: EngineEvent[] = [];
    for (const change of recent) {
      for (const event of change.events) if (rangeContains(this.range, event.row.key)) events.push(event);
    }
    return events;
  }
}
