/** The packet filter as text: what stands in the kernel for a given state, and the steps of a change. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { renderTransaction } from "../../kernel/nftables/render.ts";
import { interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import type { EndpointEnforcement, TierRef } from "../../policy/enforcement.ts";
import { baseChains } from "./base-chains.ts";
import { defaultSettings } from "./default-settings.ts";
import { Ruleset } from "./ruleset.ts";
import { anything, endpointOf, fromSet, rule } from "./testing/containers.ts";

const baseNames = new Set(baseChains(defaultSettings, false).map(({ chain }) => chain.name));

/** Without comments (hashes) and without the fixed part, which has a test of its own. */
function textOf(ruleset: Ruleset, replace: boolean): string[] {
  const options = { sweep: true, replace };
  const text = renderTransaction("margay", ruleset.transaction(options));
  ruleset.applied(options);
  return text
    .trim()
    .split("\n")
    .map((line) => line.replace(/ comment "[^"]*"$/, "").replace(" inet margay", ""))
    .filter(
      (line) =>
        !baseNames.has(line.split(" ")[2] ?? "") &&
        !/^(add|delete) table|^add (set|map) \S*(pools|hosts|endpoint)/.test(line),
    );
}

function twoEndpoints(): Ruleset {
  const ruleset = new Ruleset(defaultSettings);
  ruleset.addressSet("net", new Set([parseCidr("10.65.0.1/32"), parseCidr("10.65.0.2/32")]));
  ruleset.ruleList("profile/net", { inbound: [rule("allow", fromSet("net"))], outbound: [rule("allow")] });
  ruleset.endpoint(interfaceNamed("cali1"), endpointOf("1", "10.65.0.1", ["profile/net"]));
  ruleset.endpoint(interfaceNamed("cali2"), endpointOf("2", "10.65.0.2", ["profile/net"]));
  return ruleset;
}

const to = "to/0653b5a737c3eca485f4";
const from = "from/0653b5a737c3eca485f4";

test("two members of a network stand in the kernel as one pair of chains and some elements", () => {
  expect(textOf(twoEndpoints(), true)).toEqual([
    "add chain in/profile/net",
    `add chain ${to}`,
    "add chain out/profile/net",
    `add chain ${from}`,
    'add element endpoints { "cali1", "cali2" }',
    'add element endpoint-sources4 { "cali1" . 10.65.0.1, "cali2" . 10.65.0.2 }',
    `add element from-endpoint { "cali1" : goto ${from}, "cali2" : goto ${from} }`,
    `add element to-endpoint { "cali1" : goto ${to}, "cali2" : goto ${to} }`,
    "add set a4-net { type ipv4_addr; }",
    "add element a4-net { 10.65.0.1, 10.65.0.2 }",
    "add set a6-net { type ipv6_addr; }",
    "add rule in/profile/net ip saddr @a4-net meta mark set meta mark | 0x00010000 return",
    "add rule in/profile/net ip6 saddr @a6-net meta mark set meta mark | 0x00010000 return",
    `add rule ${to} jump in/profile/net`,
    `add rule ${to} meta mark & 0x00010000 != 0 return`,
    `add rule ${to} counter drop`,
    "add rule out/profile/net meta mark set meta mark | 0x00010000 return",
    `add rule ${from} meta l4proto 17 th dport { 4789 } counter drop`,
    `add rule ${from} meta l4proto 4 counter drop`,
    `add rule ${from} jump out/profile/net`,
    `add rule ${from} meta mark & 0x00010000 != 0 return`,
    `add rule ${from} counter drop`,
  ]);
});

const steps: readonly [name: string, change: (ruleset: Ruleset) => void, expected: readonly string[]][] = [
  [
    "a third member is four elements and a member",
    (ruleset) => {
      ruleset.addressSetDelta("net", [parseCidr("10.65.0.3/32")], []);
      ruleset.endpoint(interfaceNamed("cali3"), endpointOf("3", "10.65.0.3", ["profile/net"]));
    },
    [
      "add element a4-net { 10.65.0.3 }",
      'add element endpoint-sources4 { "cali3" . 10.65.0.3 }',
      'add element endpoints { "cali3" }',
      `add element to-endpoint { "cali3" : goto ${to} }`,
      `add element from-endpoint { "cali3" : goto ${from} }`,
    ],
  ],
  [
    "an endpoint that goes takes its elements, the last one of a kind its chains and sets",
    (ruleset) => {
      ruleset.endpoint(interfaceNamed("cali1"), undefined);
      ruleset.endpoint(interfaceNamed("cali2"), undefined);
      ruleset.ruleList("profile/net", undefined);
      ruleset.addressSet("net", undefined);
    },
    [
      'delete element endpoint-sources4 { "cali1" . 10.65.0.1, "cali2" . 10.65.0.2 }',
      'delete element endpoints { "cali1", "cali2" }',
      'delete element to-endpoint { "cali1", "cali2" }',
      'delete element from-endpoint { "cali1", "cali2" }',
      `flush chain ${to}`,
      "flush chain in/profile/net",
      `flush chain ${from}`,
      "flush chain out/profile/net",
      "delete set a4-net",
      "delete set a6-net",
      `delete chain ${to}`,
      "delete chain in/profile/net",
      `delete chain ${from}`,
      "delete chain out/profile/net",
    ],
  ],
  [
    "a closed endpoint drops right in the dispatch, and may not send or be sent to on open connections",
    (ruleset) => {
      const closed: EndpointEnforcement = { ...endpointOf("2", "10.65.0.2", []), problems: ["unknown profile"] };
      ruleset.endpoint(interfaceNamed("cali2"), closed);
    },
    [
      'delete element endpoint-sources4 { "cali2" . 10.65.0.2 }',
      'delete element endpoints { "cali2" }',
      'delete element to-endpoint { "cali2" }',
      'delete element from-endpoint { "cali2" }',
      'add element closed-endpoints { "cali2" }',
      'add element to-endpoint { "cali2" : drop }',
      'add element from-endpoint { "cali2" : drop }',
    ],
  ],
  [
    "a changed profile is rewritten in place",
    (ruleset) => ruleset.ruleList("profile/net", { inbound: [rule("deny")], outbound: [rule("allow")] }),
    ["flush chain in/profile/net", "add rule in/profile/net counter drop", "delete set a4-net", "delete set a6-net"],
  ],
  [
    "35: a profile that is withdrawn drops where it stood",
    (ruleset) => ruleset.ruleList("profile/net", undefined),
    [
      "flush chain in/profile/net",
      "add rule in/profile/net counter drop",
      "flush chain out/profile/net",
      "add rule out/profile/net counter drop",
      "delete set a4-net",
      "delete set a6-net",
    ],
  ],
  [
    "a set that is withdrawn closes what refers to it",
    (ruleset) => ruleset.addressSet("net", undefined),
    ["flush chain in/profile/net", "add rule in/profile/net counter drop", "delete set a4-net", "delete set a6-net"],
  ],
  [
    "31: a network among the members comes in a set of its own, and hides what it covers",
    (ruleset) => ruleset.addressSetDelta("net", [parseCidr("10.65.0.0/24")], []),
    [
      "add set n4-net { type ipv4_addr; flags interval; }",
      "delete element a4-net { 10.65.0.1, 10.65.0.2 }",
      "flush chain in/profile/net",
      "add rule in/profile/net ip saddr @a4-net meta mark set meta mark | 0x00010000 return",
      "add rule in/profile/net ip saddr @n4-net meta mark set meta mark | 0x00010000 return",
      "add rule in/profile/net ip6 saddr @a6-net meta mark set meta mark | 0x00010000 return",
      "add element n4-net { 10.65.0.0/24 }",
    ],
  ],
  [
    "the same said again is nothing",
    (ruleset) => ruleset.endpoint(interfaceNamed("cali1"), endpointOf("1", "10.65.0.1", ["profile/net"])),
    [""],
  ],
];
for (const [name, change, expected] of steps)
  test(`a change is the steps it takes: ${name}`, () => {
    const ruleset = twoEndpoints();
    textOf(ruleset, true);
    change(ruleset);
    expect(textOf(ruleset, false)).toEqual([...expected]);
  });

test("tiers: lists in line, a tier that may pass in a chain of its own, and nothing after a tier that drops", () => {
  const ruleset = twoEndpoints();
  textOf(ruleset, true);
  const port = { protocol: 6, destination: { ...anything, ports: [{ first: 80, last: 80 }] } };
  ruleset.ruleList("policy/pass", { inbound: [rule("pass", port)], outbound: [] });
  ruleset.ruleList("policy/allow", { inbound: [rule("allow", port)], outbound: [] });
  const tier = (name: string, defaultAction: "deny" | "pass", ...inbound: string[]): TierRef => ({
    name,
    defaultAction,
    inbound,
    outbound: [],
  });
  ruleset.endpoint(interfaceNamed("cali2"), {
    ...endpointOf("2", "10.65.0.2", ["profile/net"]),
    tiers: [
      tier("a", "deny", "policy/pass", "policy/allow"),
      tier("b", "pass", "policy/allow"),
      tier("c", "deny", "policy/allow"),
    ],
  });
  const rules = textOf(ruleset, false)
    .filter((line) => line.startsWith("add rule t"))
    .map((line) => line.replace(/[0-9a-f]{20}/g, "*"));
  expect(rules).toEqual([
    "add rule tier-inbound/* meta mark set meta mark & 0xfffdffff",
    "add rule tier-inbound/* jump in/policy/pass",
    "add rule tier-inbound/* meta mark & 0x00030000 != 0 return",
    "add rule tier-inbound/* jump in/policy/allow",
    "add rule tier-inbound/* meta mark & 0x00010000 != 0 return",
    "add rule tier-inbound/* counter drop",
    "add rule to/* jump tier-inbound/*",
    "add rule to/* meta mark & 0x00010000 != 0 return",
    "add rule to/* jump in/policy/allow",
    "add rule to/* meta mark & 0x00010000 != 0 return",
    "add rule to/* jump in/policy/allow",
    "add rule to/* meta mark & 0x00010000 != 0 return",
    "add rule to/* counter drop",
  ]);
});

test("pools: masquerading is for packets of NAT pools to outside all pools", () => {
  const ruleset = twoEndpoints();
  textOf(ruleset, true);
  ruleset.natPools([
    { cidr: parseCidr("10.65.0.0/16"), natOutgoing: true },
    { cidr: parseCidr("10.66.0.0/16"), natOutgoing: false },
  ]);
  expect(textOf(ruleset, false)).toEqual([
    "add element pools4 { 10.65.0.0/16, 10.66.0.0/16 }",
    "add element nat-pools4 { 10.65.0.0/16 }",
  ]);
  ruleset.natPools([{ cidr: parseCidr("10.0.0.0/8"), natOutgoing: false }]);
  expect(textOf(ruleset, false)).toEqual([
    "delete element pools4 { 10.65.0.0/16, 10.66.0.0/16 }",
    "delete element nat-pools4 { 10.65.0.0/16 }",
    "add element pools4 { 10.0.0.0/8 }",
  ]);
});
