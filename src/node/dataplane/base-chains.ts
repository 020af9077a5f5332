/**
 * The fixed part of the table: hooks, dispatch by interface, source check, NAT. Nothing in it grows with endpoints.
 *
 * A packet of an endpoint meets, in this order:
 *   source-check   (raw prerouting)  only open, known interfaces, only their own addresses
 *   forward        (forward -30)     open connections pass; else outbound policy of the sender, inbound of the receiver
 *   input          (input -30)       the same for what is meant for this host
 * One base chain per hook, and open connections are recognised first: this is what every packet pays. The closed ones
 * among the endpoints are not in the sets these rules look into, so for them there are no open connections either.
 * What policy accepts is marked for iptables' chains (filter-accept.ts), which run after these (priority 0).
 * The host itself may always talk to its endpoints. What host endpoints add is in host-hooks.ts, what an OpenStack's
 * endpoints may ask of their host in openstack.ts.
 */
import { ipFamily, parseCidr } from "../../base/addresses.ts";
import { unreachable } from "../../base/errors.ts";
import type { Action, Match, RuleSpec, SetSpec } from "../../kernel/nftables/ruleset.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import {
  type ChainContent,
  endpointDiscovery,
  established,
  forgetDecision,
  invalid,
  ofNeighbourDiscovery,
  priorityRaw,
} from "./base-rules.ts";
import { acceptedBit, names } from "./chain-names.ts";
import { hostHookChains, hostRules } from "./host-hooks.ts";
import { addresslessRules, hostServiceRules, loopbackGuard, metadataChains } from "./openstack.ts";
import { denyRule, dropRule } from "./rule-rendering.ts";

export const fixedSets: readonly SetSpec[] = [
  { name: names.endpoints, kind: "interfaces" },
  { name: names.closed, kind: "interfaces" },
  { name: names.sources4, kind: "interface-addresses4" },
  { name: names.sources6, kind: "interface-addresses6" },
  { name: names.fromEndpoint, kind: "interface-verdicts" },
  { name: names.toEndpoint, kind: "interface-verdicts" },
  { name: names.pools4, kind: "networks4" },
  { name: names.pools6, kind: "networks6" },
  { name: names.natPools4, kind: "networks4" },
  { name: names.natPools6, kind: "networks6" },
  { name: names.hosts4, kind: "networks4" },
  { name: names.hosts6, kind: "networks6" },
  { name: names.spoofing, kind: "interface-verdicts" },
];

/** Calico's own value: after Docker's and kube-proxy's 100. */
const priorityNat = 110;
const priorityFilter = -30;
const noAddress = "::/128";
const linkLocal = "fe80::/10";
/** Every endpoint's gateway; on no interface (proxy ARP answers for it). */
export const gatewayAddress = "169.254.1.1";

/** @param withHostEndpoints whether there are any: without, nobody pays for them. */
export function baseChains(settings: HostSettings, withHostEndpoints: boolean): ChainContent[] {
  const forHosts = <T>(rules: readonly T[]): readonly T[] => (withHostEndpoints ? rules : []);
  const perPrefix = (rule: (prefix: string) => RuleSpec): RuleSpec[] => settings.interfacePrefixes.map(rule);
  const ofEndpoints = (direction: "in" | "out", actions: readonly Action[]) =>
    perPrefix((prefix) => ({ matches: [{ match: "interface", direction, prefix }], actions }));
  /** The mark tells iptables; without it, iptables decides for itself. */
  const accepted: readonly Action[] =
    settings.allowAction === "accept"
      ? [{ do: "set-mark", bit: acceptedBit }, { do: "accept" }]
      : [{ do: "clear-mark", bit: acceptedBit }, { do: "accept" }];
  const noInvalid: readonly RuleSpec[] = settings.dropInvalid ? [invalid] : [];
  const jumpFrom: readonly Action[] = [{ do: "jump", chain: names.dispatchFrom }];
  const chains: ChainContent[] = [
    {
      chain: { name: "source-check", hook: { type: "filter", hook: "prerouting", priority: priorityRaw } },
      rules: [...ofEndpoints("in", [{ do: "goto", chain: "endpoint-source" }]), ...forHosts(hostRules.rawPrerouting)],
    },
    { chain: { name: "endpoint-source" }, rules: sourceRules(settings) },
    {
      chain: { name: "forward", hook: { type: "filter", hook: "forward", priority: priorityFilter } },
      rules: [
        ...ofEndpoints("out", [{ do: "goto", chain: "forward-to" }]),
        ...ofEndpoints("in", [{ do: "goto", chain: "forward-from" }]),
        ...forHosts(hostRules.forward),
      ],
    },
    {
      chain: { name: "forward-to" },
      rules: [
        {
          matches: [established, { match: "interface-in-set", direction: "out", set: names.endpoints }],
          actions: accepted,
        },
        ...noInvalid,
        ...ofEndpoints("in", jumpFrom),
        ...forHosts(hostRules.forwardTo),
        { matches: [], actions: [{ do: "jump", chain: names.dispatchTo }] },
        { matches: [], actions: accepted },
      ],
    },
    {
      chain: { name: "forward-from" },
      rules: [
        { matches: [established], actions: accepted },
        ...noInvalid,
        gatewayRule,
        { matches: [], actions: jumpFrom },
        ...forHosts(hostRules.forwardFrom),
        { matches: [], actions: accepted },
      ],
    },
    {
      chain: { name: "input", hook: { type: "filter", hook: "input", priority: priorityFilter } },
      rules: [...ofEndpoints("in", [{ do: "goto", chain: "input-from" }]), ...forHosts(hostRules.input)],
    },
    {
      chain: { name: "input-from" },
      rules: [
        { matches: [ofNeighbourDiscovery(endpointDiscovery)], actions: [{ do: "accept" }] },
        ...hostServiceRules(settings, accepted),
        { matches: [established], actions: settings.endpointToHost === "accept" ? accepted : [{ do: "accept" }] },
        ...noInvalid,
        { matches: [], actions: jumpFrom },
        toHostRule(settings, accepted),
      ],
    },
    {
      chain: { name: "output", hook: { type: "filter", hook: "output", priority: priorityFilter } },
      rules: [
        ...perPrefix((prefix) => ({
          matches: [
            { match: "interface", direction: "out", prefix },
            { match: "interface-in-set", direction: "out", set: names.endpoints, not: true },
            { match: "interface-in-set", direction: "out", set: names.closed, not: true },
          ],
          actions: [{ do: "count" }, { do: "drop" }],
          comment: "unknown interface",
        })),
        ...forHosts([...ofEndpoints("out", [{ do: "accept" }]), ...hostRules.output]),
      ],
    },
    {
      chain: { name: "nat-outgoing", hook: { type: "nat", hook: "postrouting", priority: priorityNat } },
      rules: ([4, 6] as const).flatMap((family) => natRules(settings, family)),
    },
    {
      chain: { name: names.dispatchFrom },
      rules: [
        forgetDecision,
        { matches: [], actions: [{ do: "dispatch", direction: "in", map: names.fromEndpoint }] },
        dropRule("unknown interface"),
      ],
    },
    {
      chain: { name: names.dispatchTo },
      rules: [
        forgetDecision,
        { matches: [], actions: [{ do: "dispatch", direction: "out", map: names.toEndpoint }] },
        dropRule("unknown interface"),
      ],
    },
  ];
  return [...chains, ...metadataChains(settings), ...forHosts(hostHookChains(ofEndpoints))];
}

