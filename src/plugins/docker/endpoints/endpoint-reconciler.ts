/**
 * Brings Docker's endpoints of this host, their records in the store, their veths and their addresses back together: carries
 * out reconciliation-plan.ts, at start, whenever Docker's event stream is (re)connected, and on a timer.
 * Nothing at all happens while Docker cannot be asked: a daemon that boots does not mean that nothing runs.
 */
import { tryParseIpAddress } from "../../../base/addresses.ts";
import type { Clock } from "../../../base/clock.ts";
import { describeError, OperationError, unreachable } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { GarbageCollector } from "../../../ipam/garbage-collector.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import type { KeyedLocks } from "../keyed-locks.ts";
import type { NetworkDirectory } from "../networks/network-directory.ts";
import { DRIVER_NAME } from "../networks/network-replication.ts";
import type { StateFiles } from "../state-files.ts";
import { dockerAddressKeeper } from "./address-keeper.ts";
import { endpointsBySandbox } from "./container-siblings.ts";
import { hostInterfaceName } from "./endpoint-names.ts";
import type { EndpointRegistry } from "./endpoint-registry.ts";
import type { endpointState } from "./endpoint-state.ts";
import {
  type AttachedEndpoint,
  type EndpointRecord,
  type OrphanTimes,
  planReconciliation,
  type ReconciliationStep,
} from "./reconciliation-plan.ts";
import type { SiblingRecords } from "./sibling-records.ts";

export interface EndpointReconcilerOptions {
  readonly host: string;
  readonly engine: DockerEngine;
  readonly registry: EndpointRegistry;
  readonly siblings: SiblingRecords;
  readonly garbage: GarbageCollector;
  readonly networks: NetworkDirectory;
  readonly endpoints: StateFiles<typeof endpointState>;
  readonly links: { removeVeth(name: string): Promise<void>; linkExists(name: string): Promise<boolean> };
  readonly locks: KeyedLocks;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRepair: (kind: ReconciliationStep["kind"] | "relate-siblings") => void;
}

export class EndpointReconciler {
  readonly #options: EndpointReconcilerOptions;
  #orphans: OrphanTimes = new Map();

  constructor(options: EndpointReconcilerOptions) {
    this.#options = options;
  }

  status(): object {
    return { orphans: [...this.#orphans.keys(), ...this.#options.garbage.waiting] };
  }

  /** True when something is orphaned and its grace period has not passed: worth looking again soon. */
  get isWaiting(): boolean {
    return this.#orphans.size > 0 || this.#options.garbage.waiting.length > 0;
  }

  /** @throws when Docker or the store cannot be asked, or a step failed: to be repeated. */
  async pass(signal: AbortSignal): Promise<void> {
    const { registry, garbage, endpoints, links, clock, graceMs } = this.#options;
    // Addresses first: one taken meanwhile is then not looked at.
    const held = await garbage.look();
    // Then records: an endpoint made meanwhile is then attached but not yet a record, which nobody acts on at once.
    const records = await registry.list(signal);
    const linkStates = await Promise.all(
      [...endpoints.entries()].map(async ([endpointId, { hostInterface }]) => ({
        endpointId,
        exists: await links.linkExists(hostInterface),
      })),
    );
    const { attached, networkIds } = await this.#attached(signal);
    const { steps, orphans } = planReconciliation(
      { records, attached, links: linkStates, nowMs: clock.monotonicMs(), graceMs },
      this.#orphans,
    );
    this.#orphans = orphans;
    for (const step of steps) {
      signal.throwIfAborted();
      await this.#carryOut(step, signal);
      this.#options.onRepair(step.kind);
    }
    await this.#relateSiblings(records, signal);
    const keeper = dockerAddressKeeper({
      host: this.#options.host,
      endpointIds: new Set([...records, ...attached, ...linkStates].map(({ endpointId }) => endpointId)),
      addresses: new Set(attached.flatMap(({ addresses }) => addresses.map((text) => addressOf(text)))),
      networkIds,
    });
    await garbage.addresses(held, [keeper], signal);
  }

  async #attached(
    signal: AbortSignal,
  ): Promise<{ readonly attached: readonly AttachedEndpoint[]; readonly networkIds: ReadonlySet<string> }> {
    const { engine, networks } = this.#options;
    const attached: AttachedEndpoint[] = [];
    const networkIds = new Set<string>();
    for (const { Id } of await engine.networks.list({ filters: { driver: [DRIVER_NAME] }, signal })) {
      const network = await engine.networks.inspect(Id, { signal });
      if (network === undefined || network.Driver !== DRIVER_NAME) continue; // removed since it was listed
      networks.noteName(network.Id, network.Name);
      networkIds.add(network.Id);
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
    return { attached, networkIds };
  }

  async #carryOut(step: ReconciliationStep, signal: AbortSignal): Promise<void> {
    const { registry, endpoints, links, locks, log } = this.#options;
    const endpointId = step.kind === "restore-record" ? step.endpoint.endpointId : step.endpointId;
    await locks.run(endpointId, signal, async () => {
      log.warn({ event: "docker_endpoint_repaired", step: step.kind, endpointId });
      switch (step.kind) {
        case "remove-record":
          await links.removeVeth(hostInterfaceName(endpointId));
          await registry.forget(endpointId, signal);
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

  /** Joins and Leaves do this themselves; one that was cut off is made good here. */
  async #relateSiblings(records: readonly EndpointRecord[], signal: AbortSignal): Promise<void> {
    const { endpoints, siblings, onRepair } = this.#options;
    const speaksOfOthers = new Set(records.filter((record) => record.hasSiblings).map(({ endpointId }) => endpointId));
    for (const group of endpointsBySandbox(endpoints.entries()).values()) {
      if (group.length === 1 && !group.some(({ endpointId }) => speaksOfOthers.has(endpointId))) continue;
      if ((await siblings.relate(group, signal)).changed) onRepair("relate-siblings");
    }
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

/** As IPAM writes it, whatever way Docker does. */
function addressOf(text: string): string {
  const [address = ""] = text.split("/");
  return tryParseIpAddress(address) ?? address;
}
