/**
 * Enforcement depends on the resources now and on nothing else: each scenario's states are gone through in many orders,
 * and whatever the sink then holds must be what a naive calculation from scratch says.
 */

import { describe, expect, test } from "bun:test";
import type { Cidr } from "../base/addresses.ts";
import { decodeProfile } from "../model/profile.ts";
import { matches } from "../model/selector/selector.ts";
import type { EndpointEnforcement, RuleList } from "./enforcement.ts";
import { PolicyCalculator } from "./policy-calculator.ts";
import { comparePolicies } from "./policy-order.ts";
import { readEndpoint, readGlobalNetworkSet, readPolicy } from "./resource-readers.ts";
import { type ConvertedRules, convertRules } from "./rule-conversion.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import {
  block,
  type Documents,
  endpoint,
  globalPolicy,
  network,
  networkSet,
  node,
  policy,
  pool,
  profile,
  tier,
} from "./testing/cluster-documents.ts";

const allowAll = { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] };

const members = {
  ...endpoint("a", "10.0.0.1", { profiles: ["red"] }),
  ...endpoint("b", "10.0.0.2", { host: "h2", profiles: ["red"] }),
};
const outsider = endpoint("c", "10.0.0.3", { profiles: ["blue"] });
const labelled = endpoint("a", "10.0.0.1", { profiles: ["red"], labels: { role: "db", red: "own" } });
const denyDb = globalPolicy("deny-db", {
  selector: "role == 'db'",
  order: 10,
  types: ["Ingress"],
  ingress: [{ action: "Deny", source: { selector: "has(blue)" } }],
});
const openDns = globalPolicy("open-dns", {
  order: 20,
  egress: [{ action: "Allow", protocol: "UDP", destination: { ports: [53], selector: "app == 'dns'" } }],
});
const broken = globalPolicy("deny-db", {
  selector: "role == 'db'",
  ingress: [{ action: "Deny", source: { selector: "has(" } }],
});
const unreadable = {
  ...globalPolicy("deny-db", {}),
  ...{ "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/deny-db": "{" },
};
const inNamespace = policy("web", "default", {
  tier: "late",
  selector: "all()",
  ingress: [{ action: "Pass", source: { selector: "all()" } }],
});

