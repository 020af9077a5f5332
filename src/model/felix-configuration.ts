/**
 * FelixConfiguration: what an administrator sets for the hosts' agents (calico-datastore.md 2.11). The object `default`
 * is for all hosts, `node.<host>` for one, any other with a nodeSelector for those it selects; the nearer wins, field
 * by field. Every field of 3.32 is known here and checked; which ones mean something is decided where they are used.
 */

import { z } from "zod";
import { tryParseCidr, tryParseIpAddress } from "../base/addresses.ts";
import { absentOr, decode, resourceSchema } from "./resource.ts";
import { isSelector } from "./selector/parse.ts";

const bool = absentOr(z.boolean());
const text = absentOr(z.string());
const integer = (least: number, most: number) => absentOr(z.int().min(least).max(most));
const oneOf = <const Words extends readonly [string, ...string[]]>(...words: Words) => absentOr(z.enum(words));
/** Go's notation: 90s, 1m30s, 500ms; a bare 0 as well. */
const duration = absentOr(
  z.string().regex(/^([+-]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0)$/, "is not a duration like 90s"),
);
const logLevel = oneOf("Trace", "Debug", "Info", "Warning", "Error", "Fatal");
const address = (family: 4 | 6) =>
  absentOr(
    z
      .string()
      .refine((value) => tryParseIpAddress(value)?.includes(":") === (family === 6), `is not an IPv${family} address`),
  );
const uint32 = integer(0, 0xffffffff);
const port = integer(1, 65535);
const network = z.string().refine((value) => tryParseCidr(value) !== undefined, "is not a CIDR");

const ProtocolPort = z.looseObject({
  protocol: absentOr(z.string().regex(/^(tcp|udp|sctp)$/i, "protocol must be TCP, UDP or SCTP")),
  port: z.int().min(1).max(65535),
  net: absentOr(network),
});

