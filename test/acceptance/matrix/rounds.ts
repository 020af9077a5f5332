/** Random policies, profiles, network sets and labels around endpoints that stay: one cluster for the oracle per round. */

import fc from "fast-check";
import type {
  OracleCluster,
  OracleItem,
  OraclePacket,
  OraclePolicy,
  OracleProfile,
  OracleSelector,
} from "../../../src/policy/testing/oracle.ts";
import { type Direction, type HostPlace, oracleHostPasses, oracleVerdict } from "../../../src/policy/testing/oracle.ts";
import {
  endpointPorts,
  type Nets,
  policy,
  profile,
  rulesOver,
  someLabels,
  tier,
} from "../../../src/policy/testing/random-clusters.ts";

/** A container with one address of each family; one of the host's own network stands for the host itself. */
export interface Endpoint {
  readonly kind: "container" | "host";
  readonly host: string;
  readonly container: string;
  readonly network: string;
  readonly addresses: Readonly<Record<4 | 6, string>>;
  readonly hostAddresses: Readonly<Record<4 | 6, string>>;
}

export interface Cell {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly family: 4 | 6;
  readonly kind: "tcp/80" | "tcp/81" | "udp/53" | "icmp";
}

const kinds = ["tcp/80", "tcp/81", "udp/53", "icmp"] as const;
const families = [4, 6] as const;
/** Docker's endpoints are all in it; policies and sets of the other one are for nobody and of nobody. */
const namespaces = ["libnetwork", "elsewhere"] as const;
/** No network's: endpoints may bring them too, also when they do not exist. */
const furtherProfiles = ["further", "kns.libnetwork", "missing"] as const;

export function cellsOf(endpoints: readonly Endpoint[]): readonly Cell[] {
  return endpoints.flatMap((from) =>
    endpoints
      .filter((to) => to !== from)
      .flatMap((to) => families.flatMap((family) => kinds.map((kind) => ({ from, to, family, kind })))),
  );
}

/**
 * What the oracle says: everybody on its way lets the packet that opens the conversation through, and nothing holds its
 * answer. A host always reaches its own containers, unless they are closed and cannot answer; containers reach their host
 * as their own policy says (Return).
 */
export function allowed(cluster: OracleCluster, cell: Cell): boolean {
  const { from, to } = cell;
  const sent = packetOf(cell);
  const received = { ...sent, source: sourceSeen(cell) };
  const isLocal = from.host === to.host;
  const says = ({ container }: Endpoint, direction: Direction, packet: OraclePacket) => {
    const item = cluster.items.find(({ id }) => id === container);
    return item !== undefined && oracleVerdict(cluster, item, direction, packet) === "allow";
  };
  const passes = ({ host }: Endpoint, place: HostPlace, packet: OraclePacket) =>
    oracleHostPasses(cluster, hostEndpointOf(cluster, host), place, packet);
  if (from.kind === "host" && isLocal) return !isClosed(cluster, to);
  const leaves =
    from.kind === "host"
      ? passes(from, "from the host", sent)
      : says(from, "egress", sent) && (isLocal || passes(from, "forwarded out", sent));
  const arrives =
    to.kind === "host"
      ? isLocal || passes(to, "to the host", received)
      : says(to, "ingress", received) && (isLocal || passes(to, "forwarded in", received));
  return leaves && arrives;
}

function isClosed({ items, profiles }: OracleCluster, { container }: Endpoint): boolean {
  return items.some(({ id, profiles: own }) => id === container && own.some((name) => profiles[name] === undefined));
}

export function hostEndpointOf({ items }: OracleCluster, host: string): OracleItem | undefined {
  return items.find((item) => item.kind === "host" && item.host === host);
}

/** Only the IPv4 pool has natOutgoing, and hosts lie in no pool. */
function sourceSeen({ from, to, family }: Cell): string {
  const isTranslated = from.kind === "container" && to.kind === "host" && from.host !== to.host && family === 4;
  return isTranslated ? from.hostAddresses[4] : from.addresses[family];
}