const scenarios: Readonly<Record<string, readonly Documents[]>> = {
  "endpoints come, move and go": [
    { ...network("red"), ...members },
    { ...network("red"), ...members, ...endpoint("b", "10.0.0.2", { host: "h1", profiles: ["red"] }) },
    { ...network("red"), ...endpoint("b", "10.0.0.9", { host: "h2", profiles: ["red"] }) },
  ],
  "a profile goes while it is referred to, and is replaced by one that cannot be read": [
    { ...network("red"), ...network("blue"), ...members, ...outsider },
    { ...network("blue"), ...members, ...outsider },
    { ...network("blue"), ...members, ...outsider, ...profile("red", { ingress: [{ action: "Nonsense" }] }) },
    { ...network("blue"), ...members, ...outsider, ...profile("red", { ...allowAll, labelsToApply: { blue: "" } }) },
  ],
  "two endpoints with one address": [
    { ...network("red"), ...members, ...endpoint("d", "10.0.0.2", { profiles: ["red"] }) },
    {
      ...network("red"),
      ...endpoint("d", "10.0.0.2", { profiles: ["red"] }),
      ...endpoint("a", "10.0.0.1", { profiles: ["red"] }),
    },
    { ...network("red"), ...endpoint("a", "10.0.0.1", { profiles: ["red"] }) },
  ],
  "policies come, break and go": [
    { ...network("red"), ...network("blue"), ...labelled, ...outsider },
    { ...network("red"), ...network("blue"), ...labelled, ...outsider, ...denyDb },
    { ...network("red"), ...network("blue"), ...labelled, ...outsider, ...denyDb, ...openDns },
    { ...network("red"), ...network("blue"), ...labelled, ...outsider, ...broken, ...openDns },
    { ...network("red"), ...network("blue"), ...labelled, ...outsider, ...unreadable },
    { ...network("red"), ...network("blue"), ...members, ...outsider, ...denyDb },
  ],
  "rules change while they are in use": [
    { ...network("red"), ...labelled, ...outsider, ...network("blue"), ...denyDb },
    {
      ...profile("red", { ...allowAll, labelsToApply: { red: "" } }),
      ...labelled,
      ...outsider,
      ...network("blue"),
      ...globalPolicy("deny-db", {
        selector: "role == 'db'",
        ingress: [{ action: "Log" }, { action: "Deny", source: { selector: "has(green)" } }],
      }),
    },
    {
      ...network("red"),
      ...labelled,
      ...outsider,
      ...network("blue"),
      ...globalPolicy("deny-db", { selector: "role == 'db'" }),
    },
  ],
  "tiers are renamed, reordered and missing": [
    { ...network("red"), ...members, ...denyDb, ...openDns, ...inNamespace, ...tier("default", 10) },
    { ...network("red"), ...members, ...openDns, ...inNamespace, ...tier("default", 10), ...tier("late", 20, "Pass") },
    { ...network("red"), ...members, ...openDns, ...inNamespace, ...tier("default", 10), ...tier("late", 1) },
    {
      ...network("red"),
      ...members,
      ...globalPolicy("open-dns", { tier: "late", types: ["Egress"] }),
      ...tier("late", undefined),
    },
  ],
  "labels come from profiles, the first listed wins": [
    {
      ...profile("one", { ...allowAll, labelsToApply: { role: "db" } }),
      ...profile("two", { labelsToApply: { role: "web" } }),
      ...endpoint("a", "10.0.0.1", { profiles: ["one", "two"] }),
      ...denyDb,
    },
    {
      ...profile("one", allowAll),
      ...profile("two", { labelsToApply: { role: "web" } }),
      ...endpoint("a", "10.0.0.1", { profiles: ["one", "two"] }),
      ...denyDb,
    },
    {
      ...profile("one", allowAll),
      ...profile("two", { labelsToApply: { role: "db" } }),
      ...endpoint("a", "10.0.0.1", { profiles: ["two", "one"] }),
      ...denyDb,
    },
  ],
  "network sets and outside addresses": [
    {
      ...profile("p", { ingress: [{ action: "Allow", source: { selector: "site == 'x'" } }] }),
      ...endpoint("a", "10.0.0.1", { profiles: ["p"] }),
      ...networkSet("s", ["9.9.9.0/24", "10.0.0.7"], { site: "x" }),
    },
    {
      ...profile("p", { ingress: [{ action: "Allow", source: { notSelector: "site == 'x'" } }] }),
      ...endpoint("a", "10.0.0.1", { profiles: ["p"] }),
      ...networkSet("s", ["9.9.9.0/24"], { site: "y" }),
    },
  ],
  "routes follow blocks and hosts": [
    {
      ...pool("10.0.0.0/16", true),
      ...node("h1", "172.31.0.1/24"),
      ...node("h2", "172.31.0.2/24"),
      ...block("10.0.0.0/30", "h1", { 0: "h1", 1: "h2" }),
      ...block("10.0.0.4/30", "h2", { 0: "h1", 1: "h3" }),
    },
    {
      ...pool("10.0.0.0/16"),
      ...node("h1", "172.31.0.1/24"),
      ...node("h2", "172.31.0.9/24"),
      ...node("h3", "172.31.0.3/24"),
      ...block("10.0.0.0/30", undefined, { 0: "h1", 1: "h2" }),
      ...block("10.0.0.4/30", "h2", { 1: "h3" }),
    },
    { ...node("h2", "172.31.0.9/24"), ...block("10.0.0.4/30", "h3") },
  ],
  "garbage counts as absent": [
    { ...network("red"), ...members },
    Object.fromEntries(Object.keys({ ...network("red"), ...members }).map((key) => [key, '{"kind":1}'])),
  ],
};

function everyOrder(states: readonly Documents[]): readonly (readonly Documents[])[] {
  const gaps = states.flatMap((state) => [state, {}]);
  const pairs = states.flatMap((state, at) => (at === 0 ? [] : [{ ...states[at - 1], ...state }, state]));
  return [
    states,
    states.toReversed(),
    gaps,
    pairs,
    [...states, ...states.toReversed()],
    ...states.map((state) => [state]),
  ];
}

const flushes = ["each-key", "each-key-twice", "each-state", "end"] as const;

for (const [name, states] of Object.entries(scenarios)) {
  describe(name, () => {
    for (const [which, order] of everyOrder(states).entries()) {
      for (const flush of flushes) {
        for (const keys of ["sorted", "reversed"] as const) {
          test(`order ${which}, flushed ${flush}, keys ${keys}`, () => runThrough(order, flush, keys));
        }
      }
    }
  });
}

