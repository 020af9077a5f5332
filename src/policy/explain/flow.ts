/**
 * A packet's way through the cluster as the resources have it: source check and outbound policy at the sender, the route,
 * inbound policy at the receiver, and what may stop it besides policy.
 */
import { cidrContains, type IpAddress } from "../../base/addresses.ts";
import {
  addressOfHost,
  type ClusterModel,
  hostWithAddress,
  type ModelEndpoint,
  placeOf,
  poolOf,
  settingsOf,
} from "./cluster-model.ts";
import { applyingTo, closed, type DirectionTrace, traceDirection } from "./direction.ts";
import { type HostEndpointStep, type HostView, hostEndpointSteps, hostEndpointsOf } from "./host-endpoint.ts";
import { asksForAddress, hostServiceFor, loopbackDrop, redirectedBy } from "./openstack.ts";
import type { Packet } from "./packet.ts";

export type Party =
  | { readonly kind: "endpoint"; readonly address: IpAddress; readonly endpoint: ModelEndpoint }
  /** A machine that runs `margay node`. */
  | { readonly kind: "host"; readonly address: IpAddress; readonly host: string }
  | { readonly kind: "outside"; readonly address: IpAddress };

/** What one host must decide about the packet. */
export interface HostPart {
  readonly host: string;
  readonly verdict: "allow" | "deny";
  readonly packet: Packet;
  /** Where the packet comes from and goes to, seen from this host. */
  readonly from: "this host" | "elsewhere" | { readonly interfaceName: string };
  readonly to: "this host" | "elsewhere" | "nowhere" | { readonly interfaceName: string };
  readonly outbound?: DirectionTrace;
  readonly inbound?: DirectionTrace;
  /** What host endpoints on its way say, in order. */
  readonly hostEndpoints?: readonly HostEndpointStep[];
  /** Fixed rules that decide without policy. */
  readonly fixed?: string;
}

export interface ModelFlow {
  readonly verdict: "allowed" | "denied" | "unreachable";
  /** One sentence. */
  readonly reason: string;
  readonly hosts: readonly HostPart[];
  /** What a reader should know besides. */
  readonly notes: readonly string[];
}

const gatewayAddress = "169.254.1.1";
const protocolIpip = 4;
const protocolUdp = 17;
const vxlanPort = 4789;

/** @param views what hosts know of their interfaces; of a host that is not in it, it is guessed. */
export function explainFlow(
  model: ClusterModel,
  from: Party,
  to: Party,
  packet: Packet,
  views: ReadonlyMap<string, HostView> = new Map(),
): ModelFlow {
  const redirected =
    from.kind === "endpoint" ? redirectedBy(model, from.endpoint, packet, views.get(from.endpoint.host)) : undefined;
  if (from.kind !== "endpoint" || redirected === undefined) return flowOf(model, from, to, packet, packet, views);
  const { host } = from.endpoint;
  const address = redirected.packet.destination;
  const redirectedTo: Party = redirected.toOwnHost ? { kind: "host", address, host } : partyAt(model, address);
  const flow = flowOf(model, from, redirectedTo, redirected.packet, packet, views);
  return {
    ...flow,
    // To this host it comes as it was sent.
    hosts: flow.hosts.map((part) => (typeof part.from === "string" ? part : { ...part, packet })),
    notes: [...redirected.notes, ...flow.notes],
  };
}

/** @param sent the packet as it comes out of its sender; `packet` is what its host makes of it. */
function flowOf(
  model: ClusterModel,
  from: Party,
  to: Party,
  packet: Packet,
  sent: Packet,
  views: ReadonlyMap<string, HostView>,
): ModelFlow {
  const notes = [...addressNotes(model, "from", from), ...addressNotes(model, "to", to)];
  if (from.kind === "endpoint" && packet.source === packet.destination)
    return {
      verdict: "allowed",
      reason: "an endpoint reaches its own address without leaving its container",
      hosts: [],
      notes,
    };
  const hosts = partsOf(model, from, to, packet, sent, notes).map((part) =>
    withHostEndpoints(model, part, views.get(part.host), notes),
  );
  const stop = (verdict: ModelFlow["verdict"], reason: string): ModelFlow => ({ verdict, reason, hosts, notes });
  const senderHost = hostOf(from);
  const sender = hosts.find(({ host }) => host === senderHost);
  if (sender?.verdict === "deny") return stop("denied", `on ${sender.host}: ${reasonOf(sender)}`);
  const missing = to.kind === "outside" ? missingEndpoint(model, to.address) : undefined;
  if (missing !== undefined) return stop("unreachable", missing);
  if (to.kind === "endpoint" && senderHost !== to.endpoint.host) {
    const broken = routeProblem(model, to.endpoint, packet);
    if (broken !== undefined) return stop("unreachable", broken);
  }
  const last = hosts.at(-1);
  if (last?.verdict === "deny") return stop("denied", `on ${last.host}: ${reasonOf(last)}`);
  if (to.kind === "outside") notes.push(...natNotes(model, from, to.address));
  if (to.kind === "host" && hostEndpointsOf(model, to.host).length === 0)
    notes.push(`whether ${to.host} takes it is up to that machine's own rules`);
  if (hosts.length === 0) {
    notes.push("neither end is an endpoint of this cluster: Margay's policy has no say in this traffic");
    return stop("allowed", "no endpoint is involved, nothing here filters it");
  }
  return stop("allowed", hosts.map((part) => `on ${part.host}: ${reasonOf(part)}`).join("; "));
}

