/**
 * Addresses set aside for somebody who will have them assigned in a moment: known to this process alone, and forgotten after
 * a while. Nobody else of this process is given one. Another process may assign one all the same, and then has it: what counts
 * is what the store says when it is assigned.
 */
import type { IpAddress } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";

/** Docker takes milliseconds; a machine that hangs may take longer. */
const forgottenAfterMs = 60_000;

export class SetAside {
  readonly #clock: Clock;
  /** In the order of their ends. */
  readonly #untilMs = new Map<IpAddress, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(address: IpAddress): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [old, untilMs] of this.#untilMs) {
      if (untilMs > nowMs) break;
      this.#untilMs.delete(old);
    }
    this.#untilMs.delete(address);
    this.#untilMs.set(address, nowMs + forgottenAfterMs);
  }

  has(address: IpAddress): boolean {
    return (this.#untilMs.get(address) ?? 0) > this.#clock.monotonicMs();
  }

  /** False if it was not set aside. */
  delete(address: IpAddress): boolean {
    const had = this.has(address);
    this.#untilMs.delete(address);
    return had;
  }
}
