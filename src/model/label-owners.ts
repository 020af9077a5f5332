/** What besides workloads can stand behind a selector: host endpoints and network sets (calico-datastore.md 2.3, 2.7). */

import { z } from "zod";
import { absentOr, resourceSchema } from "./resource.ts";

export const HostEndpoint = resourceSchema(
  "HostEndpoint",
  z.looseObject({
    node: z.string().min(1),
    interfaceName: absentOr(z.string()),
    expectedIPs: absentOr(z.array(z.string())),
    profiles: absentOr(z.array(z.string())),
  }),
);
export type HostEndpoint = z.infer<typeof HostEndpoint>;

const NetworkSetSpec = z.preprocess((value) => value ?? {}, z.looseObject({ nets: absentOr(z.array(z.string())) }));

export const GlobalNetworkSet = resourceSchema("GlobalNetworkSet", NetworkSetSpec);
export type GlobalNetworkSet = z.infer<typeof GlobalNetworkSet>;

export const NetworkSet = resourceSchema("NetworkSet", NetworkSetSpec);
export type NetworkSet = z.infer<typeof NetworkSet>;

export const IpReservation = resourceSchema(
  "IPReservation",
  z.looseObject({ reservedCIDRs: absentOr(z.array(z.string())) }),
);
export type IpReservation = z.infer<typeof IpReservation>;
