/**
 * Random small clusters: what explain derives from the resources is what the calculation, the dataplane and the kernel's
 * own listing of its table come to, for every pair of addresses and several kinds of traffic.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { hostCidr, type IpAddress, parseIpAddress } from "../../base/addresses.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { RouteEntry } from "../../kernel/all-routes.ts";
import type { Link } from "../../kernel/links.ts";
import { listTable } from "../../kernel/nftables/table-listing.ts";
import { TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import { resourceKey } from "../../model/keys.ts";
import { apiVersion } from "../../model/resource.ts";
import { type ClusterModel, readCluster } from "../../policy/explain/cluster-model.ts";
import { explainFlow, type Party, partyAt } from "../../policy/explain/flow.ts";
import { type Packet, packetOf, parseTraffic, trafficText } from "../../policy/explain/packet.ts";
import { PolicyCalculator } from "../../policy/policy-calculator.ts";
import {
  block,
  clusterInformation,
  type Documents,
  endpoint,
  globalPolicy,
  hostEndpoint,
  networkSet,
  node,
  policy,
  pool,
  profile,
  tier,
} from "../../policy/testing/cluster-documents.ts";
import { tableName } from "../dataplane/chain-names.ts";
import { Dataplane } from "../dataplane/dataplane.ts";
import { hostViewOf } from "./host-view.ts";
import { kernelVerdict } from "./kernel-verdict.ts";

let namespace: TestNamespace;
beforeAll(() => {
  namespace = new TestNamespace("explain", { enter: true });
  // Where the host endpoints are: the addresses of both hosts, so that either can be played here.
  const link = "ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up";
  const addresses = hostAddresses.map((address) => `ip addr add ${address}/24 dev eth0`).join("; ");
  namespace.must("sh", "-c", `${link}; ${addresses}`);
});
afterAll(() => namespace?.[Symbol.dispose]());

const hosts = ["h1", "h2"] as const;
const hostAddresses = ["172.31.0.1", "172.31.0.2"] as const;
const members = [
  { id: "a", address: "10.0.0.1", host: "h1" },
  { id: "b", address: "10.0.0.2", host: "h1" },
  { id: "c", address: "10.0.0.5", host: "h2" },
  { id: "d", address: "fd00::1", host: "h1" },
  { id: "e", address: "fd00::5", host: "h2" },
] as const;
const places: Documents = {
  ...pool("10.0.0.0/16", true),
  ...pool("fd00::/64"),
  ...node("h1", "172.31.0.1/24"),
  ...node("h2", "172.31.0.2/24"),
  ...block("10.0.0.0/30", "h1", { 1: "h1", 2: "h1" }),
  ...block("10.0.0.4/30", "h2", { 1: "h2" }),
};

function configuration(host: string, spec: Record<string, unknown>): Documents {
  const key = resourceKey({ kind: "FelixConfiguration", name: `node.${host}` });
  return {
    [key]: JSON.stringify({ kind: "FelixConfiguration", apiVersion, metadata: { name: `node.${host}` }, spec }),
  };
}

const outside = ["9.9.9.9", "172.31.0.1", "172.31.0.2", "2001:db8::9"];
const traffic = ["tcp/22", "tcp/80", "tcp/443", "udp/53", "udp/4789", "icmp", "icmp/3/1", "47"];

const selector = fc.constantFrom(
  "role == 'web'",
  "role == 'db'",
  "has(role)",
  "!has(role)",
  "site == 'x'",
  "has(p)",
  "all()",
);
const some = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 2 });
const present = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
const side = fc
  .record({
    selector: some(selector),
    notSelector: some(selector),
    nets: some(fc.constantFrom(["10.0.0.0/30"], ["9.0.0.0/8", "10.0.0.5/32"], ["0.0.0.0/0"], ["fd00::/64"])),
    notNets: some(fc.constantFrom(["10.0.0.0/31"], ["9.9.9.9/32"], ["fd00::1/128"])),
  })
  .map(({ nets, notNets, ...rest }) => {
    // One family per rule is what the validation asks for.
    const mixed = nets !== undefined && notNets !== undefined && nets[0]?.includes(":") !== notNets[0]?.includes(":");
    return present({ ...rest, nets, notNets: mixed ? undefined : notNets });
  });
const sides = fc.oneof(fc.constant<Record<string, unknown>>({}), side);
const ports = fc.constantFrom<readonly (string | number)[]>([80], ["1:100", 443], [53], ["http"], ["http", 443]);
const about = fc.oneof(
  fc.constant({}),
  fc.record({ protocol: fc.constantFrom("TCP", "UDP"), destination: fc.record({ ports }) }),
  fc.record({ protocol: fc.constantFrom("TCP", "UDP"), destination: fc.record({ notPorts: ports }) }),
  fc.record({ protocol: fc.constant("TCP"), source: fc.record({ ports: fc.constantFrom(["40000:60000"], [1]) }) }),
  fc.constantFrom(
    { protocol: "ICMP", icmp: { type: 8 } },
    { protocol: "ICMP", notICMP: { type: 3, code: 1 } },
    { protocol: "ICMPv6", icmp: { type: 128, code: 0 } },
  ),
  fc.constantFrom({ notProtocol: "TCP" }, { ipVersion: 4 }, { ipVersion: 6 }),
);
const rule = fc
  .record({
    action: fc.constantFrom("Allow", "Allow", "Deny", "Pass", "Log"),
    source: sides,
    destination: sides,
    what: about,
  })
  .map(({ action, source, destination, what }) => {
    const ports = what as { source?: object; destination?: object };
    return {
      ...what,
      action,
      source: { ...source, ...ports.source },
      destination: { ...destination, ...ports.destination },
    };
  });
const rules = fc.array(rule, { maxLength: 3 });
const policySpec = fc
  .record({
    selector,
    order: some(fc.constantFrom(1, 2, 3)),
    tier: fc.constantFrom(undefined, "first", "missing"),
    types: some(fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"])),
    ingress: rules,
    egress: rules,
  })
  .map(present);
const merged = (documents: readonly Documents[]): Documents => Object.assign({}, ...documents);

/** The first packet of a connection exceeds none of them. */
function limited(documents: Documents, qosControls: object): Documents {
  const entries = Object.entries(documents).map(([key, text]) => {
    const document = JSON.parse(text);
    return [key, JSON.stringify({ ...document, spec: { ...document.spec, qosControls } })];
  });
  return Object.fromEntries(entries);
}

