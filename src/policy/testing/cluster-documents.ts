/** Documents of a small cluster for tests, as a map from key to value, short to write. */

import { hostCidr, parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { newIpPool } from "../../model/ip-pool.ts";
import { type Block, encodeBlock } from "../../model/ipam-documents.ts";
import {
  blockKey,
  clusterInformationKey,
  ipPoolKey,
  nodeKey,
  profileKey,
  resourceKey,
  tierKey,
  workloadEndpointKey,
} from "../../model/keys.ts";
import { newNode } from "../../model/node.ts";
import { networkProfile } from "../../model/profile.ts";
import { encode } from "../../model/resource.ts";
import { newWorkloadEndpoint } from "../../model/workload-endpoint.ts";

export type Documents = Readonly<Record<string, string>>;

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const apiVersion = "projectcalico.org/v3";

export interface EndpointWish {
  readonly host?: string;
  readonly namespace?: string;
  readonly profiles?: readonly string[];
  readonly labels?: Record<string, string>;
  readonly ports?: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
}

export function endpoint(id: string, address: string, wish: EndpointWish = {}): Documents {
  const { host = "h1", namespace = "default", profiles = [], labels = {} } = wish;
  const document = newWorkloadEndpoint(
    {
      namespace,
      node: host,
      orchestrator: "libnetwork",
      endpoint: id,
      interfaceName: `cali${id}`,
      mac: "ee:ee:ee:ee:ee:ee",
      addresses: [parseIpAddress(address)],
      profiles,
      labels,
    },
    stamp,
  );
  const withPorts = {
    ...document,
    spec: { ...document.spec, ...(wish.ports === undefined ? {} : { ports: wish.ports }) },
  };
  return { [workloadEndpointKey(namespace, document.metadata.name)]: encode(withPorts) };
}

export function network(name: string): Documents {
  return { [profileKey(name)]: encode(networkProfile(name, stamp)) };
}

export function profile(name: string, spec: Record<string, unknown>): Documents {
  return { [profileKey(name)]: document("Profile", { name }, spec) };
}

export function globalPolicy(name: string, spec: Record<string, unknown>): Documents {
  return { [resourceKey({ kind: "GlobalNetworkPolicy", name })]: document("GlobalNetworkPolicy", { name }, spec) };
}

export function policy(name: string, namespace: string, spec: Record<string, unknown>): Documents {
  const key = resourceKey({ kind: "NetworkPolicy", name, namespace });
  return { [key]: document("NetworkPolicy", { name, namespace }, spec) };
}

export function networkSet(name: string, nets: readonly string[], labels: Record<string, string>): Documents {
  const key = resourceKey({ kind: "GlobalNetworkSet", name });
  return { [key]: document("GlobalNetworkSet", { name, labels }, { nets }) };
}

export function hostEndpoint(
  name: string,
  spec: Record<string, unknown>,
  labels: Record<string, string> = {},
): Documents {
  return { [resourceKey({ kind: "HostEndpoint", name })]: document("HostEndpoint", { name, labels }, spec) };
}

export function clusterInformation(clusterType: string): Documents {
  return { [clusterInformationKey]: document("ClusterInformation", { name: "default" }, { clusterType }) };
}

export function felixConfiguration(name: string, spec: Record<string, unknown>): Documents {
  const key = resourceKey({ kind: "FelixConfiguration", name });
  return { [key]: document("FelixConfiguration", { name }, spec) };
}

export function stagedGlobalPolicy(name: string, spec: Record<string, unknown>): Documents {
  const key = resourceKey({ kind: "StagedGlobalNetworkPolicy", name });
  return { [key]: document("StagedGlobalNetworkPolicy", { name }, spec) };
}

export function tier(name: string, order: number | undefined, defaultAction = "Deny"): Documents {
  return { [tierKey(name)]: document("Tier", { name }, { order, defaultAction }) };
}

export function pool(cidr: string, natOutgoing = false): Documents {
  const name = cidr.replaceAll(/[./:]/g, "-");
  return { [ipPoolKey(name)]: encode(newIpPool({ name, cidr: parseCidr(cidr), natOutgoing }, stamp)) };
}

export function node(name: string, ipv4: string): Documents {
  return { [nodeKey(name)]: encode(newNode({ name, ipv4 }, stamp)) };
}

/** A block of four addresses; `held` gives the host of each allocated ordinal. */
export function block(cidr: string, owner: string | undefined, held: Record<number, string> = {}): Documents {
  const hosts = [...new Set(Object.values(held))];
  const allocations = [0, 1, 2, 3].map((ordinal) => {
    const host = held[ordinal];
    return host === undefined ? undefined : hosts.indexOf(host);
  });
  const document: Block = {
    cidr: parseCidr(cidr),
    affinity: owner === undefined ? undefined : `host:${owner}`,
    claimTime: undefined,
    allocations,
    unallocated: [],
    attributes: hosts.map((host) => ({ handle: host, secondary: { node: host }, rest: {} })),
    sequenceNumber: 1n,
    sequenceByOrdinal: new Map(),
    rest: {},
  };
  return { [blockKey(document.cidr)]: encodeBlock(document) };
}

export function host32(address: string): string {
  return hostCidr(parseIpAddress(address));
}

function document(kind: string, metadata: Record<string, unknown>, spec: Record<string, unknown>): string {
  return JSON.stringify({ kind, apiVersion, metadata, spec });
}