function hostOf(party: Party): string | undefined {
  return party.kind === "endpoint" ? party.endpoint.host : party.kind === "host" ? party.host : undefined;
}

/** What each host has to decide, the sender's first. A host without endpoints on the way decides nothing. */
function partsOf(
  model: ClusterModel,
  from: Party,
  to: Party,
  packet: Packet,
  sent: Packet,
  notes: string[],
): readonly HostPart[] {
  const parts: HostPart[] = [];
  const [senderHost, receiverHost] = [hostOf(from), hostOf(to)];
  const filters = (host: string) => hostEndpointsOf(model, host).length > 0;
  if (from.kind === "endpoint") parts.push(senderPart(model, from.endpoint, to, packet, sent));
  else if (from.kind === "host" && receiverHost !== from.host && filters(from.host))
    parts.push({ host: from.host, packet, from: "this host", to: "elsewhere", verdict: "allow" });
  const isSeparate = receiverHost !== senderHost || (from.kind === "host" && to.kind === "endpoint");
  if (receiverHost === undefined || !isSeparate) return parts;
  const translated = translatedSource(model, from, receiverHost, packet);
  if (translated !== undefined)
    notes.push(`${from.address} leaves as ${translated}: its pool has natOutgoing, ${to.address} is in no pool`);
  const received = { ...packet, source: translated ?? packet.source };
  if (to.kind === "endpoint") {
    parts.push(receiverPart(model, from, to.endpoint, received));
    if (receiverHost === senderHost) notes.push(...closedNotes(model, to.endpoint));
  } else if (filters(receiverHost))
    parts.push({ host: receiverHost, packet: received, from: "elsewhere", to: "this host", verdict: "allow" });
  return parts;
}

/** What a host sends to its own endpoints passes; what they answer does not, if they are closed. */
function closedNotes(model: ClusterModel, endpoint: ModelEndpoint): readonly string[] {
  const [problem] = applyingTo(model, endpoint).problems;
  return problem === undefined ? [] : [`it arrives, and no answer comes back: the endpoint is closed, ${problem}`];
}

/** What the host's own interfaces say besides. */
function withHostEndpoints(
  model: ClusterModel,
  part: HostPart,
  known: HostView | undefined,
  notes: string[],
): HostPart {
  const { host, packet } = part;
  if (hostEndpointsOf(model, host).length === 0) return part;
  const place = (where: HostPart["from"] | HostPart["to"]) =>
    typeof where !== "string" ? "endpoint" : where === "this host" ? "host" : "interface";
  const way = { host, packet, from: place(part.from), to: place(part.to) } as const;
  if (known === undefined && (way.from === "interface" || way.to === "interface"))
    notes.push(`which interface of ${host} it takes is not known: taken is the one with the host's address`);
  const hostEndpoints = hostEndpointSteps(model, way, known ?? guessedView(model, host));
  const isDenied = hostEndpoints.some(({ trace }) => trace.verdict === "deny");
  if (hostEndpoints.some(({ stage, trace }) => stage === "doNotTrack" && trace.verdict === "allow"))
    notes.push(`${host} does not track it (doNotTrack): its answers need rules of their own, in the other direction`);
  return { ...part, hostEndpoints, verdict: isDenied ? "deny" : part.verdict };
}

/** One interface, with the host's addresses, under the name that a host endpoint gives it. */
function guessedView(model: ClusterModel, host: string): HostView {
  const named = hostEndpointsOf(model, host).find(({ interfaceName = "*" }) => interfaceName !== "*");
  const uplink = named?.interfaceName ?? "uplink";
  const addresses = ([4, 6] as const).flatMap((family) => addressOfHost(model, host, family) ?? []);
  const interfaceOf = new Map(addresses.map((address) => [address, uplink]));
  return { inInterface: uplink, outInterface: uplink, interfaceOf };
}

