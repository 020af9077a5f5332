/**
 * Keeps the cluster's address plan in order beside the host agent: counts of handles that other clients' crashes left wrong,
 * and affinities of hosts that have no Node any more and whose blocks are empty (ipam/garbage.ts). Addresses are not freed
 * here: those who make endpoints know what lives. Every host does it, seldom; who comes second finds nothing to do.
 */
import { Counter } from "prom-client";
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Reconciler } from "../base/reconciler.ts";
import { TaskScope } from "../base/task-scope.ts";
import { GarbageCollector } from "../ipam/garbage-collector.ts";
import { Ipam } from "../ipam/ipam.ts";
import type { Store } from "../store/store.ts";
import type { NodeAgent } from "./agent.ts";

export interface AddressUpkeepOptions {
  readonly agent: Pick<NodeAgent, "api" | "metrics"> & { readonly host: { readonly name: string } };
  readonly store: Store;
  /** How long something must have been wrong. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Reading the whole plan is worth it only now and then; what is wrong does no harm for a while. */
const everyGraces = 10;

export class AddressUpkeep implements AsyncDisposable {
  readonly #scope = new TaskScope("address upkeep");

  private constructor() {}

  static start({ agent, store, graceMs, clock, log }: AddressUpkeepOptions): AddressUpkeep {
    const repaired = new Counter({
      name: "margay_ipam_repairs_total",
      help: "What had to be put right in the address plan: counts of handles, affinities of removed hosts",
      labelNames: ["kind"],
      registers: [agent.metrics.registry],
    });
    const garbage = new GarbageCollector({
      store,
      ipam: new Ipam({ store, clock }),
      host: agent.host.name,
      graceMs,
      clock,
      onAddressReleased: () => {},
      onUpkeep: (step) => {
        log.warn({ event: "ipam_repaired", ...step });
        repaired.inc({ kind: step.kind });
      },
    });
    const loop = new Reconciler({
      name: "address-upkeep",
      clock,
      log,
      pass: (signal) => garbage.upkeep(signal),
      resyncEveryMs: Math.max(1_000, everyGraces * graceMs),
    });
    agent.api.addStatus("ipam", () => ({
      waiting: garbage.waiting,
      lastError: loop.lastError === undefined ? null : describeError(loop.lastError),
    }));
    const upkeep = new AddressUpkeep();
    upkeep.#scope.run("address upkeep", (signal) => loop.run(signal));
    return upkeep;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}
