/**
 * Resources of calicoctl's releases 1.0 to 2.6 (apiVersion v1) as those of today (calico-datastore.md 7.2 to 7.4). Pure: what
 * the new form means is checked by whoever writes it. What cannot be said in the new form is refused, not left out.
 */

import { createHash } from "node:crypto";
import { z } from "zod";
import { hostCidr, tryParseCidr, tryParseIpAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { normalizedName } from "./normalized-name.ts";
import { type AnyResource, absentOr, apiVersion, check } from "./resource.ts";
import { workloadEndpointName } from "./workload-endpoint-name.ts";

const Texts = absentOr(z.array(z.string()));
const Labels = absentOr(z.record(z.string(), z.string()));
const Ports = absentOr(z.array(z.union([z.number(), z.string()])));
const Side = absentOr(
  z.strictObject({
    tag: absentOr(z.string()),
    notTag: absentOr(z.string()),
    net: absentOr(z.string()),
    nets: Texts,
    notNet: absentOr(z.string()),
    notNets: Texts,
    selector: absentOr(z.string()),
    notSelector: absentOr(z.string()),
    ports: Ports,
    notPorts: Ports,
  }),
);
const Protocol = absentOr(z.union([z.string(), z.number()]));
const Icmp = absentOr(z.strictObject({ type: absentOr(z.int()), code: absentOr(z.int()) }));
const Rules = absentOr(
  z.array(
    z.strictObject({
      action: absentOr(z.string()),
      ipVersion: absentOr(z.int()),
      protocol: Protocol,
      notProtocol: Protocol,
      icmp: Icmp,
      notICMP: Icmp,
      source: Side,
      destination: Side,
    }),
  ),
);
type RuleV1 = NonNullable<z.infer<typeof Rules>>[number];

const named = z.strictObject({ name: z.string(), labels: Labels, annotations: Labels });
const kinds = {
  policy: z.strictObject({
    metadata: named,
    spec: z.strictObject({
      order: absentOr(z.number()),
      selector: absentOr(z.string()),
      ingress: Rules,
      egress: Rules,
      types: Texts,
      doNotTrack: absentOr(z.boolean()),
      preDNAT: absentOr(z.boolean()),
      applyOnForward: absentOr(z.boolean()),
    }),
  }),
  profile: z.strictObject({
    metadata: named.extend({ tags: Texts }),
    spec: absentOr(z.strictObject({ ingress: Rules, egress: Rules })),
  }),
  ipPool: z.strictObject({
    metadata: z.strictObject({ cidr: z.string() }),
    spec: absentOr(
      z.strictObject({
        ipip: absentOr(z.strictObject({ enabled: absentOr(z.boolean()), mode: absentOr(z.string()) })),
        "nat-outgoing": absentOr(z.boolean()),
        disabled: absentOr(z.boolean()),
      }),
    ),
  }),
  bgpPeer: z.strictObject({
    metadata: z.strictObject({ scope: absentOr(z.string()), node: absentOr(z.string()), peerIP: z.string() }),
    spec: z.strictObject({ asNumber: z.union([z.string(), z.number()]) }),
  }),
  hostEndpoint: z.strictObject({
    metadata: named.extend({ node: z.string() }),
    spec: z.strictObject({ interfaceName: absentOr(z.string()), expectedIPs: Texts, profiles: Texts }),
  }),
  node: z.strictObject({
    metadata: named,
    spec: absentOr(
      z.strictObject({
        bgp: absentOr(
          z.strictObject({
            asNumber: absentOr(z.union([z.string(), z.number()])),
            ipv4Address: absentOr(z.string()),
            ipv6Address: absentOr(z.string()),
          }),
        ),
      }),
    ),
  }),
  workloadEndpoint: z.strictObject({
    metadata: z.strictObject({
      name: z.string(),
      node: z.string(),
      orchestrator: z.string(),
      workload: z.string(),
      activeInstanceID: absentOr(z.string()),
      labels: Labels,
    }),
    spec: z.strictObject({
      interfaceName: z.string(),
      ipNetworks: Texts,
      ipNATs: absentOr(z.array(z.strictObject({ internalIP: z.string(), externalIP: z.string() }))),
      ipv4Gateway: absentOr(z.string()),
      ipv6Gateway: absentOr(z.string()),
      profiles: Texts,
      mac: absentOr(z.string()),
    }),
  }),
} as const;
type KindV1 = keyof typeof kinds;

export function isV1Kind(kind: unknown): kind is KindV1 {
  return typeof kind === "string" && Object.hasOwn(kinds, kind);
}

type Spec = Record<string, unknown>;

/** @throws BadInput with the field of the old document */
export function convertedV1(
  kind: KindV1,
  document: { readonly metadata?: unknown; readonly spec?: unknown },
): AnyResource {
  const { metadata, spec } = document;
  const given = { metadata: metadata ?? {}, ...(spec === undefined || spec === null ? {} : { spec }) };
  switch (kind) {
    case "policy": {
      const { metadata: own, spec: old } = check(kinds.policy, given);
      const types = old.types ?? (old.preDNAT === true ? ["Ingress"] : ["Ingress", "Egress"]);
      const { ingress, egress, ...rest } = old;
      return resource("GlobalNetworkPolicy", policyName(own.name), own, {
        ...rest,
        ...rules({ ingress, egress }),
        types,
      });
    }
    case "profile": {
      const { metadata: own, spec: old } = check(kinds.profile, given);
      return resource("Profile", normalizedName(own.name), undefined, {
        ...rules(old ?? {}),
        labelsToApply: labelsToApply(own.labels ?? {}, own.tags ?? []),
      });
    }
    case "ipPool": {
      const { metadata: own, spec: old = {} } = check(kinds.ipPool, given);
      const { ipip, disabled } = old;
      const mode = ipip?.enabled !== true ? "Never" : ipip.mode === "cross-subnet" ? "CrossSubnet" : "Always";
      const spec = {
        cidr: own.cidr,
        ipipMode: mode,
        natOutgoing: old["nat-outgoing"] ?? false,
        disabled: disabled ?? false,
      };
      return resource("IPPool", own.cidr.replaceAll(/[.:/]/g, "-"), undefined, spec);
    }
    case "bgpPeer": {
      const { metadata: own, spec: old } = check(kinds.bgpPeer, given);
      const address = own.peerIP.replaceAll(/[.:]/g, "-");
      const name = own.node === undefined ? address : `${normalizedName(own.node)}.${address}`;
      const spec = {
        peerIP: own.peerIP,
        asNumber: old.asNumber,
        ...(own.node === undefined ? {} : { node: own.node }),
      };
      return resource("BGPPeer", name, undefined, spec);
    }
    case "hostEndpoint": {
      const { metadata: own, spec: old } = check(kinds.hostEndpoint, given);
      const profiles = old.profiles?.map(normalizedName);
      return resource("HostEndpoint", normalizedName(own.name), own, { ...old, profiles, node: own.node });
    }
    case "node": {
      const { metadata: own, spec: old = {} } = check(kinds.node, given);
      return resource("Node", own.name.toLowerCase(), own, old);
    }
    case "workloadEndpoint":
      return workloadEndpoint(check(kinds.workloadEndpoint, given));
  }
}

function workloadEndpoint({ metadata, spec }: z.infer<(typeof kinds)["workloadEndpoint"]>): AnyResource {
  const { orchestrator, workload, labels = {} } = metadata;
  const { "calico/k8s_ns": namespace, ...others } = labels;
  const identity = {
    node: metadata.node.toLowerCase(),
    orchestrator,
    endpoint: metadata.name,
    workload: orchestrator === "cni" || orchestrator === "libnetwork" ? "" : normalizedName(workload),
    containerID: orchestrator === "cni" ? workload : "",
    pod: "",
  };
  const filled = Object.fromEntries(Object.entries(identity).filter(([, value]) => value !== ""));
  const renamed = namespace === undefined ? others : { ...others, "projectcalico.org/namespace": namespace };
  const converted = resource(
    "WorkloadEndpoint",
    workloadEndpointName(identity),
    { labels: renamed },
    {
      ...filled,
      ...spec,
      profiles: spec.profiles?.map(normalizedName),
    },
  );
  return { ...converted, metadata: { ...converted.metadata, namespace: namespace ?? "default" } };
}

function resource(
  kind: string,
  name: string,
  own:
    | {
        readonly labels?: Record<string, string> | undefined;
        readonly annotations?: Record<string, string> | undefined;
      }
    | undefined,
  spec: Spec,
): AnyResource {
  const { labels, annotations } = own ?? {};
  const metadata = {
    name,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { kind, apiVersion, metadata, spec: JSON.parse(JSON.stringify(spec)) };
}

/** A dot would part the tier from the name; two names must not become one. */
function policyName(name: string): string {
  if (!name.includes(".")) return normalizedName(name);
  const hash = createHash("sha1").update(name).digest("hex").slice(0, 8);
  return `${normalizedName(name.replaceAll(".", "-"))}-${hash}`;
}

function labelsToApply(labels: Readonly<Record<string, string>>, tags: readonly string[]): Record<string, string> {
  for (const tag of tags) {
    if ((labels[tag] ?? "") === "") continue;
    throw new BadInput("metadata.tags", `tag ${tag} is also a label with the value ${labels[tag]}`, "one of them");
  }
  return { ...labels, ...Object.fromEntries(tags.map((tag) => [tag, ""])) };
}

function rules({ ingress, egress }: { ingress?: RuleV1[] | undefined; egress?: RuleV1[] | undefined }): Spec {
  const all = (list: RuleV1[] | undefined, where: string) =>
    list?.map((rule, at) => convertedRule(rule, `${where}[${at}]`));
  return { ingress: all(ingress, "spec.ingress"), egress: all(egress, "spec.egress") };
}

const actions: Readonly<Record<string, string>> = {
  "": "Allow",
  allow: "Allow",
  deny: "Deny",
  log: "Log",
  "next-tier": "Pass",
  pass: "Pass",
};
const protocols: Readonly<Record<string, string>> = {
  tcp: "TCP",
  udp: "UDP",
  icmp: "ICMP",
  icmpv6: "ICMPv6",
  sctp: "SCTP",
  udplite: "UDPLite",
};

function convertedRule(rule: RuleV1, path: string): Spec {
  const action = actions[rule.action ?? ""];
  if (action === undefined)
    throw new BadInput(`${path}.action`, `unknown action ${rule.action}`, "allow, deny, log or next-tier");
  const protocol = (given: string | number | undefined) =>
    typeof given === "string" ? (protocols[given.toLowerCase()] ?? given) : given;
  const { source, destination, notProtocol, ...rest } = rule;
  return {
    ...rest,
    action,
    protocol: protocol(rule.protocol),
    notProtocol: protocol(notProtocol),
    source: side(source, `${path}.source`),
    destination: side(destination, `${path}.destination`),
  };
}

function side(given: z.infer<typeof Side>, path: string): Spec | undefined {
  if (given === undefined) return undefined;
  const { tag, notTag, net, notNet, nets = [], notNets = [], selector, notSelector, ...ports } = given;
  const cidrs = (one: string | undefined, many: readonly string[], field: string) => {
    const all = [...(one === undefined ? [] : [one]), ...many].map((text) => cidrOf(text, `${path}.${field}`));
    return all.length === 0 ? undefined : all;
  };
  return {
    ...ports,
    nets: cidrs(net, nets, "nets"),
    notNets: cidrs(notNet, notNets, "notNets"),
    selector: joined(selector, tag),
    notSelector: joined(notSelector, notTag),
  };
}

/** A tag is a label without a value. */
function joined(selector: string | undefined, tag: string | undefined): string | undefined {
  if (tag === undefined) return selector;
  return selector === undefined || selector === "" ? `has(${tag})` : `(${selector}) && has(${tag})`;
}

function cidrOf(text: string, path: string): string {
  const address = tryParseIpAddress(text);
  const cidr = address === undefined ? tryParseCidr(text) : hostCidr(address);
  if (cidr === undefined) throw new BadInput(path, `"${text}" is not a CIDR`, "a CIDR");
  return cidr;
}
