/**
 * What stands in the chains of endpoints, tiers and rule lists; pure.
 *
 * An endpoint's chain: replies pass, invalid packets drop, then its tiers in order, then its profiles, then drop. A tier
 * that has lists in this direction ends in its default action. "pass" inside a tier skips the rest of it: the list sets a
 * mark bit and returns, and the tier's own chain returns on seeing it. Tiers without such a list stand in line.
 */
import type { RuleSpec } from "../../kernel/nftables/ruleset.ts";
import type { EndpointEnforcement, RuleListId } from "../../policy/enforcement.ts";
import { endpointChain, type PolicyDirection, passBit, ruleListChain, tierChain } from "./chain-names.ts";
import { dropRule } from "./rule-rendering.ts";

export interface TierShape {
  readonly lists: readonly RuleListId[];
  readonly defaultAction: "deny" | "pass";
}

/** What one direction of an endpoint looks like; equal shapes share a chain. */
export interface EndpointShape {
  readonly direction: PolicyDirection;
  readonly tiers: readonly TierShape[];
  readonly profiles: readonly RuleListId[];
}

export function shapeOf(endpoint: EndpointEnforcement, direction: PolicyDirection): EndpointShape {
  const tiers = endpoint.tiers
    .map((tier) => ({ lists: tier[direction], defaultAction: tier.defaultAction }))
    .filter((tier) => tier.lists.length > 0);
  return { direction, tiers, profiles: endpoint.profiles };
}

export function shapeChain(shape: EndpointShape): string {
  return endpointChain(shape.direction, JSON.stringify([shape.tiers, shape.profiles]));
}

export function tierShapeChain(direction: PolicyDirection, tier: TierShape): string {
  return tierChain(direction, JSON.stringify(tier));
}

const vxlanPort = 4789;
const protocolUdp = 17;
const protocolIpip = 4;

/** @param mayPass whether a rule list has a "pass" rule in this direction. */
export function endpointRules(shape: EndpointShape, mayPass: (list: RuleListId) => boolean): RuleSpec[] {
  const rules: RuleSpec[] = [
    { matches: [{ match: "connection", states: ["established", "related"] }], actions: [{ do: "accept" }] },
    {
      matches: [{ match: "connection", states: ["invalid"] }],
      actions: [{ do: "count" }, { do: "drop" }],
      comment: "invalid",
    },
  ];
  if (shape.direction === "outbound") rules.push(...tunnelRules());
  for (const tier of shape.tiers) {
    if (tier.lists.some(mayPass)) {
      rules.push({ matches: [], actions: [{ do: "jump", chain: tierShapeChain(shape.direction, tier) }] });
      continue;
    }
    for (const list of tier.lists) rules.push(jump(shape.direction, list));
    if (tier.defaultAction === "deny") return [...rules, dropRule("end of tier")];
  }
  for (const list of shape.profiles) rules.push(jump(shape.direction, list));
  return [...rules, dropRule("no policy or profile accepts")];
}

export function tierRules(
  direction: PolicyDirection,
  tier: TierShape,
  mayPass: (list: RuleListId) => boolean,
): RuleSpec[] {
  // Somebody else's mark must not count as a "pass".
  const rules: RuleSpec[] = [{ matches: [], actions: [{ do: "clear-mark", bit: passBit }] }];
  for (const list of tier.lists) {
    rules.push(jump(direction, list));
    if (!mayPass(list)) continue;
    rules.push({
      matches: [{ match: "mark", bit: passBit }],
      actions: [{ do: "clear-mark", bit: passBit }, { do: "return" }],
    });
  }
  if (tier.defaultAction === "deny") rules.push(dropRule("end of tier"));
  return rules;
}

/** The lists and tiers an endpoint's chain jumps to: what must exist before it. */
export function reachableFrom(
  shape: EndpointShape,
  mayPass: (list: RuleListId) => boolean,
): { readonly lists: readonly RuleListId[]; readonly tiers: readonly TierShape[] } {
  const lists: RuleListId[] = [];
  const tiers: TierShape[] = [];
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
function tunnelRules(): RuleSpec[] {
  return [
    {
      matches: [
        { match: "protocol", numbers: [protocolUdp] },
        { match: "ports", side: "destination", ranges: [{ first: vxlanPort, last: vxlanPort }] },
      ],
      actions: [{ do: "count" }, { do: "drop" }],
      comment: "VXLAN from an endpoint",
    },
    {
      matches: [{ match: "protocol", numbers: [protocolIpip] }],
      actions: [{ do: "count" }, { do: "drop" }],
      comment: "IPIP from an endpoint",
    },
  ];
}

function jump(direction: PolicyDirection, list: RuleListId): RuleSpec {
  return { matches: [], actions: [{ do: "jump", chain: ruleListChain(list, direction) }] };
}
