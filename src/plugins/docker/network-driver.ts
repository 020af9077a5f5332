/**
 * The network driver `calico`: NetworkDriver.* of Docker's plug-in protocol (reference/docker.md 2 and 4.3).
 * - The policy gate: Join is answered only when the kernel enforces the endpoint's policy on its interface. Docker starts
 *   the container's first instruction after that.
 * - Each call may come twice, late, or for something that is gone: removing what is not there succeeds.
 * - One call at a time per endpoint; different endpoints never wait for each other. Static answers need no store.
 * - Nothing is asked of Docker on the way to an answer, except the name of a network that is not known yet (bounded).
 */
import { hostCidr, type IpAddress, ipFamily, networkAddress, tryParseCidr } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { InterfaceName } from "../../base/names.ts";
import type { DriverSettings } from "./driver-settings.ts";
import { endpointsBySandbox } from "./endpoints/container-siblings.ts";
import {
  CONTAINER_MAC,
  endpointLabels,
  hostInterfaceName,
  temporaryInterfaceName,
} from "./endpoints/endpoint-names.ts";
import type { EndpointRegistry, FoundEndpoint } from "./endpoints/endpoint-registry.ts";
import { chooseNextHop, type endpointState, nextHopAddress } from "./endpoints/endpoint-state.ts";
import type { RelatedRecord, SiblingRecords } from "./endpoints/sibling-records.ts";
import type { KeyedLocks } from "./keyed-locks.ts";
import { readNetworkOptions } from "./network-options.ts";
import type { NetworkDirectory } from "./networks/network-directory.ts";
import { bodyless, type PluginCalls, withBody } from "./plugin-server.ts";
import {
  anyRequest,
  type CreateEndpointRequest,
  type CreateNetworkRequest,
  createEndpointRequest,
  createNetworkRequest,
  type EndpointRequest,
  endpointRequest,
  type JoinRequest,
  joinRequest,
  networkRequest,
} from "./plugin-shapes.ts";
import type { StateFiles } from "./state-files.ts";

const STATIC_ROUTE_ON_LINK = 1;
const neverAborted = new AbortController().signal;

/** What the driver needs of the host's kernel side; the node's data plane provides it. */
export interface HostLinks {
  createVeth(options: { hostName: string; containerName: string; mtu?: number }): Promise<void>;
  removeVeth(hostName: string): Promise<void>;
  /** The link-local address the interface will have; undefined where IPv6 is off. */
  linkLocalAddress(hostName: InterfaceName): Promise<IpAddress | undefined>;
}

/** Resolves when the kernel enforces the record at `key` as it was at this revision (or later). */
export type PolicyGate = (key: string, revision: number, signal: AbortSignal) => Promise<void>;

