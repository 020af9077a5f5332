/** GlobalNetworkPolicy and NetworkPolicy (calico-datastore.md 2.5). */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { absentOr, decode, resourceSchema } from "./resource.ts";
import { Rule } from "./rule.ts";

const commonSpec = {
  tier: absentOr(z.string()),
  order: absentOr(z.number()),
  ingress: absentOr(z.array(Rule)),
  egress: absentOr(z.array(Rule)),
  selector: absentOr(z.string()),
  types: absentOr(z.array(z.enum(["Ingress", "Egress"]))),
  serviceAccountSelector: absentOr(z.string()),
  performanceHints: absentOr(z.array(z.string())),
};

export const GlobalNetworkPolicySpec = z.looseObject({
  ...commonSpec,
  doNotTrack: absentOr(z.boolean()),
  preDNAT: absentOr(z.boolean()),
  applyOnForward: absentOr(z.boolean()),
  namespaceSelector: absentOr(z.string()),
});

export const GlobalNetworkPolicy = z.looseObject({
  ...resourceSchema("GlobalNetworkPolicy", GlobalNetworkPolicySpec).shape,
  spec: z.preprocess((value) => value ?? {}, GlobalNetworkPolicySpec),
});
export type GlobalNetworkPolicy = z.infer<typeof GlobalNetworkPolicy>;

const NetworkPolicySpec = z.looseObject(commonSpec);
export const NetworkPolicy = z.looseObject({
  ...resourceSchema("NetworkPolicy", NetworkPolicySpec).shape,
  spec: z.preprocess((value) => value ?? {}, NetworkPolicySpec),
});
export type NetworkPolicy = z.infer<typeof NetworkPolicy>;

/** @throws BadInput; rules and selectors are not looked into (checkPolicy does that). */
export function decodeGlobalNetworkPolicy(text: string, path = ""): GlobalNetworkPolicy {
  return decode(GlobalNetworkPolicy, text, path);
}

/** @throws BadInput; rules and selectors are not looked into (checkPolicy does that). */
export function decodeNetworkPolicy(text: string, path = ""): NetworkPolicy {
  return decode(NetworkPolicy, text, path);
}

/** What flags of a policy say about each other. @throws BadInput in upstream's words. */
export function checkPolicyFlags(spec: z.infer<typeof GlobalNetworkPolicySpec>, path = "spec"): void {
  const types = spec.types ?? [];
  if (spec.preDNAT === true && spec.doNotTrack === true) {
    throw new BadInput(path, "PreDNAT and DoNotTrack cannot both be true, for a given PolicySpec", "one of them");
  }
  if (spec.preDNAT === true && (spec.egress ?? []).length > 0) {
    throw new BadInput(path, "PreDNAT PolicySpec cannot have any Egress rules", "ingress rules only");
  }
  if (spec.preDNAT === true && types.includes("Egress")) {
    throw new BadInput(path, "PreDNAT PolicySpec cannot have 'egress' Type", "type Ingress");
  }
  if ((spec.preDNAT === true || spec.doNotTrack === true) && spec.applyOnForward !== true) {
    const problem = "ApplyOnForward must be true if either PreDNAT or DoNotTrack is true, for a given PolicySpec";
    throw new BadInput(path, problem, "applyOnForward: true");
  }
  for (const type of ["Ingress", "Egress"] as const) {
    if (types.indexOf(type) !== types.lastIndexOf(type)) {
      throw new BadInput(`${path}.types`, `'${type}' type specified more than once`, "each type once");
    }
  }
}

/** For which directions a policy is when its writer did not say (on reading, none said means both). */
export function defaultTypes(spec: {
  readonly ingress?: readonly unknown[] | undefined;
  readonly egress?: readonly unknown[] | undefined;
}): ("Ingress" | "Egress")[] {
  const [ingress, egress] = [(spec.ingress ?? []).length > 0, (spec.egress ?? []).length > 0];
  if (!egress) return ["Ingress"];
  return ingress ? ["Ingress", "Egress"] : ["Egress"];
}