function packetOf({ from, to, family, kind }: Cell): OraclePacket {
  const [word = "", port = "0"] = kind.split("/");
  const protocol = word === "icmp" ? (family === 4 ? "ICMP" : "ICMPv6") : word === "tcp" ? "TCP" : "UDP";
  return {
    source: from.addresses[family],
    destination: to.addresses[family],
    protocol,
    // Any that the kernel gives: rules know only ports below 1024.
    sourcePort: protocol === "TCP" || protocol === "UDP" ? 40_000 : 0,
    destinationPort: Number(port),
    icmp: { type: family === 4 ? 8 : 128, code: 0 },
  };
}

const attemptsMax = 50;
const attemptStep = 1_000_003;

/**
 * The clusters of a run: the same for the same seed and the same addresses. In some of them host endpoints close what would
 * be open without them: between hosts, from and to them, and in what they forward.
 */
export function randomRounds(endpoints: readonly Endpoint[], seed: number, count: number): readonly OracleCluster[] {
  const cells = cellsOf(endpoints);
  for (let attempt = 0; ; attempt++) {
    const rounds = sampleRounds(endpoints, seed + attempt * attemptStep, count);
    const closed = new Set(rounds.flatMap((round) => cells.filter((cell) => closedByHosts(round, cell)).map(kindOf)));
    if (closed.size === 4 || attempt === attemptsMax) return rounds;
  }
}

const kindOf = ({ from, to }: Cell): string => `${from.kind} to ${to.kind}`;

function closedByHosts(cluster: OracleCluster, cell: Cell): boolean {
  const withoutHosts = { ...cluster, items: cluster.items.filter(({ kind }) => kind !== "host") };
  return !allowed(cluster, cell) && allowed(withoutHosts, cell);
}

function sampleRounds(endpoints: readonly Endpoint[], seed: number, count: number): readonly OracleCluster[] {
  const cells = cellsOf(endpoints);
  /** A round in which nearly nothing, or nearly everything, is allowed would prove little. */
  const telling = (cluster: OracleCluster) => {
    const share = cells.filter((cell) => allowed(cluster, cell)).length / cells.length;
    return share > 0.1 && share < 0.9;
  };
  return fc.sample(clustersAround(endpoints).filter(telling), { seed, numRuns: count });
}

function clustersAround(endpoints: readonly Endpoint[]): fc.Arbitrary<OracleCluster> {
  const addresses = endpoints.flatMap((one) => families.map((family) => one.addresses[family]));
  const rules = rulesOver(netsOf(endpoints));
  const named = Array.from({ length: 6 }, (_, at) => policy(`q${at}`, rules, namespaces));
  const forwarding = fc
    .option(policy("edge", rules, namespaces).map(forHosts), { nil: undefined, freq: 1 })
    .map((one) => one ?? []);
  const containers = endpoints.filter(({ kind }) => kind === "container");
  const set = (id: string) =>
    fc
      .record({
        namespace: fc.option(fc.constantFrom(...namespaces), { nil: undefined, freq: 1 }),
        addresses: fc.subarray([...addresses, "192.0.2.1"], { minLength: 1, maxLength: 4 }),
        labels: someLabels,
      })
      .map((one): OracleItem => {
        const kind = one.namespace === undefined ? "globalSet" : "set";
        return { ...one, id, kind, host: "", account: undefined, profiles: [], ports: [] };
      });
  return fc.record({
    items: fc
      .tuple(fc.tuple(...containers.map(itemOf)), hostEndpoints(endpoints), fc.tuple(set("s1"), set("s2"), set("s3")))
      .map((all) => all.flat()),
    policies: fc
      .tuple(
        fc.tuple(...named).chain((all) => fc.subarray(all)),
        forwarding,
      )
      .map(([all, own]) => [...all.map(tracked), ...own]),
    profiles: fc.record(
      Object.fromEntries(
        [...new Set(containers.map(({ network }) => network)), "further", "kns.libnetwork"].map((name) => [
          name,
          name.startsWith("kns.") ? profile(name, rules) : mostlyOpen(profile(name, rules)),
        ]),
      ),
    ),
    tiers: fc.record({ default: tier, early: tier, late: tier }),
  });
}

