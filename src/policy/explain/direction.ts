/**
 * One endpoint's policy in one direction, walked the way a packet walks it: tiers in order, in each its policies in
 * order, then the profiles in the order the endpoint lists them, then the end, which drops.
 */
import type { Rule } from "../../model/rule.ts";
import { compareByBytes, matches } from "../../model/selector/selector.ts";
import { type ClusterModel, type ModelEndpoint, type ModelPolicy, settingsOf } from "./cluster-model.ts";
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
  readonly verdict: "allow" | "deny";
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

export function applyingTo(model: ClusterModel, endpoint: ModelEndpoint): Applying {
  const labels = labelMap(model, endpoint.source);
  const selecting = model.policies.filter(({ forWorkloads, selector }) => forWorkloads && matches(selector, labels));
  const names = [...new Set(selecting.map(({ tier }) => tier))];
  const tiers = names
    .sort((a, b) => compareKeys(tierRank(model, a), tierRank(model, b)))
    .map((name) => ({
      name,
      policies: selecting.filter(({ tier }) => tier === name).sort((a, b) => compareKeys(policyRank(a), policyRank(b))),
    }));
  const profiles = [...new Set(endpoint.source.profiles)];
  const problems = [
    ...(settingsOf(model, endpoint.host).sourceSpoofing ? [] : endpoint.problems),
    ...profiles.flatMap((name) => {
      const profile = model.profiles.get(name);
      return profile === undefined ? [`profile ${name} does not exist`] : (profile.problem ?? []);
    }),
    ...tiers.flatMap(({ policies }) => policies.flatMap(({ problem }) => problem ?? [])),
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
): DirectionTrace {
  const applying = applyingTo(model, endpoint);
  const [problem] = applying.problems;
  if (problem !== undefined) return closed(direction, `the endpoint is closed: ${problem}`);
  const rulesOf = ({ ingress, egress }: { ingress: readonly Rule[]; egress: readonly Rule[] }) =>
    direction === "inbound" ? ingress : egress;
  const tiers: TierStep[] = [];
  const profiles: ListStep[] = [];
  const decided = (verdict: "allow" | "deny", decidedBy: string): DirectionTrace => ({
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
    const defaultAction = tier?.defaultAction ?? "deny";
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
  return { direction, verdict: "deny", decidedBy, tiers: [], profiles: [] };
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
