/**
 * Time, timers and randomness as one object that is handed in, so that a whole cluster can run as a seeded simulation.
 * Nothing else in store/, ipam/, policy/, mesos/ and marathon/ reads the runtime's clock (checked in test/tidy.test.ts).
 */

import { OperationError } from "./errors.ts";

export interface Clock {
  /** Unix time, milliseconds. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Resolves after ms; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls once after ms unless disposed. The timer does not keep the process alive. */
  timer(ms: number, onTime: () => void): Disposable;
  /** UUID version 4, lower case. */
  uuid(): string;
  /** Uniform in [0, 1). */
  random(): number;
}

/** setTimeout's own limit; a longer wait is cut into several. */
const timeoutMaxMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortReason(signal));
      const onAbort = () => {
        clearTimeout(timeout);
        if (signal !== undefined) reject(abortReason(signal));
      };
      const timeout = setTimeout(
        () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
        Math.min(Math.max(0, ms), timeoutMaxMs),
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
  timer(ms, onTime) {
    const timeout = setTimeout(onTime, Math.min(Math.max(0, ms), timeoutMaxMs));
    timeout.unref();
    return { [Symbol.dispose]: () => clearTimeout(timeout) };
  },
  uuid: () => crypto.randomUUID(),
  random: () => Math.random(),
};

interface Pending {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/** A clock that stands still until advanced; ids and random numbers follow from the seed. */
export class TestClock implements Clock {
  #nowMs: number;
  readonly #startMs: number;
  #order = 0;
  #state: number;
  readonly #pending = new Set<Pending>();

  constructor(startMs = 1_780_000_000_000, seed = 1) {
    this.#nowMs = startMs;
    this.#startMs = startMs;
    this.#state = seed >>> 0;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortReason(signal));
      const timer = this.timer(ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      const onAbort = () => {
        timer[Symbol.dispose]();
        if (signal !== undefined) reject(abortReason(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  timer(ms: number, onTime: () => void): Disposable {
    const pending: Pending = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, fire: onTime };
    this.#pending.add(pending);
    return { [Symbol.dispose]: () => void this.#pending.delete(pending) };
  }

  uuid(): string {
    const hex = Array.from({ length: 32 }, () => Math.floor(this.random() * 16).toString(16)).join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  /** mulberry32: small, seeded, good enough to spread choices. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Moves on, firing what falls due in order and letting promises run in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = [...this.#pending]
        .filter((pending) => pending.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** A signal that aborts after timeoutMs, or with the given one. The reason says how long was waited. */
export function deadline(clock: Clock, timeoutMs: number, signal?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  if (signal?.aborted) {
    controller.abort(abortReason(signal));
    return controller.signal;
  }
  const timer = clock.timer(timeoutMs, () => {
    signal?.removeEventListener("abort", onAbort);
    controller.abort(new OperationError("DEADLINE", `no answer within ${timeoutMs} ms`, { retry: "backoff" }));
  });
  const onAbort = () => {
    timer[Symbol.dispose]();
    if (signal !== undefined) controller.abort(abortReason(signal));
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  return controller.signal;
}

function abortReason(signal: AbortSignal): unknown {
  return signal.reason ?? new DOMException("The operation was aborted.", "AbortError");
}

/** Lets promise chains of bounded depth run; real I/O does not belong in a test with this clock. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  await new Promise<void>((resolve) => setImmediate(resolve));
}
