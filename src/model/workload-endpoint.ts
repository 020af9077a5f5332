/**
 * WorkloadEndpoint: one interface of one container on one host, with its addresses, labels and profiles
 * (calico-datastore.md 2.2). Its name follows from its identity; two labels are forced on every write.
 */

import { z } from "zod";
import {
  type Cidr,
  hostCidr,
  type IpAddress,
  tryParseCidr,
  tryParseHostCidr,
  tryParseIpAddress,
} from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { checkEndpointPort, EndpointPort } from "./endpoint-port.ts";
import { workloadEndpointKey } from "./keys.ts";
import { isResourceName } from "./names.ts";
import { QosControls } from "./qos-controls.ts";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";
import { workloadEndpointName } from "./workload-endpoint-name.ts";

export const namespaceLabel = "projectcalico.org/namespace";
export const orchestratorLabel = "projectcalico.org/orchestrator";
export const serviceAccountLabel = "projectcalico.org/serviceaccount";

/** In the order in which Calico writes them, which is then that of what is written here (endpoints-elsewhere.ts). */
export const WorkloadEndpointSpec = z.looseObject({
  orchestrator: z.string().min(1),
  workload: absentOr(z.string()),
  node: z.string().min(1),
  containerID: absentOr(z.string()),
  pod: absentOr(z.string()),
  endpoint: z.string().min(1),
  serviceAccountName: absentOr(z.string()),
  ipNetworks: absentOr(z.array(z.string())),
  ipNATs: absentOr(z.array(z.looseObject({ internalIP: z.string(), externalIP: z.string() }))),
  ipv4Gateway: absentOr(z.string()),
  ipv6Gateway: absentOr(z.string()),
  profiles: absentOr(z.array(z.string())),
  interfaceName: absentOr(z.string().regex(/^[a-zA-Z0-9_.-]{1,15}$/)),
  mac: absentOr(z.string()),
  ports: absentOr(z.array(EndpointPort)),
  allowSpoofedSourcePrefixes: absentOr(z.array(z.string())),
  qosControls: absentOr(QosControls),
});

export const WorkloadEndpoint = resourceSchema("WorkloadEndpoint", WorkloadEndpointSpec);
export type WorkloadEndpoint = z.infer<typeof WorkloadEndpoint>;

