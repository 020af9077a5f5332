/**
 * BGPConfiguration, BGPPeer and BGPFilter: what hosts tell routers and each other (calico-datastore.md 2.10). The schema
 * checks fields by themselves, the functions what fields say about each other, in upstream's words.
 */

import { z } from "zod";
import { tryParseCidr, tryParseIpAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { parseAsNumber } from "./node.ts";
import { absentOr, resourceSchema } from "./resource.ts";
import { isSelector } from "./selector/parse.ts";

const AsNumber = z.union([z.number(), z.string()]).refine(isAsNumber, "must be an AS number from 0 to 4294967295");
const OptionalSelector = absentOr(z.string().refine(isSelector, "is not a selector"));
const Network = z.string().refine((text) => tryParseCidr(text) !== undefined, "is not a CIDR");
const Duration = z.string().regex(/^((\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0)$/, "is not a duration like 120s");
const Community = z
  .string()
  .regex(/^\d+:\d+(:\d+)?$/, "must be aa:nn or aa:nn:mm")
  .refine((text) => {
    const parts = text.split(":").map(Number);
    return parts.every((part) => part <= (parts.length === 2 ? 0xffff : 0xffffffff));
  }, "has a part that is too large");
const SecretReference = z.looseObject({
  secretKeyRef: absentOr(z.looseObject({ name: absentOr(z.string()), key: z.string() })),
});
const Priority = absentOr(z.int().min(1).max(2147483646));
const CidrBlock = z.looseObject({ cidr: Network });
const Switch = absentOr(z.enum(["Enabled", "Disabled"]));

export const BgpConfigurationSpec = z.looseObject({
  logSeverityScreen: absentOr(z.enum(["Trace", "Debug", "Info", "Warning", "Error", "Fatal"])),
  nodeToNodeMeshEnabled: absentOr(z.boolean()),
  asNumber: absentOr(AsNumber),
  serviceLoadBalancerIPs: absentOr(z.array(CidrBlock)),
  serviceExternalIPs: absentOr(z.array(CidrBlock)),
  serviceClusterIPs: absentOr(z.array(CidrBlock)),
  serviceLoadBalancerAggregation: Switch,
  communities: absentOr(z.array(z.looseObject({ name: z.string(), value: Community }))),
  prefixAdvertisements: absentOr(z.array(z.looseObject({ cidr: Network, communities: absentOr(z.array(z.string())) }))),
  listenPort: absentOr(z.int().min(1).max(65535)),
  nodeMeshPassword: absentOr(SecretReference),
  nodeMeshMaxRestartTime: absentOr(Duration),
  bindMode: absentOr(z.enum(["None", "NodeIP"])),
  ignoredInterfaces: absentOr(z.array(z.string().refine((name) => name !== "*" && name !== "", "must not be '*'"))),
  localWorkloadPeeringIPV4: absentOr(z.string()),
  localWorkloadPeeringIPV6: absentOr(z.string()),
  programClusterRoutes: Switch,
  ipv4NormalRoutePriority: Priority,
  ipv6NormalRoutePriority: Priority,
});
export const BgpConfiguration = resourceSchema(
  "BGPConfiguration",
  z.preprocess((value) => value ?? {}, BgpConfigurationSpec),
);
export type BgpConfiguration = z.infer<typeof BgpConfiguration>;

const defaultOnly = {
  nodeToNodeMeshEnabled: "NodeToNodeMeshEnabled",
  asNumber: "ASNumber",
  serviceLoadBalancerIPs: "ServiceLoadBalancerIPs",
  serviceExternalIPs: "ServiceExternalIPs",
  serviceClusterIPs: "ServiceClusterIPs",
} as const;

/** @throws BadInput */
export function checkBgpConfiguration({ metadata, spec }: BgpConfiguration): void {
  for (const [field, title] of Object.entries(defaultOnly)) {
    if (metadata.name === "default" || spec[field] === undefined) continue;
    const problem = `Cannot set ${title} on a non default BGP Configuration.`;
    throw new BadInput(`spec.${field}`, problem, "it in the object named default");
  }
  const used = new Set((spec.prefixAdvertisements ?? []).flatMap(({ communities }) => communities ?? []));
  const names = new Set((spec.communities ?? []).map(({ name }) => name));
  for (const name of names) {
    if (used.has(name)) continue;
    throw new BadInput("spec.communities", "community is not used in prefixAdvertisements", `"${name}" used there`);
  }
  for (const community of used) {
    if (names.has(community) || Community.safeParse(community).success) continue;
    throw new BadInput("spec.prefixAdvertisements", `community "${community}" is not defined`, "one of communities");
  }
}

export const BgpPeerSpec = z.looseObject({
  node: absentOr(z.string()),
  nodeSelector: OptionalSelector,
  peerIP: absentOr(
    z.string().refine((text) => text === "" || isPeerAddress(text), "is not an address or address:port"),
  ),
  asNumber: absentOr(AsNumber),
  localASNumber: absentOr(AsNumber),
  peerSelector: OptionalSelector,
  keepOriginalNextHop: absentOr(z.boolean()),
  nextHopMode: absentOr(z.enum(["Auto", "Self", "Keep"])),
  password: absentOr(SecretReference),
  sourceAddress: absentOr(z.enum(["UseNodeIP", "None"])),
  maxRestartTime: absentOr(Duration),
  keepaliveTime: absentOr(Duration),
  numAllowedLocalASNumbers: absentOr(z.int().min(0)),
  ttlSecurity: absentOr(z.int().min(0).max(255)),
  reachableBy: absentOr(z.string().refine((text) => tryParseIpAddress(text) !== undefined, "is not an address")),
  filters: absentOr(z.array(z.string())),
  localWorkloadSelector: OptionalSelector,
  reversePeering: absentOr(z.enum(["Auto", "Manual"])),
});
export const BgpPeer = resourceSchema("BGPPeer", BgpPeerSpec);
export type BgpPeer = z.infer<typeof BgpPeer>;

/** @throws BadInput */
export function checkBgpPeer({ spec }: BgpPeer): void {
  if (spec.node && spec.nodeSelector) {
    throw new BadInput("spec.node", "Node field must be empty when NodeSelector is specified", "one of them");
  }
  if (spec.peerSelector) {
    if (spec.peerIP) {
      throw new BadInput("spec.peerIP", "PeerIP field must be empty when PeerSelector is specified", "one of them");
    }
    if (spec.asNumber !== undefined && parseAsNumber(spec.asNumber) !== 0) {
      throw new BadInput("spec.asNumber", "ASNumber field must be empty when PeerSelector is specified", "no number");
    }
  }
}

const FilterRule = z.looseObject({
  cidr: absentOr(Network),
  prefixLength: absentOr(z.looseObject({ min: absentOr(z.int().min(0)), max: absentOr(z.int().min(0)) })),
  source: absentOr(z.enum(["RemotePeers"])),
  interface: absentOr(z.string()),
  matchOperator: absentOr(z.enum(["Equal", "NotEqual", "In", "NotIn"])),
  peerType: absentOr(z.enum(["eBGP", "iBGP"])),
  communities: absentOr(z.looseObject({ values: z.array(Community).length(1) })),
  asPathPrefix: absentOr(z.array(AsNumber)),
  priority: absentOr(z.int().min(0)),
  action: z.enum(["Accept", "Reject"]),
  operations: absentOr(
    z.array(
      z.looseObject({
        addCommunity: absentOr(z.looseObject({ value: Community })),
        prependASPath: absentOr(z.looseObject({ prefix: z.array(AsNumber).min(1) })),
        setPriority: absentOr(z.looseObject({ value: z.int().min(0) })),
      }),
    ),
  ),
});
const filterLists = ["exportV4", "importV4", "exportV6", "importV6"] as const;
const FilterRules = absentOr(z.array(FilterRule));
export const BgpFilter = resourceSchema(
  "BGPFilter",
  z.preprocess(
    (value) => value ?? {},
    z.looseObject({ exportV4: FilterRules, importV4: FilterRules, exportV6: FilterRules, importV6: FilterRules }),
  ),
);
export type BgpFilter = z.infer<typeof BgpFilter>;

/** @throws BadInput */
export function checkBgpFilter({ spec }: BgpFilter): void {
  for (const list of filterLists) {
    const [most, wide] = list.endsWith("V4") ? [32, false] : [128, true];
    for (const [at, rule] of (spec[list] ?? []).entries()) {
      const where = `spec.${list}[${at}]`;
      if (rule.cidr !== undefined && rule.cidr.includes(":") !== wide) {
        throw new BadInput(`${where}.cidr`, "is of the other address family", `IPv${wide ? 6 : 4}`);
      }
      if ((rule.cidr === undefined) !== (rule.matchOperator === undefined)) {
        throw new BadInput(where, "cidr and matchOperator must both be specified or both be empty", "both or none");
      }
      if (rule.prefixLength !== undefined && rule.cidr === undefined) {
        throw new BadInput(`${where}.prefixLength`, "prefixLength needs a cidr", "a cidr");
      }
      const { min = 0, max = most } = rule.prefixLength ?? {};
      if (min > max || max > most) throw new BadInput(`${where}.prefixLength`, "is not a range", `0 to ${most}`);
      for (const [index, operation] of (rule.operations ?? []).entries()) {
        const given = ["addCommunity", "prependASPath", "setPriority"].filter((kind) => operation[kind] !== undefined);
        if (given.length === 1) continue;
        throw new BadInput(`${where}.operations[${index}]`, "exactly one operation must be set", "one of three");
      }
    }
  }
}

/** 1.2.3.4, 1.2.3.4:179, fd00::1 or [fd00::1]:179. */
function isPeerAddress(text: string): boolean {
  if (tryParseIpAddress(text) !== undefined) return true;
  const match = /^(?:\[([^\]]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return tryParseIpAddress(match?.[1] ?? match?.[2] ?? "") !== undefined && port >= 1 && port <= 65535;
}

function isAsNumber(value: string | number): boolean {
  return parseAsNumber(value) !== undefined;
}
