/**
 * Docker's endpoints of this host in the store: their addresses and their WorkloadEndpoints, changed together.
 *
 * RequestAddress sets an address aside in memory; the store learns of it with what it is for, in one transaction:
 *   <EndpointID>                        at CreateEndpoint, with the WorkloadEndpoint
 *   docker-<host>-network-<NetworkID>   at CreateNetwork: auxiliary addresses
 * So a crash between two calls leaves nothing. What was forgotten with it is assigned all the same if it is still free;
 * whoever was faster, another process of this host or one that borrows from its blocks, has it, and the endpoint is refused.
 * DeleteEndpoint frees the addresses together with the record; Docker's ReleaseAddress, which follows, then finds nothing to do
 * and must not take a new owner's address for the old one's (#released).
 * What stays without its owner, docker-<host>-pending-<ip> of older versions too, is given back (address-keeper.ts).
 */
import { type Cidr, type IpAddress, ipFamily, parseIpAddress } from "../../../base/addresses.ts";
import type { Clock } from "../../../base/clock.ts";
import { BadInput, OperationError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Ipam } from "../../../ipam/ipam.ts";
import { isIpamError } from "../../../ipam/ipam-error.ts";
import type { HeldAddress, RequestOptions } from "../../../ipam/ipam-requests.ts";
import { kindPrefix } from "../../../model/keys.ts";
import { isLabelKey, isLabelValue } from "../../../model/names.ts";
import { encode } from "../../../model/resource.ts";
import {
  decodeWorkloadEndpoint,
  forcedLabels,
  networksOf,
  newWorkloadEndpoint,
  type WorkloadEndpoint,
} from "../../../model/workload-endpoint.ts";
import { workloadEndpointNamePrefix } from "../../../model/workload-endpoint-name.ts";
import type { Store } from "../../../store/store.ts";
import type { NetworkIdentity } from "../networks/network-directory.ts";
import { profileNameOf } from "../networks/network-profile.ts";
import { hasSiblings } from "./container-siblings.ts";
import {
  CONTAINER_MAC,
  DOCKER_NAMESPACE,
  DOCKER_ORCHESTRATOR,
  endpointKey,
  hostInterfaceName,
  NETWORK_ANNOTATION,
  NETWORK_ID_ANNOTATION,
} from "./endpoint-names.ts";
import type { AttachedEndpoint, EndpointRecord } from "./reconciliation-plan.ts";

const ATTEMPTS_MAX = 10;
/** Of a record that was never written before: whichever revision is seen first is this one. */
const ANY_REVISION = 0;

export interface NewEndpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly network: NetworkIdentity;
  readonly addresses: readonly IpAddress[];
  readonly mac: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface FoundEndpoint {
  readonly key: string;
  readonly revision: number;
  readonly addresses: readonly IpAddress[];
}

export interface EndpointRegistryOptions {
  readonly host: string;
  readonly store: Store;
  readonly ipam: Ipam;
  readonly clock: Clock;
  readonly log: Log;
  /** False: endpoints get no profile and policy goes by labels alone. */
  readonly createProfiles: boolean;
  /** Makes the network's default profile if there is none. */
  readonly ensureProfile: (network: string, signal: AbortSignal) => Promise<void>;
  /** Whether the endpoint's container may be alive: its interface exists, or is about to. Waits for calls under way. */
  readonly mayLive: (endpointId: string, signal: AbortSignal) => Promise<boolean>;
}

export class EndpointRegistry {
  readonly #options: EndpointRegistryOptions;
  readonly #networkPrefix: string;
  /** Freed by DeleteEndpoint, and not yet by Docker. */
  readonly #released = new Set<IpAddress>();

  constructor(options: EndpointRegistryOptions) {
    this.#options = options;
    this.#networkPrefix = `docker-${options.host}-network-`;
  }

