/** Tier: a rank of policies with an action at its end (calico-datastore.md 2.6). */

import { z } from "zod";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";

export const TierSpec = z.looseObject({ order: absentOr(z.number()), defaultAction: absentOr(z.string()) });

export const Tier = z.looseObject({
  ...resourceSchema("Tier", TierSpec).shape,
  spec: z.preprocess((value) => value ?? {}, TierSpec),
});
export type Tier = z.infer<typeof Tier>;

export const defaultTierName = "default";

/** What initialisation creates (3.32). */
export const builtInTiers: readonly { name: string; order: number; defaultAction: "Deny" | "Pass" }[] = [
  { name: "default", order: 1_000_000, defaultAction: "Deny" },
  { name: "kube-admin", order: 1_000, defaultAction: "Pass" },
  { name: "kube-baseline", order: 10_000_000, defaultAction: "Pass" },
];

export function newTier(name: string, order: number, defaultAction: "Deny" | "Pass", stamp: NewObject): Tier {
  return check(Tier, {
    kind: "Tier",
    apiVersion,
    metadata: newMetadata(name, stamp),
    spec: { order, defaultAction },
    status: {},
  });
}

/** @throws BadInput for a value that is no valid Tier. */
export function decodeTier(text: string, path = ""): Tier {
  return decode(Tier, text, path);
}
