/** Rules as the kernel gets them, one case per thing a rule can say. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { renderRule } from "../../kernel/nftables/render.ts";
import type { Rule, RuleMatch } from "../../policy/enforcement.ts";
import { logLimitDefault } from "./log-prefix.ts";
import { renderRules } from "./rule-rendering.ts";

const anything: RuleMatch = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [] };
const from = (match: Partial<RuleMatch>): Partial<Rule> => ({ source: { ...anything, ...match } });
const to = (match: Partial<RuleMatch>): Partial<Rule> => ({ destination: { ...anything, ...match } });
const nets = (...texts: string[]) => texts.map((text) => parseCidr(text));
const port = (first: number, last = first) => ({ first, last });

const cases: readonly [name: string, rule: Partial<Rule>, expected: readonly string[]][] = [
  ["a rule about nothing holds for both families at once", {}, ["accept"]],
  ["a family can be asked for", { ipVersion: 6 }, ["meta nfproto ipv6 accept"]],
  ["deny counts", { action: "deny", protocol: 6 }, ["meta l4proto 6 counter drop"]],
  ["pass leaves a mark and returns", { action: "pass" }, ["meta mark set meta mark | 0x00020000 return"]],
  [
    "log goes on to the next rule, bounded",
    { action: "log" },
    ['limit rate 10/second burst 5 packets log prefix "calico-packet: " level info'],
  ],
  ["a set is one rule per family", from({ sets: ["s-a"] }), ["ip saddr @a4-s-a accept", "ip6 saddr @a6-s-a accept"]],
  [
    "several sets on a side are alternatives, on both sides every pair",
    { ipVersion: 4, ...from({ sets: ["a", "b"] }), ...to({ sets: ["c", "d"] }) },
    [
      "ip saddr @a4-a ip daddr @a4-c accept",
      "ip saddr @a4-a ip daddr @a4-d accept",
      "ip saddr @a4-b ip daddr @a4-c accept",
      "ip saddr @a4-b ip daddr @a4-d accept",
    ],
  ],
  [
    "all that is said about a side must hold",
    { ipVersion: 4, ...from({ sets: ["a"], nets: nets("10.0.0.0/8"), notNets: nets("10.1.0.0/16"), notSets: ["b"] }) },
    ["ip saddr @a4-a ip saddr { 10.0.0.0/8 } ip saddr != { 10.1.0.0/16 } ip saddr != @a4-b accept"],
  ],
  [
    "a set with networks in a family is two sets in the kernel",
    from({ sets: ["wide"] }),
    ["ip saddr @a4-wide accept", "ip saddr @n4-wide accept", "ip6 saddr @a6-wide accept"],
  ],
  [
    "not in a set with networks is in neither",
    { ipVersion: 4, ...from({ notSets: ["wide"] }) },
    ["ip saddr != @a4-wide ip saddr != @n4-wide accept"],
  ],
  [
    "networks of one family leave the other out",
    from({ nets: nets("10.0.0.0/8") }),
    ["ip saddr { 10.0.0.0/8 } accept"],
  ],
  [
    "networks of both families make a rule each",
    to({ nets: nets("10.0.0.0/8", "fd00::/8") }),
    ["ip daddr { 10.0.0.0/8 } accept", "ip6 daddr { fd00::/8 } accept"],
  ],
  [
    "a source of one family and a destination of the other never meet",
    { ...from({ nets: nets("10.0.0.0/8") }), ...to({ nets: nets("fd00::/8") }) },
    [],
  ],
  ["all of IPv4 is the family itself", from({ nets: nets("0.0.0.0/0") }), ["meta nfproto ipv4 accept"]],
  [
    "not all of IPv4 is never, and says nothing about IPv6",
    from({ notNets: nets("0.0.0.0/0") }),
    ["meta nfproto ipv6 accept"],
  ],
  [
    "not a network of one family is anything of the other",
    from({ notNets: nets("10.0.0.0/8") }),
    ["ip saddr != { 10.0.0.0/8 } accept", "meta nfproto ipv6 accept"],
  ],
  [
    "ports need a protocol that has them",
    to({ ports: [port(80), port(8080, 8090)] }),
    ["meta l4proto { 6, 17, 33, 132, 136 } th dport { 80, 8080-8090 } accept"],
  ],
  [
    "ports of both sides, also excluded ones",
    { protocol: 17, ...from({ ports: [port(53)] }), ...to({ notPorts: [port(1, 1023)] }) },
    ["meta l4proto 17 th sport { 53 } th dport != { 1-1023 } accept"],
  ],
  [
    "ICMP type and code",
    { protocol: 1, icmp: { type: 8, code: 0 } },
    ["meta l4proto 1 icmp type . icmp code { 8 . 0 } accept"],
  ],
  ["not an ICMPv6 type", { protocol: 58, notIcmp: { type: 128 } }, ["meta l4proto 58 icmpv6 type != 128 accept"]],
  [
    "ports by number or by name are alternatives; a name is looked up with the address and the protocol",
    { protocol: 6, ipVersion: 4, ...to({ ports: [port(80)], portSets: ["n-http"] }) },
    [
      "meta nfproto ipv4 meta l4proto 6 th dport { 80 } accept",
      "meta nfproto ipv4 meta l4proto 6 ip daddr . meta l4proto . th dport @p4-n-http accept",
    ],
  ],
  [
    "neither by number nor by name",
    { protocol: 17, ipVersion: 6, ...from({ notPorts: [port(1, 9)], notPortSets: ["n-dns"] }) },
    ["meta nfproto ipv6 meta l4proto 17 th sport != { 1-9 } ip6 saddr . meta l4proto . th sport != @p6-n-dns accept"],
  ],
  [
    "excluding ports by name is no matter of packets that have none: they match",
    { ipVersion: 4, notProtocol: 6, ...to({ notPortSets: ["n-dns"] }) },
    [
      "meta nfproto ipv4 meta l4proto != { 6, 17, 33, 132, 136 } meta l4proto != 6 accept",
      "meta nfproto ipv4 meta l4proto { 6, 17, 33, 132, 136 } meta l4proto != 6 ip daddr . meta l4proto . th dport != @p4-n-dns accept",
    ],
  ],
  [
    "unless the rule also wants ports",
    { ipVersion: 4, ...from({ portSets: ["n-http"] }), ...to({ notPortSets: ["n-dns"] }) },
    [
      "meta nfproto ipv4 meta l4proto { 6, 17, 33, 132, 136 } ip saddr . meta l4proto . th sport @p4-n-http ip daddr . meta l4proto . th dport != @p4-n-dns accept",
    ],
  ],
  ["a protocol can be excluded", { notProtocol: 6 }, ["meta l4proto != 6 accept"]],
];
for (const [name, rule, expected] of cases)
  test(`a rule becomes packet-filter rules: ${name}`, () => {
    const wide = (id: string, family: 4 | 6) => id === "wide" && family === 4;
    const rendered = renderRules([{ action: "allow", source: anything, destination: anything, ...rule }], wide, {
      denyAction: "drop",
      logPrefix: "calico-packet: ",
      logLimit: logLimitDefault,
    });
    // "accept" stands here for how a list says yes.
    const yes = "meta mark set meta mark | 0x00010000 return";
    expect(rendered.map(renderRule)).toEqual(expected.map((line) => line.replace(/\baccept$/, yes)));
  });