export interface NetworkDriverOptions {
  readonly settings: DriverSettings;
  readonly registry: EndpointRegistry;
  readonly siblings: SiblingRecords;
  readonly networks: NetworkDirectory;
  readonly endpoints: StateFiles<typeof endpointState>;
  readonly links: HostLinks;
  readonly gate: PolicyGate;
  readonly locks: KeyedLocks;
  /** A new endpoint whose labels may have to be taken from its container. */
  readonly onEndpointCreated: (endpointId: string, networkId: string) => void;
  readonly onStep: (step: string, startedMs: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class NetworkDriver {
  readonly #options: NetworkDriverOptions;
  /** Between CreateEndpoint and Join, which follow each other at once: spares a question to the store. */
  readonly #created = new Map<string, FoundEndpoint>();

  constructor(options: NetworkDriverOptions) {
    this.#options = options;
  }

  calls(): PluginCalls {
    const nothing = withBody(anyRequest, () => ({}));
    return {
      "NetworkDriver.GetCapabilities": bodyless(() => ({
        Scope: this.#options.settings.scope,
        ConnectivityScope: "global",
      })),
      "NetworkDriver.GwAllocCheck": withBody(anyRequest, () => ({ SkipIPv4: false, SkipIPv6: false })),
      "NetworkDriver.AllocateNetwork": withBody(anyRequest, () => ({ Options: {} })),
      "NetworkDriver.FreeNetwork": nothing,
      "NetworkDriver.CreateNetwork": withBody(createNetworkRequest, (request, signal) =>
        this.createNetwork(request, signal),
      ),
      "NetworkDriver.DeleteNetwork": withBody(networkRequest, (request) => this.deleteNetwork(request.NetworkID)),
      "NetworkDriver.CreateEndpoint": withBody(createEndpointRequest, (request, signal) =>
        this.createEndpoint(request, signal),
      ),
      "NetworkDriver.DeleteEndpoint": withBody(endpointRequest, (request, signal) =>
        this.deleteEndpoint(request, signal),
      ),
      "NetworkDriver.EndpointOperInfo": withBody(anyRequest, () => ({ Value: {} })),
      "NetworkDriver.Join": withBody(joinRequest, (request, signal) => this.join(request, signal)),
      "NetworkDriver.Leave": withBody(endpointRequest, (request, signal) => this.leave(request, signal)),
      "NetworkDriver.ProgramExternalConnectivity": withBody(endpointRequest, (request, signal) =>
        this.setGateway(request, true, signal),
      ),
      "NetworkDriver.RevokeExternalConnectivity": withBody(endpointRequest, (request, signal) =>
        this.setGateway(request, false, signal),
      ),
      "NetworkDriver.DiscoverNew": nothing,
      "NetworkDriver.DiscoverDelete": nothing,
    };
  }

  async createNetwork(request: CreateNetworkRequest, signal: AbortSignal): Promise<object> {
    const { mtu, auxAddresses } = readNetworkOptions(request);
    // Auxiliary addresses were asked for like a container's; no endpoint will ever come for them.
    await this.#options.registry.keepForNetwork(auxAddresses, request.NetworkID, signal);
    this.#options.networks.noteCreated(request.NetworkID, mtu);
    return {};
  }

  deleteNetwork(networkId: string): object {
    this.#options.networks.noteDeleted(networkId);
    return {};
  }

  async createEndpoint(request: CreateEndpointRequest, signal: AbortSignal): Promise<object> {
    const { registry, networks, endpoints, locks } = this.#options;
    const { NetworkID, EndpointID, Interface } = request;
    const addresses = addressesOf(Interface);
    const mac = parseMac(Interface.MacAddress);
    return await locks.run(EndpointID, signal, async () => {
      const startedMs = this.#options.clock.monotonicMs();
      const network = await networks.resolve(NetworkID, signal);
      const isFirst = endpoints.get(EndpointID) === undefined;
      // Before it has an address: whoever asks for the same one must see that a container is on its way.
      if (isFirst) {
        endpoints.put(EndpointID, {
          networkId: NetworkID,
          hostInterface: hostInterfaceName(EndpointID),
          sandboxKey: "",
          nextHop: 0,
          isGateway: false,
        });
      }
      try {
        const created = await registry.create(
          {
            endpointId: EndpointID,
            networkId: NetworkID,
            network,
            addresses,
            mac: mac ?? CONTAINER_MAC.toLowerCase(),
            labels: endpointLabels(request.Options),
          },
          signal,
        );
        if (created !== undefined) this.#created.set(EndpointID, created);
      } catch (error) {
        if (isFirst) endpoints.delete(EndpointID);
        throw error;
      }
      this.#options.onEndpointCreated(EndpointID, NetworkID);
      this.#options.onStep("create-endpoint", startedMs);
      // Docker takes it for tampering when a field it sent comes back.
      return { Interface: mac === undefined ? { MacAddress: CONTAINER_MAC } : {} };
    });
  }

  async join(request: JoinRequest, signal: AbortSignal): Promise<object> {
    const { registry, endpoints, links, gate, settings, networks, locks, onStep, clock } = this.#options;
    const { EndpointID, NetworkID, SandboxKey } = request;
    return await locks.run(EndpointID, signal, async () => {
      const record = this.#created.get(EndpointID) ?? (await registry.find(EndpointID, signal));
      this.#created.delete(EndpointID);
      if (record === undefined) {
        throw new OperationError(
          "DOCKER_ENDPOINT_UNKNOWN",
          `Endpoint ${EndpointID} is not known: CreateEndpoint comes before Join`,
        );
      }
      const hostInterface = hostInterfaceName(EndpointID);
      const nextHop = chooseNextHop(EndpointID, SandboxKey, endpoints.entries());
      // Before the link exists: whoever sweeps must know whose it is.
      endpoints.put(EndpointID, {
        networkId: NetworkID,
        hostInterface,
        sandboxKey: SandboxKey,
        nextHop,
        isGateway: false,
      });
      const siblings = await this.#relateSiblings(SandboxKey, 2, signal);
      const mtu = networks.mtuOf(NetworkID) ?? settings.vethMtu;
      const vethStartedMs = clock.monotonicMs();
      await links.removeVeth(hostInterface); // left by a crash, if at all
      await links.createVeth({
        hostName: hostInterface,
        containerName: temporaryInterfaceName(EndpointID),
        ...(mtu === undefined ? {} : { mtu }),
      });
      onStep("create-veth", vethStartedMs);
      try {
        const gateStartedMs = clock.monotonicMs();
        for (const { key, revision } of siblings ?? [record]) await gate(key, revision, signal);
        onStep("policy-gate", gateStartedMs);
        return await this.#joinAnswer(EndpointID, record.addresses, nextHop);
      } catch (error) {
        await links.removeVeth(hostInterface);
        throw error;
      }
    });
  }

  async leave({ EndpointID }: EndpointRequest, signal: AbortSignal): Promise<object> {
    const { locks, endpoints } = this.#options;
    try {
      await locks.run(EndpointID, signal, async () => {
        const state = endpoints.get(EndpointID);
        if (state === undefined) return;
        endpoints.put(EndpointID, { ...state, sandboxKey: "", isGateway: false });
        await this.#relateSiblings(state.sandboxKey, 1, signal);
      });
    } finally {
      this.#removeVethMeanwhile(EndpointID);
    }
    return {};
  }

  /**
   * The kernel takes 10 to 20 ms, in which Docker writes to its disk: it need not wait for both. DeleteEndpoint waits, as the
   * lock is taken at once. What fails here fails there again, where Docker hears of it.
   */
  #removeVethMeanwhile(endpointId: string): void {
    const { locks, links, log } = this.#options;
    const removal = locks.run(endpointId, neverAborted, () => links.removeVeth(hostInterfaceName(endpointId)));
    removal.catch((error) => log.warn({ event: "docker_link_left", endpointId, error: describeError(error) }));
  }

  async deleteEndpoint({ EndpointID }: EndpointRequest, signal: AbortSignal): Promise<object> {
    const { locks, links, endpoints, registry } = this.#options;
    return await locks.run(EndpointID, signal, async () => {
      await links.removeVeth(hostInterfaceName(EndpointID)); // Leave may have been lost
      this.#created.delete(EndpointID);
      await registry.remove(EndpointID, signal);
      endpoints.delete(EndpointID);
      return {};
    });
  }

  /** Docker says by which of a container's interfaces its default route is: the one that gives it the world outside. */
  async setGateway({ EndpointID }: EndpointRequest, isGateway: boolean, signal: AbortSignal): Promise<object> {
    const { locks, endpoints } = this.#options;
    return await locks.run(EndpointID, signal, async () => {
      const state = endpoints.get(EndpointID);
      if (state === undefined || state.isGateway === isGateway) return {};
      endpoints.put(EndpointID, { ...state, isGateway });
      await this.#relateSiblings(state.sandboxKey, 2, signal);
      return {};
    });
  }

  /** With fewer interfaces in the container there is nothing to tell: undefined. */
  async #relateSiblings(
    sandboxKey: string,
    interfacesMin: number,
    signal: AbortSignal,
  ): Promise<readonly RelatedRecord[] | undefined> {
    const { siblings, endpoints } = this.#options;
    const group = endpointsBySandbox(endpoints.entries()).get(sandboxKey) ?? [];
    return group.length < interfacesMin ? undefined : (await siblings.relate(group, signal)).records;
  }

