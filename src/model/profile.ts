/**
 * Profile: rules and labels an endpoint takes on by naming it (calico-datastore.md 2.4). A Docker or CNI network is
 * a profile of its name, whose members carry the label of that name and accept each other.
 */

import { z } from "zod";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";
import { checkRule, Rule } from "./rule.ts";

export const ProfileSpec = z.looseObject({
  ingress: absentOr(z.array(Rule)),
  egress: absentOr(z.array(Rule)),
  labelsToApply: absentOr(z.record(z.string(), z.string())),
});

export const Profile = z.looseObject({
  ...resourceSchema("Profile", ProfileSpec).shape,
  spec: z.preprocess((value) => value ?? {}, ProfileSpec),
});
export type Profile = z.infer<typeof Profile>;

/** The profile of a network: members may reach each other and everybody else, nobody else may reach them. */
export function networkProfile(network: string, stamp: NewObject): Profile {
  return check(Profile, {
    kind: "Profile",
    apiVersion,
    metadata: newMetadata(network, stamp),
    spec: {
      ingress: [{ action: "Allow", source: { selector: `has(${network})` } }],
      egress: [{ action: "Allow" }],
      labelsToApply: { [network]: "" },
    },
  });
}

/** @throws BadInput for a value that is no valid Profile, rules included (it then counts as absent). */
export function decodeProfile(text: string, path = ""): Profile {
  const profile = decode(Profile, text, path);
  checkRules(profile.spec, path);
  return profile;
}

/** @throws BadInput for the first rule that is wrong. */
export function checkRules(
  spec: { readonly ingress?: readonly Rule[] | undefined; readonly egress?: readonly Rule[] | undefined },
  path = "",
): void {
  const base = path === "" ? "spec" : `${path}.spec`;
  for (const direction of ["ingress", "egress"] as const) {
    for (const [at, rule] of (spec[direction] ?? []).entries()) checkRule(rule, `${base}.${direction}[${at}]`);
  }
}
