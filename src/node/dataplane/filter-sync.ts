/** Brings the packet filter to what the ruleset wants: in steps, or as a whole where no steps lead there. */
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { TableReadBack } from "../../kernel/nftables/tables.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import type { DataplaneCounters } from "./apply-measures.ts";
import { Ruleset } from "./ruleset.ts";

/** Once is bad luck (somebody changed the table meanwhile); the second time the fault is looked for in our rules. */
const failuresBeforeDoubt = 2;

export class FilterSync {
  readonly ruleset: Ruleset;
  readonly #network: HostNetwork;
  readonly #counters: DataplaneCounters;
  readonly #log: Log;
  #failuresInRow = 0;

  constructor(options: { settings: HostSettings; network: HostNetwork; counters: DataplaneCounters; log: Log }) {
    this.ruleset = new Ruleset(options.settings);
    this.#network = options.network;
    this.#counters = options.counters;
    this.#log = options.log;
  }

  /** @returns how many beliefs were wrong. */
  readBack(): number {
    const before = this.ruleset.pendingCount;
    return Math.max(0, this.ruleset.observed(this.#readTable()) - before);
  }

  /**
   * Before the store has told anything: a packet filter that stands is left as it is, in place of none every endpoint is
   * closed. @returns whether it was so.
   */
  closeUnlessStanding(): boolean {
    if (this.ruleset.standsWhole) return false;
    this.#commit({ sweep: false, replace: true });
    return true;
  }

  /** One transaction. @param inSync what nobody wants is removed. */
  apply(inSync: boolean): void {
    const replace = this.ruleset.needsReplacement || (this.#failuresInRow >= failuresBeforeDoubt && inSync);
    if (replace && !inSync && this.ruleset.tableExists)
      throw new OperationError(
        "DATAPLANE_WAITS_FOR_SYNC",
        "the packet filter of an earlier version is replaced as a whole, once the store has told everything",
        { retry: "backoff" },
      );
    this.#commit({ sweep: inSync, replace });
  }

  #readTable(): TableReadBack | undefined {
    this.#counters.filterReads++;
    try {
      return this.#network.readTable();
    } catch (error) {
      this.#counters.filterReadErrors++;
      throw error;
    }
  }

  #commit(options: { sweep: boolean; replace: boolean }): void {
    const operations = this.ruleset.transaction(options);
    if (operations.length > 0) {
      const onSets = operations.some((operation) => "set" in operation) ? 1 : 0;
      this.#counters.filterTransactions++;
      this.#counters.filterSetTransactions += onSets;
      try {
        this.#network.commit(operations);
      } catch (error) {
        this.#failuresInRow++;
        this.#counters.filterErrors++;
        this.#counters.filterSetErrors += onSets;
        this.#closeRefused(error);
        throw error;
      }
      this.#counters.filterOperations += operations.length;
    }
    this.ruleset.applied(options);
    this.#failuresInRow = 0;
  }

  #closeRefused(error: unknown): void {
    if (this.#failuresInRow < failuresBeforeDoubt) return;
    if (!(error instanceof OperationError && error.code === "NFT_REFUSED")) return;
    const chains = this.ruleset.closeRefused((chain, rules) => this.#network.acceptsChain(chain, rules));
    if (chains.length > 0) this.#log.error({ event: "rules_refused", chains, error: describeError(error) });
  }
}
