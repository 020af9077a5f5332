/**
 * Leases: which exist, and when they run out. Only grant and revocation are written down; after a restart each lease
 * has its full time again, as in etcd after a change of leader, because nobody could renew it meanwhile.
 */
import type { Clock } from "../../base/clock.ts";

/** etcd's minimum with its default election timeout; a shorter lease could run out while its holder reconnects. */
export const leaseTtlMinSeconds = 2;
/** etcd's maximum (lease.MaxLeaseTTL). */
export const leaseTtlMaxSeconds = 9_000_000_000;

interface Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  expiresAtMs: number;
}

export interface LeaseInfo {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly remainingSeconds: number;
}

/** An upper bound for one timer; a lease may last longer than the runtime's timers. */
const timerMaxMs = 3_600_000;

export class Leases implements Disposable {
  readonly #clock: Clock;
  readonly #onExpired: (ids: readonly string[]) => void;
  readonly #leases = new Map<string, Lease>();
  #timer: Disposable | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #disposed = false;

  constructor(clock: Clock, onExpired: (ids: readonly string[]) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  has(id: string): boolean {
    return this.#leases.has(id);
  }

  /** A random id that is free; 62 bits, so that ids of two stores hardly ever meet. */
  freeId(): string {
    for (;;) {
      const high = BigInt(Math.floor(this.#clock.random() * 2 ** 30));
      const low = BigInt(Math.floor(this.#clock.random() * 2 ** 32));
      const id = ((high << 32n) | low).toString();
      if (id !== "0" && !this.#leases.has(id)) return id;
    }
  }

  add(id: string, ttlSeconds: number): void {
    const lease = { id, ttlSeconds, expiresAtMs: this.#clock.monotonicMs() + ttlSeconds * 1_000 };
    this.#leases.set(id, lease);
    this.#schedule(lease.expiresAtMs);
  }

  remove(id: string): void {
    this.#leases.delete(id);
  }

  /** Gives the lease its full time again; answers the seconds, 0 if it is gone. */
  renew(id: string): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    lease.expiresAtMs = this.#clock.monotonicMs() + lease.ttlSeconds * 1_000;
    return lease.ttlSeconds;
  }

  info(id: string): LeaseInfo | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    const leftMs = Math.max(0, lease.expiresAtMs - this.#clock.monotonicMs());
    return { id, ttlSeconds: lease.ttlSeconds, remainingSeconds: Math.floor(leftMs / 1_000) };
  }

  /** Ids, the next to run out first. */
  list(): string[] {
    return [...this.#leases.values()].sort((a, b) => a.expiresAtMs - b.expiresAtMs).map((lease) => lease.id);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #schedule(atMs: number): void {
    if (this.#disposed || atMs >= this.#timerAtMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#timerAtMs = atMs;
    const delayMs = Math.min(timerMaxMs, Math.max(0, atMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.timer(delayMs, () => this.#onTime());
  }

  #onTime(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    const expired: string[] = [];
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const lease of this.#leases.values()) {
      // The runtime's timer may come a fraction of a millisecond early.
      if (lease.expiresAtMs <= nowMs + 1) expired.push(lease.id);
      else nextAtMs = Math.min(nextAtMs, lease.expiresAtMs);
    }
    if (expired.length > 0) this.#onExpired(expired);
    if (nextAtMs < Number.POSITIVE_INFINITY) this.#schedule(nextAtMs);
  }
}
