/**
 * The fields of FelixConfiguration (calico-datastore.md 2.11), each with what it may hold in the stored object and how it is
 * read from a raw text: environment, file and annotations say "90" and "RETURN" where the object says "90s" and "Return".
 * Every field of 3.32 is known here and checked; which ones mean something is decided where they are used. (clusterType is a
 * parameter of Felix only.)
 */
import { z } from "zod";
import { tryParseCidr, tryParseIpAddress } from "../base/addresses.ts";
import {
  asIs,
  list,
  numberRanges,
  protocolPorts,
  type RawReader,
  rawBoolean,
  rawInteger,
  rawMilliseconds,
  rawSeconds,
  rawWord,
  timeouts,
} from "./felix-raw-values.ts";
import { absentOr } from "./resource.ts";
import { isSelector } from "./selector/parse.ts";

const field = <Schema extends z.ZodType>(schema: Schema, raw: RawReader) => ({ schema: absentOr(schema), raw });
const bool = field(z.boolean(), rawBoolean);
const text = field(z.string(), asIs);
const matching = (regex: RegExp, problem: string) => field(z.string().regex(regex, problem), asIs);
const integer = (least: number, most: number) => field(z.int().min(least).max(most), rawInteger);
const oneOf = <const Words extends readonly [string, ...string[]]>(...words: Words) =>
  field(z.enum(words), rawWord(words));
/** Go's notation: 90s, 1m30s, 500ms; a bare 0 as well. */
const durationText = z.string().regex(/^([+-]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0)$/, "is not a duration like 90s");
const duration = field(durationText, rawSeconds);
const milliseconds = field(durationText, rawMilliseconds);
const logLevel = oneOf("Trace", "Debug", "Info", "Warning", "Error", "Fatal");
const address = (family: 4 | 6) =>
  field(
    z
      .string()
      .refine((value) => tryParseIpAddress(value)?.includes(":") === (family === 6), `is not an IPv${family} address`),
    asIs,
  );
const uint32 = integer(0, 0xffffffff);
const port = integer(1, 65535);
const network = z.string().refine((value) => tryParseCidr(value) !== undefined, "is not a CIDR");

/** "" is what "none" of a raw text means. */
function isMetadataAddress(text: string): boolean {
  if (/^[\d.]+$/.test(text)) return tryParseIpAddress(text) !== undefined;
  return text === "" || /^[a-z0-9_.-]{1,253}$/i.test(text);
}

const ProtocolPort = z.looseObject({
  protocol: absentOr(z.string().regex(/^(tcp|udp|sctp)$/i, "protocol must be TCP, UDP or SCTP")),
  port: z.int().min(1).max(65535),
  net: absentOr(network),
});

export const felixFields = {
  interfacePrefix: matching(/^[a-zA-Z0-9_-]{1,15}(,[a-zA-Z0-9_-]{1,15})*$/, "is not a list of prefixes"),
  interfaceExclude: text,
  chainInsertMode: matching(/^(insert|append)$/i, "must be insert or append"),
  defaultEndpointToHostAction: oneOf("Drop", "Accept", "Return"),
  iptablesBackend: oneOf("Auto", "Legacy", "NFT"),
  iptablesFilterAllowAction: oneOf("Accept", "Return"),
  iptablesMangleAllowAction: oneOf("Accept", "Return"),
  iptablesFilterDenyAction: oneOf("Drop", "Reject"),
  iptablesRefreshInterval: duration,
  iptablesPostWriteCheckInterval: duration,
  iptablesLockProbeInterval: milliseconds,
  iptablesMarkMask: uint32,
  iptablesNATOutgoingInterfaceFilter: matching(/^([a-zA-Z0-9:._+-]{1,15})?$/, "is not an interface pattern"),
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
  logPrefix: matching(/^[a-zA-Z0-9%: /_.-]*$/, "has characters a log prefix cannot have"),
  logActionRateLimit: matching(/^[1-9]\d{0,3}\/(second|minute|hour|day)$/, "is not a rate like 100/minute"),
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
  failsafeInboundHostPorts: field(z.array(ProtocolPort), protocolPorts),
  failsafeOutboundHostPorts: field(z.array(ProtocolPort), protocolPorts),
  healthEnabled: bool,
  healthHost: text,
  healthPort: port,
  healthTimeoutOverrides: field(z.array(z.looseObject({ name: z.string(), timeout: z.string() })), timeouts),
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
  natPortRange: field(z.union([z.string().regex(/^\d{1,5}:\d{1,5}$/, "is not a port range"), z.int()]), asIs),
  natOutgoingAddress: address(4),
  natOutgoingExclusions: oneOf("IPPoolsOnly", "IPPoolsAndHostIPs"),
  deviceRouteSourceAddress: address(4),
  deviceRouteSourceAddressIPv6: address(6),
  deviceRouteProtocol: integer(0, 255),
  removeExternalRoutes: bool,
  routeSource: oneOf("WorkloadIPs", "CalicoIPAM"),
  routeTableRanges: field(z.array(z.looseObject({ min: z.int().min(1), max: z.int().min(1) })), numberRanges),
  routeSyncDisabled: bool,
  ipv4NormalRoutePriority: integer(1, 2147483646),
  ipv6NormalRoutePriority: integer(1, 2147483646),
  ipv4ElevatedRoutePriority: integer(1, 2147483646),
  ipv6ElevatedRoutePriority: integer(1, 2147483646),
  programClusterRoutes: oneOf("Enabled", "Disabled"),
  ipForwarding: oneOf("Enabled", "Disabled"),
  externalNodesList: field(z.array(network), list),
  ipv6Support: bool,
  xdpEnabled: bool,
  xdpRefreshInterval: duration,
  genericXDPEnabled: bool,
  disableConntrackInvalidCheck: bool,
  workloadSourceSpoofing: oneOf("Disabled", "Any"),
  serviceLoopPrevention: oneOf("Drop", "Reject", "Disabled"),
  floatingIPs: oneOf("Enabled", "Disabled"),
  kubeNodePortRanges: field(z.array(z.union([z.string(), z.int()])).max(7), list),
  clusterType: text,
  metadataAddr: field(z.string().refine(isMetadataAddress, "is neither an IPv4 address, a host name nor None"), asIs),
  metadataPort: integer(0, 65535),
  openstackRegion: matching(/^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$/, "is not a DNS label"),
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
  nodeSelector: field(z.string().refine(isSelector, "is not a selector"), asIs),
};

export type FelixField = keyof typeof felixFields;

export const felixFieldNames = Object.keys(felixFields) as readonly FelixField[];

type Schemas = { readonly [Field in FelixField]: (typeof felixFields)[Field]["schema"] };

/** What the stored object may hold, field by field. */
export const felixSchemas = Object.fromEntries(
  felixFieldNames.map((name) => [name, felixFields[name].schema]),
) as unknown as Schemas;

export const FelixConfigurationSpec = z.looseObject(felixSchemas);
export type FelixConfigurationSpec = z.infer<typeof FelixConfigurationSpec>;
