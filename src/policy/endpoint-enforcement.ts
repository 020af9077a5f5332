/**
 * From the policies that select an endpoint to what is enforced on it: tiers in their order, each with its policies in
 * theirs. Whatever cannot be enforced exactly closes the endpoint, with the reason.
 */

import type { EndpointEnforcement, HostEndpointEnforcement, RuleListId, TierRef } from "./enforcement.ts";
import { comparePolicies, compareTiers } from "./policy-order.ts";
import type { Endpoint, HostInterface, Policy } from "./resource-readers.ts";

export interface TierInfo {
  readonly order: number | undefined;
  readonly defaultAction: "deny" | "pass";
  /** The tier is there, but its place is not known: whoever has policies in it is closed. */
  readonly problem?: string;
}

export interface EnforcementContext {
  readonly tiers: ReadonlyMap<string, TierInfo>;
  /** None: the rules are known and can be enforced. */
  readonly problemsOf: (id: RuleListId, missing: string) => readonly string[];
  readonly sourceSpoofing: boolean;
}

export function workloadEnforcement(
  endpoint: Endpoint,
  selecting: readonly Policy[],
  context: EnforcementContext,
): EndpointEnforcement {
  const policies = selecting.filter(({ forWorkloads }) => forWorkloads).sort(comparePolicies);
  const problems = [
    ...(context.sourceSpoofing ? [] : endpoint.problems),
    ...problemsOf(endpoint.source.profiles, policies, context),
  ];
  const open = problems.length === 0;
  return {
    key: endpoint.key,
    interfaceName: endpoint.interfaceName,
    mac: endpoint.mac,
    addresses: endpoint.ips,
    tiers: open ? tiersOf(policies, context) : [],
    profiles: open ? profilesOf(endpoint.source.profiles) : [],
    problems,
    ...(open && endpoint.siblingAddresses.length > 0 ? { siblingAddresses: endpoint.siblingAddresses } : {}),
    ...(open && endpoint.gatewayAddresses.length > 0 ? { gatewayAddresses: endpoint.gatewayAddresses } : {}),
    ...(open && endpoint.allowedSources.length > 0 ? { allowedSources: endpoint.allowedSources } : {}),
    ...(open && endpoint.limits !== undefined ? { limits: endpoint.limits } : {}),
    ...(open && endpoint.dscp !== undefined ? { dscp: endpoint.dscp } : {}),
  };
}

export function hostEndpointEnforcement(
  endpoint: HostInterface,
  selecting: readonly Policy[],
  context: EnforcementContext,
): HostEndpointEnforcement {
  const policies = selecting.toSorted(comparePolicies);
  const problems = problemsOf(endpoint.source.profiles, policies, context);
  const open = problems.length === 0;
  const tiersWhere = (wanted: (policy: Policy) => boolean) => (open ? tiersOf(policies.filter(wanted), context) : []);
  return {
    key: endpoint.key,
    name: endpoint.name,
    interfaceName: endpoint.interfaceName,
    expectedIps: endpoint.ips,
    tiers: tiersWhere(({ stage }) => stage === "normal"),
    profiles: open ? profilesOf(endpoint.source.profiles) : [],
    forwardTiers: tiersWhere(({ stage, onForward }) => stage === "normal" && onForward),
    preDnatTiers: tiersWhere(({ stage, inbound }) => stage === "preDnat" && inbound).map((tier) => ({
      ...tier,
      defaultAction: "pass",
      outbound: [],
    })),
    untrackedTiers: tiersWhere(({ stage }) => stage === "untracked").map((tier) => ({
      ...tier,
      defaultAction: "pass",
    })),
    problems,
    ...(endpoint.dscp === undefined ? {} : { dscp: endpoint.dscp }),
  };
}

export function profileId(name: string): RuleListId {
  return `profile/${name}`;
}

export function listsOfEndpoint({ tiers, profiles }: EndpointEnforcement): ReadonlySet<RuleListId> {
  return new Set([...profiles, ...listsOfTiers(tiers)]);
}

export function listsOfHostEndpoint(endpoint: HostEndpointEnforcement): ReadonlySet<RuleListId> {
  const { tiers, forwardTiers, preDnatTiers, untrackedTiers, profiles } = endpoint;
  return new Set([...profiles, ...listsOfTiers([...tiers, ...forwardTiers, ...preDnatTiers, ...untrackedTiers])]);
}

function listsOfTiers(tiers: readonly TierRef[]): readonly RuleListId[] {
  return tiers.flatMap(({ inbound, outbound }) => [...inbound, ...outbound]);
}

function profilesOf(names: readonly string[]): readonly RuleListId[] {
  return [...new Set(names)].map(profileId);
}

function problemsOf(
  profiles: readonly string[],
  policies: readonly Policy[],
  { tiers, problemsOf }: EnforcementContext,
): readonly string[] {
  return [
    ...profiles.flatMap((name) => problemsOf(profileId(name), `profile ${name} does not exist`)),
    ...policies.flatMap(({ id }) => problemsOf(id, `policy ${id} is missing`)),
    ...[...new Set(policies.map(({ tier }) => tier))].flatMap((tier) => tiers.get(tier)?.problem ?? []),
  ];
}

/** Of policies in their order. */
function tiersOf(policies: readonly Policy[], { tiers }: EnforcementContext): readonly TierRef[] {
  const names = [...new Set(policies.map(({ tier }) => tier))];
  const ordered = names.map((name) => ({ name, exists: tiers.has(name), order: tiers.get(name)?.order }));
  return ordered.sort(compareTiers).map(({ name }) => {
    const own = policies.filter(({ tier }) => tier === name);
    return {
      name,
      defaultAction: tiers.get(name)?.defaultAction ?? "deny",
      inbound: own.filter(({ inbound }) => inbound).map(({ id }) => id),
      outbound: own.filter(({ outbound }) => outbound).map(({ id }) => id),
    };
  });
}
