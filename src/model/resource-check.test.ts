/** What a client refuses, in whose words, and what it fills in: one table per question. */

import { expect, test } from "bun:test";
import { BadInput } from "../base/errors.ts";
import { goFieldName } from "./go-field-name.ts";
import { type IpPool, IpPool as IpPoolSchema } from "./ip-pool.ts";
import { checkIpPoolChange, checkIpPoolOverlap } from "./ip-pool-check.ts";
import { check } from "./resource.ts";
import { fieldErrorText, preparedResource } from "./resource-check.ts";

type Spec = Record<string, unknown>;
const apiVersion = "projectcalico.org/v3";
const resource = (kind: string, spec: Spec, metadata: Spec = {}) => ({
  kind,
  apiVersion,
  metadata: { name: "a", ...metadata },
  spec,
});
const policy = (spec: Spec) => resource("GlobalNetworkPolicy", spec);
const rule = (spec: Spec, direction = "ingress") => policy({ [direction]: [{ action: "Allow", ...spec }] });
const pool = (spec: Spec, name = "a") => resource("IPPool", { cidr: "10.0.0.0/16", ...spec }, { name });
const wep = (spec: Spec, metadata: Spec = {}) => {
  const identity = { orchestrator: "cni", node: "n1", containerID: "abc", endpoint: "eth0" };
  return resource("WorkloadEndpoint", { ...identity, ...spec }, { name: "", namespace: "default", ...metadata });
};
const namespaced = { namespace: "default" };

