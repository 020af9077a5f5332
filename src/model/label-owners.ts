/** What besides workloads can stand behind a selector: host endpoints and network sets (calico-datastore.md 2.3, 2.7). */

import { z } from "zod";
import { BadInput } from "../base/errors.ts";
import { EndpointPort } from "./endpoint-port.ts";
import { absentOr, resourceSchema } from "./resource.ts";

export const HostEndpoint = resourceSchema(
  "HostEndpoint",
  z.looseObject({
    node: absentOr(z.string()),
    interfaceName: absentOr(z.string()),
    expectedIPs: absentOr(z.array(z.string())),
    profiles: absentOr(z.array(z.string())),
    ports: absentOr(z.array(EndpointPort)),
  }),
);
export type HostEndpoint = z.infer<typeof HostEndpoint>;

/** @throws BadInput when it does not say which interface it is. */
export function checkHostEndpoint({ spec }: HostEndpoint, path = ""): void {
  const where = path === "" ? "spec" : `${path}: spec`;
  if (!spec.node) throw new BadInput(`${where}.node`, "no node has been specified", "the name of a node");
  if (!spec.interfaceName && (spec.expectedIPs ?? []).length === 0) {
    const problem = "no interface or expected IPs have been specified";
    throw new BadInput(where, problem, "interfaceName or expectedIPs");
  }
}

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
