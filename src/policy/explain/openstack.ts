/** What endpoints of an OpenStack may ask of their host whatever policy says, and where their requests for metadata go. */
import { cidrContains, parseCidr, parseIpAddress, tryParseIpAddress } from "../../base/addresses.ts";
import { addressOfHost, type ClusterModel, type ModelEndpoint, settingsOf } from "./cluster-model.ts";
import { applyingTo } from "./direction.ts";
import type { HostView } from "./host-endpoint.ts";
import type { Packet } from "./packet.ts";

const tcp = 6;
const udp = 17;
const broadcast = parseIpAddress("255.255.255.255");
const linkMulticast = parseCidr("ff02::/16");
const loopback = parseCidr("127.0.0.0/8");
const unspecified = parseIpAddress("0.0.0.0");
const linkLocal = parseCidr("fe80::/10");
const metadataAsked = parseIpAddress("169.254.169.254");

/** What a host makes of a packet of its endpoint before anybody is asked about it. */
export interface Redirection {
  readonly packet: Packet;
  readonly toOwnHost: boolean;
  readonly notes: readonly string[];
}

/** Undefined: it goes where it is sent. @param view what the host knows of its interfaces, if it was asked. */
export function redirectedBy(
  model: ClusterModel,
  sender: ModelEndpoint,
  packet: Packet,
  view: HostView | undefined,
): Redirection | undefined {
  const { destination, protocol, destinationPort } = packet;
  if (destination === broadcast || cidrContains(linkMulticast, destination))
    return { packet, toOwnHost: true, notes: ["it goes to whoever is on the endpoint's link: its host"] };
  const { metadata } = settingsOf(model, sender.host).settings.openStack ?? {};
  if (metadata === undefined || destination !== metadataAsked || protocol !== tcp || destinationPort !== 80)
    return undefined;
  const address = tryParseIpAddress(metadata.host);
  if (address === undefined)
    return {
      packet,
      toOwnHost: true,
      notes: [
        `where MetadataAddr ${metadata.host} is, only ${sender.host} itself knows: taken is that it is on the host`,
      ],
    };
  const toOwnHost =
    cidrContains(loopback, address) ||
    address === addressOfHost(model, sender.host, 4) ||
    view?.interfaceOf.has(address) === true;
  return {
    packet: { ...packet, destination: address, destinationPort: metadata.port },
    toOwnHost,
    notes: [`${sender.host} leads it to the metadata service, ${address}:${metadata.port}`],
  };
}

/** A request for an address, from an endpoint that has none yet: the source check lets it pass. */
export function asksForAddress(model: ClusterModel, sender: ModelEndpoint, packet: Packet): boolean {
  const hasNone = packet.source === unspecified || cidrContains(linkLocal, packet.source);
  return hasNone && isOpen(model, sender) && isDhcp(packet);
}

/** The service of the sender's own host that policy is not asked about; undefined: policy decides. */
export function hostServiceFor(model: ClusterModel, sender: ModelEndpoint, packet: Packet): string | undefined {
  if (!isOpen(model, sender)) return undefined;
  const { metadata } = settingsOf(model, sender.host).settings.openStack ?? {};
  const { protocol, destination, destinationPort } = packet;
  const says = (service: string) => `a fixed rule: in an OpenStack endpoints reach the ${service} of their host`;
  if (isDhcp(packet)) return says("DHCP service");
  if (protocol === udp && destinationPort === 53) return says("DNS service");
  if (metadata === undefined || protocol !== tcp) return undefined;
  const isAsked = destination === metadataAsked && destinationPort === 80;
  return isAsked || (destination === tryParseIpAddress(metadata.host) && destinationPort === metadata.port)
    ? says("metadata service")
    : undefined;
}

/** While the metadata service is on the loopback, nothing else there may be reached. */
export function loopbackDrop(model: ClusterModel, sender: ModelEndpoint, packet: Packet): string | undefined {
  const { metadata } = settingsOf(model, sender.host).settings.openStack ?? {};
  const service = tryParseIpAddress(metadata?.host ?? "");
  if (service === undefined || !cidrContains(loopback, service)) return undefined;
  if (![packet.source, packet.destination].some((address) => cidrContains(loopback, address))) return undefined;
  return "a fixed rule: nothing of an endpoint's is for the host's loopback";
}

function isOpen(model: ClusterModel, sender: ModelEndpoint): boolean {
  const { openStack } = settingsOf(model, sender.host).settings;
  return openStack !== undefined && applyingTo(model, sender).problems.length === 0;
}

function isDhcp({ protocol, source, sourcePort, destinationPort }: Packet): boolean {
  const [client, server] = source.includes(":") ? [546, 547] : [68, 67];
  return protocol === udp && sourcePort === client && destinationPort === server;
}
