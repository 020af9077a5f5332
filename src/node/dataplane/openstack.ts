/**
 * What endpoints ask of their host where the cluster is an OpenStack (felix-dataplane.md 3.3): DHCP, DNS, metadata. Their own
 * policy and defaultEndpointToHostAction are not asked, as in Felix; but other than in Felix only open endpoints that are
 * known may, with their own source addresses.
 * A metadata service on the host's loopback, which is the built-in value, needs route_localnet on endpoints' interfaces.
 * With it a container could reach everything that listens on the loopback only (CVE-2020-8558), so while it is on, whatever
 * comes from an endpoint for the loopback is dropped before translation: nothing but the translated port is open.
 * Pure.
 */
import { cidrContains, type IpAddress, parseCidr, tryParseIpAddress } from "../../base/addresses.ts";
import type { Action, Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type { HostSettings, PortRange } from "../../policy/enforcement.ts";
import type { ChainContent } from "./base-rules.ts";
import { names } from "./chain-names.ts";
import { dropRule } from "./rule-rendering.ts";

type Settings = Pick<HostSettings, "openStack">;

const tcp = 6;
const udp = 17;
const dhcp = { 4: { client: 68, server: 67 }, 6: { client: 546, server: 547 } } as const;
const dnsPort = 53;
/** Where guests of a cloud ask for their metadata. */
const askedAddress = parseCidr("169.254.169.254/32");
const askedPort = 80;
const loopback = parseCidr("127.0.0.0/8");
/** Who has no address yet. */
const noAddress = { 4: parseCidr("0.0.0.0/32"), 6: parseCidr("fe80::/10") } as const;
/** NF_IP_PRI_NAT_DST */
const priorityDnat = -100;

/** Undefined: there is none, or it goes by a name that is not looked up yet (metadata-name.ts). */
function metadataOf({ openStack }: Settings): { readonly address: IpAddress; readonly port: number } | undefined {
  const { host = "", port = 0 } = openStack?.metadata ?? {};
  const address = tryParseIpAddress(host);
  return address === undefined || address.includes(":") ? undefined : { address, port };
}

/** Whether the metadata service is on the host's loopback. */
export function leadsToLoopback(settings: Settings): boolean {
  const metadata = metadataOf(settings);
  return metadata !== undefined && cidrContains(loopback, metadata.address);
}

/** First of the source check. */
export function loopbackGuard(settings: Settings): RuleSpec[] {
  if (!leadsToLoopback(settings)) return [];
  return (["source", "destination"] as const).map((side) => ({
    ...dropRule("nothing of an endpoint's is for the host's loopback"),
    matches: [{ match: "address", side, family: 4, networks: [loopback] }],
  }));
}

/** Of the source check: an endpoint that asks for its address has none yet, or a link-local one. */
export function addresslessRules({ openStack }: Settings): RuleSpec[] {
  if (openStack === undefined) return [];
  return ([4, 6] as const).map((family) => ({
    matches: [
      { match: "interface-in-set", direction: "in", set: names.endpoints },
      { match: "address", side: "source", family, networks: [noAddress[family]] },
      ...fromTo(udp, dhcp[family].server, dhcp[family].client),
    ],
    actions: [{ do: "accept" }],
  }));
}

/** Of what endpoints send to their host, before their policy. By port, so that packets of open connections are meant too. */
export function hostServiceRules(settings: Settings, accepted: readonly Action[]): RuleSpec[] {
  if (settings.openStack === undefined) return [];
  const metadata = metadataOf(settings);
  const services: (readonly Match[])[] = [
    ...([4, 6] as const).map((family): readonly Match[] => [
      { match: "family", family },
      ...fromTo(udp, dhcp[family].server, dhcp[family].client),
    ]),
    fromTo(udp, dnsPort),
  ];
  if (metadata !== undefined)
    services.push([toAddress(parseCidr(`${metadata.address}/32`)), ...fromTo(tcp, metadata.port)]);
  return services.map((matches) => ({ matches, actions: accepted }));
}

/** Of endpoints' packets only: others that pass the host mean another service by the address. */
export function metadataChains(settings: Settings & Pick<HostSettings, "interfacePrefixes">): ChainContent[] {
  const metadata = metadataOf(settings);
  if (metadata === undefined) return [];
  return [
    {
      chain: { name: "metadata", hook: { type: "nat", hook: "prerouting", priority: priorityDnat } },
      rules: settings.interfacePrefixes.map((prefix) => ({
        matches: [{ match: "interface", direction: "in", prefix }, toAddress(askedAddress), ...fromTo(tcp, askedPort)],
        actions: [{ do: "destination-nat-to", ...metadata }],
      })),
    },
  ];
}

function toAddress(network: typeof askedAddress): Match {
  return { match: "address", side: "destination", family: 4, networks: [network] };
}

function fromTo(protocol: number, destination: number, source?: number): readonly Match[] {
  const only = (port: number): readonly PortRange[] => [{ first: port, last: port }];
  return [
    { match: "protocol", numbers: [protocol] },
    ...(source === undefined ? [] : [{ match: "ports", side: "source", ranges: only(source) } as const]),
    { match: "ports", side: "destination", ranges: only(destination) },
  ];
}
