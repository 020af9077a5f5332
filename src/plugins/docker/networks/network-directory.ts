/**
 * What this host knows of Docker's networks by id: Docker's calls carry only the id, policy is about the name. Kept in files:
 * at boot Docker starts containers before it answers questions. A network whose name cannot be found out in time is closed:
 * its endpoints get a profile that does not exist, until the reconciler knows better (reference/docker.md 2.7).
 */
import { z } from "zod";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { StateFiles } from "../state-files.ts";
import { profileNameOf } from "./network-profile.ts";
import type { KnownNetwork } from "./replication-plan.ts";

/** Short: Docker answers this within milliseconds or, while it boots, not at all. */
const NAME_TIMEOUT_MS = 1_500;

const networkState = z.object({
  name: z.string().optional(),
  mtu: z.number().optional(),
  /** The record this host has seen to agree with the network, and the cluster it is of. */
  uid: z.string().optional(),
  cluster: z.string().optional(),
});

export interface NetworkIdentity {
  readonly name: string;
  readonly profileName: string;
  /** False: Docker did not tell the name in time and `name` is the id. */
  readonly resolved: boolean;
}

export class NetworkDirectory {
  readonly #files: StateFiles<typeof networkState>;
  readonly #engine: DockerEngine;
  readonly #log: Log;

  constructor(options: { directory: string; engine: DockerEngine; log: Log }) {
    this.#files = StateFiles.open(options.directory, networkState, options.log);
    this.#engine = options.engine;
    this.#log = options.log;
  }

  async resolve(networkId: string, signal: AbortSignal): Promise<NetworkIdentity> {
    const known = this.#files.get(networkId)?.name;
    if (known !== undefined) return identity(known);
    try {
      const network = await this.#engine.networks.inspect(networkId, { signal, timeoutMs: NAME_TIMEOUT_MS });
      if (network !== undefined) {
        this.noteName(networkId, network.Name);
        return identity(network.Name);
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#log.warn({ event: "docker_network_name_unknown", networkId, error: describeError(error) });
    }
    return { name: networkId, profileName: networkId.toLowerCase(), resolved: false };
  }

  nameOf(networkId: string): string | undefined {
    return this.#files.get(networkId)?.name;
  }

  mtuOf(networkId: string): number | undefined {
    return this.#files.get(networkId)?.mtu;
  }

  noteCreated(networkId: string, mtu: number | undefined): void {
    const before = this.#files.get(networkId) ?? {};
    if (before.mtu !== mtu || !this.#files.entries().has(networkId)) {
      this.#files.put(networkId, { ...before, ...(mtu === undefined ? {} : { mtu }) });
    }
  }

  noteName(networkId: string, name: string): void {
    const before = this.#files.get(networkId) ?? {};
    if (before.name !== name) this.#files.put(networkId, { ...before, name });
  }

  /** What was agreed with the other hosts is kept: its absence from Docker's list is how a removal is noticed. */
  noteDeleted(networkId: string): void {
    if (this.#files.get(networkId)?.uid === undefined) this.#files.delete(networkId);
  }

  remember(networkId: string, name: string, uid: string, cluster: string): void {
    this.#files.put(networkId, { ...this.#files.get(networkId), name, uid, cluster });
  }

  forget(networkId: string): void {
    this.#files.delete(networkId);
  }

  known(): readonly KnownNetwork[] {
    return [...this.#files.entries()].flatMap(([id, { name, uid, cluster }]) =>
      name === undefined || uid === undefined || cluster === undefined ? [] : [{ id, name, uid, cluster }],
    );
  }
}

function identity(name: string): NetworkIdentity {
  return { name, profileName: profileNameOf(name), resolved: true };
}
