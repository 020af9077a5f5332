/**
 * The offers at hand, and when to ask for more. While nothing is wanted, offers are declined and suppressed; a new wish
 * revives them at once, though not more often than allowed. Offers are held for a moment only, to have a choice of hosts.
 */

import type { Clock } from "../../base/clock.ts";
import type { Offer } from "../../mesos/protocol/offer.ts";

/** A wish that stays is asked for again: what was declined may have become enough without anybody saying so. */
const reviveAgainMs = 30_000;

export interface OfferBookOptions {
  readonly clock: Clock;
  readonly gatherMs: number;
  readonly reviveIntervalMinMs: number;
}

export type OfferDemand =
  | { readonly kind: "suppress" }
  | { readonly kind: "revive" }
  | { readonly kind: "later"; readonly atMs: number }
  | { readonly kind: "nothing" };

export class OfferBook {
  readonly #options: OfferBookOptions;
  readonly #offers = new Map<string, Offer>();
  #firstArrivalMs = 0;
  #lastReviveMs = Number.NEGATIVE_INFINITY;
  /** What was asked for last; undefined when a new connection has asked for nothing yet. */
  #askedFor: string | undefined;

  constructor(options: OfferBookOptions) {
    this.#options = options;
  }

  get offers(): readonly Offer[] {
    return [...this.#offers.values()];
  }

  add(offers: readonly Offer[]): void {
    if (this.#offers.size === 0) this.#firstArrivalMs = this.#options.clock.nowMs();
    for (const offer of offers) this.#offers.set(offer.id.value, offer);
  }

  /** Rescinded, accepted or declined. */
  remove(offerId: string): void {
    this.#offers.delete(offerId);
  }

  /** Offers do not outlive their connection, and the new one has not been asked for any. */
  connectionChanged(): void {
    this.#offers.clear();
    this.#askedFor = undefined;
    this.#lastReviveMs = Number.NEGATIVE_INFINITY;
  }

  /** The time at which the offers at hand are to be used. */
  get readyAtMs(): number {
    return this.#firstArrivalMs + this.#options.gatherMs;
  }

  /** @param wish describes what is wanted; empty for nothing. A new wish wants to see offers that were declined before. */
  demand(wish: string): OfferDemand {
    const nowMs = this.#options.clock.nowMs();
    if (wish === this.#askedFor) {
      if (wish === "") return { kind: "nothing" };
      const againMs = this.#lastReviveMs + reviveAgainMs;
      return againMs <= nowMs ? { kind: "revive" } : { kind: "later", atMs: againMs };
    }
    if (wish === "") return { kind: "suppress" };
    const atMs = this.#lastReviveMs + this.#options.reviveIntervalMinMs;
    return atMs <= nowMs ? { kind: "revive" } : { kind: "later", atMs };
  }

  /** Something was lost on the way from offer to launch: look at everything again. */
  askAgain(): void {
    this.#askedFor = undefined;
  }

  /** The call has been accepted by the master. */
  asked(wish: string): void {
    this.#askedFor = wish;
    if (wish !== "") this.#lastReviveMs = this.#options.clock.nowMs();
  }
}