export interface NewWorkloadEndpoint {
  readonly namespace: string;
  readonly node: string;
  readonly orchestrator: string;
  readonly endpoint: string;
  readonly workload?: string;
  readonly containerID?: string;
  readonly interfaceName: string;
  readonly mac?: string;
  readonly addresses: readonly IpAddress[];
  readonly profiles: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** @throws BadInput when the identity is incomplete. */
export function newWorkloadEndpoint(wanted: NewWorkloadEndpoint, stamp: NewObject): WorkloadEndpoint {
  const { namespace, node, orchestrator, endpoint, workload, containerID, interfaceName, mac } = wanted;
  const name = workloadEndpointName({ node, orchestrator, endpoint, workload, containerID });
  return check(WorkloadEndpoint, {
    kind: "WorkloadEndpoint",
    apiVersion,
    metadata: newMetadata(name, stamp, { namespace, labels: forcedLabels(wanted.labels, namespace, orchestrator) }),
    spec: {
      orchestrator,
      ...(workload === undefined ? {} : { workload }),
      node,
      ...(containerID === undefined ? {} : { containerID }),
      endpoint,
      ipNetworks: wanted.addresses.map(hostCidr),
      profiles: [...wanted.profiles],
      interfaceName,
      ...(mac === undefined ? {} : { mac }),
    },
  });
}

/** The labels as stored: namespace and orchestrator cannot be removed or spoofed. */
export function forcedLabels(
  labels: Readonly<Record<string, string>> | undefined,
  namespace: string,
  orchestrator: string,
): Record<string, string> {
  return { ...labels, [namespaceLabel]: namespace, [orchestratorLabel]: orchestrator };
}

export function keyOfWorkloadEndpoint(endpoint: WorkloadEndpoint): string {
  return workloadEndpointKey(endpoint.metadata.namespace ?? "default", endpoint.metadata.name);
}

/** @throws BadInput for a value that is no valid WorkloadEndpoint (it then counts as absent). */
export function decodeWorkloadEndpoint(text: string, path = ""): WorkloadEndpoint {
  const endpoint = decode(WorkloadEndpoint, text, path);
  networksOf(endpoint, path);
  return endpoint;
}

const fieldTag = (field: string, tag: string) => `Reason: failed to validate Field: ${field} because of Tag: ${tag} `;

/** What a client accepts of an endpoint. @throws BadInput in upstream's words. */
export function checkWorkloadEndpoint(endpoint: WorkloadEndpoint): void {
  const { spec } = endpoint;
  for (const [field, title] of Object.entries(nameFields)) {
    const value = spec[field];
    if (typeof value === "string" && value !== "" && !isResourceName(value)) {
      throw new BadInput(`spec.${field}`, fieldTag(title, "name"), "lower case letters, digits, dashes and dots");
    }
  }
  if (spec.containerID && !/^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(spec.containerID)) {
    throw new BadInput("spec.containerID", fieldTag("ContainerID", "containerID"), "letters and digits");
  }
  const networks = networksOf(endpoint);
  for (const { internalIP, externalIP } of spec.ipNATs ?? []) {
    const [inner, outer] = [tryParseIpAddress(internalIP), tryParseIpAddress(externalIP)];
    if (inner === undefined || outer === undefined) {
      throw new BadInput("spec.ipNATs", "is not a pair of addresses", "internalIP and externalIP");
    }
    if (inner.includes(":") !== outer.includes(":")) throw new BadInput("spec.ipNATs", "mismatched IP versions", "one");
    if (!networks.includes(hostCidr(inner))) {
      throw new BadInput("spec.ipNATs", "NAT is not in the endpoint networks", "an address of ipNetworks");
    }
  }
  for (const field of ["ipv4Gateway", "ipv6Gateway"] as const) {
    const text = spec[field];
    if (text && tryParseIpAddress(text)?.includes(":") !== (field === "ipv6Gateway")) {
      throw new BadInput(`spec.${field}`, `"${text}" is not an address of the family`, "an address");
    }
  }
  if (spec.mac && !/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(spec.mac)) {
    throw new BadInput("spec.mac", `"${spec.mac}" is not a MAC address`, "ee:ee:ee:ee:ee:ee");
  }
  for (const [at, port] of (spec.ports ?? []).entries()) checkEndpointPort(port, `spec.ports[${at}]`);
  for (const [at, net] of (spec.allowSpoofedSourcePrefixes ?? []).entries()) {
    if (tryParseCidr(net) !== undefined) continue;
    throw new BadInput(`spec.allowSpoofedSourcePrefixes[${at}]`, `"${net}" is not a CIDR`, "a CIDR");
  }
}

const nameFields = {
  orchestrator: "Orchestrator",
  workload: "Workload",
  node: "Node",
  pod: "Pod",
  endpoint: "Endpoint",
  serviceAccountName: "ServiceAccountName",
} as const;

/** Its addresses as /32 and /128. @throws BadInput for a network of several addresses. */
export function networksOf(endpoint: WorkloadEndpoint, path = ""): readonly Cidr[] {
  return (endpoint.spec.ipNetworks ?? []).map((text, at) => {
    const cidr = tryParseHostCidr(text);
    if (cidr !== undefined) return cidr;
    const where = `${path === "" ? "" : `${path}.`}spec.ipNetworks[${at}]`;
    if (tryParseCidr(text) === undefined) {
      throw new BadInput(where, `"${text}" is not an address`, "an address with /32 or /128");
    }
    throw new BadInput(where, "IP network contains multiple addresses", "/32 or /128");
  });
}
