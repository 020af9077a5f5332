/**
 * Whether an agent may come back under its old id though it changed (`--reconfiguration_policy`). Pure. Mesos knows
 * `equal` and `additive`; `any` is Margay's: only the host name must stay.
 */

import type { AgentInfo } from "../protocol/agent-info.ts";
import { containsResources, normalizeResources } from "../protocol/resources.ts";

export const reconfigurationPolicies = ["equal", "additive", "any"] as const;
export type ReconfigurationPolicy = (typeof reconfigurationPolicies)[number];

type Described = Omit<AgentInfo, "id">;

/** What stands against it; undefined when nothing does. */
export function changeProblem(policy: ReconfigurationPolicy, before: Described, now: Described): string | undefined {
  if (before.hostname !== now.hostname) return `the host name is now ${now.hostname}, not ${before.hostname}`;
  if (policy === "any") return undefined;
  const old = { resources: normalizeResources(before.resources ?? []), attributes: attributesOf(before) };
  const fresh = { resources: normalizeResources(now.resources ?? []), attributes: attributesOf(now) };
  if (!containsResources(fresh.resources, old.resources)) return "there are fewer resources than before";
  if (old.attributes.some((one) => !fresh.attributes.includes(one))) return "attributes have changed";
  if (policy === "additive") return undefined;
  if (!containsResources(old.resources, fresh.resources)) return "there are more resources than before";
  if (fresh.attributes.some((one) => !old.attributes.includes(one))) return "attributes were added";
  return undefined;
}

function attributesOf(info: Described): readonly string[] {
  return (info.attributes ?? []).map((attribute) => JSON.stringify(attribute));
}