const refused: readonly [document: unknown, problem: string, number?: string][] = [
  [{ ...resource("Nonsense", {}) }, "unknown resource type (Kind) and/or version (v)"],
  [{ ...resource("Node", {}), apiVersion: "v1" }, "unknown resource type"],
  // Names, labels, annotations (8.1, 8.2)
  [resource("Node", {}, { name: "My_Node" }), "name must consist of lower case alphanumeric characters, '-' or '.'"],
  [resource("Node", {}, { name: "a".repeat(255) }), "name is too long by 2 bytes"],
  [resource("Tier", {}, { name: "a.b" }), "name must consist of lower case alphanumeric characters or '-' (regex: "],
  [resource("Tier", {}, { name: "a".repeat(64) }), "name is too long by 1 bytes"],
  [resource("GlobalNetworkPolicy", {}, { name: "a.b.c" }), "name must consist of"],
  [resource("NetworkPolicy", {}, { name: "knp.other.a.b", ...namespaced }), "name must consist of"],
  [resource("NetworkPolicy", {}), "namespace is not specified on namespaced resource", "7"],
  [
    resource("ClusterInformation", {}),
    'Cannot create a Cluster Information resource with a name other than "default"',
    "20",
  ],
  [resource("IPAMConfiguration", {}), 'Cannot create an IPAMConfiguration resource with a name other than "default"'],
  [resource("Node", {}, { labels: { "-x": "" } }), "invalid label key"],
  [resource("Node", {}, { labels: { x: "a b" } }), "invalid value"],
  [
    resource("Node", {}, { annotations: { x: "a".repeat(256 * 1024) } }),
    "total size of annotations is too large by 1 bytes",
  ],
  [policy({ selecter: "all()" }), "unknown field"],
  [rule({ sorce: {} }), "unknown field"],
  // Node (2.1)
  [resource("Node", { bgp: {} }), "Spec.BGP should not be empty"],
  [resource("Node", { bgp: { asNumber: "1.70000" } }), "AS Number format invalid"],
  [resource("Node", { bgp: { ipv4Address: "fd00::1/64" } }), "is not an IPv4 address"],
  [resource("Node", { addresses: [{ address: "10.0.0.1", type: "Other" }] }), "is not known"],
  // WorkloadEndpoint (2.2)
  [
    wep({}, { name: "foo" }),
    "does not match the primary identifiers assigned in the Spec: expected name n1-cni-abc-eth0",
    "22",
  ],
  [wep({ endpoint: "" }), "field should be assigned", "23"],
  [wep({ orchestrator: "foo", workload: "-x" }), "field must not begin with a '-'", "23"],
  [wep({ ipNetworks: ["10.0.0.0/24"] }), "IP network contains multiple addresses", "26"],
  [
    wep({ ipNetworks: ["10.0.0.1/32"], ipNATs: [{ internalIP: "10.0.0.2", externalIP: "192.0.2.1" }] }),
    "NAT is not in the endpoint networks",
    "26",
  ],
  [
    wep({ ipNetworks: ["10.0.0.1/32"], ipNATs: [{ internalIP: "10.0.0.1", externalIP: "fd00::1" }] }),
    "mismatched IP versions",
  ],
  [
    wep({ orchestrator: "foo", workload: "My_App" }),
    "Reason: failed to validate Field: Workload because of Tag: name ",
  ],
  [wep({ ports: [{ name: "", protocol: "TCP", port: 80 }] }), "name must not be empty if no HostPort is specified"],
  [wep({ ports: [{ name: "http", protocol: "ICMP", port: 80 }] }), "protocol does not support ports"],
  [wep({ ports: [{ name: "http", protocol: "TCP", port: 0 }] }), "port number must be between 1 and 65535"],
  [wep({ ports: [{ name: "a--b", protocol: "TCP", port: 1 }] }), "port name"],
  // Kinds of Kubernetes (2.5)
  [resource("KubeControllersConfiguration", {}, { name: "b" }), 'with a name other than "default"'],
  [
    resource("KubeControllersConfiguration", { etcdV3CompactionPeriod: "soon" }, { name: "default" }),
    "is not a duration",
  ],
  [resource("StagedKubernetesNetworkPolicy", { stagedAction: "Maybe" }, namespaced), "Invalid option"],
  [
    resource("StagedKubernetesNetworkPolicy", { ingress: [{ from: [{ ipBlock: { cidr: "x" } }] }] }, namespaced),
    "is not a CIDR",
  ],
  [resource("StagedKubernetesNetworkPolicy", { selector: "all()" }, namespaced), "unknown field"],
  // HostEndpoint (2.3)
  [resource("HostEndpoint", { interfaceName: "eth0" }), "no node has been specified", "28"],
  [resource("HostEndpoint", { node: "n1" }), "no interface or expected IPs have been specified", "28"],
  [resource("HostEndpoint", { node: "n1", interfaceName: "eth0/1" }), "Tag: interface"],
  [resource("HostEndpoint", { node: "n1", expectedIPs: ["10.0.0.0/8"] }), "is not an address"],
  [
    resource(
      "HostEndpoint",
      { node: "n1", interfaceName: "eth0" },
      { annotations: { "qos.projectcalico.org/dscp": "AF14" } },
    ),
    '"AF14" is no DSCP value',
  ],
  // Policies (2.5)
  [
    policy({ preDNAT: true, doNotTrack: true, applyOnForward: true }),
    "PreDNAT and DoNotTrack cannot both be true, for a given PolicySpec",
    "33",
  ],
  [
    policy({ preDNAT: true, applyOnForward: true, egress: [{ action: "Deny" }] }),
    "PreDNAT PolicySpec cannot have any Egress rules",
    "33",
  ],
  [
    policy({ doNotTrack: true }),
    "ApplyOnForward must be true if either PreDNAT or DoNotTrack is true, for a given PolicySpec",
    "33",
  ],
  [policy({ types: ["Ingress", "Ingress"] }), "'Ingress' type specified more than once"],
  [policy({ selector: "global()" }), "global() can only be used in an EntityRule namespaceSelector"],
  [policy({ tier: "a.b" }), "name must consist of lower case alphanumeric characters or '-'"],
  [policy({ performanceHints: ["Other"] }), "hints"],
  [resource("NetworkPolicy", { preDNAT: true }, namespaced), "unknown field"],
  [
    resource("StagedGlobalNetworkPolicy", { stagedAction: "Delete", selector: "all()" }),
    "must be zeroed with stagedAction 'Delete'",
    "34",
  ],
  [resource("Tier", { order: 5 }, { name: "default" }), "are fixed"],
  [resource("Tier", { defaultAction: "Allow" }), "not an action of a tier"],
  // Rules (3.1 to 3.4)
  [rule({ source: { nets: ["10.0.0.1"] } }), "invalid CIDR", "35"],
  [rule({ source: { nets: ["10.0.0.1/24"] } }), "not strictly masked", "35"],
  [
    rule({ source: { nets: ["10.0.0.0/24"] }, destination: { nets: ["fd00::/8"] } }),
    "rule contains both IPv4 and IPv6 CIDRs",
    "35",
  ],
  [rule({ ipVersion: 6, source: { nets: ["10.0.0.0/24"] } }), "rule IP version doesn't match CIDR version"],
  [
    rule({ source: { notNets: ["0.0.0.0/0"] } }),
    "catch-all CIDR in negation creates logical contradiction (matches no traffic)",
  ],
  [
    rule({ destination: { ports: [80] } }),
    "rules with numeric port or port range must set protocol to TCP or UDP or SCTP",
    "36",
  ],
  [
    rule({ protocol: "ICMP", destination: { ports: [80] } }),
    "rules that specify ports must set protocol to TCP or UDP or SCTP",
  ],
  [
    rule({ protocol: "TCP", destination: { ports: [0] } }),
    "port range invalid, port number must be between 1 and 65535",
    "36",
  ],
  [rule({ protocol: "TCP", destination: { ports: ["90:80"] } }), "port range invalid", "36"],
  [rule({ protocol: "tcp" }), "protocol name invalid", "37"],
  [rule({ protocol: 0 }), "protocol number invalid", "37"],
  [rule({ icmp: { type: 8 } }), "rules that specify ICMP fields must set protocol to ICMP", "37"],
  [rule({ protocol: "ICMP", icmp: { code: 0 } }), "ICMP code specified without an ICMP type", "37"],
  [rule({ protocol: "ICMP", ipVersion: 6 }), "must set ipversion to '4' with protocol icmp"],
  [rule({ protocol: "ICMPv6", ipVersion: 4 }), "must set ipversion to '6' with protocol icmpv6"],
  [rule({ action: "Deny", http: {} }), "only valid for Allow rules"],
  [rule({ http: {} }, "egress"), "not allowed in egress rule"],
  [rule({ protocol: "UDP", http: {} }), "rules that specify HTTP fields must set protocol to TCP or empty"],
  [rule({ http: { methods: ["GET", "GET"] } }), "twice"],
  [rule({ http: { paths: [{ exact: "/a", prefix: "/b" }] } }), "exactly one of exact and prefix"],
  [rule({ source: { services: { name: "x" } } }, "egress"), "not allowed in egress rule source"],
  [rule({ destination: { services: { name: "x" } } }), "not allowed in ingress rule destination"],
  [rule({ source: { services: { name: "x" }, selector: "all()" } }), "cannot be combined"],
  [rule({ source: { namespaceSelector: "global() || has(x)" } }), "global() cannot be combined with other selectors"],
  [resource("Profile", { labelsToApply: { "a b": "" } }), "invalid label"],
  // Sets and reservations (2.7, 2.9)
  [
    resource("GlobalNetworkSet", {}, { labels: { "projectcalico.org/namespace": "x" } }),
    "projectcalico.org/namespace is not a valid label name",
  ],
  [resource("NetworkSet", { nets: ["office"] }, namespaced), "is not an address or CIDR"],
  [resource("IPReservation", { reservedCIDRs: ["x"] }), "is not an address or CIDR"],
  // IPPool (2.8)
  [pool({ cidr: "" }), "IPPool CIDR must be specified"],
  [pool({ cidr: "10.0.0.1" }), "IPPool CIDR must be a valid subnet"],
  [pool({ cidr: "10.0.0.1/16" }), "IPPool CIDR is not strictly masked", "66"],
  [pool({ cidr: "169.254.1.0/24" }), "IPPool CIDR overlaps with IPv4 Link Local range 169.254.0.0/16", "66"],
  [pool({ cidr: "fe80::/64" }), "IPPool CIDR overlaps with IPv6 Link Local range fe80::/10"],
  [
    pool({ cidr: "10.0.0.0/27" }),
    "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
    "66",
  ],
  [pool({ blockSize: 19 }), "IPv4 block size must be between 20 and 32", "66"],
  [pool({ cidr: "fd00::/64", blockSize: 64 }), "IPv6 block size must be between 116 and 128"],
  [pool({ ipipMode: "Always", vxlanMode: "Always" }), "Cannot enable both VXLAN and IPIP on the same IPPool", "66"],
  [pool({ cidr: "fd00::/64", ipipMode: "Always" }), "IPIP is not supported on an IPv6 IP pool", "66"],
  [pool({ allowedUses: ["LoadBalancer", "Workload"] }), "cannot be combined"],
  // BGP kinds and the rest (2.10 to 2.12)
  [resource("BGPConfiguration", { asNumber: 64512 }), "Cannot set ASNumber on a non default BGP Configuration."],
  [
    resource("BGPConfiguration", { communities: [{ name: "x", value: "1:2" }] }, { name: "default" }),
    "not used in prefixAdvertisements",
  ],
  [
    resource("BGPPeer", { node: "n1", nodeSelector: "all()" }),
    "Node field must be empty when NodeSelector is specified",
  ],
  [
    resource("BGPPeer", { peerIP: "10.0.0.1", peerSelector: "all()" }),
    "PeerIP field must be empty when PeerSelector is specified",
  ],
  [
    resource("BGPPeer", { asNumber: 1, peerSelector: "all()" }),
    "ASNumber field must be empty when PeerSelector is specified",
  ],
  [resource("BGPPeer", { peerIP: "10.0.0.1:0" }), "is not an address"],
  [resource("BGPFilter", { exportV4: [{ cidr: "10.0.0.0/8", action: "Accept" }] }), "cidr and matchOperator must both"],
  [
    resource("BGPFilter", { exportV4: [{ cidr: "fd00::/8", matchOperator: "In", action: "Accept" }] }),
    "other address family",
  ],
  [resource("BGPFilter", { importV6: [{ action: "Accept", operations: [{}] }] }), "exactly one operation"],
  [resource("CalicoNodeStatus", { node: "n1", classes: ["BGP", "BGP"], updatePeriodSeconds: 1 }), "more than once"],
  [resource("CalicoNodeStatus", { node: "n1", classes: ["BGP"], updatePeriodSeconds: 86401 }), ""],
  [resource("FelixConfiguration", { defaultEndpointToHostAction: "drop" }), ""],
];
const numbered = (number: string | undefined) => (number === undefined ? "" : `${number}: `);
for (const [document, problem, number] of refused) {
  test(`${numbered(number)}refused: ${problem} ${JSON.stringify((document as { spec: unknown }).spec).slice(0, 90)}`, () => {
    expect(() => preparedResource(document)).toThrow(BadInput);
    expect(() => preparedResource(document)).toThrow(problem);
  });
}

