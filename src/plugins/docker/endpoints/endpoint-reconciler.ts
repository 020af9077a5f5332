/**
 * Brings Docker's endpoints of this host, their records in the store, their veths and their addresses back together: carries
 * out reconciliation-plan.ts, at start, whenever Docker's event stream is (re)connected, and on a timer.
 * Nothing at all happens while Docker cannot be asked: a daemon that boots does not mean that nothing runs.
 */
import type { Clock } from "../../../base/clock.ts";
import { describeError, OperationError, unreachable } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import type { KeyedLocks } from "../keyed-locks.ts";
import type { NetworkDirectory } from "../networks/network-directory.ts";
import { DRIVER_NAME } from "../networks/network-replication.ts";
import type { StateFiles } from "../state-files.ts";
import { hostInterfaceName } from "./endpoint-names.ts";
import type { EndpointRegistry } from "./endpoint-registry.ts";
import type { endpointState } from "./endpoint-state.ts";
import {
  type AttachedEndpoint,
  type OrphanTimes,
  planReconciliation,
  type ReconciliationStep,
} from "./reconciliation-plan.ts";

export interface EndpointReconcilerOptions {
  readonly engine: DockerEngine;
  readonly registry: EndpointRegistry;
  readonly networks: NetworkDirectory;
  readonly endpoints: StateFiles<typeof endpointState>;
  readonly links: { removeVeth(name: string): Promise<void>; linkExists(name: string): Promise<boolean> };
  readonly locks: KeyedLocks;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRepair: (kind: ReconciliationStep["kind"]) => void;
}

export class EndpointReconciler {
  readonly #options: EndpointReconcilerOptions;
  #orphans: OrphanTimes = new Map();

  constructor(options: EndpointReconcilerOptions) {
    this.#options = options;
  }

  status(): object {
    return { orphans: [...this.#orphans.keys()] };
  }

  /** True when something is orphaned and its grace period has not passed: worth looking again soon. */
  get isWaiting(): boolean {
    return this.#orphans.size > 0;
  }

  /** @throws when Docker or the store cannot be asked, or a step failed: to be repeated. */
  async pass(signal: AbortSignal): Promise<void> {
    const { registry, endpoints, links, clock, graceMs } = this.#options;
    // Records first: an endpoint made meanwhile is then attached but not yet a record, which nobody acts on at once.
    const records = await registry.list(signal);
    const pending = await registry.pending(signal);
    const linkStates = await Promise.all(
      [...endpoints.entries()].map(async ([endpointId, { hostInterface }]) => ({
        endpointId,
        exists: await links.linkExists(hostInterface),
      })),
    );
    const attached = await this.#attached(signal);
    const { steps, orphans } = planReconciliation(
      { records, attached, links: linkStates, pending, nowMs: clock.monotonicMs(), graceMs },
      this.#orphans,
    );
    this.#orphans = orphans;
    for (const step of steps) {
      signal.throwIfAborted();
      await this.#carryOut(step, signal);
      this.#options.onRepair(step.kind);
    }
  }

  async #attached(signal: AbortSignal): Promise<readonly AttachedEndpoint[]> {
    const { engine, networks } = this.#options;
    const attached: AttachedEndpoint[] = [];
    for (const { Id } of await engine.networks.list({ filters: { driver: [DRIVER_NAME] }, signal })) {
      const network = await engine.networks.inspect(Id, { signal });
      if (network === undefined || network.Driver !== DRIVER_NAME) continue; // removed since it was listed
      networks.noteName(network.Id, network.Name);
      for (const { EndpointID, IPv4Address, IPv6Address, MacAddress } of Object.values(network.Containers)) {
        attached.push({
          endpointId: EndpointID,
          networkId: network.Id,
          networkName: network.Name,
          addresses: [IPv4Address, IPv6Address].filter((text) => text !== ""),
          mac: MacAddress,
        });
      }
    }
    return attached;
  }

  async #carryOut(step: ReconciliationStep, signal: AbortSignal): Promise<void> {
    const { registry, endpoints, links, locks, log } = this.#options;
    if (step.kind === "release-address") {
      const { address, handle } = step.pending;
      log.warn({ event: "docker_address_repaired", address, handle }, "an address nobody came for is given back");
      return await registry.releasePending(step.pending, signal);
    }
    const endpointId = step.kind === "restore-record" ? step.endpoint.endpointId : step.endpointId;
    await locks.run(endpointId, signal, async () => {
      log.warn({ event: "docker_endpoint_repaired", step: step.kind, endpointId });
      switch (step.kind) {
        case "remove-record":
          await links.removeVeth(hostInterfaceName(endpointId));
          await registry.remove(endpointId, signal);
          await registry.releaseEndpoint(endpointId, signal);
          endpoints.delete(endpointId);
          return;
        case "remove-link":
          await links.removeVeth(hostInterfaceName(endpointId));
          endpoints.delete(endpointId);
          return;
        case "forget-link":
          endpoints.delete(endpointId);
          return;
        case "restore-record":
          return await this.#restore(step.endpoint, signal);
        case "resolve-network":
          return await registry.setNetwork(endpointId, step.networkName, signal);
        case "warn":
          log.error({ event: "docker_endpoint_unknown", endpointId, reason: step.reason });
          return;
        default:
          return unreachable(step);
      }
    });
  }

  async #restore(endpoint: AttachedEndpoint, signal: AbortSignal): Promise<void> {
    const { registry, log } = this.#options;
    try {
      await registry.restore(endpoint, signal);
    } catch (error) {
      if (!(error instanceof OperationError) || error.code.startsWith("STORE_")) throw error;
      // Its address belongs to somebody else by now: enforcement keeps it closed, a user has to restart it.
      log.error({ event: "docker_endpoint_lost", endpointId: endpoint.endpointId, error: describeError(error) });
    }
  }
}
