/**
 * What FelixConfiguration means for the packets of one host: what the host itself was started with over the object of the
 * host over the one whose selector selects it over the global one over what is built in (calico-datastore.md 2.11). A wrong
 * field of an object counts as not given.
 */

import { parseCidr, parseIpAddress } from "../base/addresses.ts";
import type { ReadFelixConfiguration } from "../model/felix-configuration.ts";
import type { FelixConfigurationSpec } from "../model/felix-fields.ts";
import { parseSelector } from "../model/selector/parse.ts";
import { matches } from "../model/selector/selector.ts";
import type { FailsafePort, HostSettings, MetadataService, PortRange, RateLimit } from "./enforcement.ts";

const tcp = 6;
const udp = 17;
const etcdAndCalicoPorts = [179, 2379, 2380, 5473, 6443, 6666, 6667];

const defaultInbound = [open(tcp, 22), open(udp, 68), ...etcdAndCalicoPorts.map((port) => open(tcp, port))];
const defaultOutbound = [open(udp, 53), open(udp, 67), ...etcdAndCalicoPorts.map((port) => open(tcp, port))];

const actions = { Drop: "drop", Accept: "accept", Return: "return" } as const;
const protocols = { tcp, udp, sctp: 132 } as const;

/** With no FelixConfiguration at all. */
export const builtInSettings: HostSettings = settingsOf({});

export interface EffectiveSettings {
  /** Field by field; one that is missing or undefined has its built-in value. */
  readonly spec: FelixConfigurationSpec;
  readonly settings: HostSettings;
  /** Endpoints may be given foreign source addresses. */
  readonly sourceSpoofing: boolean;
}

/**
 * `configurations`: all there are, by name. `labels`: of the host's Node. `local`: of file and environment, weakest first.
 * `clusterType`: of ClusterInformation, weaker than all of them.
 */
export function effectiveSettings(
  host: string,
  configurations: ReadonlyMap<string, ReadFelixConfiguration>,
  labels: Readonly<Record<string, string>>,
  local: readonly FelixConfigurationSpec[] = [],
  clusterType?: string,
): EffectiveSettings {
  const own = `node.${host}`;
  const selected = [...configurations]
    .filter(([name, { spec }]) => name !== "default" && !name.startsWith("node.") && selects(spec, labels))
    .sort(([a, first], [b, second]) =>
      first.createdAt < second.createdAt || (first.createdAt === second.createdAt && a < b) ? -1 : 1,
    )
    .at(0);
  const spec: FelixConfigurationSpec = Object.assign(
    clusterType === undefined ? {} : { clusterType },
    configurations.get("default")?.spec,
    selected?.[1].spec,
    configurations.get(own)?.spec,
    ...local,
  );
  return { spec, settings: settingsOf(spec), sourceSpoofing: spec.workloadSourceSpoofing === "Any" };
}

function selects({ nodeSelector }: FelixConfigurationSpec, labels: Readonly<Record<string, string>>): boolean {
  if (nodeSelector === undefined || nodeSelector.trim() === "") return false;
  return matches(parseSelector(nodeSelector, "spec.nodeSelector"), new Map(Object.entries(labels)));
}

function settingsOf(spec: FelixConfigurationSpec): HostSettings {
  const ipv4 = spec.deviceRouteSourceAddress;
  const ipv6 = spec.deviceRouteSourceAddressIPv6;
  return {
    interfacePrefixes: (spec.interfacePrefix ?? "cali").split(","),
    endpointToHost: actions[spec.defaultEndpointToHostAction ?? "Drop"],
    allowAction: actions[spec.nftablesFilterAllowAction ?? spec.iptablesFilterAllowAction ?? "Accept"],
    denyAction: (spec.nftablesFilterDenyAction ?? spec.iptablesFilterDenyAction) === "Reject" ? "reject" : "drop",
    failsafeInbound: spec.failsafeInboundHostPorts?.map(failsafePort) ?? defaultInbound,
    failsafeOutbound: spec.failsafeOutboundHostPorts?.map(failsafePort) ?? defaultOutbound,
    logPrefix: spec.logPrefix ?? "calico-packet",
    logLimit: rateLimit(spec.logActionRateLimit, spec.logActionRateLimitBurst),
    dropInvalid: spec.disableConntrackInvalidCheck !== true,
    allowVxlanFromWorkloads: spec.allowVXLANPacketsFromWorkloads ?? false,
    allowIpipFromWorkloads: spec.allowIPIPPacketsFromWorkloads ?? false,
    natOutgoingAddress: spec.natOutgoingAddress === undefined ? undefined : parseIpAddress(spec.natOutgoingAddress),
    natPortRange: portRange(spec.natPortRange),
    natExcludesHosts: spec.natOutgoingExclusions === "IPPoolsAndHostIPs",
    externalHosts: (spec.externalNodesList ?? []).map((net) => parseCidr(net)),
    openStack: isOpenStack(spec) ? { metadata: metadataService(spec) } : undefined,
    removeExternalRoutes: spec.removeExternalRoutes ?? true,
    routeSource: {
      ipv4: ipv4 === undefined ? undefined : parseIpAddress(ipv4),
      ipv6: ipv6 === undefined ? undefined : parseIpAddress(ipv6),
    },
  };
}

/** Its own plug-in says so in the cluster's type; older ones are known by the names of their interfaces. */
function isOpenStack({ clusterType = "", interfacePrefix = "" }: FelixConfigurationSpec): boolean {
  return clusterType.toLowerCase().includes("openstack") || interfacePrefix.split(",").includes("tap");
}

function metadataService(spec: FelixConfigurationSpec): MetadataService | undefined {
  const { metadataAddr: host = "127.0.0.1", metadataPort: port = 8775 } = spec;
  return host === "" || host.toLowerCase() === "none" || port === 0 ? undefined : { host, port };
}

type ProtocolPort = NonNullable<FelixConfigurationSpec["failsafeInboundHostPorts"]>[number];

function failsafePort({ protocol, port, net }: ProtocolPort): FailsafePort {
  const name = (protocol ?? "tcp").toLowerCase() as keyof typeof protocols;
  return { protocol: protocols[name], port, net: net === undefined ? undefined : parseCidr(net) };
}

function open(protocol: number, port: number): FailsafePort {
  return { protocol, port, net: undefined };
}

/** One with its ends the wrong way round or out of bounds is as if not given. */
function portRange(text: string | number | undefined): PortRange | undefined {
  if (text === undefined) return undefined;
  const [first = 0, last = first] = String(text).split(":").map(Number);
  return first >= 1 && first <= last && last <= 65535 ? { first, last } : undefined;
}

/** "10/minute", as the model has checked it. */
function rateLimit(text: string | undefined, burst = 5): RateLimit | undefined {
  const [, count, per] = /^(\d+)\/(second|minute|hour|day)$/.exec(text ?? "") ?? [];
  return count === undefined ? undefined : { count: Number(count), per: per as RateLimit["per"], burst };
}