const written: readonly [document: unknown, spec: Spec, number?: string][] = [
  [policy({}), { tier: "default", types: ["Ingress"] }, "29"],
  [
    policy({ egress: [{ action: "Allow" }] }),
    { tier: "default", egress: [{ action: "Allow" }], types: ["Egress"] },
    "29",
  ],
  [
    policy({
      ingress: [{ action: "Allow", protocol: "6", destination: { ports: ["80", "80:80", "80:90", "http"] } }],
      egress: [{ action: "Pass" }],
    }),
    {
      tier: "default",
      ingress: [{ action: "Allow", protocol: 6, destination: { ports: [80, 80, "80:90", "http"] } }],
      egress: [{ action: "Pass" }],
      types: ["Ingress", "Egress"],
    },
    "36, 37",
  ],
  [
    resource("StagedNetworkPolicy", { stagedAction: "Delete" }, namespaced),
    { stagedAction: "Delete", tier: "default", types: [] },
  ],
  [
    resource("StagedNetworkPolicy", { order: 1 }, namespaced),
    { stagedAction: "Set", order: 1, tier: "default", types: ["Ingress"] },
  ],
  [resource("Tier", {}), { order: 1_000_000, defaultAction: "Deny" }],
  [
    pool({}),
    {
      cidr: "10.0.0.0/16",
      ipipMode: "Never",
      vxlanMode: "Never",
      blockSize: 26,
      nodeSelector: "all()",
      allowedUses: ["Workload", "Tunnel"],
      assignmentMode: "Automatic",
    },
    "67",
  ],
  [resource("Node", { bgp: { asNumber: "1.2" } }), { bgp: { asNumber: 65538 } }],
  [resource("BGPPeer", { peerIP: "[fd00::1]:179", asNumber: 65001 }), { peerIP: "[fd00::1]:179", asNumber: 65001 }],
  [
    resource("BGPConfiguration", { nodeToNodeMeshEnabled: false }, { name: "default" }),
    { nodeToNodeMeshEnabled: false, logSeverityScreen: "Info", serviceLoadBalancerAggregation: "Enabled" },
  ],
  [resource("HostEndpoint", { node: "n1", interfaceName: "*" }), { node: "n1", interfaceName: "*" }],
  [
    resource("IPReservation", { reservedCIDRs: ["10.0.0.1", "10.0.0.0/31"] }),
    { reservedCIDRs: ["10.0.0.1", "10.0.0.0/31"] },
  ],
  [
    resource("NetworkPolicy", { types: ["Egress"] }, { name: "knp.default.a.b", ...namespaced }),
    { tier: "default", types: ["Egress"] },
  ],
];
for (const [document, spec, number] of written) {
  test(`${numbered(number)}written: ${JSON.stringify(spec).slice(0, 100)}`, () => {
    expect(preparedResource(document).spec).toEqual(spec);
    // What was written is what would be written again.
    expect(preparedResource(preparedResource(document))).toEqual(preparedResource(document));
  });
}