/** Forwarding it would send it round the loopback route that makes proxy ARP answer (route-plan.ts). */
const gatewayRule: RuleSpec = {
  matches: [{ match: "address", side: "destination", family: 4, networks: [parseCidr(`${gatewayAddress}/32`)] }],
  actions: [{ do: "drop" }],
  comment: "the gateway takes no packets",
};

function toHostRule(settings: HostSettings, accepted: readonly Action[]): RuleSpec {
  switch (settings.endpointToHost) {
    case "drop":
      return denyRule("endpoints may not reach the host", settings.denyAction);
    case "accept":
      return { matches: [], actions: accepted };
    case "return":
      return { matches: [], actions: [{ do: "clear-mark", bit: acceptedBit }, { do: "accept" }] };
    default:
      return unreachable(settings.endpointToHost);
  }
}

function sourceRules(settings: HostSettings): RuleSpec[] {
  return [
    ...loopbackGuard(settings),
    { matches: [{ match: "interface-source-in-set", family: 4, set: names.sources4 }], actions: [{ do: "accept" }] },
    { matches: [{ match: "interface-source-in-set", family: 6, set: names.sources6 }], actions: [{ do: "accept" }] },
    {
      matches: [
        { match: "interface-in-set", direction: "in", set: names.endpoints },
        { match: "address", side: "source", family: 6, networks: [parseCidr(linkLocal), parseCidr(noAddress)] },
        ofNeighbourDiscovery(endpointDiscovery),
      ],
      actions: [{ do: "accept" }],
    },
    ...addresslessRules(settings),
    { matches: [], actions: [{ do: "dispatch", direction: "in", map: names.spoofing }] },
    dropRule("unknown or closed interface, or forged source"),
  ];
}

/** From a pool with NAT to outside all pools, and if so set to none of the hosts. */
function natRules(settings: HostSettings, family: 4 | 6): RuleSpec[] {
  const { natOutgoingAddress: address, natPortRange: ports, natExcludesHosts } = settings;
  const notTo = (set: string): Match => ({ match: "address-in-set", side: "destination", family, set, not: true });
  const matches: readonly Match[] = [
    { match: "address-in-set", side: "source", family, set: family === 4 ? names.natPools4 : names.natPools6 },
    notTo(family === 4 ? names.pools4 : names.pools6),
    ...(natExcludesHosts ? [notTo(family === 4 ? names.hosts4 : names.hosts6)] : []),
  ];
  const fixed = address !== undefined && ipFamily(address) === family ? { address } : {};
  const plain: RuleSpec = { matches, actions: [{ do: "source-nat", ...fixed }] };
  if (ports === undefined) return [plain];
  const withPorts: RuleSpec = {
    matches: [...matches, { match: "protocol", numbers: [6, 17] }],
    actions: [{ do: "source-nat", ...fixed, ports }],
  };
  return [withPorts, plain];
}
