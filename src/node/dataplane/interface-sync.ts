/**
 * Interfaces of endpoints: makes and removes them, gives them their kernel settings, and tells the route plan which of
 * them is there.
 */
import type { IpAddress } from "../../base/addresses.ts";
import { OperationError } from "../../base/errors.ts";
import { type InterfaceName, parseInterfaceName } from "../../base/names.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import { isKernelError } from "../../kernel/libc.ts";
import type { Link } from "../../kernel/links.ts";
import type { EndpointEnforcement } from "../../policy/enforcement.ts";
import { linkAlias } from "./chain-names.ts";
import { EndpointInterfaces } from "./endpoint-interfaces.ts";
import { configureInterface, disableIpv6, isConfigured } from "./interface-settings.ts";
import type { RoutePlan } from "./route-plan.ts";

export interface VethRequest {
  readonly hostName: string;
  readonly containerName: string;
  /** Default: that of the interface with the host's address. */
  readonly mtu?: number;
  /** Of the container's end. */
  readonly mac?: string;
}

export class InterfaceSync {
  readonly endpoints: EndpointInterfaces;
  readonly #network: HostNetwork;
  readonly #plan: RoutePlan;
  /** Asked each time: a host may move while the agent runs. */
  readonly #hostAddress: () => IpAddress;
  /** What each interface enforces now. */
  readonly #enforced = new Map<InterfaceName, EndpointEnforcement>();
  /** Index of the interface when it was given its settings: a new one under the name needs them anew. */
  readonly #configured = new Map<string, number>();
  readonly #toConfigure = new Set<InterfaceName>();
  #toLoopback = false;
  /** The interface with the host's address; "": none has it; undefined: to be looked up. */
  #uplink: { readonly address: IpAddress; readonly name: string } | undefined;

  constructor(options: {
    network: HostNetwork;
    plan: RoutePlan;
    prefixes: readonly string[];
    hostAddress: () => IpAddress;
  }) {
    this.#network = options.network;
    this.#plan = options.plan;
    this.#hostAddress = options.hostAddress;
    this.endpoints = new EndpointInterfaces(options.prefixes);
  }

  get needsApply(): boolean {
    return this.#toConfigure.size > 0;
  }

  waitsForSettings(name: InterfaceName): boolean {
    return this.#toConfigure.has(name);
  }

  /** @returns what was enforced on the interface before. */
  enforce(name: InterfaceName, endpoint: EndpointEnforcement | undefined): EndpointEnforcement | undefined {
    const before = this.#enforced.get(name);
    if (endpoint === undefined) this.#enforced.delete(name);
    else this.#enforced.set(name, endpoint);
    if (before !== undefined && endpoint !== undefined && settingsDiffer(before, endpoint))
      this.#configured.delete(name);
    this.#refresh(name);
    return before;
  }

