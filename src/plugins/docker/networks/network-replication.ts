/**
 * Keeps Docker's networks of driver `calico` the same on all hosts: carries out replication-plan.ts.
 * Every pass reads Docker first and the store after it, both afresh: a cached view that lags behind this host's own write
 * would look like a removal by somebody else. Events and watches only say when to look.
 */
import { describeError, unreachable } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { engineStatus } from "../engine/engine-error.ts";
import type { NetworkInspection } from "../engine/networks.ts";
import type { NetworkDirectory } from "./network-directory.ts";
import type { NetworkRecords } from "./network-records.ts";
import { type LocalNetwork, planReplication, type RecordedNetwork, type ReplicationStep } from "./replication-plan.ts";

export const DRIVER_NAME = "calico";
export const REPLICATED_LABEL = "org.margay.replicated";
/** A step may call for another one (removed here, then created anew); more rounds than that wait for the next pass. */
const ROUNDS_MAX = 4;

/** What of the Engine is used here. */
export interface NetworkEngine {
  readonly networks: Pick<DockerEngine["networks"], "list" | "create" | "remove">;
}

export interface NetworkReplicationOptions {
  readonly engine: NetworkEngine;
  readonly records: NetworkRecords;
  readonly networks: NetworkDirectory;
  /** The cluster's id, once the store has told it. */
  readonly cluster: (signal: AbortSignal) => Promise<string>;
  readonly log: Log;
}

export class NetworkReplication {
  readonly #options: NetworkReplicationOptions;
  /** Names in conflict and why: for the status, and so that each is logged once. */
  readonly #conflicts = new Map<string, string>();

  constructor(options: NetworkReplicationOptions) {
    this.#options = options;
  }

  status(): object {
    return { conflicts: Object.fromEntries(this.#conflicts) };
  }

  /** @throws when Docker or the store cannot be asked, or a step failed: to be repeated. */
  async pass(signal: AbortSignal): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const steps = await this.#plan(signal);
      const conflicts = new Set<string>();
      let changed = false;
      for (const step of steps) {
        signal.throwIfAborted();
        if (step.kind === "conflict") conflicts.add(step.network.name);
        else changed = true;
        await this.#carryOut(step, signal);
      }
      for (const name of this.#conflicts.keys()) if (!conflicts.has(name)) this.#conflicts.delete(name);
      if (!changed) return;
    }
  }

  async #plan(signal: AbortSignal): Promise<readonly ReplicationStep[]> {
    const { engine, records, networks } = this.#options;
    const cluster = await this.#options.cluster(signal);
    const inspections = await engine.networks.list({ filters: { driver: [DRIVER_NAME] }, signal });
    const recorded = await records.list(signal);
    const local = inspections.filter((network) => network.Driver === DRIVER_NAME).map(localNetwork);
    for (const { id, name } of local) networks.noteName(id, name);
    return planReplication({ cluster, recorded, local, known: networks.known() });
  }

  async #carryOut(step: ReplicationStep, signal: AbortSignal): Promise<void> {
    const { networks, records, log } = this.#options;
    switch (step.kind) {
      case "record":
        return await this.#record(step.network, signal);
      case "remember":
        await records.ensureProfile(step.network.name, signal);
        networks.remember(step.network.id, step.network.name, step.uid, await this.#options.cluster(signal));
        return;
      case "create-here":
        return await this.#createHere(step.network, signal);
      case "remove-here":
        return await this.#removeHere(step.network, step.because, signal);
      case "remove-record": {
        const outcome = await records.remove(step.network, signal);
        log.info({ event: "docker_network_removed_here", network: step.network.name, record: outcome });
        // "in-use": the record stays and this host gets the network back in the next round.
        if (outcome !== "changed") networks.forget(step.id);
        return;
      }
      case "forget":
        networks.forget(step.id);
        return;
      case "conflict": {
        const { name } = step.network;
        if (this.#conflicts.has(name)) return;
        this.#conflicts.set(name, "another host created this network with other options");
        log.warn({ event: "docker_network_conflict", network: name, local: step.network, recorded: step.recorded });
        return;
      }
      default:
        return unreachable(step);
    }
  }

  async #record(network: LocalNetwork, signal: AbortSignal): Promise<void> {
    const { networks, records, log } = this.#options;
    const uid = await records.create(network, signal);
    if (uid === undefined) return; // somebody was faster: the next round compares
    networks.remember(network.id, network.name, uid, await this.#options.cluster(signal));
    log.info({ event: "docker_network_recorded", network: network.name, uid });
  }

  async #createHere(network: RecordedNetwork, signal: AbortSignal): Promise<void> {
    const { engine, networks, log } = this.#options;
    try {
      const { Id } = await engine.networks.create(
        {
          Name: network.name,
          Driver: network.driver,
          CheckDuplicate: true,
          Internal: network.internal,
          Attachable: network.attachable,
          EnableIPv6: network.enableIpv6,
          IPAM: {
            Driver: network.ipamDriver,
            Options: network.ipamOptions,
            // Auxiliary addresses stay with the host that reserved them: they are taken once for the whole cluster.
            Config: network.subnets.map((subnet) => ({ Subnet: subnet })),
          },
          Options: network.options,
          Labels: { ...network.labels, [REPLICATED_LABEL]: network.uid },
        },
        { signal },
      );
      networks.remember(Id, network.name, network.uid, await this.#options.cluster(signal));
      log.info({ event: "docker_network_replicated", network: network.name });
    } catch (error) {
      if (engineStatus(error) !== 409) throw error;
      // The name is taken by a network of another driver, or was just taken by a user: told in the status, looked at again.
      if (!this.#conflicts.has(network.name)) {
        log.warn({ event: "docker_network_conflict", network: network.name, error: describeError(error) });
      }
      this.#conflicts.set(network.name, describeError(error));
    }
  }

  async #removeHere(network: LocalNetwork, because: string, signal: AbortSignal): Promise<void> {
    const { engine, networks, log } = this.#options;
    try {
      await engine.networks.remove(network.id, { signal });
      networks.forget(network.id);
      log.info({ event: "docker_network_withdrawn", network: network.name, because });
    } catch (error) {
      if (engineStatus(error) !== 403) throw error;
      // Containers here still use it: the network goes on for everybody.
      log.warn({ event: "docker_network_kept", network: network.name, because, error: describeError(error) });
      networks.forget(network.id);
      await this.#record(network, signal);
    }
  }
}

/** Docker lists a pool nobody asked for as subnet 0.0.0.0/0 with gateway 0.0.0.0. */
function localNetwork(network: NetworkInspection): LocalNetwork {
  const { [REPLICATED_LABEL]: copyOf, ...labels } = network.Labels;
  return {
    id: network.Id,
    name: network.Name,
    driver: network.Driver,
    ipamDriver: network.IPAM.Driver,
    ipamOptions: network.IPAM.Options,
    subnets: network.IPAM.Config.map((config) => config.Subnet).filter(
      (subnet) => !["", "0.0.0.0/0", "::/0"].includes(subnet),
    ),
    options: network.Options,
    enableIpv6: network.EnableIPv6,
    internal: network.Internal,
    attachable: network.Attachable,
    labels,
    copyOf,
  };
}
