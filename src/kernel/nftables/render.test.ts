/** The syntax we write, and that nothing handed in can add to it. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { renderRule, renderTransaction } from "./render.ts";
import type { Match, Operation } from "./ruleset.ts";

const nets = (...texts: string[]) => texts.map((text) => parseCidr(text));
const matches: readonly [text: string, match: Match][] = [
  ['iifname "cali*"', { match: "interface", direction: "in", prefix: "cali" }],
  ["oifname != @known", { match: "interface-in-set", direction: "out", set: "known", not: true }],
  ["iifname . ip6 saddr @own", { match: "interface-source-in-set", family: 6, set: "own" }],
  [
    "ip saddr { 10.0.0.0/8, 1.2.3.4 }",
    { match: "address", side: "source", family: 4, networks: nets("10.0.0.0/8", "10.1.1.1/32", "1.2.3.4/32") },
  ],
  ["ip6 daddr != @s6-a", { match: "address-in-set", side: "destination", family: 6, set: "s6-a", not: true }],
  ["meta l4proto 6", { match: "protocol", numbers: [6] }],
  ["meta l4proto != { 6, 17 }", { match: "protocol", numbers: [6, 17, 6], not: true }],
  [
    "th dport { 80, 443-450 }",
    {
      match: "ports",
      side: "destination",
      ranges: [
        { first: 445, last: 450 },
        { first: 443, last: 445 },
        { first: 80, last: 80 },
      ],
    },
  ],
  ["icmp type != 8", { match: "icmp", family: 4, types: [8], not: true }],
  ["icmpv6 type . icmpv6 code { 1 . 4 }", { match: "icmp", family: 6, types: [1], code: 4 }],
  ["ct state established,related", { match: "connection", states: ["established", "related"] }],
  ["meta mark & 0x00020000 != 0", { match: "mark", bit: 0x20000 }],
];
for (const [text, match] of matches)
  test(`a match reads: ${text}`, () => expect(renderRule({ matches: [match], actions: [] })).toBe(text));

const injected = 'x } ; add chain inet filter evil { "';
const refused: readonly [name: string, operation: Operation][] = [
  ["a chain's name", { op: "add-chain", chain: { name: injected } }],
  ["an empty name", { op: "flush-chain", chain: "" }],
  ["a name with a line break", { op: "flush-chain", chain: "a\nb" }],
  ["an interface", { op: "add-elements", set: { name: "s", kind: "interfaces" }, elements: [{ key: injected }] }],
  // A trailing star would match every interface that begins so.
  ["a wildcard", { op: "add-elements", set: { name: "s", kind: "interfaces" }, elements: [{ key: "cali*" }] }],
  ["a network", { op: "add-elements", set: { name: "s", kind: "networks4" }, elements: [{ key: injected }] }],
  ["the other family", { op: "add-elements", set: { name: "s", kind: "networks4" }, elements: [{ key: "fd00::/8" }] }],
  ["a comment", { op: "add-rule", chain: "c", rule: { matches: [], actions: [], comment: injected } }],
  [
    "a log prefix",
    {
      op: "add-rule",
      chain: "c",
      rule: {
        matches: [],
        actions: [{ do: "log", prefix: injected, limit: { count: 1, per: "second", burst: 5 } }],
      },
    },
  ],
  [
    "a port",
    {
      op: "add-rule",
      chain: "c",
      rule: { matches: [{ match: "ports", side: "source", ranges: [{ first: 0, last: 65_536 }] }], actions: [] },
    },
  ],
];
for (const [name, operation] of refused)
  test(`what does not fit is refused, never written: ${name}`, () => {
    expect(() => renderTransaction("t", [operation])).toThrow();
  });
