/** Random policies, profiles, network sets and labels around endpoints that stay: one cluster for the oracle per round. */

import fc from "fast-check";
import type {
  OracleCluster,
  OracleItem,
  OraclePolicy,
  OracleProfile,
  OracleRule,
  OracleSelector,
} from "../../../src/policy/testing/oracle.ts";
import {
  endpointPorts,
  type Nets,
  policy,
  profile,
  rulesOver,
  someLabels,
  tier,
} from "../../../src/policy/testing/random-clusters.ts";
import { allowed, type Cell, cellsOf, type Endpoint, families } from "./cells.ts";

/** Docker's endpoints are all in it; policies and sets of the other one are for nobody and of nobody. */
const namespaces = ["libnetwork", "elsewhere"] as const;
/** No network's: endpoints may bring them too, also when they do not exist. */
const furtherProfiles = ["further", "kns.libnetwork", "missing"] as const;

const choicesPerRound = 6;

/**
 * The clusters of a run: the same for the same seed and the same addresses. Of some at random those that show most: that
 * host endpoints close what would be open without them, between hosts, from and to them, and in what they forward; and so
 * does policy before connection tracking, which opens what would be closed without it, too.
 */
export function randomRounds(endpoints: readonly Endpoint[], seed: number, count: number): readonly OracleCluster[] {
  const cells = cellsOf(endpoints);
  const choices = sampleRounds(endpoints, seed, count * choicesPerRound).map((round) => ({
    round,
    effects: effectsIn(round, cells),
  }));
  const seen = new Set<string>();
  return Array.from({ length: count }, (): OracleCluster[] => {
    const news = choices.map(({ effects }) => effects.difference(seen).size);
    const [best] = choices.splice(news.indexOf(Math.max(...news)), 1);
    for (const effect of best?.effects ?? []) seen.add(effect);
    return best === undefined ? [] : [best.round];
  }).flat();
}

/** What would be otherwise without host endpoints, and without policy before connection tracking. */
export function effectsIn(cluster: OracleCluster, cells: readonly Cell[]): ReadonlySet<string> {
  const withoutHosts = { ...cluster, items: cluster.items.filter(({ kind }) => kind !== "host") };
  const tracked = { ...cluster, policies: cluster.policies.filter(({ stage }) => stage !== "doNotTrack") };
  const effects = cells.flatMap((cell) => {
    const way = `${cell.from.kind} to ${cell.to.kind}`;
    const isOpen = allowed(cluster, cell);
    return [
      ...(!isOpen && allowed(withoutHosts, cell) ? [`hosts close ${way}`] : []),
      ...(allowed(tracked, cell) !== isOpen ? [`untracked ${isOpen ? "opens" : "closes"} ${way}`] : []),
    ];
  });
  return new Set(effects);
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
  const services = fc
    .option(untrackedServices(netsOf(endpoints)), { nil: undefined, freq: 1 })
    .map((one) => (one === undefined ? [] : [one]));
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
        services,
      )
      .map((all) => all.flat()),
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

/**
 * Some services of hosts without connection tracking, as one writes it in earnest: the questions in, their answers out, and
 * the same for the host as a client. Now and then a rule is forgotten, or somebody is shut out.
 */
function untrackedServices(nets: Nets): fc.Arbitrary<OraclePolicy> {
  const service = fc.constantFrom<Pick<OracleRule, "protocol" | "destination">>(
    { protocol: "TCP", destination: { ports: [80] } },
    { protocol: "TCP", destination: { ports: ["80:81"] } },
    { protocol: "UDP", destination: { ports: [53] } },
    { protocol: "ICMP", destination: {} },
    { protocol: "ICMPv6", destination: {} },
  );
  const bothWays = fc.array(service, { minLength: 1, maxLength: 3 }).chain((all) => {
    const allow = { action: "Allow" as const, source: {} };
    const full = all.flatMap((one): OracleRule[] => [
      { ...one, ...allow },
      { ...one, ...allow, source: one.destination, destination: {} },
    ]);
    return fc.oneof({ arbitrary: fc.constant(full), weight: 3 }, { arbitrary: fc.subarray(full), weight: 1 });
  });
  const shutOut = fc
    .constantFrom(...nets[4], ...nets[6])
    .map((net): OracleRule[] => [{ action: "Deny", source: { nets: [net] }, destination: {} }]);
  const noOne = fc.constant<OracleRule[]>([]);
  return fc
    .record({
      lists: bothWays.chain((rules) => fc.tuple(fc.constant(rules), fc.oneof(fc.constant(rules), bothWays))),
      out: fc.oneof({ arbitrary: noOne, weight: 3 }, { arbitrary: shutOut, weight: 1 }),
      tier: fc.constantFrom("default", "early", "late"),
    })
    .map(({ lists: [ingress, egress], out, tier: name }): OraclePolicy => {
      const selector: OracleSelector = { is: "has", label: edgeLabel };
      const fixed = { name: "services", namespace: undefined, order: undefined, types: [], applyOnForward: true };
      return { ...fixed, tier: name, selector, stage: "doNotTrack", ingress: [...out, ...ingress], egress };
    });
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
        isForAll: fc.integer({ min: 0, max: 2 }).map((dice) => dice === 0),
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