test("22, 25: an endpoint gets the name its identity demands, and the labels nobody can forge", () => {
  const { metadata } = preparedResource(wep({}, { labels: { "projectcalico.org/namespace": "other", app: "web" } }));
  expect(metadata.name).toBe("n1-cni-abc-eth0");
  expect(metadata.labels).toEqual({
    app: "web",
    "projectcalico.org/namespace": "default",
    "projectcalico.org/orchestrator": "cni",
  });
});

function refusalOf(document: unknown): BadInput {
  try {
    preparedResource(document);
  } catch (error) {
    if (error instanceof BadInput) return error;
  }
  throw new Error("was not refused");
}

test("62: a refusal names field and value as calicoctl does, with the name that its clients know", () => {
  const peer = resource("BGPPeer", { peerIP: "badpeerIP", asNumber: 64512 });
  expect(fieldErrorText(refusalOf(peer), peer)).toBe(
    "error with field PeerIP = 'badpeerIP' (is not an address or address:port)",
  );
  const endpoint = wep({ ipNetworks: ["10.0.0.0/24"] });
  expect(fieldErrorText(refusalOf(endpoint), endpoint)).toBe(
    "error with field IPNetworks = '10.0.0.0/24' (IP network contains multiple addresses)",
  );
});

const several: readonly [document: unknown, text: string][] = [
  [
    resource("Node", { bgp: { asNumber: "1.70000", ipv4Address: "fd00::1/64" }, vxlanTunnelMACAddr: "x" }),
    "-  ASNumber = '1.70000' (AS Number format invalid)\n-  IPv4Address = 'fd00::1/64' (is not an IPv4 address)\n-  VXLANTunnelMACAddr = 'x' (\"x\" is not a MAC address)\n",
  ],
  [
    policy({
      selector: "a ==",
      ingress: [
        { action: "Allow", protocol: "TCPP" },
        { action: "Deny", protocol: 300 },
      ],
    }),
    "-  Selector = 'a ==' (",
  ],
  [
    policy({ selectr: "x", ingress: [{ action: "allow" }, { action: "Permit" }] }),
    "-  Selectr = 'x' (unknown field)\n-  Action = 'allow' (",
  ],
  [
    resource("GlobalNetworkSet", { nets: ["x", "10.0.0.0/8", "y"] }, { labels: { "-": "" } }),
    "-  Labels (invalid label key \"-\")\n-  Nets = 'x' (\"x\" is not an address or CIDR)\n-  Nets = 'y'",
  ],
];
for (const [document, text] of several) {
  test(`all that is wrong is said at once: ${text.split("\n")[0]}`, () => {
    const said = fieldErrorText(refusalOf(document), document);
    expect(said).toStartWith(`error with the following fields:\n${text}`);
    expect(said).toEndWith(")\n");
  });
}

