/** The kinds `get` knows: their other names and what their tables show (calicoctl.md 4.6). */

import { z } from "zod";
import { invariant } from "../../../base/errors.ts";
import { isNamespaced, type Kind } from "../../../model/kinds.ts";
import type { AnyResource } from "../../../model/resource.ts";
import type { TieredPolicyKind } from "../../../model/tiered-policies.ts";
import { goFloat } from "./go-float.ts";

export interface KindView {
  readonly kind: Kind;
  /** Lower case. */
  readonly aliases: readonly string[];
  readonly columns: readonly string[];
  readonly wide: readonly string[];
  /** Headings that only custom-columns shows. */
  readonly extra?: readonly string[];
  readonly cell: (resource: AnyResource, column: string, context: CellContext) => string;
}

/** What a cell shows besides its own resource. */
export interface CellContext {
  /** The cluster's AS number, which nodes without their own inherit; "unknown" when nobody can read it. */
  readonly asNumber: string;
}

const texts = z.array(z.string()).catch([]);
const text = z.union([z.string(), z.number(), z.boolean()]).transform(String).catch("");
const record = z.record(z.string(), z.unknown()).catch({});
const cutAt = 80;

/** A member of the spec, whatever it is, as text. */
function member(resource: AnyResource, ...path: readonly string[]): string {
  const holder = path.slice(0, -1).reduce((value, name) => record.parse(value[name]), record.parse(resource.spec));
  return text.parse(holder[path.at(-1) ?? ""]);
}

function members(resource: AnyResource, name: string): string {
  const joined = texts.parse(record.parse(resource.spec)[name]).join(",");
  return joined.length > cutAt ? `${joined.slice(0, cutAt - 3)}...` : joined;
}

function orderOf({ spec }: AnyResource): string {
  return typeof spec?.order === "number" ? goFloat(spec.order) : "<nil>";
}

function labelsOf(resource: AnyResource): string {
  const labels = Object.entries(record.parse(record.parse(resource.spec).labelsToApply));
  return labels
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
}

const policyView = (kind: TieredPolicyKind, aliases: readonly string[]): KindView => ({
  kind,
  aliases,
  columns: ["NAME", "TIER"],
  wide: ["NAME", "TIER", "ORDER", "SELECTOR"],
  cell: (resource, column) => {
    if (column === "NAME") return resource.metadata.name;
    if (column === "TIER") return member(resource, "tier") || "default";
    return column === "ORDER" ? orderOf(resource) : member(resource, "selector");
  },
});

const workload = (resource: AnyResource): string =>
  member(resource, "pod") || member(resource, "containerID") || member(resource, "workload");

const Nats = z.array(z.looseObject({ internalIP: text, externalIP: text })).catch([]);

function natsOf(resource: AnyResource): string {
  const nats = Nats.parse(record.parse(resource.spec).ipNATs);
  return nats.map(({ internalIP, externalIP }) => `${internalIP}/${externalIP}`).join(",");
}

const endpointView: KindView = {
  kind: "WorkloadEndpoint",
  aliases: ["workloadendpoint", "workloadendpoints", "wep", "weps"],
  columns: ["WORKLOAD", "NODE", "NETWORKS", "INTERFACE"],
  wide: ["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS"],
  extra: ["ORCHESTRATOR"],
  cell: (resource, column) => {
    switch (column) {
      case "NAME":
        return resource.metadata.name;
      case "WORKLOAD":
        return workload(resource);
      case "NODE":
        return member(resource, "node");
      case "NETWORKS":
        return members(resource, "ipNetworks");
      case "INTERFACE":
        return member(resource, "interfaceName");
      case "PROFILES":
        return members(resource, "profiles");
      case "ORCHESTRATOR":
        return member(resource, "orchestrator");
      default:
        return natsOf(resource);
    }
  },
};

const poolView: KindView = {
  kind: "IPPool",
  aliases: ["ippool", "ippools", "ipp", "ipps", "pool", "pools"],
  columns: ["NAME", "CIDR", "SELECTOR"],
  wide: ["NAME", "CIDR", "NAT", "IPIPMODE", "VXLANMODE", "DISABLED", "DISABLEBGPEXPORT", "SELECTOR", "ASSIGNMENTMODE"],
  cell: (resource, column) => {
    switch (column) {
      case "NAME":
        return resource.metadata.name;
      case "CIDR":
        return member(resource, "cidr");
      case "SELECTOR":
        return member(resource, "nodeSelector") || "all()";
      case "NAT":
        return member(resource, "natOutgoing") || "false";
      case "IPIPMODE":
        return member(resource, "ipipMode") || "Never";
      case "VXLANMODE":
        return member(resource, "vxlanMode") || "Never";
      case "DISABLED":
        return member(resource, "disabled") || "false";
      case "DISABLEBGPEXPORT":
        return member(resource, "disableBGPExport") || "false";
      default:
        return member(resource, "assignmentMode") || "Automatic";
    }
  },
};