  /** undefined: nothing is free. */
  async reserveAny(family: 4 | 6, pool: Cidr | undefined, signal: AbortSignal): Promise<IpAddress | undefined> {
    try {
      const { ipam, host } = this.#options;
      return await ipam.setAside({ host, family, ...(pool === undefined ? {} : { pools: [pool] }), signal });
    } catch (error) {
      if (isIpamError(error, "IPAM_POOL_EXHAUSTED") || isIpamError(error, "IPAM_NO_POOL")) return undefined;
      throw error;
    }
  }

  /** False: somebody else has the address. One that a crash has left behind on this host is taken over. */
  async reserve(address: IpAddress, signal: AbortSignal): Promise<boolean> {
    const { ipam, host } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      try {
        await ipam.setAside({ host, family: ipFamily(address), address, signal });
        return true;
      } catch (error) {
        if (!isIpamError(error, "IPAM_ADDRESS_IN_USE")) throw error;
      }
      const held = await ipam.lookup(address);
      if (held === undefined) continue; // given back in between
      if (!(await this.#takeOver(held, signal))) return false;
    }
    return false;
  }

  /** Docker gives an address back. Unknown, free, and other people's addresses: nothing to do. */
  async release(address: IpAddress, signal: AbortSignal): Promise<void> {
    const { ipam, host, mayLive } = this.#options;
    if (this.#released.delete(address) || ipam.noLongerSetAside(address)) return;
    const held = await ipam.lookup(address);
    if (held?.handle === undefined || held.attributes.node !== host) return;
    if (!held.handle.startsWith(this.#networkPrefix)) {
      // Docker tells only the IPAM driver of a container that died with the daemon (reference/docker.md 2.6).
      if (held.attributes.orchestrator !== DOCKER_ORCHESTRATOR || (await mayLive(held.handle, signal))) return;
      await this.#free(held.handle, signal);
      return;
    }
    try {
      await ipam.releaseAddress(address, { handle: held.handle, signal });
    } catch (error) {
      if (!isIpamError(error, "IPAM_OWNER_MISMATCH")) throw error; // it is another endpoint's since we looked
    }
  }

  /** The addresses stay taken as long as the network exists. @throws when one is somebody else's */
  async keepForNetwork(addresses: readonly IpAddress[], networkId: string, signal: AbortSignal): Promise<void> {
    if (addresses.length > 0) await this.#assign(addresses, this.#networkPrefix + networkId, { signal });
  }

  /**
   * Address and WorkloadEndpoint in one transaction. Repeating it is fine. @throws when an address is somebody else's
   * Answers what `find` would, if the record is new; undefined if one was there and has been written anew.
   */
  async create(endpoint: NewEndpoint, signal: AbortSignal): Promise<FoundEndpoint | undefined> {
    const { store, createProfiles, ensureProfile } = this.#options;
    refuseBadLabels(endpoint.labels);
    if (createProfiles && endpoint.network.resolved) await ensureProfile(endpoint.network.name, signal);
    const record = this.#newRecord(endpoint);
    const key = endpointKey(this.#options.host, endpoint.endpointId);
    for (let attempt = 0, modRevision = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      try {
        await this.#assign(endpoint.addresses, endpoint.endpointId, {
          require: [{ key, modRevision }],
          also: () => [{ put: key, value: encode(record) }],
          signal,
        });
        return modRevision === 0 ? { key, revision: ANY_REVISION, addresses: endpoint.addresses } : undefined;
      } catch (error) {
        if (!isIpamError(error, "IPAM_PRECONDITION_FAILED")) throw error;
        // A former call's answer was lost: the record is there already and is written anew.
        modRevision = (await store.get(key, { signal }))?.modRevision ?? 0;
      }
    }
    throw new OperationError("DOCKER_ENDPOINT_CONFLICT", `Workload endpoints creation error, data: ${key}`, {
      retry: "backoff",
    });
  }

  /** Record and addresses go in one transaction; Docker will ask to free the addresses too. No record: nothing to do. */
  async remove(endpointId: string, signal: AbortSignal): Promise<void> {
    for (const address of await this.#free(endpointId, signal)) this.#released.add(address);
  }

  /** As remove(), for an endpoint whose addresses Docker will not ask to be freed. */
  async forget(endpointId: string, signal: AbortSignal): Promise<void> {
    await this.#free(endpointId, signal);
  }

  async find(endpointId: string, signal: AbortSignal): Promise<FoundEndpoint | undefined> {
    const key = endpointKey(this.#options.host, endpointId);
    const stored = await this.#options.store.get(key, { signal });
    if (stored === undefined) return undefined;
    const addresses = networksOf(decodeWorkloadEndpoint(stored.value, key), key).map((cidr) =>
      parseIpAddress(cidr.split("/")[0] ?? ""),
    );
    return { key, revision: stored.modRevision, addresses };
  }

  /** This host's records of this orchestrator, and no others. */
  async list(signal: AbortSignal): Promise<readonly EndpointRecord[]> {
    const { host, store, log } = this.#options;
    const prefix =
      kindPrefix("WorkloadEndpoint", DOCKER_NAMESPACE) + workloadEndpointNamePrefix(host, DOCKER_ORCHESTRATOR);
    const { kvs } = await store.list(prefix, { signal });
    return kvs.flatMap(({ key, value }) => {
      try {
        const record = decodeWorkloadEndpoint(value, key);
        const { metadata, spec } = record;
        if (spec.node !== host || spec.orchestrator !== DOCKER_ORCHESTRATOR) return [];
        const networkResolved = metadata.annotations?.[NETWORK_ID_ANNOTATION] === undefined;
        return [{ endpointId: spec.endpoint, networkResolved, hasSiblings: hasSiblings(record) }];
      } catch (error) {
        log.warn({ event: "endpoint_record_unreadable", key, error: String(error) });
        return [];
      }
    });
  }

  async setLabels(endpointId: string, labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const valid = Object.fromEntries(
      Object.entries(labels).filter(([key, value]) => isLabelKey(key) && isLabelValue(value)),
    );
    await this.#edit(endpointId, signal, ({ metadata }) => ({
      labels: forcedLabels({ ...metadata.labels, ...valid }, DOCKER_NAMESPACE, DOCKER_ORCHESTRATOR),
    }));
  }

  /** The network's name has become known. */
  async setNetwork(endpointId: string, networkName: string, signal: AbortSignal): Promise<void> {
    const { createProfiles, ensureProfile } = this.#options;
    if (createProfiles) await ensureProfile(networkName, signal);
    await this.#edit(endpointId, signal, ({ metadata }) => {
      const { [NETWORK_ID_ANNOTATION]: _id, ...annotations } = metadata.annotations ?? {};
      return {
        annotations: { ...annotations, [NETWORK_ANNOTATION]: networkName },
        profiles: createProfiles ? [profileNameOf(networkName)] : [],
      };
    });
  }

  /** Docker and the kernel have the endpoint, the store has lost it. @throws when its address is somebody else's by now. */
  async restore(endpoint: AttachedEndpoint, signal: AbortSignal): Promise<void> {
    const { host, log } = this.#options;
    const addresses = endpoint.addresses.map((text) => parseIpAddress(text.split("/")[0] ?? ""));
    await this.create(
      {
        endpointId: endpoint.endpointId,
        networkId: endpoint.networkId,
        network: { name: endpoint.networkName, profileName: profileNameOf(endpoint.networkName), resolved: true },
        addresses,
        mac: endpoint.mac === "" ? CONTAINER_MAC.toLowerCase() : endpoint.mac,
        labels: {},
      },
      signal,
    );
    log.info({ event: "endpoint_record_restored", endpointId: endpoint.endpointId, host });
  }

  async #free(endpointId: string, signal: AbortSignal): Promise<readonly IpAddress[]> {
    const key = endpointKey(this.#options.host, endpointId);
    return await this.#options.ipam.releaseByHandle(endpointId, { also: () => [{ delete: key }], signal });
  }

  async #assign(addresses: readonly IpAddress[], handle: string, options: RequestOptions<void>): Promise<void> {
    const { ipam, host, clock } = this.#options;
    try {
      const attributes = { orchestrator: DOCKER_ORCHESTRATOR, timestamp: new Date(clock.nowMs()).toISOString() };
      await ipam.assignThese({ ...options, host, addresses, handle, attributes });
    } catch (error) {
      if (!isIpamError(error, "IPAM_ADDRESS_IN_USE")) throw error;
      const problem = `An address that was free when it was asked for has been taken by others since: ${error.message}`;
      throw new OperationError("DOCKER_ADDRESS_TAKEN", problem, { remedy: "try again", retry: "now" });
    }
  }

  /** Frees an address that is still held by something of this host that is no more; true when it may be asked for again. */
  async #takeOver(held: HeldAddress, signal: AbortSignal): Promise<boolean> {
    const { host } = this.#options;
    const { handle } = held;
    if (handle === undefined || held.attributes.node !== host || held.attributes.orchestrator !== DOCKER_ORCHESTRATOR)
      return false;
    if (handle.startsWith(this.#networkPrefix) || (await this.#options.mayLive(handle, signal))) return false;
    await this.#free(handle, signal);
    return true;
  }

  async #edit(
    endpointId: string,
    signal: AbortSignal,
    change: (record: WorkloadEndpoint) => {
      readonly labels?: Record<string, string>;
      readonly annotations?: Record<string, string>;
      readonly profiles?: string[];
    },
  ): Promise<void> {
    const { store } = this.#options;
    const key = endpointKey(this.#options.host, endpointId);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const stored = await store.get(key, { signal });
      if (stored === undefined) return; // the container is gone already
      const record = decodeWorkloadEndpoint(stored.value, key);
      const { profiles, ...metadata } = change(record);
      const value = encode({
        ...record,
        metadata: { ...record.metadata, ...metadata },
        spec: profiles === undefined ? record.spec : { ...record.spec, profiles },
      });
      if (value === stored.value) return;
      const transaction = { compare: [{ key, modRevision: stored.modRevision }], success: [{ put: key, value }] };
      if ((await store.transact(transaction, { signal })).succeeded) return;
    }
    throw new OperationError("STORE_CONFLICT", `${key} was changed by others ${ATTEMPTS_MAX} times`, {
      retry: "backoff",
    });
  }

  #newRecord(endpoint: NewEndpoint): WorkloadEndpoint {
    const { host, clock, createProfiles } = this.#options;
    const { endpointId, networkId, network, addresses, mac, labels } = endpoint;
    const record = newWorkloadEndpoint(
      {
        namespace: DOCKER_NAMESPACE,
        node: host,
        orchestrator: DOCKER_ORCHESTRATOR,
        workload: DOCKER_ORCHESTRATOR,
        endpoint: endpointId,
        interfaceName: hostInterfaceName(endpointId),
        mac,
        addresses,
        profiles: createProfiles ? [network.profileName] : [],
        labels,
      },
      { uid: clock.uuid(), nowMs: clock.nowMs() },
    );
    const annotations = network.resolved
      ? { [NETWORK_ANNOTATION]: network.name }
      : { [NETWORK_ID_ANNOTATION]: networkId };
    return { ...record, metadata: { ...record.metadata, annotations } };
  }
}

function refuseBadLabels(labels: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!isLabelKey(key))
      throw new BadInput(`label ${key}`, "cannot be a label's name", "a qualified name of at most 63 characters");
    if (!isLabelValue(value))
      throw new BadInput(`label ${key}`, `"${value}" cannot be a label's value`, "at most 63 letters, digits, - _ .");
  }
}
