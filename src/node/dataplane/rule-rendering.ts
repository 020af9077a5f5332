/**
 * Rules of profiles and policies as packet-filter rules; pure. "deny" is a drop on the spot; "allow" and "pass" are a mark
 * bit and a return (chain-content.ts).
 * A list that refers to an address set nobody defined is closed as a whole: an unknown set in an allow rule would match
 * nobody, which is safe, but in a deny rule it would let everybody pass.
 */
import { type Cidr, ipFamily, prefixLength } from "../../base/addresses.ts";
import { unreachable } from "../../base/errors.ts";
import type { Action, Match, RuleSpec, Side } from "../../kernel/nftables/ruleset.ts";
import type { HostSettings, RateLimit, Rule, RuleMatch, SetId } from "../../policy/enforcement.ts";
import { acceptedBit, addressSetName, passBit, portSetName } from "./chain-names.ts";

/** Transport protocols whose first four bytes are the two ports: TCP, UDP, DCCP, SCTP, UDP-Lite. */
const protocolsWithPorts = [6, 17, 33, 132, 136];
const icmp = { 4: 1, 6: 58 } as const;

export const dropRule = (comment: string): RuleSpec => ({
  matches: [],
  actions: [{ do: "count" }, { do: "drop" }],
  comment,
});

/** A drop that policy asked for, and that the administrator may want to be told to the sender. */
export const denyRule = (comment: string, denyAction: HostSettings["denyAction"]): RuleSpec => ({
  matches: [],
  actions: denyWithRejection(denyAction),
  comment,
});

export function denyWithRejection(denyAction: HostSettings["denyAction"]): Action[] {
  return [{ do: "count" }, { do: denyAction }];
}

/** Whether a set has members wider than one address in the family; they are a set of their own then. */
export type HasNetworks = (id: SetId, family: 4 | 6) => boolean;

/** For the rules of one list: its log prefix and limit are as they stand in the kernel. */
export interface RuleSettings {
  readonly denyAction: HostSettings["denyAction"];
  readonly logPrefix: string;
  readonly logLimit: RateLimit;
}

export function renderRules(rules: readonly Rule[], hasNetworks: HasNetworks, settings: RuleSettings): RuleSpec[] {
  return rules.flatMap((rule) => [
    ...(excludesPortsOnly(rule)
      ? renderRule(withoutPorts(rule), [hasNoPorts, ...notProtocolMatches(rule)], hasNetworks, settings)
      : []),
    ...renderRule(rule, protocolMatches(rule), hasNetworks, settings),
  ]);
}

export function setsUsed(rules: readonly Rule[]): Set<SetId> {
  const used = new Set<SetId>();
  for (const { source, destination } of rules)
    for (const id of [...source.sets, ...source.notSets, ...destination.sets, ...destination.notSets]) used.add(id);
  return used;
}

export function portSetsUsed(rules: readonly Rule[]): Set<SetId> {
  const used = new Set<SetId>();
  for (const { source, destination } of rules)
    for (const side of [source, destination])
      for (const id of [...(side.portSets ?? []), ...(side.notPortSets ?? [])]) used.add(id);
  return used;
}

/** One rule for both families where it names no addresses; else one per family and combination of named sets. */
function renderRule(
  rule: Rule,
  protocol: readonly Match[],
  hasNetworks: HasNetworks,
  settings: RuleSettings,
): RuleSpec[] {
  const actions = actionsOf(rule.action, settings);
  if (!namesAddresses(rule)) {
    const family: Match[] = rule.ipVersion === undefined ? [] : [{ match: "family", family: rule.ipVersion }];
    const ports = [...rangeMatches(rule.source, "source"), ...rangeMatches(rule.destination, "destination")];
    return [{ matches: [...family, ...protocol, ...ports, ...icmpMatches(rule)], actions }];
  }
  const families = rule.ipVersion === undefined ? ([4, 6] as const) : [rule.ipVersion];
  return families.flatMap((family) => {
    const sources = addressMatches(rule.source, "source", family, hasNetworks);
    const destinations = addressMatches(rule.destination, "destination", family, hasNetworks);
    const sourcePorts = portAlternatives(rule.source, "source", family);
    const destinationPorts = portAlternatives(rule.destination, "destination", family);
    return sources.flatMap((source) =>
      destinations.flatMap((destination) => {
        const addresses: Match[] = [...source, ...destination];
        if (addresses.length === 0) addresses.push({ match: "family", family });
        return sourcePorts.flatMap((from) =>
          destinationPorts.map((to) => ({
            matches: [...addresses, ...protocol, ...from, ...to, ...icmpMatches(rule)],
            actions,
          })),
        );
      }),
    );
  });
}

function actionsOf(action: Rule["action"], settings: RuleSettings): Action[] {
  switch (action) {
    case "allow":
      return [{ do: "set-mark", bit: acceptedBit }, { do: "return" }];
    case "deny":
      return denyWithRejection(settings.denyAction);
    case "pass":
      return [{ do: "set-mark", bit: passBit }, { do: "return" }];
    case "log":
      return [{ do: "log", prefix: settings.logPrefix, limit: settings.logLimit }];
    default:
      return unreachable(action);
  }
}

