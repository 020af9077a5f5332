/** StagedGlobalNetworkPolicy and StagedNetworkPolicy: policies that are looked at and not enforced (calico-datastore.md 2.5). */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { GlobalNetworkPolicySpec } from "./policy-resource.ts";
import { absentOr, decode, resourceSchema } from "./resource.ts";

export const StagedActions = ["Set", "Delete", "Learn", "Ignore"] as const;
export type StagedAction = (typeof StagedActions)[number];

export const StagedPolicySpec = z.looseObject({
  ...GlobalNetworkPolicySpec.shape,
  stagedAction: absentOr(z.enum(StagedActions)),
});

const specOrNone = z.preprocess((value) => value ?? {}, StagedPolicySpec);
export const StagedGlobalNetworkPolicy = z.looseObject({
  ...resourceSchema("StagedGlobalNetworkPolicy", specOrNone).shape,
});
export const StagedNetworkPolicy = z.looseObject({ ...resourceSchema("StagedNetworkPolicy", specOrNone).shape });
export type StagedPolicyResource = z.infer<typeof StagedGlobalNetworkPolicy> | z.infer<typeof StagedNetworkPolicy>;

/** @throws BadInput; rules and selectors are not looked into. */
export function decodeStagedPolicy(text: string, namespace: string | undefined, path = ""): StagedPolicyResource {
  return decode(namespace === undefined ? StagedGlobalNetworkPolicy : StagedNetworkPolicy, text, path);
}

/** A staged removal says nothing but what it removes. @throws BadInput */
export function checkStagedAction(spec: z.infer<typeof StagedPolicySpec>, path = "spec"): void {
  if (spec.stagedAction !== "Delete") return;
  const others = Object.entries(spec).filter(([field, value]) => {
    if (field === "stagedAction" || field === "tier" || value === undefined || value === null) return false;
    return !(value === "" || value === false || value === 0 || (Array.isArray(value) && value.length === 0));
  });
  const [[field] = []] = others;
  if (field === undefined) return;
  throw new BadInput(
    `${path}.${field}`,
    `Spec fields, except tier, must be zeroed with stagedAction 'Delete'`,
    "absent",
  );
}
