/** What a table as libnftables lists it does with packets; what is not understood is refused, never guessed. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import { tableOf } from "../../kernel/nftables/table-listing.ts";
import { packetOf, parseTraffic } from "../../policy/explain/packet.ts";
import { NotUnderstood, Passage } from "./interpreter.ts";

type Expression = Readonly<Record<string, unknown>>;

/** One base chain at forward, and a chain "other" that drops. */
function run(
  rules: readonly (readonly Expression[])[],
  { port = "tcp/80", source = "10.0.0.1", destination = "10.0.0.2" } = {},
): string {
  const chain = (name: string, more = {}) => ({ chain: { family: "inet", table: "t", name, handle: 1, ...more } });
  const rule = (name: string, expr: readonly Expression[]) => ({
    rule: { chain: name, handle: 2, comment: "m 1/1 why", expr },
  });
  const listing = {
    nftables: [
      { metainfo: {} },
      { set: { name: "own", elem: ["10.0.0.1", { prefix: { addr: "10.1.0.0", len: 16 } }] } },
      { set: { name: "pairs", elem: [{ concat: ["cali1", "10.0.0.1"] }] } },
      { set: { name: "ports", elem: [{ concat: ["10.0.0.2", 6, 80] }] } },
      {
        map: {
          name: "dispatch",
          elem: [
            ["cali1", { goto: { target: "other" } }],
            ["cali9", { drop: null }],
          ],
        },
      },
      chain("base", { type: "filter", hook: "forward", prio: 0, policy: "accept" }),
      chain("other"),
      ...rules.map((expr) => rule("base", expr)),
      rule("other", [{ counter: null }, { drop: null }]),
    ],
  };
  const packet = packetOf(parseIpAddress(source), parseIpAddress(destination), parseTraffic(port, ""), 50_000);
  try {
    const passage = new Passage(tableOf(listing), packet);
    return passage.hook({ hook: "forward", inInterface: "cali1", outInterface: "eth0" }).verdict;
  } catch (error) {
    if (error instanceof NotUnderstood) return "not understood";
    throw error;
  }
}

const match = (left: unknown, right: unknown, op = "==") => ({ match: { op, left, right } });
const meta = (key: string) => ({ meta: { key } });
const field = (protocol: string, name: string) => ({ payload: { protocol, field: name } });
const drop = { drop: null };
const mark = (operator: string, bits: number) => ({
  mangle: { key: meta("mark"), value: { [operator]: [meta("mark"), bits] } },
});
const marked = (op: string) => match({ "&": [meta("mark"), 2] }, 0, op);

const cases: readonly [
  name: string,
  expected: string,
  rules: readonly (readonly Expression[])[],
  given?: Parameters<typeof run>[1],
][] = [
  ["no rule: the chain's policy", "accept", []],
  ["an interface by its beginning", "drop", [[match(meta("iifname"), "cali*"), drop]]],
  ["another interface", "accept", [[match(meta("oifname"), "cali*"), drop]]],
  ["an address in a set of networks", "drop", [[match(field("ip", "saddr"), "@own"), drop]], { source: "10.1.2.3" }],
  ["an address outside the set", "accept", [[match(field("ip", "saddr"), "@own"), drop]], { source: "10.2.2.3" }],
  ["not in a set", "drop", [[match(field("ip", "daddr"), "@own", "!="), drop]]],
  [
    "the other family has no such field, also for !=",
    "accept",
    [[match(field("ip6", "daddr"), "fd00::1", "!="), drop]],
  ],
  ["a pair in a set", "drop", [[match({ concat: [meta("iifname"), field("ip", "saddr")] }, "@pairs"), drop]]],
  [
    "a pair not in it",
    "accept",
    [[match({ concat: [meta("iifname"), field("ip", "saddr")] }, "@pairs"), drop]],
    { source: "10.0.0.9" },
  ],
  [
    "address, protocol and port together",
    "drop",
    [[match({ concat: [field("ip", "daddr"), meta("l4proto"), field("th", "dport")] }, "@ports"), drop]],
  ],
  ["a port in a range", "drop", [[match(field("tcp", "dport"), { set: [443, { range: [79, 81] }] }), drop]]],
  ["a port of another protocol", "accept", [[match(field("udp", "dport"), 80), drop]]],
  [
    "an ICMP type and code",
    "drop",
    [[match({ concat: [field("icmp", "type"), field("icmp", "code")] }, { set: [{ concat: [8, 0] }] }), drop]],
    { port: "icmp" },
  ],
  [
    "a new connection is not established",
    "accept",
    [[{ match: { op: "in", left: { ct: { key: "state" } }, right: [2, 4] } }, drop]],
  ],
  ["it is new", "drop", [[{ match: { op: "in", left: { ct: { key: "state" } }, right: 8 } }, drop]]],
  ["a map leads to a chain", "drop", [[{ vmap: { key: meta("iifname"), data: "@dispatch" } }]]],
  ["a map without the key goes on", "drop", [[{ vmap: { key: meta("oifname"), data: "@dispatch" } }], [drop]]],
  ["return ends the chain", "accept", [[{ return: null }], [drop]]],
  ["accept ends the chain", "accept", [[{ accept: null }], [drop]]],
  ["a mark is seen later", "drop", [[mark("|", 2)], [marked("!="), drop]]],
  ["and can be taken off", "accept", [[mark("|", 2)], [mark("&", 0xfffffffd)], [marked("!="), drop]]],
  [
    "a log under a limit goes on",
    "drop",
    [[{ limit: { rate: 10 } }, { log: { prefix: "x" } }], [{ jump: { target: "other" } }]],
  ],
  ["a rate that is exceeded by others", "accept", [[{ limit: { rate: 10, inv: true } }, drop]]],
  ["a number of connections that is not reached", "accept", [[{ "ct count": { val: 3, inv: true } }, drop]]],
  [
    "a DSCP is set, and nothing depends on it",
    "drop",
    [[{ mangle: { key: field("ip", "dscp"), value: "ef" } }], [{ jump: { target: "other" } }]],
  ],
  ["another field is set", "not understood", [[{ mangle: { key: field("ip", "ttl"), value: 1 } }, drop]]],
  ["a translation ends the chain", "accept", [[{ dnat: { family: "ip", addr: "10.0.0.7", port: 8775 } }], [drop]]],
  ["a translation to several ports", "not understood", [[{ dnat: { addr: "10.0.0.7", port: { range: [1, 2] } } }]]],
  ["a translation to several addresses", "not understood", [[{ dnat: { addr: { range: ["10.0.0.7", "10.0.0.8"] } } }]]],
  ["reject is a drop", "drop", [[{ reject: { type: "icmpx" } }]]],
  ["an unknown statement", "not understood", [[{ queue: {} }]]],
  ["an unknown field", "not understood", [[match(meta("cgroup"), 1), drop]]],
  ["an unknown comparison", "not understood", [[match(field("ip", "ttl"), 1, "<"), drop]]],
  ["a set that is not there", "not understood", [[match(field("ip", "saddr"), "@gone"), drop]]],
  ["a chain that is not there", "not understood", [[{ jump: { target: "gone" } }]]],
  ["a verdict under a limit", "not understood", [[{ limit: { rate: 10 } }, drop]]],
  ["what stands after the verdict is not asked", "drop", [[drop], [{ queue: {} }]]],
];
for (const [name, expected, rules, given] of cases)
  test(`interpreter: ${name}`, () => expect(run(rules, given)).toBe(expected));
