/**
 * Keeps this host's Node true while the node runs: an address that was found is looked for anew, and a Node that somebody
 * deleted comes back, because this host still runs containers and without it gets no more addresses. (Whoever removes a
 * host stops its node first.)
 */
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import { nodeKey } from "../../model/keys.ts";
import { fulfilBoth, sameAddresses } from "./address-wish.ts";
import type { LocalHost } from "./local-host.ts";
import { ensureNode, type NodeResourceOptions } from "./node-resource.ts";

export interface OwnNodeOptions extends Omit<NodeResourceOptions, "host" | "signal"> {
  readonly host: LocalHost;
  readonly redetectEveryMs: number;
  readonly log: Log;
  readonly clock: Clock;
}

export class OwnNode {
  readonly #options: OwnNodeOptions;
  readonly #key: string;
  readonly #reconciler: Reconciler;
  #gone = false;

  constructor(options: OwnNodeOptions) {
    this.#options = options;
    this.#key = nodeKey(options.host.name);
    this.#reconciler = new Reconciler({
      name: "own-node",
      clock: options.clock,
      log: options.log,
      pass: (signal) => this.#pass(signal),
      resyncEveryMs: options.redetectEveryMs,
    });
  }

  /** A key of the store is there, or not any more. */
  seen(key: string, exists: boolean): void {
    if (key !== this.#key) return;
    if (!exists) {
      this.#gone = true;
      this.#reconciler.poke();
    } else this.#gone = false;
  }

  get lastError(): unknown {
    return this.#reconciler.lastError;
  }

  /** To be called once the Node has been written. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#reconciler.run(signal);
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { host, addresses, surroundings, log } = this.#options;
    const found = await fulfilBoth(addresses, host.addresses, surroundings);
    if (!this.#gone && sameAddresses(found, host.addresses)) return;
    const written = await ensureNode({ ...this.#options, host: host.name, signal });
    log.warn({ event: this.#gone ? "node_written_again" : "node_address_changed", addresses: written });
    host.update(written);
    this.#gone = false;
  }
}
