/** GlobalNetworkPolicy and NetworkPolicy (calico-datastore.md 2.5), and under which names they are stored (1.10). */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { parseJson } from "./json.ts";
import { absentOr, decode, resourceSchema } from "./resource.ts";
import { Rule } from "./rule.ts";
import { defaultTierName } from "./tier.ts";

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

export const tieredKinds = [
  "GlobalNetworkPolicy",
  "NetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "StagedNetworkPolicy",
] as const;
export type TieredPolicyKind = (typeof tieredKinds)[number];

/** Kinds whose policies stand in a tier; the one of Kubernetes is always of tier default. */
export function isTieredPolicy(kind: string): kind is TieredPolicyKind {
  return (tieredKinds as readonly string[]).includes(kind);
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

export function tierOf(spec: { readonly tier?: string | undefined }): string {
  return spec.tier === undefined || spec.tier === "" ? defaultTierName : spec.tier;
}

/** The name a user gave: from 3.30 on in an annotation, before that the stored name without `default.`. */
export function userPolicyName(metadata: { name: string; annotations?: Record<string, string> | undefined }): string {
  const annotation = metadata.annotations?.["projectcalico.org/metadata"];
  const given = annotation === undefined ? undefined : GivenName.safeParse(annotation).data?.name;
  if (given !== undefined) return given;
  return metadata.name.startsWith("default.") ? metadata.name.slice("default.".length) : metadata.name;
}

const GivenName = z
  .string()
  .transform((text, context) => {
    try {
      return parseJson(text);
    } catch {
      context.addIssue("not JSON");
      return z.NEVER;
    }
  })
  .pipe(z.looseObject({ name: z.string() }));