function reasonOf({ fixed, outbound, inbound, hostEndpoints = [] }: HostPart): string {
  const denied = hostEndpoints.find(({ trace }) => trace.verdict === "deny");
  const denying = [outbound, inbound].find((trace) => trace?.verdict === "deny");
  if (denied !== undefined && denying === undefined) return hostEndpointText(denied);
  if (fixed !== undefined) return fixed;
  const all = [outbound, inbound].filter((trace) => trace !== undefined);
  const words = (denying === undefined ? all : [denying]).map(
    ({ direction, verdict, decidedBy }) => `${direction} ${verdict === "deny" ? "denied" : "allowed"} by ${decidedBy}`,
  );
  if (denying === undefined) words.push(...hostEndpoints.map(hostEndpointText));
  return words.length === 0 ? "none of its host endpoints is asked" : words.join(", ");
}

function hostEndpointText({ stage, endpoint, trace }: HostEndpointStep): string {
  const said = { allow: "allowed", deny: "denied", none: "not denied" }[trace.verdict];
  return `${trace.direction} ${said} by host endpoint ${endpoint} (${stage}): ${trace.decidedBy}`;
}

/** Both directions when the receiver is on the same host. */
function senderPart(model: ClusterModel, sender: ModelEndpoint, to: Party, packet: Packet, sent: Packet): HostPart {
  const local = to.kind === "endpoint" && to.endpoint.host === sender.host ? to.endpoint : undefined;
  const toHere = to.kind === "host" && to.host === sender.host;
  const base = {
    host: sender.host,
    packet,
    from: { interfaceName: sender.interfaceName },
    to:
      local !== undefined
        ? { interfaceName: local.interfaceName }
        : toHere
          ? ("this host" as const)
          : to.kind === "outside" && missingEndpoint(model, to.address) !== undefined
            ? ("nowhere" as const)
            : ("elsewhere" as const),
  };
  const fixed = fixedDrop(model, sender, sent);
  if (fixed !== undefined) return { ...base, verdict: "deny", fixed };
  const service = toHere ? hostServiceFor(model, sender, packet) : undefined;
  if (service !== undefined) return { ...base, verdict: "allow", fixed: service };
  const tunnel = tunnelDrop(model, sender, packet);
  const outbound =
    tunnel === undefined ? traceDirection(model, sender, "outbound", packet) : closed("outbound", tunnel);
  if (toHere && outbound.verdict === "allow" && settingsOf(model, sender.host).settings.endpointToHost === "drop") {
    const fixed = `endpoints may not reach their host: defaultEndpointToHostAction of ${sender.host} is Drop`;
    return { ...base, verdict: "deny", outbound, fixed };
  }
  if (local === undefined) return { ...base, verdict: verdictOf(outbound), outbound };
  const inbound = traceDirection(model, local, "inbound", packet);
  return { ...base, verdict: verdictOf(outbound, inbound), outbound, inbound };
}

function receiverPart(model: ClusterModel, from: Party, receiver: ModelEndpoint, packet: Packet): HostPart {
  const own = from.kind === "host" && from.host === receiver.host;
  const base = {
    host: receiver.host,
    packet,
    from: own ? ("this host" as const) : ("elsewhere" as const),
    to: { interfaceName: receiver.interfaceName },
  };
  if (own) return { ...base, verdict: "allow", fixed: "a host may always talk to its own endpoints" };
  const inbound = traceDirection(model, receiver, "inbound", packet);
  return { ...base, verdict: verdictOf(inbound), inbound };
}

function verdictOf(...traces: readonly DirectionTrace[]): "allow" | "deny" {
  return traces.some(({ verdict }) => verdict === "deny") ? "deny" : "allow";
}

/** The source check comes before every policy. */
function fixedDrop(model: ClusterModel, sender: ModelEndpoint, packet: Packet): string | undefined {
  if (packet.destination === gatewayAddress) return "the endpoints' common gateway takes no packets";
  const loopback = loopbackDrop(model, sender, packet);
  if (loopback !== undefined) return loopback;
  if ([...sender.ips, ...sender.siblingAddresses].includes(packet.source)) return undefined;
  if (asksForAddress(model, sender, packet)) return undefined;
  const { sourceSpoofing } = settingsOf(model, sender.host);
  if (sourceSpoofing && sender.allowedSources.some((cidr) => cidrContains(cidr, packet.source))) return undefined;
  return `source check: ${packet.source} is not an address of the sending endpoint (${sender.ips.join(", ")})`;
}

function tunnelDrop(
  model: ClusterModel,
  sender: ModelEndpoint,
  { protocol, destinationPort }: Packet,
): string | undefined {
  const { allowIpipFromWorkloads, allowVxlanFromWorkloads } = settingsOf(model, sender.host).settings;
  if (protocol === protocolIpip && !allowIpipFromWorkloads)
    return "a fixed rule: endpoints may not send IPIP tunnel packets";
  if (protocol !== protocolUdp || destinationPort !== vxlanPort || allowVxlanFromWorkloads) return undefined;
  return "a fixed rule: endpoints may not send VXLAN tunnel packets (UDP 4789)";
}

