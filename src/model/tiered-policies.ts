/**
 * Which kinds are policies of a tier; which tier, and which name of its user, one has (calico-datastore.md 1.10, 2.6). Apart from
 * their schemas: who only shows policies does not load what their rules may say.
 */

import { z } from "zod";
import { parseJson } from "./json.ts";
import { defaultTierName } from "./tier.ts";

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
