/**
 * Keeps the cluster's address plan in order beside the host agent: counts of handles that other clients' crashes left wrong,
 * affinities of hosts that have no Node any more and whose blocks are empty (ipam/garbage.ts), and all that hosts leave that
 * were removed (removed-hosts.ts). Addresses of this host are not freed here: those who make endpoints know what lives. Every
 * host does it, seldom; who comes second finds nothing to do. While the datastore is locked nobody does.
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
import { RemovedHosts } from "./removed-hosts.ts";

export interface AddressUpkeepOptions {
  readonly agent: Pick<NodeAgent, "api" | "metrics"> & {
    readonly host: { readonly name: string };
    readonly view: { readonly locked: boolean };
  };
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
      help: "What had to be put right in the address plan: counts of handles, what removed hosts left",
      labelNames: ["kind"],
      registers: [agent.metrics.registry],
    });
    const ipam = new Ipam({ store, clock });
    const removed = new RemovedHosts({
      store,
      ipam,
      host: agent.host.name,
      graceMs: everyGraces * graceMs,
      clock,
      onRemoved: (host) => {
        log.warn({ event: "removed_host_cleared", host });
        repaired.inc({ kind: "removed-host" });
      },
    });
    const garbage = new GarbageCollector({
      store,
      ipam,
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
      pass: async (signal) => {
        if (agent.view.locked) return;
        await removed.pass(signal);
        await garbage.upkeep(signal);
      },
      resyncEveryMs: Math.max(1_000, everyGraces * graceMs),
    });
    agent.api.addStatus("ipam", () => ({
      waiting: garbage.waiting,
      removedHosts: removed.waiting,
      lastError: loop.lastError === undefined ? null : describeError(loop.lastError),
    }));
    const upkeep = new AddressUpkeep();
    upkeep.#scope.run("address upkeep", async (signal) => {
      // A large plan is as much to read as all endpoints: not while the host is brought up to date. Aborted: loop.run ends, too.
      await clock.sleep(graceMs, signal).catch(() => {});
      await loop.run(signal);
    });
    return upkeep;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}
