/**
 * Enforcement depends on the resources now and on nothing else: each scenario's states are gone through in many orders,
 * and whatever the sink then holds must be what a naive calculation from scratch says.
 */

import { describe, expect, test } from "bun:test";
import type { EnforcementSink } from "./enforcement.ts";
import { PolicyCalculator } from "./policy-calculator.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import {
  block,
  type Documents,
  endpoint,
  felixConfiguration,
  globalPolicy,
  hostEndpoint,
  network,
  networkSet,
  node,
  policy,
  pool,
  profile,
  stagedGlobalPolicy,
  tier,
} from "./testing/cluster-documents.ts";
import { fromScratch } from "./testing/from-scratch.ts";

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

const withPort = (port: number) => ({ ports: [{ name: "http", protocol: "TCP", port }] });
const allowHttp = globalPolicy("deny-db", {
  selector: "role == 'db'",
  order: 10,
  ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: ["http", 81] } }],
  egress: [{ action: "Allow", destination: { selector: "has(red)", ports: ["http"], notPorts: ["dns"] } }],
});
const eth0 = hostEndpoint("eth0", { node: "h1", interfaceName: "eth0", expectedIPs: ["172.31.0.11"] }, { role: "db" });
const staged = (name: string, flags: Record<string, unknown>) =>
  globalPolicy(name, {
    selector: "role == 'db'",
    applyOnForward: true,
    ...flags,
    ingress: [{ action: "Deny", source: { selector: "has(red)" } }],
  });

