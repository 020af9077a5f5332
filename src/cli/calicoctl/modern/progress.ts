/** Says on standard error how far long work has come, every two seconds; short work says nothing. */

import type { Clock } from "../../../base/clock.ts";

const everyMs = 2_000;

export class Progress {
  readonly #clock: Clock;
  readonly #say: (line: string) => void;
  readonly #what: string;
  readonly #total: number;
  #done = 0;
  #saidAtMs: number;

  /** `what`: "applied", "deleted". */
  constructor(clock: Clock, say: (line: string) => void, what: string, total: number) {
    this.#clock = clock;
    this.#say = say;
    this.#what = what;
    this.#total = total;
    this.#saidAtMs = clock.monotonicMs();
  }

  step(): void {
    this.#done++;
    const nowMs = this.#clock.monotonicMs();
    if (this.#done >= this.#total || nowMs - this.#saidAtMs < everyMs) return;
    this.#saidAtMs = nowMs;
    this.#say(`${this.#what} ${this.#done} of ${this.#total} ...\n`);
  }
}
