/**
 * One endpoint's policy in one direction, walked the way a packet walks it: tiers in order, in each its policies in
 * order, then the profiles in the order the endpoint lists them, then the end, which drops.
 */

import { unreachable } from "../../base/errors.ts";
import type { Rule } from "../../model/rule.ts";
import { compareByBytes, matches } from "../../model/selector/selector.ts";
import {
  type ClusterModel,
  type ModelEndpoint,
  type ModelHostEndpoint,
  type ModelPolicy,
  settingsOf,
} from "./cluster-model.ts";
import { labelMap } from "./labels.ts";
import type { Packet } from "./packet.ts";
import { mismatchOf } from "./rule-match.ts";
import { ruleText } from "./rule-text.ts";

export type Direction = "inbound" | "outbound";

export interface RuleStep {
  /** Place in the document, from 1 as a person counts. */
  readonly number: number;
  readonly rule: string;
  readonly matched: boolean;
  /** Why not. */
  readonly because?: string;
}

export interface ListStep {
  readonly kind: "policy" | "profile";
  readonly name: string;
  readonly namespace?: string;
  readonly order?: number;
  /** For whom the policy is. */
  readonly selector?: string;
  /** Rules after the one that decided are not consulted and do not stand here. */
  readonly rules: readonly RuleStep[];
  readonly outcome: "allow" | "deny" | "pass" | "no rule matches";
}

export interface TierStep {
  readonly name: string;
  readonly order?: number;
  readonly exists: boolean;
  readonly defaultAction: "deny" | "pass";
  readonly policies: readonly ListStep[];
  readonly outcome: "allow" | "deny" | "pass" | "default deny" | "default pass";
}

export interface DirectionTrace {
  readonly direction: Direction;
  /** "none": at this stage nobody has to say yes, and nobody said no. */
  readonly verdict: "allow" | "deny" | "none";
  /** One sentence: what decided. */
  readonly decidedBy: string;
  readonly tiers: readonly TierStep[];
  readonly profiles: readonly ListStep[];
}

/** Everything that applies to the endpoint, in order; and why it is closed, if it is. */
export interface Applying {
  readonly tiers: readonly { readonly name: string; readonly policies: readonly ModelPolicy[] }[];
  readonly profiles: readonly string[];
  readonly problems: readonly string[];
}

/** When policies are asked: those of a container's endpoint at one place only, those of a host's own interface at four. */
export type Stage = "workload" | "doNotTrack" | "preDNAT" | "applyOnForward" | "normal";
export type Subject = ModelEndpoint | ModelHostEndpoint;

function takesPart({ forWorkloads, stage: own, onForward }: ModelPolicy, stage: Stage): boolean {
  switch (stage) {
    case "workload":
      return forWorkloads;
    case "doNotTrack":
      return own === "untracked";
    case "preDNAT":
      return own === "preDnat";
    case "applyOnForward":
      return own === "normal" && onForward;
    case "normal":
      return own === "normal";
    default:
      return unreachable(stage);
  }
}

export function applyingTo(model: ClusterModel, endpoint: Subject, stage: Stage = "workload"): Applying {
  const labels = labelMap(model, endpoint.source);
  const all = model.policies.filter(({ forWorkloads, selector }) => {
    return (forWorkloads || endpoint.kind === "host") && matches(selector, labels);
  });
  const selecting = all.filter((policy) => takesPart(policy, stage));
  const names = [...new Set(selecting.map(({ tier }) => tier))];
  const tiers = names
    .sort((a, b) => compareKeys(tierRank(model, a), tierRank(model, b)))
    .map((name) => ({
      name,
      policies: selecting.filter(({ tier }) => tier === name).sort((a, b) => compareKeys(policyRank(a), policyRank(b))),
    }));
  const profiles = [...new Set(endpoint.source.profiles)];
  const spoofing = endpoint.kind === "workload" && !settingsOf(model, endpoint.host).sourceSpoofing;
  const problems = [
    ...(spoofing ? endpoint.problems : []),
    ...profiles.flatMap((name) => {
      const profile = model.profiles.get(name);
      return profile === undefined ? [`profile ${name} does not exist`] : (profile.problem ?? []);
    }),
    // One that cannot be read closes a host's interface at every stage.
    ...all.flatMap(({ problem }) => problem ?? []),
  ];
  return { tiers, profiles, problems };
}

type Rank = readonly (number | string)[];

/** Tiers that exist first, then by order (none is last), then by name. */
function tierRank(model: ClusterModel, name: string): Rank {
  const tier = model.tiers.get(name);
  return [tier === undefined ? 1 : 0, tier?.order ?? Number.POSITIVE_INFINITY, name];
}

function policyRank({ order, name, namespace, kind }: ModelPolicy): Rank {
  return [order ?? Number.POSITIVE_INFINITY, `${name}/${namespace ?? ""}/${kind}`];
}

function compareKeys(a: Rank, b: Rank): number {
  for (const [at, left] of a.entries()) {
    const right = b[at] ?? "";
    const difference =
      typeof left === "number" && typeof right === "number"
        ? Number(left > right) - Number(left < right)
        : compareByBytes(String(left), String(right));
    if (difference !== 0) return difference;
  }
  return 0;
}