/** Answers without connection tracking need rules of their own: that is tested by itself (37). */
function tracked(one: OraclePolicy): OraclePolicy {
  return one.stage === "doNotTrack" ? { ...one, stage: "normal" } : one;
}

/** For host endpoints alone, and for what they forward. */
function forHosts(one: OraclePolicy): readonly OraclePolicy[] {
  const selector: OracleSelector = { is: "has", label: edgeLabel };
  return [{ ...one, namespace: undefined, stage: "normal", applyOnForward: true, selector }];
}

const edgeLabel = "edge";

/** Of some of the hosts, with some of the networks' profiles. */
function hostEndpoints(endpoints: readonly Endpoint[]): fc.Arbitrary<OracleItem[]> {
  const hosts = endpoints.filter(({ kind }) => kind === "host");
  const networks = [...new Set(endpoints.flatMap(({ kind, network }) => (kind === "container" ? [network] : [])))];
  const one = ({ host, hostAddresses }: Endpoint) =>
    fc
      .record({
        labels: someLabels,
        ports: endpointPorts,
        profiles: fc.oneof(
          { arbitrary: fc.subarray(networks, { minLength: 1, maxLength: 2 }), weight: 6 },
          { arbitrary: fc.constantFrom<string[]>([], ["missing"]), weight: 1 },
        ),
        isThere: fc.integer({ min: 0, max: 3 }).map((dice) => dice > 0),
      })
      .map(({ isThere, ...rest }): OracleItem[] => {
        const labels = { ...rest.labels, [edgeLabel]: "" };
        const who = { id: `hep-${host}`, kind: "host" as const, host, namespace: undefined, account: undefined };
        return isThere ? [{ ...who, ...rest, labels, addresses: [hostAddresses[4], hostAddresses[6]] }] : [];
      });
  return fc.tuple(...hosts.map(one)).map((all) => all.flat());
}

/** As a network's profile is: its members let each other in, and say everything. */
function mostlyOpen(random: fc.Arbitrary<OracleProfile>): fc.Arbitrary<OracleProfile> {
  const everybody: OracleSelector = { is: "all" };
  return fc.tuple(random, fc.boolean()).map(([one, open]) => ({
    ...one,
    ingress: [
      ...one.ingress,
      ...(open ? [{ action: "Allow" as const, source: { selector: everybody }, destination: {} }] : []),
    ],
    egress: [...one.egress, { action: "Allow" as const, source: {}, destination: {} }],
  }));
}

function itemOf({ host, container, network, addresses }: Endpoint): fc.Arbitrary<OracleItem> {
  const further = fc.oneof(
    { arbitrary: fc.constant([]), weight: 4 },
    { arbitrary: fc.subarray([...furtherProfiles], { minLength: 1, maxLength: 1 }), weight: 1 },
  );
  return fc.record({ labels: someLabels, ports: endpointPorts, further }).map((one): OracleItem => {
    const { labels, ports } = one;
    const profiles = [network, ...one.further];
    const who = { id: container, kind: "workload" as const, host, namespace: "libnetwork", account: undefined };
    return { ...who, addresses: [addresses[4], addresses[6]], labels, profiles, ports };
  });
}

/** The pools, some endpoints, and an octet's worth of neighbours: what the oracle can read. */
function netsOf(endpoints: readonly Endpoint[]): Nets {
  const some = endpoints.filter((_, at) => at % 2 === 0).map(({ addresses }) => addresses);
  const neighbours = some.slice(0, 2).map((one) => `${one[4].split(".").slice(0, 3).join(".")}.0/24`);
  return {
    4: ["192.168.0.0/16", ...neighbours, ...some.map((one) => `${one[4]}/32`)],
    6: ["fd80::/16", ...some.map((one) => `${one[6]}/128`)],
  };
}