const fields = {
  interfacePrefix: absentOr(
    z.string().regex(/^[a-zA-Z0-9_-]{1,15}(,[a-zA-Z0-9_-]{1,15})*$/, "is not a list of prefixes"),
  ),
  interfaceExclude: text,
  chainInsertMode: absentOr(z.string().regex(/^(insert|append)$/i, "must be insert or append")),
  defaultEndpointToHostAction: oneOf("Drop", "Accept", "Return"),
  iptablesBackend: oneOf("Auto", "Legacy", "NFT"),
  iptablesFilterAllowAction: oneOf("Accept", "Return"),
  iptablesMangleAllowAction: oneOf("Accept", "Return"),
  iptablesFilterDenyAction: oneOf("Drop", "Reject"),
  iptablesRefreshInterval: duration,
  iptablesPostWriteCheckInterval: duration,
  iptablesLockProbeInterval: duration,
  iptablesMarkMask: uint32,
  iptablesNATOutgoingInterfaceFilter: absentOr(
    z.string().regex(/^([a-zA-Z0-9:._+-]{1,15})?$/, "is not an interface pattern"),
  ),
  ipsetsRefreshInterval: duration,
  maxIpsetSize: integer(1, 0x7fffffff),
  routeRefreshInterval: duration,
  interfaceRefreshInterval: duration,
  netlinkTimeout: duration,
  nftablesMode: oneOf("Auto", "Enabled", "Disabled"),
  nftablesRefreshInterval: duration,
  nftablesFilterAllowAction: oneOf("Accept", "Return"),
  nftablesMangleAllowAction: oneOf("Accept", "Return"),
  nftablesFilterDenyAction: oneOf("Drop", "Reject"),
  nftablesMarkMask: uint32,
  logPrefix: absentOr(z.string().regex(/^[a-zA-Z0-9%: /_.-]*$/, "has characters a log prefix cannot have")),
  logActionRateLimit: absentOr(
    z.string().regex(/^[1-9]\d{0,3}\/(second|minute|hour|day)$/, "is not a rate like 100/minute"),
  ),
  logActionRateLimitBurst: integer(0, 9999),
  logFilePath: text,
  logSeverityFile: logLevel,
  logSeverityScreen: logLevel,
  logSeveritySys: logLevel,
  reportingInterval: duration,
  reportingTTL: duration,
  endpointReportingEnabled: bool,
  endpointReportingDelay: duration,
  endpointStatusPathPrefix: text,
  policySyncPathPrefix: text,
  failsafeInboundHostPorts: absentOr(z.array(ProtocolPort)),
  failsafeOutboundHostPorts: absentOr(z.array(ProtocolPort)),
  healthEnabled: bool,
  healthHost: text,
  healthPort: port,
  healthTimeoutOverrides: absentOr(z.array(z.looseObject({ name: z.string(), timeout: z.string() }))),
  prometheusMetricsEnabled: bool,
  prometheusMetricsHost: text,
  prometheusMetricsPort: port,
  prometheusGoMetricsEnabled: bool,
  prometheusProcessMetricsEnabled: bool,
  prometheusWireGuardMetricsEnabled: bool,
  ipipEnabled: bool,
  ipipMTU: integer(0, 65535),
  vxlanMTU: integer(0, 65535),
  vxlanMTUV6: integer(0, 65535),
  wireguardMTU: integer(0, 65535),
  wireguardMTUV6: integer(0, 65535),
  vxlanEnabled: bool,
  vxlanPort: port,
  vxlanVNI: integer(0, 0xffffff),
  allowVXLANPacketsFromWorkloads: bool,
  allowIPIPPacketsFromWorkloads: bool,
  mtuIfacePattern: text,
  natPortRange: absentOr(z.union([z.string().regex(/^\d{1,5}:\d{1,5}$/, "is not a port range"), z.int()])),
  natOutgoingAddress: address(4),
  natOutgoingExclusions: oneOf("IPPoolsOnly", "IPPoolsAndHostIPs"),
  deviceRouteSourceAddress: address(4),
  deviceRouteSourceAddressIPv6: address(6),
  deviceRouteProtocol: integer(0, 255),
  removeExternalRoutes: bool,
  routeSource: oneOf("WorkloadIPs", "CalicoIPAM"),
  routeTableRanges: absentOr(z.array(z.looseObject({ min: z.int().min(1), max: z.int().min(1) }))),
  routeSyncDisabled: bool,
  ipv4NormalRoutePriority: integer(1, 2147483646),
  ipv6NormalRoutePriority: integer(1, 2147483646),
  ipv4ElevatedRoutePriority: integer(1, 2147483646),
  ipv6ElevatedRoutePriority: integer(1, 2147483646),
  programClusterRoutes: oneOf("Enabled", "Disabled"),
  ipForwarding: oneOf("Enabled", "Disabled"),
  externalNodesList: absentOr(z.array(network)),
  ipv6Support: bool,
  xdpEnabled: bool,
  xdpRefreshInterval: duration,
  genericXDPEnabled: bool,
  disableConntrackInvalidCheck: bool,
  workloadSourceSpoofing: oneOf("Disabled", "Any"),
  serviceLoopPrevention: oneOf("Drop", "Reject", "Disabled"),
  floatingIPs: oneOf("Enabled", "Disabled"),
  kubeNodePortRanges: absentOr(z.array(z.union([z.string(), z.int()])).max(7)),
  metadataAddr: text,
  metadataPort: integer(0, 65535),
  openstackRegion: absentOr(z.string().regex(/^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$/, "is not a DNS label")),
  usageReportingEnabled: bool,
  usageReportingInitialDelay: duration,
  usageReportingInterval: duration,
  wireguardEnabled: bool,
  wireguardEnabledV6: bool,
  wireguardListeningPort: port,
  wireguardListeningPortV6: port,
  wireguardRoutingRulePriority: integer(1, 32765),
  wireguardInterfaceName: text,
  wireguardInterfaceNameV6: text,
  wireguardKeepAlive: duration,
  bpfEnabled: bool,
  bpfLogLevel: text,
  bpfConnectTimeLoadBalancing: oneOf("TCP", "Enabled", "Disabled"),
  bpfConnectTimeLoadBalancingEnabled: bool,
  bpfHostNetworkedNATWithoutCTLB: oneOf("Enabled", "Disabled"),
  bpfExternalServiceMode: text,
  bpfEnforceRPF: text,
  bpfDataIfacePattern: text,
  awsSrcDstCheck: oneOf("DoNothing", "Enable", "Disable"),
  featureDetectOverride: text,
  featureGates: text,
  useInternalDataplaneDriver: bool,
  dataplaneDriver: text,
  dataplaneWatchdogTimeout: duration,
  flowLogsFlushInterval: duration,
  goGCThreshold: integer(-1, 0x7fffffff),
  goMemoryLimitMB: integer(-1, 0x7fffffff),
  goMaxProcs: integer(-1, 0x7fffffff),
  nodeSelector: absentOr(z.string().refine(isSelector, "is not a selector")),
};

