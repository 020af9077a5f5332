/**
 * Felix' raw parameters: names as Felix has them, whatever their case, values as texts. By Felix' rules (felix-dataplane.md
 * 6.4): "none" is the zero value; a text that cannot be read gives the built-in value, whatever a weaker source says; for
 * those on which protection hangs it is fatal.
 */
import { type FelixConfigurationSpec, type FelixField, felixFieldNames, felixFields } from "./felix-fields.ts";

/** Where Felix' name is not that of the field. */
const otherNames: Partial<Record<FelixField, string>> = {
  reportingInterval: "ReportingIntervalSecs",
  reportingTTL: "ReportingTTLSecs",
  endpointReportingDelay: "EndpointReportingDelaySecs",
  ipipEnabled: "IpInIpEnabled",
  ipipMTU: "IpInIpMtu",
  iptablesPostWriteCheckInterval: "IptablesPostWriteCheckIntervalSecs",
  iptablesLockProbeInterval: "IptablesLockProbeIntervalMillis",
  netlinkTimeout: "NetlinkTimeoutSecs",
  usageReportingInitialDelay: "UsageReportingInitialDelaySecs",
  usageReportingInterval: "UsageReportingIntervalSecs",
  externalNodesList: "ExternalNodesCIDRList",
  wireguardKeepAlive: "WireguardPersistentKeepAlive",
};

const fatal: ReadonlySet<FelixField> = new Set([
  ...(["interfacePrefix", "chainInsertMode", "defaultEndpointToHostAction", "openstackRegion"] as const),
  ...(["iptablesFilterAllowAction", "iptablesMangleAllowAction", "iptablesFilterDenyAction"] as const),
  ...(["nftablesFilterAllowAction", "nftablesMangleAllowAction", "nftablesFilterDenyAction"] as const),
  ...(["iptablesMarkMask", "nftablesMarkMask", "failsafeInboundHostPorts", "failsafeOutboundHostPorts"] as const),
  ...(["metadataAddr", "metadataPort", "logFilePath", "externalNodesList"] as const),
]);

/** Those without which nothing works: "none" is no value for them. */
const neverNone: ReadonlySet<FelixField> = new Set([
  ...(["interfacePrefix", "chainInsertMode", "defaultEndpointToHostAction"] as const),
  ...(["iptablesFilterAllowAction", "iptablesMangleAllowAction", "iptablesFilterDenyAction"] as const),
  ...(["nftablesFilterAllowAction", "nftablesMangleAllowAction", "nftablesFilterDenyAction"] as const),
  ...(["iptablesMarkMask", "nftablesMarkMask", "maxIpsetSize"] as const),
]);

/** Of an agent itself: where its datastore is and what it is called. Read elsewhere, and never from the datastore. */
export const localParameters: ReadonlySet<string> = new Set([
  ...["felixhostname", "datastoretype", "etcdaddr", "etcdscheme", "etcdendpoints", "etcdkeyfile", "etcdcertfile"],
  ...["etcdcafile", "typhaaddr", "typhak8sservicename", "typhak8snamespace", "typhareadtimeout", "typhawritetimeout"],
]);

const fieldByParameter: ReadonlyMap<string, FelixField> = new Map(
  felixFieldNames.flatMap((field) => {
    const own = [field.toLowerCase(), field] as const;
    const other = otherNames[field];
    return other === undefined ? [own] : [own, [other.toLowerCase(), field] as const];
  }),
);

export interface RawParameters {
  /** A field that is there and undefined has its built-in value. */
  readonly spec: FelixConfigurationSpec;
  /** What could not be read and has its built-in value, or is not known. */
  readonly problems: readonly string[];
  /** What an agent must not start with. */
  readonly fatal: readonly string[];
}

export function readRawParameters(raw: ReadonlyMap<string, string>): RawParameters {
  const spec: Record<string, unknown> = {};
  const problems: string[] = [];
  const stopping: string[] = [];
  for (const [name, text] of raw) {
    const field = fieldByParameter.get(name.toLowerCase());
    if (field === undefined) {
      if (!localParameters.has(name.toLowerCase())) problems.push(`${name}: is not known`);
      continue;
    }
    const problem = readInto(spec, field, text.trim());
    if (problem === undefined) continue;
    (fatal.has(field) ? stopping : problems).push(`${name}: ${problem}`);
  }
  return { spec, problems, fatal: stopping };
}

function readInto(spec: Record<string, unknown>, field: FelixField, text: string): string | undefined {
  const { raw, schema } = felixFields[field];
  spec[field] = undefined;
  const isNone = text.toLowerCase() === "none";
  if (isNone && neverNone.has(field)) return '"none" is no value for it';
  const value = isNone ? raw.none : raw.read(text);
  const read = schema.safeParse(value);
  if (!isNone && value === undefined) return `"${text}" cannot be read`;
  if (!read.success) return isNone ? undefined : `"${text}" ${read.error.issues[0]?.message ?? "is not valid"}`;
  spec[field] = read.data;
  return undefined;
}