/** None, one by name, by address or for all interfaces, or two of which one wins. */
function hostEndpointOf(host: string, at: number): fc.Arbitrary<Documents> {
  const place = fc.constantFrom(
    { interfaceName: "eth0" },
    { interfaceName: "eth0" },
    { interfaceName: "eth0" },
    { expectedIPs: [hostAddresses[at]] },
    { interfaceName: "*" },
    { interfaceName: "eth1" },
    { expectedIPs: ["203.0.113.9"] },
  );
  const one = fc
    .record({
      place,
      profiles: fc.constantFrom(["p"], ["q"], [], ["gone"]),
      role: fc.constantFrom("web", "db", "host"),
    })
    .map(({ place, profiles, role }) => ({ spec: { ...place, node: host, profiles }, labels: { role } }));
  return fc
    .array(one, { maxLength: 2 })
    .map((all) => merged(all.map(({ spec, labels }, at) => hostEndpoint(`${host}-${at}`, spec, labels))));
}

/** More of them match than of others: there are fewer places where they are asked. */
const hostPolicySpec = fc
  .tuple(
    policySpec,
    fc.record({
      selector: fc.constantFrom("has(role)", "role == 'host'", "all()"),
      last: fc.constantFrom({ action: "Allow" }, { action: "Deny" }, { action: "Deny", protocol: "UDP" }, undefined),
    }),
    fc.constantFrom(
      { applyOnForward: true },
      { applyOnForward: true, preDNAT: true, types: ["Ingress"], egress: undefined },
      { applyOnForward: true, doNotTrack: true },
      {},
    ),
  )
  .map(([spec, { selector, last }, kind]) => {
    const and = (rules: unknown) => [...(Array.isArray(rules) ? rules : []), ...(last === undefined ? [] : [last])];
    return present({ ...spec, selector, ingress: and(spec.ingress), egress: and(spec.egress), ...kind });
  });