export type FelixField = keyof typeof fields;

export const FelixConfigurationSpec = z.looseObject(fields);
export type FelixConfigurationSpec = z.infer<typeof FelixConfigurationSpec>;

/** Strict: what a client accepts. */
export const FelixConfiguration = z.looseObject({
  ...resourceSchema("FelixConfiguration", FelixConfigurationSpec).shape,
  spec: z.preprocess((value) => value ?? {}, FelixConfigurationSpec),
});
export type FelixConfiguration = z.infer<typeof FelixConfiguration>;

const AnySpec = z.looseObject({});
const Envelope = z.looseObject({
  ...resourceSchema("FelixConfiguration", AnySpec).shape,
  spec: z.preprocess((value) => value ?? {}, AnySpec),
});

export interface ReadFelixConfiguration {
  readonly createdAt: string;
  readonly spec: FelixConfigurationSpec;
  /** Fields that are left out because they are wrong: their built-in value counts. */
  readonly problems: readonly string[];
}

/** As an agent reads it: field by field, a wrong one counts as not given. @throws BadInput for no such object at all */
export function readFelixConfiguration(value: string, path = ""): ReadFelixConfiguration {
  const { metadata, spec } = decode(Envelope, value, path);
  const read: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const field of Object.keys(fields) as FelixField[]) {
    const result = fields[field].safeParse(spec[field]);
    if (!result.success) problems.push(`spec.${field}: ${result.error.issues[0]?.message ?? "is not valid"}`);
    else if (result.data !== undefined) read[field] = result.data;
  }
  return { createdAt: metadata.creationTimestamp ?? "", spec: FelixConfigurationSpec.parse(read), problems };
}

/** What every write of this kind fills in (floating addresses and BPF, which agents of other makes heed). */
export function withWriteDefaults(spec: FelixConfigurationSpec): FelixConfigurationSpec {
  const legacy = spec.bpfConnectTimeLoadBalancingEnabled;
  const balancing =
    legacy === undefined
      ? {
          bpfConnectTimeLoadBalancing: spec.bpfConnectTimeLoadBalancing ?? ("TCP" as const),
          bpfHostNetworkedNATWithoutCTLB: spec.bpfHostNetworkedNATWithoutCTLB ?? ("Enabled" as const),
        }
      : {
          bpfConnectTimeLoadBalancing: legacy ? ("Enabled" as const) : ("Disabled" as const),
          bpfHostNetworkedNATWithoutCTLB: "Disabled" as const,
        };
  return {
    ...spec,
    nftablesMode: spec.nftablesMode ?? "Auto",
    floatingIPs: spec.floatingIPs ?? "Disabled",
    bpfLogLevel: spec.bpfLogLevel ?? "",
    ...balancing,
  };
}