function namesAddresses({ source, destination }: Rule): boolean {
  return [source, destination].some(
    (side) => side.nets.length + side.notNets.length + side.sets.length + side.notSets.length > 0 || hasPortSets(side),
  );
}

function hasPortSets(side: RuleMatch): boolean {
  return (side.portSets?.length ?? 0) + (side.notPortSets?.length ?? 0) > 0;
}

/** The alternatives for one side and family: one empty list when it says nothing, none at all when the rule cannot match a packet of that family. */
function addressMatches(side: RuleMatch, at: Side, family: 4 | 6, hasNetworks: HasNetworks): Match[][] {
  const parts = (id: SetId) => {
    const addresses = addressSetName(id, family, "addresses");
    return hasNetworks(id, family) ? [addresses, addressSetName(id, family, "networks")] : [addresses];
  };

  const matches: Match[] = [];
  const nets = side.nets.filter((net) => ipFamily(net) === family);
  if (side.nets.length > 0 && nets.length === 0) return [];
  const everything = (list: readonly Cidr[]) => list.some((net) => prefixLength(net) === 0);
  if (nets.length > 0)
    matches.push(
      everything(nets) ? { match: "family", family } : { match: "address", side: at, family, networks: nets },
    );
  const notNets = side.notNets.filter((net) => ipFamily(net) === family);
  if (everything(notNets)) return [];
  if (notNets.length > 0) matches.push({ match: "address", side: at, family, networks: notNets, not: true });
  for (const set of side.notSets.flatMap(parts))
    matches.push({ match: "address-in-set", side: at, family, set, not: true });
  if (side.sets.length === 0) return [matches];
  return side.sets.flatMap(parts).map((set) => [{ match: "address-in-set", side: at, family, set }, ...matches]);
}

function protocolMatches(rule: Rule): Match[] {
  const matches: Match[] = [];
  if (rule.protocol !== undefined) matches.push({ match: "protocol", numbers: [rule.protocol] });
  else if (hasPorts(rule)) matches.push({ match: "protocol", numbers: protocolsWithPorts });
  return [...matches, ...notProtocolMatches(rule)];
}

function notProtocolMatches({ notProtocol }: Rule): Match[] {
  return notProtocol === undefined ? [] : [{ match: "protocol", numbers: [notProtocol], not: true }];
}

const hasNoPorts: Match = { match: "protocol", numbers: protocolsWithPorts, not: true };

/** Such a rule is for other protocols too: their packets have no port that could be the excluded one. */
function excludesPortsOnly(rule: Rule): boolean {
  const wantsPorts = [rule.source, rule.destination].some(
    (side) => side.ports.length + (side.portSets?.length ?? 0) > 0,
  );
  return rule.protocol === undefined && hasPorts(rule) && !wantsPorts;
}

function withoutPorts(rule: Rule): Rule {
  const none = { notPorts: [], notPortSets: [] };
  return { ...rule, source: { ...rule.source, ...none }, destination: { ...rule.destination, ...none } };
}

function hasPorts({ source, destination }: Rule): boolean {
  return [source, destination].some((side) => side.ports.length + side.notPorts.length > 0 || hasPortSets(side));
}

function rangeMatches(side: RuleMatch, at: Side): Match[] {
  const matches: Match[] = [];
  if (side.ports.length > 0) matches.push({ match: "ports", side: at, ranges: side.ports });
  if (side.notPorts.length > 0) matches.push({ match: "ports", side: at, ranges: side.notPorts, not: true });
  return matches;
}

/** Ranges and port sets of a side are alternatives; what must not match, must not match in any of them. */
function portAlternatives(side: RuleMatch, at: Side, family: 4 | 6): Match[][] {
  const { portSets = [], notPortSets = [] } = side;
  const excluded: Match[] = notPortSets.map((id) => ({
    match: "port-in-set",
    side: at,
    family,
    set: portSetName(id, family),
    not: true,
  }));
  const named = portSets.map((id): Match[] => [
    ...rangeMatches({ ...side, ports: [] }, at),
    { match: "port-in-set", side: at, family, set: portSetName(id, family) },
    ...excluded,
  ]);
  const numbered = side.ports.length > 0 || portSets.length === 0 ? [[...rangeMatches(side, at), ...excluded]] : [];
  return [...numbered, ...named];
}

/** ICMP and ICMPv6 types are different things: the rule's protocol, or else its IP version, says which are meant. */
function icmpMatches(rule: Rule): Match[] {
  const family = rule.protocol === icmp[6] ? 6 : rule.protocol === icmp[4] ? 4 : (rule.ipVersion ?? 4);
  const matches: Match[] = [];
  for (const [value, not] of [
    [rule.icmp, false],
    [rule.notIcmp, true],
  ] as const) {
    if (value === undefined) continue;
    const code = value.code === undefined ? {} : { code: value.code };
    matches.push({ match: "icmp", family, types: [value.type], ...code, ...(not ? { not: true as const } : {}) });
  }
  return matches;
}