const scenarios: Readonly<Record<string, readonly Documents[]>> = {
  "named ports are declared, changed and asked for": [
    { ...network("red"), ...labelled, ...allowHttp },
    {
      ...network("red"),
      ...endpoint("a", "10.0.0.1", { profiles: ["red"], labels: { role: "db" }, ...withPort(80) }),
      ...allowHttp,
    },
    {
      ...network("red"),
      ...endpoint("a", "10.0.0.1", { profiles: ["red"], labels: { role: "db" }, ...withPort(81) }),
      ...allowHttp,
      ...endpoint("b", "10.0.0.2", { host: "h2", profiles: ["red"], ...withPort(80) }),
    },
    {
      ...network("red"),
      ...labelled,
      ...endpoint("b", "10.0.0.2", { host: "h2", profiles: ["red"], ...withPort(80) }),
      ...denyDb,
    },
  ],
  "host endpoints with policies of every stage": [
    { ...network("red"), ...members, ...eth0, ...denyDb },
    {
      ...network("red"),
      ...members,
      ...eth0,
      ...denyDb,
      ...staged("normal", {}),
      ...staged("dnat", { preDNAT: true }),
      ...staged("raw", { doNotTrack: true }),
      ...labelled,
    },
    {
      ...network("red"),
      ...members,
      ...eth0,
      ...staged("normal", { applyOnForward: false }),
      ...staged("raw", { doNotTrack: true, tier: "late" }),
      ...tier("late", 1),
    },
    {
      ...network("red"),
      ...members,
      ...hostEndpoint("eth0", { node: "h2", interfaceName: "*" }),
      ...staged("raw", {}),
    },
    {
      ...network("red"),
      ...members,
      ...staged("raw", {}),
      ...felixConfiguration("default", { failsafeInboundHostPorts: [] }),
    },
  ],
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
          test(`50, 51: order ${which}, flushed ${flush}, keys ${keys}`, () => runThrough(order, flush, keys));
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

test("35: what cannot be enforced exactly closes the endpoint and says why", () => {
  const rules: readonly [rule: Record<string, unknown>, problem: string][] = [
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

const tells = (documents: Documents, sink: EnforcementSink): PolicyCalculator => {
  const calculator = new PolicyCalculator({ host: "h1", sink });
  for (const [key, value] of Object.entries(documents)) calculator.update(key, value);
  calculator.inSync();
  calculator.flush();
  return calculator;
};

test("a receiver that cannot match named ports gets none: whoever the rules are for is closed", () => {
  const sink = new CheckingSink();
  Object.assign(sink, { portSet: undefined, hostEndpoint: undefined });
  tells({ ...network("red"), ...labelled, ...allowHttp, ...eth0 }, sink);
  const [closed] = sink.endpoints.values();
  expect(closed?.problems).toEqual(['policy/default/deny-db: named port "http" is not supported yet']);
  expect(sink.hostEndpoints.size).toBe(0);
});

test("policies of a tier that cannot be read close whom they select: nobody knows what comes before them", () => {
  const sink = new CheckingSink();
  const [[key = ""] = []] = Object.entries(tier("default", 1));
  const calculator = tells({ ...network("red"), ...labelled, ...denyDb, [key]: "{" }, sink);
  const [closed] = sink.endpoints.values();
  expect(closed?.problems).toEqual(["tier default cannot be read"]);
  calculator.update(key, undefined);
  calculator.flush();
  expect([...sink.endpoints.values()][0]?.problems).toEqual([]);
});

test("foreign source addresses are for endpoints whose host permits them", () => {
  const sink = new CheckingSink();
  const [[key = "", value = ""] = []] = Object.entries(members);
  const document = JSON.parse(value);
  document.spec.allowSpoofedSourcePrefixes = ["192.0.2.0/24"];
  const calculator = tells({ ...network("red"), [key]: JSON.stringify(document) }, sink);
  expect(sink.endpoints.get(key)?.problems).toEqual(["allowSpoofedSourcePrefixes is not enabled on this host"]);
  const permitting = felixConfiguration("node.h1", { workloadSourceSpoofing: "Any" });
  for (const [name, text] of Object.entries(permitting)) calculator.update(name, text);
  calculator.flush();
  expect(sink.endpoints.get(key)?.problems).toEqual([]);
  expect(sink.endpoints.get(key)?.allowedSources as string[] | undefined).toEqual(["192.0.2.0/24"]);
});

test("an endpoint may send with the addresses its container has on other interfaces, as its record says them now", () => {
  const sink = new CheckingSink();
  const [[key = "", value = ""] = []] = Object.entries(members);
  const document = JSON.parse(value);
  const calculator = tells({ ...network("red"), [key]: value }, sink);
  for (const [text, expected] of [
    ["192.0.2.1,2001:db8::1", ["192.0.2.1", "2001:db8::1"]],
    ["192.0.2.2,nonsense", ["192.0.2.2"]],
    ["", undefined],
  ] as const) {
    document.metadata.annotations = { "margay.io/sibling-addresses": text };
    calculator.update(key, JSON.stringify(document));
    calculator.flush();
    expect(sink.endpoints.get(key)?.siblingAddresses as readonly string[] | undefined).toEqual(expected);
  }
});

test("34: a staged policy is reported with whom it selects and changes nothing", () => {
  const sink = new CheckingSink();
  const spec = { selector: "role == 'db'", stagedAction: "Set", order: 1, ingress: [{ action: "Deny" }] };
  const calculator = tells({ ...network("red"), ...labelled, ...outsider }, sink);
  const calls = sink.calls.length;
  const [[key = "", value = ""] = []] = Object.entries(stagedGlobalPolicy("later", spec));
  calculator.update(key, value);
  calculator.flush();
  expect(sink.calls).toHaveLength(calls);
  const [report, ...others] = calculator.staged();
  expect(others).toEqual([]);
  expect(report).toMatchObject({ name: "later", tier: "default", action: "Set", problem: undefined });
  expect(report?.selects).toEqual(Object.keys(labelled));
  calculator.update(key, undefined);
  expect(calculator.staged()).toEqual([]);
});

test("a network set that cannot be read closes whoever turns its addresses away, and nobody else", () => {
  const [[key = "", good = ""] = []] = Object.entries(networkSet("bad", ["192.0.2.0/24"], { blocked: "" }));
  const wrongNet = good.replace("192.0.2.0/24", "192.0.2.0/33");
  const policyOf = (rule: Record<string, unknown>) =>
    globalPolicy("deny-db", { selector: "role == 'db'", ingress: [rule, { action: "Allow" }] });
  const cases: readonly [rule: Record<string, unknown>, set: string, closed: boolean][] = [
    [{ action: "Deny", source: { selector: "has(blocked)" } }, good, false],
    [{ action: "Deny", source: { selector: "has(blocked)" } }, wrongNet, true],
    [{ action: "Deny", source: { selector: "has(blocked)" } }, "{", true],
    [{ action: "Deny", source: { selector: "has(other)" } }, wrongNet, false],
    [{ action: "Deny", source: { selector: "has(other)" } }, "{", true],
    [{ action: "Allow", source: { selector: "has(blocked)" } }, wrongNet, false],
    [{ action: "Allow", source: { notSelector: "has(blocked)" } }, wrongNet, true],
    [{ action: "Pass", source: { selector: "has(blocked)" } }, wrongNet, true],
    [{ action: "Log", source: { selector: "has(blocked)" } }, wrongNet, false],
  ];
  for (const [rule, set, closed] of cases) {
    const sink = new CheckingSink();
    const calculator = tells({ ...network("red"), ...labelled, ...policyOf(rule), [key]: set }, sink);
    const problems = () => [...sink.endpoints.values()].flatMap((one) => one.problems);
    const expected = "policy/default/deny-db turns away network set bad, which cannot be read";
    expect(problems()).toEqual(closed ? [expected] : []);
    expect(calculator.invalid.has(key)).toBe(set !== good);
    calculator.update(key, good);
    calculator.flush();
    expect(problems()).toEqual([]);
    calculator.update(key, set);
    calculator.flush();
    expect(problems()).toEqual(closed ? [expected] : []);
    calculator.update(key, undefined);
    calculator.flush();
    expect(problems()).toEqual([]);
    sink.checkNothingIdle();
  }
});