const goNames: readonly [path: string, name: string][] = [
  ["spec.asNumber", "ASNumber"],
  ["spec.cidr", "CIDR"],
  ["spec.ipipMode", "IPIPMode"],
  ["spec.vxlanMode", "VXLANMode"],
  ["spec.natOutgoing", "NATOutgoing"],
  ["spec.peerIP", "PeerIP"],
  ["spec.ingress[0].source.nets[2]", "Nets"],
  ["spec.ingress.0.icmp.type", "Type"],
  ["spec.ingress[0].icmp", "ICMP"],
  ["spec.assignmentMode", "AssignmentMode"],
  ["spec.preDNAT", "PreDNAT"],
  ["Metadata.Name", "Metadata.Name"],
  ["IPPool.Spec.CIDR", "IPPool.Spec.CIDR"],
];
for (const [path, name] of goNames) test(`${path} is ${name} in messages`, () => expect(goFieldName(path)).toBe(name));

test("66: of an existing pool neither range nor block size change, and a new one shares no address with another", () => {
  const read = (document: unknown): IpPool => check(IpPoolSchema, document);
  const before = read(pool({}));
  expect(() => checkIpPoolChange(before, read(pool({ cidr: "10.0.0.0/17" })))).toThrow(
    "IPPool CIDR cannot be modified",
  );
  expect(() => checkIpPoolChange(before, read(pool({ blockSize: 27 })))).toThrow("IPPool BlockSize cannot be modified");
  const balancer = read(pool({ allowedUses: ["LoadBalancer"], disableBGPExport: true }));
  expect(() => checkIpPoolChange(balancer, before)).toThrow(
    "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel",
  );
  expect(() => checkIpPoolChange(before, read(pool({ natOutgoing: true })))).not.toThrow();
  expect(() => checkIpPoolOverlap(read(pool({ cidr: "10.0.128.0/17" }, "b")), [before])).toThrow(
    "IPPool(b) CIDR overlaps with IPPool(a) CIDR 10.0.0.0/16",
  );
  expect(() => checkIpPoolOverlap(before, [before])).not.toThrow();
});