const nodeView: KindView = {
  kind: "Node",
  aliases: ["node", "nodes", "no", "nos"],
  columns: ["NAME"],
  wide: ["NAME", "ASN", "IPV4", "IPV6"],
  cell: (resource, column, { asNumber }) => {
    if (column === "NAME") return resource.metadata.name;
    if (column === "ASN") return member(resource, "bgp", "asNumber") || `(${asNumber})`;
    return member(resource, "bgp", column === "IPV4" ? "ipv4Address" : "ipv6Address");
  },
};

const named =
  (cell: (resource: AnyResource, column: string) => string) =>
  (resource: AnyResource, column: string): string =>
    column === "NAME" ? resource.metadata.name : cell(resource, column);

/** NAME and the given columns, narrow and wide alike. */
function plainView(
  kind: Kind,
  aliases: string,
  cells: Readonly<Record<string, (resource: AnyResource) => string>>,
): KindView {
  const columns = ["NAME", ...Object.keys(cells)];
  const cell = named((resource, column) => cells[column]?.(resource) ?? "");
  return { kind, aliases: aliases.split(" "), columns, wide: columns, cell };
}

function countOf(resource: AnyResource, name: string): string {
  return String(z.array(z.unknown()).catch([]).parse(record.parse(resource.spec)[name]).length);
}

const PodSelector = z
  .looseObject({
    matchLabels: z.record(z.string(), text).catch({}),
    matchExpressions: z.array(z.looseObject({ key: text, operator: text, values: texts })).catch([]),
  })
  .catch({ matchLabels: {}, matchExpressions: [] });

/** As Go prints the structure. */
function podSelectorOf(resource: AnyResource): string {
  const { matchLabels, matchExpressions } = PodSelector.parse(record.parse(resource.spec).podSelector);
  const labels = Object.entries(matchLabels).sort(([a], [b]) => (a < b ? -1 : 1));
  const expressions = matchExpressions.map(
    ({ key, operator, values }) =>
      `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(" ")}],},`,
  );
  return `&LabelSelector{MatchLabels:map[string]string{${labels.map(([name, value]) => `${name}: ${value},`).join("")}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join("")}},}`;
}