const cluster: fc.Arbitrary<Documents> = fc
  .record({
    endpoints: fc.tuple(
      ...members.map(({ id, address, host }) =>
        fc
          .record({
            profiles: fc.constantFrom(["p"], ["q"], ["p", "q"], ["q", "p"], [], ["gone"]),
            role: some(fc.constantFrom("web", "db")),
            port: some(fc.constantFrom(80, 443)),
            limits: fc.constantFrom(
              {},
              {},
              { ingressPacketRate: 10, ingressMaxConnections: 5 },
              { egressMaxConnections: 1, dscp: "EF" },
            ),
          })
          .map(({ profiles, role, port, limits }) =>
            limited(
              endpoint(id, address, {
                host,
                profiles,
                labels: role === undefined ? {} : { role },
                ports: port === undefined ? [] : [{ name: "http", protocol: "TCP", port }],
              }),
              limits,
            ),
          ),
      ),
    ),
    p: rules.map((ingress) => profile("p", { ingress, egress: [{ action: "Allow" }], labelsToApply: { p: "" } })),
    q: rules.map((egress) => profile("q", { ingress: [{ action: "Allow" }], egress, labelsToApply: { role: "web" } })),
    global: fc
      .array(policySpec, { maxLength: 3 })
      .map((all) => merged(all.map((spec, at) => globalPolicy(`g${at}`, spec)))),
    own: some(policySpec).map((spec) => (spec === undefined ? {} : policy("n", "default", spec))),
    first: fc
      .tuple(some(fc.constantFrom(5, 50)), fc.constantFrom("Deny", "Pass"))
      .map(([order, end]) => tier("first", order, end)),
    normal: fc.constantFrom("Deny", "Pass").map((end) => tier("default", 10, end)),
    settings: fc
      .record({
        defaultEndpointToHostAction: fc.constantFrom("Drop", "Return", "Accept"),
        allowVXLANPacketsFromWorkloads: fc.boolean(),
        nftablesFilterDenyAction: fc.constantFrom("Drop", "Reject"),
        metadataAddr: fc.constantFrom("127.0.0.1", "172.31.0.1", "9.9.9.9", "None"),
      })
      .map((spec) => configuration("h1", spec)),
    cloud: fc.constantFrom("margay", "openstack", "openstack,margay").map(clusterInformation),
    hostEndpoints: fc.tuple(...hosts.map(hostEndpointOf)).map(merged),
    hostPolicies: fc
      .array(hostPolicySpec, { maxLength: 3 })
      .map((all) => merged(all.map((spec, at) => globalPolicy(`h${at}`, spec)))),
    set: fc
      .constantFrom(["9.0.0.0/8"], ["9.9.9.9/32", "10.0.0.0/31"], ["2001:db8::/32"])
      .map((nets) => networkSet("s", nets, { site: "x" })),
  })
  .map(({ endpoints, ...rest }) => merged([places, ...endpoints, ...Object.values(rest)]));

/** The packet filter of one host, as the kernel lists it after the dataplane has put it there. */
async function tableOfHost(documents: Documents, host: string) {
  const identity = { name: host, address: parseIpAddress(host === "h1" ? "172.31.0.1" : "172.31.0.2") };
  const dataplane = await Dataplane.open({ clock: systemClock, log: silentLog, host: identity });
  try {
    const calculator = new PolicyCalculator({ host, sink: dataplane });
    for (const [key, value] of Object.entries(documents)) calculator.update(key, value);
    calculator.inSync();
    dataplane.setInSync();
    calculator.flush();
    // Routes to gateways that do not exist here fail; the packet filter, which comes first, is in force.
    await dataplane.apply().catch(() => {});
    return listTable(tableName);
  } finally {
    await dataplane.close();
  }
}

/** Links and routes as they would be: what fails without them is not the subject here. */
function linksAndRoutes(model: ClusterModel, host: string): { links: Link[]; routes: RouteEntry[] } {
  const own = [...model.endpoints.values()].filter((one) => one.host === host);
  const link = (name: string, index: number): Link => ({
    index,
    name,
    up: true,
    running: true,
    mtu: 1500,
    mac: "",
    kind: "",
    alias: "",
  });
  const routes = own.flatMap(({ ips }, at) =>
    ips.map((ip): RouteEntry => ({ destination: hostCidr(ip), kind: "link", interfaceIndex: at + 2, metric: 0 })),
  );
  const everywhere = ["0.0.0.0/0", "::/0"].map(
    (cidr): RouteEntry => ({
      destination: cidr as RouteEntry["destination"],
      kind: "gateway",
      interfaceIndex: 1,
      metric: 0,
    }),
  );
  return {
    links: [link("eth0", 1), ...own.map(({ interfaceName }, at) => link(interfaceName, at + 2))],
    routes: [...routes, ...everywhere],
  };
}

/** What has to come up, of the packet and of each stage of host endpoints. */
const verdicts = [
  "allow",
  "applyOnForward allow",
  "applyOnForward deny",
  "applyOnForward none",
  "deny",
  "doNotTrack allow",
  "doNotTrack deny",
  "doNotTrack none",
  "normal allow",
  "normal deny",
  "preDNAT allow",
  "preDNAT deny",
  "preDNAT none",
] as const;
const roundsMax = 8;

