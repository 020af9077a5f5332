/** Waits between attempts: doubling, with full jitter above the minimum, reset after success. */

import type { Clock } from "./clock.ts";

export interface BackoffOptions {
  readonly clock: Clock;
  readonly minMs: number;
  readonly maxMs: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The next wait in milliseconds, between minMs and maxMs. */
  next(): number {
    const { clock, minMs, maxMs } = this.#options;
    const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(this.#attempts++, 30));
    return minMs + clock.random() * (ceilingMs - minMs);
  }

  reset(): void {
    this.#attempts = 0;
  }

  wait(signal?: AbortSignal): Promise<void> {
    return this.#options.clock.sleep(this.next(), signal);
  }
}
