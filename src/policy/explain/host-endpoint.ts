/**
 * What policies of a host's own interfaces say about a packet there (calico-datastore.md 5.3): before connection tracking
 * (doNotTrack), before DNAT (preDNAT), where the host forwards (applyOnForward), and where it is the end itself (normal).
 * What one of the first two lets pass is not asked about again. Which host endpoint an interface has is decided here as on
 * the host: by name, else by an address; "*" is for all that have none.
 */
import { cidrContains, type IpAddress } from "../../base/addresses.ts";
import { compareByBytes } from "../../model/selector/selector.ts";
import type { FailsafePort } from "../enforcement.ts";
import { type ClusterModel, type ModelHostEndpoint, settingsOf } from "./cluster-model.ts";
import { type Direction, type DirectionTrace, decidedAtOnce, type Stage, traceDirection } from "./direction.ts";
import { icmpProtocol, type Packet } from "./packet.ts";

/** What the host knows of its interfaces, as far as it matters for one packet. */
export interface HostView {
  /** Where the packet comes in and goes out; "" where it does not. */
  readonly inInterface: string;
  readonly outInterface: string;
  /** Which interface has an address. */
  readonly interfaceOf: ReadonlyMap<IpAddress, string>;
}

export type HostStage = Exclude<Stage, "workload">;

export interface HostEndpointStep {
  readonly stage: HostStage;
  readonly endpoint: string;
  readonly interfaceName: string;
  readonly trace: DirectionTrace;
}

/** The way of a packet through one host, without its ends at endpoints of containers. */
export interface HostWay {
  readonly host: string;
  readonly packet: Packet;
  /** It comes in by an interface of the host's, or is the host's own. */
  readonly from: "interface" | "host" | "endpoint";
  readonly to: "interface" | "host" | "endpoint";
}

/** Every host endpoint that is asked, in order, up to the first one that says no. */
export function hostEndpointSteps(model: ClusterModel, way: HostWay, view: HostView): readonly HostEndpointStep[] {
  const { host, packet, from, to } = way;
  const steps: HostEndpointStep[] = [];
  let isFinal = false;
  /** @returns whether the packet goes on. */
  const ask = (stage: HostStage, direction: Direction): boolean => {
    const interfaceName = direction === "inbound" ? view.inInterface : view.outInterface;
    const endpoint = hostEndpointAt(model, host, interfaceName, view.interfaceOf);
    if (isFinal || endpoint === undefined) return true;
    if (stage === "doNotTrack" && endpoint.interfaceName === "*") return true;
    const trace = traceHostEndpoint(model, endpoint, stage, direction, packet);
    if (trace === undefined) return true;
    steps.push({ stage, endpoint: endpoint.name, interfaceName, trace });
    isFinal = trace.verdict === "allow" && (stage === "doNotTrack" || stage === "preDNAT");
    return trace.verdict !== "deny";
  };
  if (from === "interface" && !(ask("doNotTrack", "inbound") && ask("preDNAT", "inbound"))) return steps;
  // What ends at the host, or begins there, is for the normal policies; containers' own is not forwarded by an interface.
  if (from === "interface" && !ask(to === "host" ? "normal" : "applyOnForward", "inbound")) return steps;
  if (to !== "interface") return steps;
  if (from === "host" && !ask("doNotTrack", "outbound")) return steps;
  ask(from === "host" ? "normal" : "applyOnForward", "outbound");
  return steps;
}

export function hostEndpointsOf(model: ClusterModel, host: string): readonly ModelHostEndpoint[] {
  return [...model.hostEndpoints.values()]
    .filter((endpoint) => endpoint.host === host)
    .sort((a, b) => compareByBytes(a.name, b.name));
}

/** Of several for one interface the smallest name. */
function hostEndpointAt(
  model: ClusterModel,
  host: string,
  interfaceName: string,
  interfaceOf: HostView["interfaceOf"],
): ModelHostEndpoint | undefined {
  const all = hostEndpointsOf(model, host);
  const placeOf = ({ interfaceName: named, ips }: ModelHostEndpoint) =>
    named ?? ips.map((address) => interfaceOf.get(address)).find((name) => name !== undefined);
  return (
    all.find((endpoint) => placeOf(endpoint) === interfaceName) ?? all.find((endpoint) => placeOf(endpoint) === "*")
  );
}

/** Undefined: at that stage the host endpoint has nothing to say. */
function traceHostEndpoint(
  model: ClusterModel,
  endpoint: ModelHostEndpoint,
  stage: HostStage,
  direction: Direction,
  packet: Packet,
): DirectionTrace | undefined {
  const trace = traceDirection(model, endpoint, direction, packet, stage);
  if (trace === undefined) return undefined;
  if (stage !== "applyOnForward" && isNeighbourDiscovery(packet))
    return decidedAtOnce(direction, "allow", "a fixed rule: neighbour discovery always passes");
  const failsafe = failsafeFor(model, endpoint.host, stage, direction, packet);
  if (failsafe === undefined) return trace;
  const name = `failsafe port ${failsafe.protocol === 6 ? "tcp" : failsafe.protocol === 17 ? "udp" : failsafe.protocol}/${failsafe.port}`;
  // Policy without connection tracking leaves such a packet to what follows.
  return decidedAtOnce(direction, stage === "doNotTrack" ? "none" : "allow", name);
}

const discoveryTypes = { first: 130, last: 136 };

function isNeighbourDiscovery({ protocol, icmp }: Packet): boolean {
  const type = icmp?.type ?? 0;
  return protocol === icmpProtocol[6] && type >= discoveryTypes.first && type <= discoveryTypes.last;
}

function failsafeFor(
  model: ClusterModel,
  host: string,
  stage: HostStage,
  direction: Direction,
  packet: Packet,
): FailsafePort | undefined {
  if (stage === "applyOnForward") return undefined;
  const { failsafeInbound, failsafeOutbound } = settingsOf(model, host).settings;
  const inbound = direction === "inbound";
  const peer = inbound ? packet.source : packet.destination;
  const fits = (port: number | undefined) => (failsafe: FailsafePort) =>
    failsafe.protocol === packet.protocol &&
    failsafe.port === port &&
    (failsafe.net === undefined || cidrContains(failsafe.net, peer));
  const asked = (inbound ? failsafeInbound : failsafeOutbound).find(fits(packet.destinationPort));
  if (asked !== undefined || stage !== "doNotTrack") return asked;
  // Without connection tracking the answers come by here too.
  return (inbound ? failsafeOutbound : failsafeInbound).find(fits(packet.sourcePort));
}
