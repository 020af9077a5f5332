/**
 * The semantics of the datastore's compliance checklist (calico-datastore.md 9), number by number: a small cluster as
 * documents, and what becomes of a packet. Random clusters: verdict.property.test.ts.
 */
import { expect, test } from "bun:test";
import { PolicyCalculator } from "./policy-calculator.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import {
  type Documents,
  endpoint,
  globalPolicy,
  hostEndpoint,
  networkSet,
  policy,
  profile,
  stagedGlobalPolicy,
  tier,
} from "./testing/cluster-documents.ts";
import { verdictOf } from "./testing/enforcement-verdict.ts";
import type { Direction, OraclePacket } from "./testing/oracle.ts";

const a = "10.0.0.1";
const b = "10.0.0.2";
const outside = "192.0.2.9";
const allow = [{ action: "Allow" }];
const deny = [{ action: "Deny" }];
const defaultTier = tier("default", 1_000_000);
const open = profile("open", { ingress: allow, egress: allow });
const closed = profile("closed", { ingress: deny, egress: deny });

function enforced(...parts: readonly Documents[]): CheckingSink {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  for (const [key, value] of [defaultTier, ...parts].flatMap((part) => Object.entries(part)))
    calculator.update(key, value);
  calculator.inSync();
  calculator.flush();
  return sink;
}

function packet(source: string, destination: string, destinationPort = 80): OraclePacket {
  return { source, destination, protocol: "TCP", sourcePort: 40_000, destinationPort, icmp: { type: 0, code: 0 } };
}

/** Of the endpoint whose address is at this end of the packet. */
function verdict(sink: CheckingSink, direction: Direction, about: OraclePacket): string {
  const address = direction === "ingress" ? about.destination : about.source;
  const judge = [...sink.endpoints.values()].find(({ addresses }) => addresses.some((one) => one === address));
  if (judge === undefined) return "unknown";
  return judge.problems.length > 0 ? "closed" : verdictOf(sink, judge, direction, about);
}

const policyOf = (name: string, spec: object) => globalPolicy(name, { selector: "all()", ...spec });
const withProfile = (...profiles: string[]) => endpoint("a", a, { profiles });

const cases: readonly [name: string, documents: readonly Documents[], ingress: string, egress: string][] = [
  ["42: no policy and no profile drops all", [endpoint("a", a)], "deny", "deny"],
  ["42: a profile that allows all allows all", [open, withProfile("open")], "allow", "allow"],
  [
    "42: an ingress policy that matches nothing drops ingress; egress is the profile's",
    [
      open,
      withProfile("open"),
      policyOf("p", { types: ["Ingress"], ingress: [{ action: "Allow", source: { nets: ["9.9.9.9/32"] } }] }),
    ],
    "deny",
    "allow",
  ],
  [
    "43: a Pass rule hands on to the next tier",
    [
      withProfile(),
      tier("first", 1),
      policyOf("first.p", { tier: "first", ingress: [{ action: "Pass" }] }),
      policyOf("q", { tier: "default", ingress: allow }),
    ],
    "allow",
    "deny",
  ],
  [
    "43: a tier whose default is Pass hands on what no rule matches",
    [
      withProfile(),
      tier("first", 1, "Pass"),
      policyOf("first.p", { tier: "first", ingress: [{ action: "Deny", source: { nets: ["9.9.9.9/32"] } }] }),
      policyOf("q", { tier: "default", ingress: allow }),
    ],
    "allow",
    "deny",
  ],
  [
    "43: what all tiers pass is the profiles'",
    [
      open,
      withProfile("open"),
      tier("first", 1, "Pass"),
      policyOf("first.p", { tier: "first", ingress: [{ action: "Pass" }] }),
      policyOf("q", { tier: "default", types: ["Ingress"], ingress: [{ action: "Pass" }] }),
    ],
    "allow",
    "allow",
  ],
  [
    "44: the lower order is first",
    [withProfile(), policyOf("a", { order: 20, ingress: deny }), policyOf("b", { order: 10, ingress: allow })],
    "allow",
    "deny",
  ],
  [
    "44: at one order the name decides",
    [withProfile(), policyOf("b", { order: 10, ingress: deny }), policyOf("a", { order: 10, ingress: allow })],
    "allow",
    "deny",
  ],
  [
    "44: no order is last",
    [withProfile(), policyOf("a", { ingress: deny }), policyOf("b", { order: 9_999, ingress: allow })],
    "allow",
    "deny",
  ],
  [
    "46: a staged policy decides nothing",
    [open, withProfile("open"), stagedGlobalPolicy("s", { selector: "all()", ingress: deny })],
    "allow",
    "allow",
  ],
  [
    "47: a missing profile before one that allows all drops all",
    [open, withProfile("missing", "open")],
    "closed",
    "closed",
  ],
  ["47: the first profile that decides, decides", [open, closed, withProfile("closed", "open")], "deny", "deny"],
];
for (const [name, documents, ingress, egress] of cases) {
  test(name, () => {
    const sink = enforced(...documents);
    expect([verdict(sink, "ingress", packet(outside, a)), verdict(sink, "egress", packet(a, outside))]).toEqual([
      ingress,
      egress,
    ]);
  });
}