function runThrough(states: readonly Documents[], flush: (typeof flushes)[number], order: "sorted" | "reversed"): void {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  calculator.flush();
  expect(sink.calls).toEqual([]);
  calculator.inSync();
  let before: Documents = {};
  for (const state of states) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(state)])].sort();
    for (const key of order === "sorted" ? keys : keys.toReversed()) {
      if (before[key] === state[key]) continue;
      calculator.update(key, state[key]);
      if (flush === "each-key-twice") calculator.update(key, state[key]);
      if (flush.startsWith("each-key")) calculator.flush();
    }
    if (flush !== "end") calculator.flush();
    if (flush !== "end") expect(sink.state()).toEqual(fromScratch(state));
    before = state;
  }
  calculator.flush();
  expect(sink.state()).toEqual(fromScratch(before));
  sink.checkNothingIdle();
  const calls = sink.calls.length;
  calculator.flush();
  expect(sink.calls).toHaveLength(calls);
}

/** The same answer by the shortest way: everything is computed anew, nothing is remembered. */
function fromScratch(state: Documents): unknown {
  const of = (part: string) =>
    Object.entries(state)
      .filter(([key]) => key.includes(part))
      .sort(([a], [b]) => (a < b ? -1 : 1));
  const readable = <Value>(read: () => Value): Value[] => {
    try {
      return [read()];
    } catch {
      return [];
    }
  };
  const profiles = new Map(
    of("/profiles/").flatMap(([key, text]) =>
      readable(() => decodeProfile(text)).map((value) => [key.split("/").at(-1) ?? "", value] as const),
    ),
  );
  const endpoints = of("/workloadendpoints/").flatMap(([key, text]) => readable(() => readEndpoint(key, text)));
  const labelsOf = (source: { labels: Record<string, string>; profiles: readonly string[] }) => {
    const inherited = source.profiles.toReversed().map((name) => profiles.get(name)?.spec.labelsToApply ?? {});
    const effective: Record<string, string> = Object.assign({}, ...inherited, source.labels);
    return new Map(Object.entries(effective));
  };
  const labelledThings = [
    ...endpoints,
    ...of("/globalnetworksets/").map(([key, text]) => readGlobalNetworkSet(key, text)),
  ];
  const policies = of("networkpolicies/").map(([key, text]) => {
    const parts = key.split("/");
    return readPolicy(key, text, parts.at(-1) ?? "", parts.at(-3) === "networkpolicies" ? parts.at(-2) : undefined);
  });
  const tiers = new Map(
    of("/tiers/").map(([key, text]) => [key.split("/").at(-1) ?? "", JSON.parse(text).spec] as const),
  );

  const lists = new Map<string, RuleList>();
  const sets = new Map<string, Cidr[]>();
  const use = (id: string, rules: ConvertedRules) => {
    lists.set(id, rules.list);
    for (const [set, selector] of rules.selectors) {
      const found = labelledThings
        .filter(({ source }) => matches(selector, labelsOf(source)))
        .flatMap(({ addresses }) => addresses);
      sets.set(set, [...new Set(found)].sort());
    }
    return id;
  };
  const enforcement = endpoints
    .filter(({ host }) => host === "h1")
    .map((local): EndpointEnforcement => {
      const selecting = policies
        .filter(({ selector }) => matches(selector, labelsOf(local.source)))
        .sort(comparePolicies);
      const problems = [
        ...local.source.profiles.filter((name) => !profiles.has(name)).map((name) => `profile ${name} does not exist`),
        ...selecting.flatMap(({ rules }) => (rules.result.ok ? [] : [rules.result.problem])),
      ];
      const { key, interfaceName, mac, ips } = local;
      if (problems.length > 0) return { key, interfaceName, mac, addresses: ips, tiers: [], profiles: [], problems };
      const rank = (name: string) => (tiers.has(name) ? (tiers.get(name).order ?? 1e12) : 1e15);
      const names = [...new Set(selecting.map((one) => one.tier))].sort(
        (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
      );
      const idsOf = (name: string, direction: "inbound" | "outbound") =>
        selecting
          .filter((one) => one.tier === name && one[direction])
          .map(({ id, rules }) => (rules.result.ok ? use(id, rules.result.rules) : ""));
      return {
        key,
        interfaceName,
        mac,
        addresses: ips,
        tiers: names.map((name) => ({
          name,
          defaultAction: tiers.get(name)?.defaultAction === "Pass" ? "pass" : "deny",
          inbound: idsOf(name, "inbound"),
          outbound: idsOf(name, "outbound"),
        })),
        profiles: local.source.profiles.map((name) =>
          use(`profile/${name}`, convertRules(profiles.get(name)?.spec ?? {}, undefined)),
        ),
        problems,
      };
    });

  const addressOf = new Map(
    of("/nodes/").map(([key, text]) => [key.split("/").at(-1), JSON.parse(text).spec.bgp.ipv4Address.split("/")[0]]),
  );
  const routes: [string, string][] = [];
  const own: string[] = [];
  for (const [, text] of of("/assignment/")) {
    const { cidr, affinity, allocations, attributes } = JSON.parse(text);
    const owner = affinity?.slice("host:".length);
    if (owner === "h1") own.push(cidr);
    else if (addressOf.has(owner)) routes.push([cidr, addressOf.get(owner)]);
    for (const [ordinal, index] of allocations.entries()) {
      const holder = index === null ? undefined : attributes[index].secondary.node;
      if (holder === undefined || holder === owner || holder === "h1" || !addressOf.has(holder)) continue;
      const last = Number(cidr.split("/")[0].split(".").at(-1)) + ordinal;
      routes.push([`10.0.0.${last}/32`, addressOf.get(holder)]);
    }
  }
  const sorted = <Value>(entries: Iterable<readonly [string, Value]>) =>
    Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    endpoints: sorted(enforcement.map((one) => [one.key, one] as const)),
    lists: sorted(lists),
    sets: sorted(sets),
    pools: of("/ippools/").map(([, text]) => ({
      cidr: JSON.parse(text).spec.cidr,
      natOutgoing: JSON.parse(text).spec.natOutgoing,
    })),
    routes: sorted(routes),
    blocks: own,
  };
}