/** Why a destination inside a pool can have nobody who answers. */
function missingEndpoint(model: ClusterModel, address: IpAddress): string | undefined {
  const pool = poolOf(model, address);
  if (pool === undefined) return undefined;
  const place = placeOf(model, address);
  if (place === undefined) return `${address} is in pool ${pool.cidr}, but no endpoint and no block has it`;
  const owner = place.owner === undefined ? "nobody" : `host ${place.owner}`;
  return place.allocated
    ? `${address} is reserved on ${place.host ?? owner} (block ${place.block}), but no endpoint has it`
    : `${address} is free: no endpoint has it, and ${owner} drops what is sent to free addresses of its block ${place.block}`;
}

/** Why the sender's host has no way to the receiver's. */
function routeProblem(model: ClusterModel, receiver: ModelEndpoint, { destination }: Packet): string | undefined {
  const { host } = receiver;
  if (!model.nodes.has(host))
    return `host ${host} of ${destination} has no Node resource, so no other host knows a way to it`;
  const family = destination.includes(":") ? 6 : 4;
  if (addressOfHost(model, host, family) === undefined)
    return `host ${host} has no IPv${family} address in its Node resource, so no other host knows a way to ${destination}`;
  const place = placeOf(model, destination);
  if (place === undefined) return `no block holds ${destination}, so no other host has a route to it`;
  if (place.host === host) return undefined;
  return `packets to ${destination} go to ${place.host ?? "nobody"} (block ${place.block}), but the endpoint is on ${host}`;
}

/** The address another host sees when the sender's host masquerades: to what lies in no pool. */
function translatedSource(
  model: ClusterModel,
  from: Party,
  receiverHost: string,
  packet: Packet,
): IpAddress | undefined {
  if (from.kind !== "endpoint" || from.endpoint.host === receiverHost) return undefined;
  if (masqueradingPool(model, from.endpoint.host, packet.source, packet.destination) === undefined) return undefined;
  const family = packet.destination.includes(":") ? 6 : 4;
  const { natOutgoingAddress: fixed } = settingsOf(model, from.endpoint.host).settings;
  if (fixed !== undefined && fixed.includes(":") === (family === 6)) return fixed;
  return addressOfHost(model, from.endpoint.host, family);
}

function natNotes(model: ClusterModel, from: Party, destination: IpAddress): readonly string[] {
  if (from.kind !== "endpoint" || poolOf(model, destination) !== undefined) return [];
  const pool = masqueradingPool(model, from.endpoint.host, from.address, destination);
  return pool === undefined
    ? [`it leaves with its own address ${from.address}: whether an answer finds back is up to the network outside`]
    : [`it leaves with its host's address (pool ${pool.cidr} has natOutgoing)`];
}

/** The pool that makes the host put its own address in place of the source; undefined: it does not. */
function masqueradingPool(model: ClusterModel, host: string, source: IpAddress, destination: IpAddress) {
  if (poolOf(model, destination) !== undefined) return undefined;
  const { natExcludesHosts, externalHosts } = settingsOf(model, host).settings;
  const toHost =
    hostWithAddress(model, destination) !== undefined || externalHosts.some((cidr) => cidrContains(cidr, destination));
  if (natExcludesHosts && toHost) return undefined;
  return model.pools.find(({ cidr, natOutgoing }) => natOutgoing && cidrContains(cidr, source));
}

function addressNotes(model: ClusterModel, word: "from" | "to", party: Party): readonly string[] {
  if (party.kind === "endpoint") {
    const twins = [...model.endpoints.values()].filter(
      ({ key, ips }) => key !== party.endpoint.key && ips.includes(party.address),
    );
    return twins.map(({ key }) => `${word}: ${party.address} stands in a second endpoint too: ${key}`);
  }
  if (party.kind === "host" || word === "to") return [];
  const pool = poolOf(model, party.address);
  if (pool === undefined) return [];
  return [`from: ${party.address} is in pool ${pool.cidr}, but no endpoint has it: no container can send from it`];
}

/** Who an address is: an endpoint's, a host's, or somebody outside. */
export function partyAt(model: ClusterModel, address: IpAddress): Party {
  const endpoint = [...model.endpoints.values()].find(({ ips }) => ips.includes(address));
  if (endpoint !== undefined) return { kind: "endpoint", address, endpoint };
  const host = hostWithAddress(model, address);
  return host === undefined ? { kind: "outside", address } : { kind: "host", address, host };
}