export function traceDirection(
  model: ClusterModel,
  endpoint: ModelEndpoint,
  direction: Direction,
  packet: Packet,
): DirectionTrace;
/** Undefined: at that stage the endpoint has no policies, and nobody is asked. */
export function traceDirection(
  model: ClusterModel,
  endpoint: ModelHostEndpoint,
  direction: Direction,
  packet: Packet,
  stage: Stage,
): DirectionTrace | undefined;
export function traceDirection(
  model: ClusterModel,
  endpoint: Subject,
  direction: Direction,
  packet: Packet,
  stage: Stage = "workload",
): DirectionTrace | undefined {
  const applying = applyingTo(model, endpoint, stage);
  const [problem] = applying.problems;
  const needsYes = stage === "workload" || stage === "normal";
  if (problem !== undefined)
    return needsYes || stage === "applyOnForward" ? closed(direction, `the endpoint is closed: ${problem}`) : undefined;
  if (!needsYes && !applying.tiers.some(({ policies }) => policies.some((policy) => policy[direction])))
    return undefined;
  const rulesOf = ({ ingress, egress }: { ingress: readonly Rule[]; egress: readonly Rule[] }) =>
    direction === "inbound" ? ingress : egress;
  const tiers: TierStep[] = [];
  const profiles: ListStep[] = [];
  const decided = (verdict: DirectionTrace["verdict"], decidedBy: string): DirectionTrace => ({
    direction,
    verdict,
    decidedBy,
    tiers,
    profiles,
  });

  for (const { name, policies: all } of applying.tiers) {
    const policies = all.filter((policy) => policy[direction]);
    if (policies.length === 0) continue;
    const tier = model.tiers.get(name);
    const steps: ListStep[] = [];
    // Policies before connection tracking or before DNAT deny nothing at their end.
    const neverDenies = stage === "doNotTrack" || stage === "preDNAT";
    const defaultAction = neverDenies ? "pass" : (tier?.defaultAction ?? "deny");
    let outcome: TierStep["outcome"] = `default ${defaultAction}`;
    for (const policy of policies) {
      const { outcome: said, rules } = walk(rulesOf(policy.document), packet, policy.namespace, model);
      steps.push({
        kind: "policy",
        name: policy.name,
        ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
        ...(policy.order === undefined ? {} : { order: policy.order }),
        selector: policy.selectorText,
        rules,
        outcome: said,
      });
      if (said === "no rule matches") continue;
      outcome = said;
      break;
    }
    const order = tier?.order === undefined ? {} : { order: tier.order };
    tiers.push({ name, ...order, exists: tier !== undefined, defaultAction, policies: steps, outcome });
    const last = steps.at(-1);
    if (outcome === "allow" || outcome === "deny")
      return decided(outcome, `rule ${last?.rules.at(-1)?.number} of policy ${nameOf(last)} in tier ${name}`);
    if (outcome === "default deny")
      return decided("deny", `the end of tier ${name}: none of its policies' rules matches`);
  }
  if (!needsYes) return decided("none", "the end: none of its policies says no");
  for (const name of applying.profiles) {
    const profile = model.profiles.get(name);
    const { outcome, rules } = walk(profile === undefined ? [] : rulesOf(profile.document), packet, undefined, model);
    profiles.push({ kind: "profile", name, rules, outcome });
    if (outcome === "allow" || outcome === "deny")
      return decided(outcome, `rule ${rules.at(-1)?.number} of profile ${name}`);
  }
  const nothing = tiers.length === 0 && profiles.length === 0;
  return decided(
    "deny",
    nothing ? "the end: the endpoint has no policy and no profile" : "the end: no policy or profile lets it pass",
  );
}

export function closed(direction: Direction, decidedBy: string): DirectionTrace {
  return decidedAtOnce(direction, "deny", decidedBy);
}

/** Before any policy is asked. */
export function decidedAtOnce(
  direction: Direction,
  verdict: DirectionTrace["verdict"],
  decidedBy: string,
): DirectionTrace {
  return { direction, verdict, decidedBy, tiers: [], profiles: [] };
}

function nameOf(step: ListStep | undefined): string {
  return step?.namespace === undefined ? `${step?.name}` : `${step.namespace}/${step.name}`;
}

/** The rules up to the first one that decides; Log goes on. */
function walk(
  rules: readonly Rule[],
  packet: Packet,
  namespace: string | undefined,
  model: ClusterModel,
): { readonly rules: readonly RuleStep[]; readonly outcome: ListStep["outcome"] } {
  const steps: RuleStep[] = [];
  for (const [at, rule] of rules.entries()) {
    const because = mismatchOf(rule, packet, namespace, model);
    const step = { number: at + 1, rule: ruleText(rule) };
    steps.push(because === undefined ? { ...step, matched: true } : { ...step, matched: false, because });
    if (because !== undefined || rule.action === "Log") continue;
    const outcome = ({ Allow: "allow", Deny: "deny", Pass: "pass" } as const)[rule.action];
    return { rules: steps, outcome };
  }
  return { rules: steps, outcome: "no rule matches" };
}
