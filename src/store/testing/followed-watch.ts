/** A watch running beside a test, collecting what it is told, with waits that have an end. */
import type { Store, WatchBatch, WatchEvent } from "../store.ts";

const waitMaxMs = 10_000;

export class FollowedWatch implements AsyncDisposable {
  readonly batches: WatchBatch[] = [];
  failure: unknown;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #wake: () => void = () => undefined;

  constructor(store: Store, prefix: string, fromRevision: number) {
    this.#done = this.#run(store, prefix, fromRevision);
  }

  get events(): WatchEvent[] {
    return this.batches.flatMap((batch) => batch.events);
  }

  async until(condition: (events: WatchEvent[]) => boolean): Promise<void> {
    const timeout = AbortSignal.timeout(waitMaxMs);
    while (!condition(this.events)) {
      if (this.failure !== undefined) throw this.failure;
      if (timeout.aborted) throw new Error(`still only ${JSON.stringify(this.events).slice(0, 2_000)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timeout.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Until the watch ended by itself. */
  async ended(): Promise<void> {
    const timeout = AbortSignal.timeout(waitMaxMs);
    const late = new Promise<never>((_, reject) =>
      timeout.addEventListener("abort", () => reject(new Error("the watch did not end")), { once: true }),
    );
    await Promise.race([this.#done, late]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.ended();
  }

  async #run(store: Store, prefix: string, fromRevision: number): Promise<void> {
    try {
      for await (const batch of store.watch(prefix, { fromRevision, signal: this.#abort.signal })) {
        this.batches.push(batch);
        this.#wake();
      }
    } catch (error) {
      this.failure = error;
    }
    this.#wake();
  }
}

export function follow(store: Store, prefix: string, fromRevision: number): FollowedWatch {
  return new FollowedWatch(store, prefix, fromRevision);
}