export const kindViews: readonly KindView[] = [
  endpointView,
  poolView,
  nodeView,
  policyView("GlobalNetworkPolicy", ["globalnetworkpolicy", "globalnetworkpolicies", "gnp", "gnps"]),
  policyView("NetworkPolicy", ["networkpolicy", "networkpolicies", "policy", "policies", "np", "nps", "pol", "pols"]),
  policyView("StagedGlobalNetworkPolicy", [
    "stagedglobalnetworkpolicy",
    "stagedglobalnetworkpolicies",
    "sgnp",
    "sgnps",
  ]),
  policyView("StagedNetworkPolicy", [
    ..."stagednetworkpolicy stagednetworkpolicies stagedpolicy stagedpolicies snp snps spol spols".split(" "),
  ]),
  {
    kind: "Profile",
    aliases: ["profile", "profiles", "pro", "pros"],
    columns: ["NAME"],
    wide: ["NAME", "LABELS"],
    cell: named(labelsOf),
  },
  {
    kind: "Tier",
    aliases: ["tier", "tiers"],
    columns: ["NAME", "ORDER"],
    wide: ["NAME", "ORDER"],
    cell: named(orderOf),
  },
  {
    kind: "GlobalNetworkSet",
    aliases: ["globalnetworkset", "globalnetworksets", "gnetsets"],
    columns: ["NAME"],
    wide: ["NAME", "NETS"],
    cell: named((resource) => members(resource, "nets")),
  },
  {
    kind: "NetworkSet",
    aliases: ["networkset", "networksets", "netsets"],
    columns: ["NAME"],
    wide: ["NAME", "NETS"],
    cell: named((resource) => members(resource, "nets")),
  },
  {
    kind: "IPReservation",
    aliases: ["ipreservation", "ipreservations", "reservation", "reservations"],
    columns: ["NAME"],
    wide: ["NAME", "CIDRS"],
    cell: named((resource) => members(resource, "reservedCIDRs")),
  },
  {
    kind: "HostEndpoint",
    aliases: ["hostendpoint", "hostendpoints", "hep", "heps"],
    columns: ["NAME", "NODE"],
    wide: ["NAME", "NODE", "INTERFACE", "IPS", "PROFILES"],
    cell: named((resource, column) => {
      if (column === "NODE") return member(resource, "node");
      if (column === "INTERFACE") return member(resource, "interfaceName");
      return members(resource, column === "IPS" ? "expectedIPs" : "profiles");
    }),
  },
  plainView("BGPConfiguration", "bgpconfiguration bgpconfigurations bgpconfig bgpconfigs", {
    LOGSEVERITY: (resource) => member(resource, "logSeverityScreen"),
    MESHENABLED: (resource) => member(resource, "nodeToNodeMeshEnabled") || "-",
    ASNUMBER: (resource) => member(resource, "asNumber") || "-",
  }),
  plainView("BGPFilter", "bgpfilter bgpfilters bgpf bgpfs bf bfs", {
    NUMEXPORTV4: (resource) => countOf(resource, "exportV4"),
    NUMIMPORTV4: (resource) => countOf(resource, "importV4"),
    NUMEXPORTV6: (resource) => countOf(resource, "exportV6"),
    NUMIMPORTV6: (resource) => countOf(resource, "importV6"),
  }),
  plainView("BGPPeer", "bgppeer bgppeers bgpp bgpps bp bps", {
    PEERIP: (resource) => member(resource, "peerIP"),
    NODE: (resource) => member(resource, "node") || member(resource, "nodeSelector") || "(global)",
    ASN: (resource) => member(resource, "asNumber"),
  }),
  plainView("FelixConfiguration", "felixconfiguration felixconfigurations felixconfig felixconfigs", {}),
  {
    kind: "IPAMConfiguration",
    aliases: ["ipamconfiguration", "ipamconfigurations", "ipamconfig", "ipamconfigs"],
    columns: ["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS"],
    wide: ["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS", "MAXBLOCKSPERHOST"],
    cell: named((resource, column) => {
      if (column === "MAXBLOCKSPERHOST") return member(resource, "maxBlocksPerHost") || "0";
      return member(resource, column === "STRICTAFFINITY" ? "strictAffinity" : "autoAllocateBlocks") || "false";
    }),
  },
  {
    kind: "CalicoNodeStatus",
    aliases: ["caliconodestatus", "caliconodestatuses", "nodestatus", "nodestatuses"],
    columns: ["NAME", "NODE"],
    wide: ["NAME", "NODE", "CLASSES"],
    cell: named((resource, column) => (column === "NODE" ? member(resource, "node") : members(resource, "classes"))),
  },
  plainView(
    "KubeControllersConfiguration",
    "kubecontrollersconfiguration kubecontrollersconfigurations kubecontrollersconfig kubecontrollersconfigs",
    {},
  ),
  {
    kind: "StagedKubernetesNetworkPolicy",
    aliases: [
      ..."stagedkubernetesnetworkpolicy stagedkubernetesnetworkpolicies stagedkubernetespolicy".split(" "),
      ..."stagedkubernetespolicies sknp skpol skpols".split(" "),
    ],
    columns: ["NAME"],
    wide: ["NAME", "PODSELECTOR"],
    cell: named(podSelectorOf),
  },
  {
    kind: "ClusterInformation",
    aliases: ["clusterinformation", "clusterinformations", "clusterinfo", "clusterinfos"],
    columns: ["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"],
    wide: ["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"],
    cell: named((resource, column) => {
      const fields: Readonly<Record<string, string>> = {
        CLUSTERGUID: "clusterGUID",
        CLUSTERTYPE: "clusterType",
        CALICOVERSION: "calicoVersion",
      };
      return member(resource, fields[column] ?? "datastoreReady");
    }),
  },
];

/** Every heading there is of the kind. */
export function columnsOf({ kind, columns, wide, extra = [] }: KindView): readonly string[] {
  return [...new Set([...(isNamespaced(kind) ? ["NAMESPACE"] : []), ...wide, ...columns, ...extra])];
}

export function viewOfKind(kind: string): KindView {
  const view = kindViews.find((one) => one.kind === kind);
  invariant(view !== undefined, `${kind} has a table`);
  return view;
}

export function viewOf(word: string): KindView | undefined {
  return kindViews.find(({ aliases }) => aliases.includes(word.toLowerCase()));
}