interface Question {
  readonly packet: Packet;
  readonly parties: readonly [from: Party, to: Party];
}

type Request = readonly [from: string, sourcePort: number, to: string, traffic: string];

/** For an address and for metadata, as guests of an OpenStack ask, and as they might try. */
function requestsOf(family: 4 | 6, own: string): readonly Request[] {
  if (family === 6)
    return [
      ["fe80::9", 546, "ff02::1:2", "udp/547"],
      ["fe80::9", 546, "ff02::1:2", "udp/53"],
    ];
  return [
    ["0.0.0.0", 68, "255.255.255.255", "udp/67"],
    ["0.0.0.0", 50_000, "255.255.255.255", "udp/67"],
    [own, 68, "172.31.0.1", "udp/67"],
    [own, 50_000, "169.254.169.254", "tcp/80"],
    [own, 50_000, "169.254.169.254", "tcp/443"],
    [own, 50_000, "127.0.0.1", "tcp/8775"],
  ];
}

/** Everybody to everybody, and what endpoints may ask of their host. */
function questions(model: ClusterModel): readonly Question[] {
  const addresses = [...members.map(({ address }) => address), ...outside].map((text) => parseIpAddress(text));
  const isSix = (address: IpAddress) => address.includes(":");
  const all = addresses.flatMap((from) =>
    addresses
      .filter((to) => from !== to && isSix(from) === isSix(to))
      .flatMap((to) =>
        traffic.map((text): Question => {
          const packet = packetOf(from, to, parseTraffic(text, ""), 50_000);
          return { packet, parties: [partyAt(model, from), partyAt(model, to)] };
        }),
      ),
  );
  const requests = members.flatMap(({ address }) => {
    const own = parseIpAddress(address);
    return requestsOf(isSix(own) ? 6 : 4, address).map(([from, sourcePort, destination, text]): Question => {
      const to = parseIpAddress(destination);
      const packet = packetOf(parseIpAddress(from), to, parseTraffic(text, ""), sourcePort);
      return { packet, parties: [partyAt(model, own), partyAt(model, to)] };
    });
  });
  return [...all, ...requests];
}

test("33, 34: resources and kernel come to the same verdict in every cell", async () => {
  let cells = 0;
  const seen = new Set<string>();
  const agree = fc.asyncProperty(cluster, async (documents) => {
    const model = readCluster(Object.entries(documents));
    const pictures = new Map<string, Parameters<typeof kernelVerdict>[2]>();
    for (const host of hosts)
      pictures.set(host, {
        table: await tableOfHost(documents, host),
        addresses: hostAddresses.map((text) => ({
          interfaceIndex: 1,
          address: parseIpAddress(text),
          prefixLength: 24,
        })),
        ...linksAndRoutes(model, host),
      });
    for (const { packet, parties } of questions(model)) {
      const kernels = new Map(
        explainFlow(model, ...parties, packet).hosts.map((part) => {
          const picture = pictures.get(part.host);
          if (picture === undefined) throw new Error(`no picture of ${part.host}`);
          return [part.host, kernelVerdict(part.host, part, picture)];
        }),
      );
      const views = new Map(
        [...kernels].flatMap(([host, answer]) => {
          const view = hostViewOf(answer);
          return view === undefined ? [] : [[host, view] as const];
        }),
      );
      for (const part of explainFlow(model, ...parties, packet, views).hosts) {
        const kernel = kernels.get(part.host);
        cells++;
        for (const { stage, trace } of part.hostEndpoints ?? []) seen.add(`${stage} ${trace.verdict}`);
        seen.add(`${kernel?.verdict}`);
        if (kernel?.verdict === part.verdict) continue;
        const cell = `${packet.source} -> ${packet.destination} ${trafficText(packet)} on ${part.host}`;
        throw new Error(`${cell}: resources ${part.verdict}, kernel ${kernel?.verdict} (${kernel?.reason})`);
      }
    }
  });
  // Until each kind of verdict has come up: some are rare.
  for (let round = 0; round === 0 || (round < roundsMax && seen.size < verdicts.length); round++)
    await fc.assert(agree, { numRuns: 80 });
  expect([...seen].sort()).toEqual([...verdicts]);
  expect(cells).toBeGreaterThan(5_000);
}, 120_000);