  /** A complete list of what is there. */
  readBack(): void {
    this.#uplink = undefined;
    for (const name of this.endpoints.linksObserved(this.#network.links())) this.#changed(name);
    const loopback = this.endpoints.link("lo");
    if (loopback !== undefined) this.#plan.wantGateway(loopback.index);
  }

  /** @returns true when routes may have gone that only a read-back can tell: those over gateways. */
  linkSeen(link: Link): boolean {
    const lost = !link.up && this.#down(link.name, link.index);
    for (const name of this.endpoints.linkSeen(link)) this.#changed(name);
    return lost;
  }

  /** @returns as linkSeen(). */
  linkGone(name: string, index: number): boolean {
    const lost = this.#down(name, index);
    for (const gone of this.endpoints.linkGone(index)) this.#changed(gone);
    return lost;
  }

  /** Only its own matters: every container's interface gets an address, and looking up means reading them all. */
  addressChanged(address: IpAddress): void {
    if (address === this.#uplink?.address) this.#uplink = undefined;
  }

  /** Finds interfaces whose settings somebody has undone. @returns how many. */
  checkSettings(): number {
    const undone = [...this.#enforced.keys()].filter(
      (name) => this.#configured.has(name) && !isConfigured(this.#network, name),
    );
    for (const name of undone) {
      this.#configured.delete(name);
      this.#refresh(name);
    }
    return undone.length;
  }

  /** Whether endpoints may be led to the host's loopback. Not before the packet filter protects what else is there. */
  leadToLoopback(wanted: boolean): readonly unknown[] {
    if (wanted === this.#toLoopback) return [];
    this.#toLoopback = wanted;
    this.#configured.clear();
    for (const name of this.#enforced.keys()) this.#refresh(name);
    const failures = this.configure();
    // Not done is to be done again, before anybody relies on it.
    if (failures.length > 0) this.#toLoopback = !wanted;
    return failures;
  }

  configure(): readonly unknown[] {
    const failures: unknown[] = [];
    for (const name of [...this.#toConfigure]) {
      const endpoint = this.#enforced.get(name);
      const index = this.endpoints.link(name)?.index;
      if (endpoint === undefined || index === undefined) continue;
      try {
        configureInterface(this.#network, name, {
          hasIpv6: hasIpv6(endpoint),
          otherSources: hasOtherSources(endpoint),
          toLoopback: this.#toLoopback,
        });
        this.#configured.set(name, index);
        this.#toConfigure.delete(name);
      } catch (error) {
        // Gone meanwhile: its event comes, and with the interface everything else.
        if (!isKernelError(error, "ENOENT")) failures.push(error);
      }
    }
    return failures;
  }

  /** Leftovers of a crashed attempt go first; never an interface of another kind. The host's end comes up. */
  createVeth(request: VethRequest): InterfaceName {
    const name = parseInterfaceName(request.hostName, "hostName");
    const peerName = parseInterfaceName(request.containerName, "containerName");
    for (const end of [name, peerName]) if (this.endpoints.link(end)?.kind === "veth") this.#network.deleteLink(end);
    const mtu = request.mtu ?? this.#uplinkMtu();
    this.#network.createVeth({
      name,
      peerName,
      alias: linkAlias,
      ...(mtu === undefined ? {} : { mtu }),
      ...(request.mac === undefined ? {} : { peerMac: request.mac }),
    });
    try {
      // Without this an IPv6 address of the interface could not be used for a second after it came up.
      const duplicateDetection = ["ipv6", "conf", name, "accept_dad"];
      if (this.#network.readSetting(duplicateDetection) !== undefined)
        this.#network.writeSetting(duplicateDetection, "0");
      const endpoint = this.#enforced.get(name);
      if (endpoint === undefined || !hasIpv6(endpoint)) disableIpv6(this.#network, name);
      this.#network.setLink(name, { up: true });
    } catch (error) {
      this.#network.deleteLink(name);
      throw error;
    }
    return name;
  }

  /** No complaint when there is none. */
  async removeVeth(hostName: string): Promise<void> {
    const name = parseInterfaceName(hostName, "hostName");
    if (!this.endpoints.isEndpointName(name))
      throw new OperationError("NOT_AN_ENDPOINT", `interface ${name} is none of an endpoint`);
    // What seems not to be there is most likely not: nothing to wait for.
    if (this.endpoints.link(name) === undefined) this.#network.deleteLink(name);
    else await this.#network.deleteLinkInBackground(name);
  }

  /** A container's packets leave the host as they are, so its interface has what the uplink has. */
  #uplinkMtu(): number | undefined {
    const address = this.#hostAddress();
    if (this.#uplink?.address !== address)
      this.#uplink = { address, name: this.#network.linkWithAddress(address)?.name ?? "" };
    return this.endpoints.link(this.#uplink.name)?.mtu;
  }

  #down(name: string, index: number): boolean {
    this.#plan.linkGone(index);
    return this.endpoints.link(name)?.up === true && !this.endpoints.isEndpointName(name);
  }

  #changed(name: string): void {
    if (!this.endpoints.isEndpointName(name)) return;
    if (this.#configured.get(name) !== this.endpoints.link(name)?.index) this.#configured.delete(name);
    this.#refresh(parseInterfaceName(name));
  }

  #refresh(name: InterfaceName): void {
    const endpoint = this.#enforced.get(name);
    const link = this.endpoints.link(name);
    const index = link?.up === true ? link.index : undefined;
    for (const address of endpoint?.addresses ?? []) this.#plan.local(address, name, index);
    const unconfigured = endpoint !== undefined && index !== undefined && this.#configured.get(name) !== index;
    if (unconfigured) this.#toConfigure.add(name);
    else this.#toConfigure.delete(name);
  }
}

/** Whether any packet of it may be IPv6. */
function hasIpv6({ addresses, allowedSources = [], siblingAddresses = [] }: EndpointEnforcement): boolean {
  return [...addresses, ...allowedSources, ...siblingAddresses].some((address) => address.includes(":"));
}

function hasOtherSources({ allowedSources = [], siblingAddresses = [] }: EndpointEnforcement): boolean {
  return allowedSources.length + siblingAddresses.length > 0;
}

function settingsDiffer(a: EndpointEnforcement, b: EndpointEnforcement): boolean {
  return hasIpv6(a) !== hasIpv6(b) || hasOtherSources(a) !== hasOtherSources(b);
}