test("45: of two workloads on one host both sides have to allow", () => {
  const both = (egressOfA: object[], ingressOfB: object[]) => {
    const sink = enforced(
      endpoint("a", a, { profiles: ["pa"] }),
      endpoint("b", b, { profiles: ["pb"] }),
      profile("pa", { egress: egressOfA }),
      profile("pb", { ingress: ingressOfB }),
    );
    return [verdict(sink, "egress", packet(a, b)), verdict(sink, "ingress", packet(a, b))];
  };
  expect(both(allow, deny)).toEqual(["allow", "deny"]);
  expect(both(deny, allow)).toEqual(["deny", "allow"]);
  expect(both(allow, allow)).toEqual(["allow", "allow"]);
});

test("27: an endpoint without interface name is ignored", () => {
  const [key = "", text = ""] = Object.entries(endpoint("a", a))[0] ?? [];
  const nameless = text.replace('"interfaceName":"calia",', "");
  expect(nameless).not.toBe(text);
  expect(enforced({ [key]: nameless }).endpoints.size).toBe(0);
  expect(enforced({ [key]: text }).endpoints.size).toBe(1);
});

test("40: a policy of a namespace means its own endpoints, unless it names no source or another namespace", () => {
  const rule = (source: object | undefined) => {
    const sink = enforced(
      endpoint("a", a, { namespace: "x" }),
      endpoint("b", b, { namespace: "x", labels: { role: "db" } }),
      endpoint("c", "10.0.0.3", { namespace: "y", labels: { role: "db" } }),
      networkSet("s", ["192.0.2.0/24"], { role: "db" }),
      policy("p", "x", { selector: "all()", ingress: [{ action: "Allow", ...(source && { source }) }] }),
    );
    return [b, "10.0.0.3", outside, "198.51.100.1"].map((from) => verdict(sink, "ingress", packet(from, a)));
  };
  expect(rule({ selector: "all()" })).toEqual(["allow", "deny", "deny", "deny"]);
  expect(rule(undefined)).toEqual(["allow", "allow", "allow", "allow"]);
  expect(rule({ namespaceSelector: "global()" })).toEqual(["deny", "deny", "allow", "deny"]);
  expect(rule({ selector: "role == 'db'", namespaceSelector: "projectcalico.org/name == 'y'" }).slice(2)).toEqual([
    "deny",
    "deny",
  ]);
});

test("41: a named port is that of the endpoints that match and declare it", () => {
  const ports = (port: number) => [{ name: "pg", protocol: "TCP", port }];
  const db = { labels: { role: "db" } };
  const sink = enforced(
    endpoint("a", a, { labels: { role: "app" } }),
    endpoint("b", b, { ...db, ports: ports(5432) }),
    endpoint("c", "10.0.0.3", { labels: { role: "other" }, ports: ports(5432) }),
    endpoint("d", "10.0.0.4", db),
    endpoint("e", "10.0.0.5", { ...db, ports: ports(6432) }),
    policyOf("p", {
      selector: "role == 'app'",
      egress: [{ action: "Allow", protocol: "TCP", destination: { selector: "role == 'db'", ports: ["pg"] } }],
    }),
  );
  const to = (destination: string, port: number) => verdict(sink, "egress", packet(a, destination, port));
  expect([to(b, 5432), to(b, 6432), to("10.0.0.3", 5432), to("10.0.0.4", 5432)]).toEqual([
    "allow",
    "deny",
    "deny",
    "deny",
  ]);
  expect([to("10.0.0.5", 6432), to("10.0.0.5", 5432)]).toEqual(["allow", "deny"]);
  expect([...sink.portSets.values()].map((members) => [...members].sort())).toEqual([
    ["10.0.0.2,6,5432", "10.0.0.5,6,6432"],
  ]);
});

test("48: a host endpoint without policy drops what is its own, lets through what is forwarded, until a policy is for that", () => {
  const hep = hostEndpoint("hep", { node: "h1", interfaceName: "eth0" });
  const stages = (...more: Documents[]) => {
    const sink = enforced(hep, ...more);
    const [judge] = sink.hostEndpoints.values();
    if (judge === undefined) return [];
    const { tiers, profiles, forwardTiers } = judge;
    const about = packet(outside, a);
    return [
      verdictOf(sink, { tiers, profiles }, "ingress", about),
      verdictOf(sink, { tiers: forwardTiers, profiles: undefined }, "ingress", about),
    ];
  };
  expect(stages()).toEqual(["deny", "none"]);
  const elsewhere = { action: "Allow", source: { nets: ["9.9.9.9/32"] } };
  expect(stages(policyOf("p", { ingress: [elsewhere] }))).toEqual(["deny", "none"]);
  expect(stages(policyOf("p", { applyOnForward: true, ingress: [elsewhere] }))).toEqual(["deny", "deny"]);
  // Failsafe ports come before all of it: the data plane's tests (39 of its own list).
  expect(enforced(hep).settings?.failsafeInbound.length).toBeGreaterThan(0);
});

test("70: members of a profile without its label do not reach each other until it has one", () => {
  const reached = (spec: object) => {
    const rules = { ingress: [{ action: "Allow", source: { selector: "has(net)" } }], egress: allow };
    const sink = enforced(
      profile("net", { ...rules, ...spec }),
      endpoint("a", a, { profiles: ["net"] }),
      endpoint("b", b, { profiles: ["net"] }),
    );
    return verdict(sink, "ingress", packet(b, a));
  };
  expect(reached({})).toBe("deny");
  expect(reached({ labelsToApply: { net: "" } })).toBe("allow");
});
