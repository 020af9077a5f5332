/**
 * What stands in the chains of endpoints, tiers and rule lists; pure.
 *
 * A list says yes by setting a mark bit and returning; whoever jumped there returns on seeing it, and the base chain goes
 * on: the sender's yes must not speak for the receiver. A no is a drop on the spot.
 * An endpoint's chain: its tiers in order, then its profiles, then drop. A tier that has lists in this direction ends in
 * its default action. "pass" inside a tier skips the rest of it: the list sets another bit and returns, and the tier's own
 * chain returns on seeing it. Tiers without such a list stand in line.
 * A host endpoint has such chains at other places too, and there nobody has to say yes (HostHook in chain-names.ts).
 */
import type { Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type {
  EndpointEnforcement,
  HostEndpointEnforcement,
  HostSettings,
  RuleListId,
  TierRef,
} from "../../policy/enforcement.ts";
import { invalid } from "./base-rules.ts";
import {
  acceptedBit,
  endpointChain,
  type HostHook,
  hostChain,
  names,
  type PolicyDirection,
  passBit,
  ruleListChain,
  tierChain,
} from "./chain-names.ts";
import { denyRule, denyWithRejection } from "./rule-rendering.ts";

export interface TierShape {
  readonly lists: readonly RuleListId[];
  readonly defaultAction: "deny" | "pass";
}

/** What one direction of an endpoint looks like; equal shapes share a chain. */
export interface EndpointShape {
  readonly direction: PolicyDirection;
  readonly tiers: readonly TierShape[];
  readonly profiles: readonly RuleListId[];
  /** Of a host endpoint: where it is asked. */
  readonly hook?: HostHook;
  /** Of a host endpoint: it is broken, and lets only failsafe ports pass. */
  readonly closed?: boolean;
}

export function shapeOf(endpoint: EndpointEnforcement, direction: PolicyDirection): EndpointShape {
  return { direction, tiers: tiersOf(endpoint.tiers, direction), profiles: endpoint.profiles };
}

const hostHooks: readonly HostHook[] = [
  "inbound",
  "outbound",
  "forwardInbound",
  "forwardOutbound",
  "preDnat",
  "untrackedInbound",
  "untrackedOutbound",
];

export function hostShapes(endpoint: HostEndpointEnforcement): EndpointShape[] {
  const closed = endpoint.problems.length > 0;
  return hostHooks.flatMap((hook): EndpointShape[] => {
    const direction = hook === "outbound" || hook.endsWith("Outbound") ? "outbound" : "inbound";
    const own = hook === "inbound" || hook === "outbound";
    const tiers = tiersOf(own ? endpoint.tiers : hostTiers(endpoint, hook), direction);
    const asked = own || (hook.startsWith("forward") && closed) || tiers.length > 0;
    return asked ? [{ direction, tiers, profiles: own ? endpoint.profiles : [], hook, closed }] : [];
  });
}

function hostTiers(endpoint: HostEndpointEnforcement, hook: HostHook): readonly TierRef[] {
  if (hook.startsWith("forward")) return endpoint.forwardTiers;
  return hook === "preDnat" ? endpoint.preDnatTiers : endpoint.untrackedTiers;
}

function tiersOf(tiers: readonly TierRef[], direction: PolicyDirection): TierShape[] {
  return tiers
    .map((tier) => ({ lists: tier[direction], defaultAction: tier.defaultAction }))
    .filter((tier) => tier.lists.length > 0);
}

export function shapeChain(shape: EndpointShape): string {
  const { direction, tiers, profiles, hook, closed } = shape;
  if (hook === undefined) return endpointChain(direction, JSON.stringify([tiers, profiles]));
  return hostChain(hook, JSON.stringify([tiers, profiles, closed]));
}

export function tierShapeChain(direction: PolicyDirection, tier: TierShape): string {
  return tierChain(direction, JSON.stringify(tier));
}

const vxlanPort = 4789;
const protocolUdp = 17;
const protocolIpip = 4;

/** @param mayPass whether a rule list has a "pass" rule in this direction. */
export function endpointRules(
  shape: EndpointShape,
  settings: HostSettings,
  mayPass: (list: RuleListId) => boolean,
): RuleSpec[] {
  const deny = (comment: string) => denyRule(comment, settings.denyAction);
  const rules: RuleSpec[] = shape.hook === undefined ? tunnelRules(shape, settings) : hostRules(shape.hook, settings);
  if (shape.closed === true) return [...rules, deny("broken host endpoint")];
  for (const tier of shape.tiers) {
    if (tier.lists.some(mayPass)) {
      rules.push(...jump(tierShapeChain(shape.direction, tier), acceptedBit));
      continue;
    }
    for (const list of tier.lists) rules.push(...jump(ruleListChain(list, shape.direction), acceptedBit));
    if (tier.defaultAction === "deny") return [...rules, deny("end of tier")];
  }
  for (const list of shape.profiles) rules.push(...jump(ruleListChain(list, shape.direction), acceptedBit));
  return needsYes(shape) ? [...rules, deny("no policy or profile accepts")] : rules;
}

/** Whether what nobody accepted is dropped. */
function needsYes({ hook }: EndpointShape): boolean {
  return hook === undefined || hook === "inbound" || hook === "outbound";
}

export function tierRules(
  direction: PolicyDirection,
  tier: TierShape,
  settings: HostSettings,
  mayPass: (list: RuleListId) => boolean,
): RuleSpec[] {
  // Somebody else's mark must not count as a "pass".
  const rules: RuleSpec[] = [{ matches: [], actions: [{ do: "clear-mark", bit: passBit }] }];
  for (const list of tier.lists)
    rules.push(...jump(ruleListChain(list, direction), mayPass(list) ? acceptedBit | passBit : acceptedBit));
  if (tier.defaultAction === "deny") rules.push(denyRule("end of tier", settings.denyAction));
  return rules;
}

/** The lists and tiers an endpoint's chain jumps to: what must exist before it. */
export function reachableFrom(
  shape: EndpointShape,
  mayPass: (list: RuleListId) => boolean,
): { readonly lists: readonly RuleListId[]; readonly tiers: readonly TierShape[] } {
  const lists: RuleListId[] = [];
  const tiers: TierShape[] = [];
  if (shape.closed === true) return { lists, tiers };
  for (const tier of shape.tiers) {
    if (tier.lists.some(mayPass)) tiers.push(tier);
    else {
      lists.push(...tier.lists);
      if (tier.defaultAction === "deny") return { lists, tiers };
    }
  }
  return { lists: [...lists, ...shape.profiles], tiers };
}

/** A container could send what looks like a tunnel packet of this host, past every policy of the receiving host. */
function tunnelRules(shape: EndpointShape, settings: HostSettings): RuleSpec[] {
  if (shape.direction === "inbound") return [];
  const rules: RuleSpec[] = [];
  const deny = (matches: readonly Match[], comment: string) =>
    rules.push({ matches, actions: denyWithRejection(settings.denyAction), comment });
  const toVxlan: Match = { match: "ports", side: "destination", ranges: [{ first: vxlanPort, last: vxlanPort }] };
  if (!settings.allowVxlanFromWorkloads)
    deny([{ match: "protocol", numbers: [protocolUdp] }, toVxlan], "VXLAN from an endpoint");
  if (!settings.allowIpipFromWorkloads) deny([{ match: "protocol", numbers: [protocolIpip] }], "IPIP from an endpoint");
  return rules;
}

/** What fits no connection is not asked about, failsafe ports included; before connection tracking nobody knows yet. */
function hostRules(hook: HostHook, settings: HostSettings): RuleSpec[] {
  return [...(settings.dropInvalid && !hook.startsWith("untracked") ? [invalid] : []), ...failsafeRules(hook)];
}

/** Forwarded packets have none: failsafe ports are those of the host itself. */
function failsafeRules(hook: HostHook): RuleSpec[] {
  if (hook.startsWith("forward")) return [];
  const chain = {
    inbound: names.failsafeInbound,
    outbound: names.failsafeOutbound,
    preDnat: names.failsafeInbound,
    untrackedInbound: names.failsafeUntrackedInbound,
    untrackedOutbound: names.failsafeUntrackedOutbound,
    forwardInbound: undefined,
    forwardOutbound: undefined,
  }[hook];
  if (chain === undefined) return [];
  return [{ matches: [], actions: [{ do: "jump", chain }] }, returnOn(acceptedBit)];
}

function jump(chain: string, decided: number): RuleSpec[] {
  return [{ matches: [], actions: [{ do: "jump", chain }] }, returnOn(decided)];
}

/** Any of the bits is enough. */
function returnOn(bits: number): RuleSpec {
  return { matches: [{ match: "mark", bit: bits }], actions: [{ do: "return" }] };
}