  async #joinAnswer(endpointId: string, addresses: readonly IpAddress[], nextHop: number): Promise<object> {
    const answer: Record<string, unknown> = {
      InterfaceName: { SrcName: temporaryInterfaceName(endpointId), DstPrefix: this.#options.settings.interfacePrefix },
      DisableGatewayService: false,
    };
    const routes: object[] = [];
    if (addresses.some((address) => ipFamily(address) === 4)) {
      answer.Gateway = nextHopAddress(nextHop);
      routes.push(onLinkRoute(`${nextHopAddress(nextHop)}/32`));
    }
    if (addresses.some((address) => ipFamily(address) === 6)) {
      const linkLocal = await this.#options.links.linkLocalAddress(hostInterfaceName(endpointId));
      if (linkLocal !== undefined) {
        answer.GatewayIPv6 = linkLocal;
        routes.push(onLinkRoute(hostCidr(linkLocal)));
      }
    }
    return { ...answer, StaticRoutes: routes };
  }
}

function onLinkRoute(destination: string): object {
  return { Destination: destination, RouteType: STATIC_ROUTE_ON_LINK, NextHop: "" };
}

/** Whatever the prefix length, an endpoint has single addresses. */
function addressesOf(fields: { readonly Address: string; readonly AddressIPv6: string }): readonly IpAddress[] {
  const addresses = [fields.Address, fields.AddressIPv6]
    .filter((text) => text !== "")
    .map((text) => {
      const cidr = tryParseCidr(text.split("/")[0] ?? "");
      if (cidr === undefined) throw new OperationError("DOCKER_BAD_ADDRESS", `"${text}" is no address for an endpoint`);
      return networkAddress(cidr);
    });
  if (addresses.length === 0) throw new OperationError("DOCKER_NO_ADDRESS", "No address assigned for endpoint");
  return addresses;
}

function parseMac(text: string): string | undefined {
  if (text === "") return undefined;
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return text.toLowerCase();
  throw new OperationError("DOCKER_BAD_MAC", `Error parsing MAC address: address ${text}: invalid MAC address`);
}
