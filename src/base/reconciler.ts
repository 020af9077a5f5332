/**
 * Runs one pass at a time: when poked, after a failure (with back-off), and on a timer.
 * A poke during a pass means one more pass after it. A pass must never wait for its own reconciler (settled()).
 */

import { Backoff } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { describeError, isAbort } from "./errors.ts";
import type { Log } from "./log.ts";

export interface ReconcilerOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly pass: (signal: AbortSignal) => Promise<void>;
  readonly resyncEveryMs: number;
  readonly retry?: { readonly minMs: number; readonly maxMs: number };
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #poked = true;
  #passing = false;
  #wake: (() => void) | undefined;
  #waiters: Waiter[] = [];
  #lastError: unknown;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Why the last pass failed, or undefined after a good one. */
  get lastError(): unknown {
    return this.#lastError;
  }

  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  /** Resolves when a pass that began after this call has succeeded; rejects with the error of one that failed. */
  async settled(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      this.#waiters.push(waiter);
      signal?.addEventListener(
        "abort",
        () => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          reject(signal.reason);
        },
        { once: true },
      );
      this.poke();
    });
  }

  get passing(): boolean {
    return this.#passing;
  }

  /** Until the signal aborts. Returns then; never throws because of a failed pass. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, name, resyncEveryMs } = this.#options;
    const backoff = new Backoff({ clock, ...(this.#options.retry ?? { minMs: 100, maxMs: 30_000 }) });
    while (!signal.aborted) {
      this.#poked = false;
      const waiters = this.#waiters;
      this.#waiters = [];
      let waitMs = resyncEveryMs;
      this.#passing = true;
      try {
        await this.#options.pass(signal);
        this.#lastError = undefined;
        backoff.reset();
        for (const waiter of waiters) waiter.resolve();
      } catch (error) {
        this.#lastError = error;
        for (const waiter of waiters) waiter.reject(error);
        if (signal.aborted && isAbort(error)) break;
        waitMs = backoff.next();
        log.warn({
          event: "pass_failed",
          reconciler: name,
          retryInMs: Math.round(waitMs),
          error: describeError(error),
        });
      } finally {
        this.#passing = false;
      }
      await this.#untilPoked(waitMs, signal);
    }
    for (const waiter of this.#waiters) waiter.reject(signal.reason);
    this.#waiters = [];
  }

  async #untilPoked(waitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#poked || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        timer[Symbol.dispose]();
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      const timer = this.#options.clock.timer(waitMs, done);
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
