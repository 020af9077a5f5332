/** Kinds of a few fields each: IPAMConfiguration, CalicoNodeStatus (calico-datastore.md 2.9, 2.12). */

import { z } from "zod";
import { absentOr, resourceSchema } from "./resource.ts";

export const CalicoNodeStatus = z.looseObject({
  ...resourceSchema(
    "CalicoNodeStatus",
    z.looseObject({
      node: z.string().min(1),
      classes: z
        .array(z.enum(["Agent", "BGP", "Routes"]))
        .min(1)
        .refine((classes) => new Set(classes).size === classes.length, "has a class more than once"),
      updatePeriodSeconds: z.int().min(0).max(86400),
    }),
  ).shape,
  status: absentOr(z.looseObject({})),
});
export type CalicoNodeStatus = z.infer<typeof CalicoNodeStatus>;

/** The resource calicoctl shows; what addresses are assigned by lies under /calico/ipam/v2/config. */
export const IpamConfiguration = resourceSchema(
  "IPAMConfiguration",
  z.looseObject({
    strictAffinity: absentOr(z.boolean()),
    autoAllocateBlocks: absentOr(z.boolean()),
    maxBlocksPerHost: absentOr(z.int().min(0)),
    kubeVirtVMAddressPersistence: absentOr(z.enum(["Enabled", "Disabled"])),
  }),
);