test("a network's members are let in by each other, and the set holds all of them", () => {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  for (const [key, value] of Object.entries({ ...network("red"), ...members, ...outsider }))
    calculator.update(key, value);
  calculator.inSync();
  calculator.flush();
  const [set, ...others] = sink.sets;
  expect(others).toEqual([]);
  expect([...(set?.[1] ?? [])].sort() as string[]).toEqual(["10.0.0.1/32", "10.0.0.2/32"]);
  const everything = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [] };
  expect(sink.lists.get("profile/red")).toEqual({
    inbound: [{ action: "allow", source: { ...everything, sets: [set?.[0] ?? ""] }, destination: everything }],
    outbound: [{ action: "allow", source: everything, destination: everything }],
  });
  const [a, c] = [...sink.endpoints.values()];
  expect([a?.profiles, a?.problems, a?.interfaceName]).toEqual([["profile/red"], [], "calia"] as never);
  expect([c?.profiles, c?.problems]).toEqual([[], ["profile blue does not exist"]]);
});

test("one more member costs one delta and one endpoint", () => {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  for (const [key, value] of Object.entries({ ...network("red"), ...members })) calculator.update(key, value);
  calculator.inSync();
  calculator.flush();
  sink.calls.length = 0;
  for (const [key, value] of Object.entries(endpoint("e", "10.0.0.5", { profiles: ["red"] })))
    calculator.update(key, value);
  calculator.flush();
  expect(sink.calls).toEqual([`set ${[...sink.sets.keys()][0]} +1 -0`, "+endpoint h1-libnetwork-libnetwork-e"]);
});

test("the built-in profile that allows everything needs no document and heeds none", () => {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  const own = {
    ...endpoint("a", "10.0.0.1", { profiles: ["projectcalico-default-allow"] }),
    ...profile("projectcalico-default-allow", {}),
  };
  for (const [key, value] of Object.entries(own)) calculator.update(key, value);
  calculator.inSync();
  calculator.flush();
  expect(sink.lists.get("profile/projectcalico-default-allow")?.inbound).toHaveLength(1);
});

test("what cannot be enforced exactly closes the endpoint and says why", () => {
  const rules: readonly [rule: Record<string, unknown>, problem: string][] = [
    [{ action: "Allow", destination: { ports: ["http"] } }, "named port"],
    [{ action: "Allow", http: { methods: ["GET"] } }, "HTTP"],
    [{ action: "Allow", destination: { services: { name: "x" } } }, "Kubernetes"],
  ];
  for (const [rule, problem] of rules) {
    const sink = new CheckingSink();
    const calculator = new PolicyCalculator({ host: "h1", sink });
    const own = {
      ...endpoint("a", "10.0.0.1", { profiles: ["p"] }),
      ...profile("p", { egress: [{ action: "Allow" }], ingress: [rule] }),
    };
    for (const [key, value] of Object.entries(own)) calculator.update(key, value);
    calculator.inSync();
    calculator.flush();
    const [closed] = sink.endpoints.values();
    expect(closed?.problems.join()).toContain(problem);
    expect(closed?.profiles).toEqual([]);
  }
});

test("an unreadable document is named with its reason", () => {
  const calculator = new PolicyCalculator({ host: "h1", sink: new CheckingSink() });
  const [[key = "", value = ""] = []] = Object.entries(network("red"));
  calculator.update(key, "{");
  expect(calculator.invalid.get(key)).toContain("not JSON");
  calculator.update(key, value);
  expect(calculator.invalid.size).toBe(0);
});
