/** Random histories of what policy/ may say, small enough that everything meets everything. */
import fc from "fast-check";
import { type Cidr, parseCidr, parseIpAddress } from "../../../base/addresses.ts";
import { parseInterfaceName } from "../../../base/names.ts";
import type {
  EndpointEnforcement,
  EndpointLimits,
  EnforcementSink,
  Rule,
  RuleList,
  RuleMatch,
  TierRef,
} from "../../../policy/enforcement.ts";

/** One thing said; the last of the same subject counts. */
export interface Statement {
  readonly about: string;
  readonly text: string;
  say(sink: EnforcementSink): void;
}

const cidrs = [
  "10.0.0.1/32",
  "10.0.0.2/32",
  "10.0.0.0/30",
  "10.0.0.0/8",
  "fd00::1/128",
  "fd00::/64",
  "0.0.0.0/0",
  "255.255.255.255/32",
];
const someCidr = fc.constantFrom(...cidrs).map((text) => parseCidr(text));
const setId = fc.constantFrom("s-a", "s-b", "s-c");
const listId = fc.constantFrom("profile/a", "profile/b", "policy/a", "policy/b", "policy/odd name!");
const ranges = fc.constantFrom([], [{ first: 80, last: 80 }], [{ first: 1, last: 1023 }]);
const few = <T>(of: fc.Arbitrary<T>) => fc.uniqueArray(of, { maxLength: 2 });
const match: fc.Arbitrary<RuleMatch> = fc.record({
  nets: few(someCidr),
  notNets: few(someCidr),
  sets: few(setId),
  notSets: few(setId),
  ports: ranges,
  notPorts: ranges,
});
const rule: fc.Arbitrary<Rule> = fc.record({
  action: fc.constantFrom("allow", "deny", "pass", "log"),
  protocol: fc.constant(6),
  source: match,
  destination: match,
});
const list: fc.Arbitrary<RuleList> = fc.record({
  inbound: fc.array(rule, { maxLength: 2 }),
  outbound: fc.array(rule, { maxLength: 2 }),
});
const tier: fc.Arbitrary<TierRef> = fc.record({
  name: fc.constantFrom("default", "security"),
  defaultAction: fc.constantFrom("deny", "pass"),
  inbound: few(listId),
  outbound: few(listId),
});

const someAddress = fc.constantFrom("10.0.0.1", "10.0.0.2", "fd00::1").map((text) => parseIpAddress(text));
const endpointKeys = ["/e/1", "/e/2", "/e/3"];
const endpoint = (key: string): fc.Arbitrary<EndpointEnforcement> =>
  fc
    .record({
      key: fc.constant(key),
      interfaceName: fc.constantFrom("cali1", "cali2", "eth0").map((name) => parseInterfaceName(name)),
      mac: fc.constant(undefined),
      addresses: few(someAddress),
      tiers: fc.array(tier, { maxLength: 2 }),
      profiles: few(listId),
      problems: fc.constantFrom([], [], [], ["unknown profile"]),
      siblingAddresses: few(someAddress),
      gatewayAddresses: few(someAddress),
      limits: fc.constantFrom<EndpointLimits>(
        {},
        {},
        { inbound: { packets: { perSecond: 10, burst: 5 } } },
        { inbound: { connections: 3 }, outbound: { packets: { perSecond: 1, burst: 1 }, connections: 1 } },
        { outbound: { bandwidth: { bitsPerSecond: 1e6, burstBits: 1e5 } } },
      ),
      dscp: fc.constantFrom(undefined, 0, 46),
    })
    .map(({ dscp, ...endpoint }) => (dscp === undefined ? endpoint : { ...endpoint, dscp }));

export const statement: fc.Arbitrary<Statement> = fc.oneof(
  fc
    .tuple(setId, fc.option(fc.uniqueArray(someCidr, { maxLength: 4 }), { nil: undefined }))
    .map(([id, members]) => say(`set ${id}`, members, (sink) => sink.addressSet(id, members && new Set(members)))),
  fc
    .tuple(listId, fc.option(list, { nil: undefined }))
    .map(([id, value]) => say(`list ${id}`, value, (sink) => sink.ruleList(id, value))),
  fc
    .constantFrom(...endpointKeys)
    .chain((key) => fc.tuple(fc.constant(key), fc.option(endpoint(key), { nil: undefined })))
    .map(([key, value]) => say(`endpoint ${key}`, value, (sink) => sink.endpoint(key, value))),
  fc
    .array(fc.record({ cidr: someCidr, natOutgoing: fc.boolean() }), { maxLength: 3 })
    .map((pools) => say("pools", pools, (sink) => sink.natPools(pools))),
  few(fc.constantFrom<Cidr>(parseCidr("10.0.0.0/26"), parseCidr("10.0.1.0/26"))).map((blocks) =>
    say("blocks", blocks, (sink) => sink.localBlocks(blocks)),
  ),
  few(fc.constantFrom<Cidr>(parseCidr("10.0.1.0/26"), parseCidr("10.0.0.1/32"))).map((blocks) =>
    say("remote", blocks, (sink) =>
      sink.remoteRoutes(new Map(blocks.map((cidr) => [cidr, parseIpAddress("172.31.0.12")]))),
    ),
  ),
);

function say(about: string, value: unknown, action: (sink: EnforcementSink) => void): Statement {
  return { about, text: `${about} = ${JSON.stringify(value)}`, say: action };
}

/** What remains true after the history: the last word on each subject. */
export function lastWords(history: readonly Statement[]): Statement[] {
  return [...new Map(history.map((spoken) => [spoken.about, spoken])).values()];
}
