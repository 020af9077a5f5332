/** The address plan and who uses its addresses, read from the store for `ipam check`. */

import { type IpAddress, networkAddress, tryParseCidr, tryParseIpAddress } from "../../../base/addresses.ts";
import { BadInput } from "../../../base/errors.ts";
import { inspectPlan, type PlanFindings } from "../../../ipam/inspection.ts";
import { decodeIpPool, type Pool } from "../../../model/ip-pool.ts";
import { decodeHandle, type HandleCounts } from "../../../model/ipam-documents.ts";
import { blocksPrefix, handlesPrefix, ipamPrefix, kindPrefix, parseHandleKey } from "../../../model/keys.ts";
import { decodeNode, type Node } from "../../../model/node.ts";
import { decodeWorkloadEndpoint } from "../../../model/workload-endpoint.ts";
import type { KeyValue, Store } from "../../../store/store.ts";
import { type ClusterState, readCluster } from "./cluster-lock.ts";

export interface CheckedPlan {
  readonly cluster: ClusterState | undefined;
  readonly findings: PlanFindings;
  readonly pools: readonly Pool[];
  readonly tunnels: number;
  readonly endpoints: number;
  readonly handles: number;
}

const graceMs = 60_000;

export async function checkPlan(store: Store, nowMs: number): Promise<CheckedPlan> {
  const cluster = await readCluster(store);
  // The plan first: what is assigned and used after that is in neither, and no finding.
  const handles = new Map((await store.list(handlesPrefix)).kvs.flatMap(handleOf));
  const blocks = await store.list(blocksPrefix);
  const affinities = await store.list(`${ipamPrefix}host/`);
  const read = async <Value>(kind: "IPPool" | "Node" | "WorkloadEndpoint", decode: (text: string) => Value) =>
    (await store.list(kindPrefix(kind))).kvs.flatMap((kv) => readable(kv, decode));
  const pools = await read("IPPool", decodeIpPool);
  const nodes = await read("Node", decodeNode);
  const endpoints = await read("WorkloadEndpoint", decodeWorkloadEndpoint);
  const tunnels = new Map(nodes.flatMap(tunnelsOf));
  const workloads = new Map<IpAddress, string>();
  for (const { metadata, spec } of endpoints) {
    for (const network of spec.ipNetworks ?? []) {
      const cidr = tryParseCidr(network);
      if (cidr !== undefined)
        workloads.set(networkAddress(cidr), `WorkloadEndpoint(${metadata.namespace}/${metadata.name})`);
    }
  }
  const findings = inspectPlan({
    pools,
    blocks: new Map(blocks.kvs.map(({ key, value }) => [key, value])),
    handles,
    affinityKeys: new Set(affinities.kvs.map(({ key }) => key)),
    users: new Map([...tunnels, ...workloads]),
    isUsedByHandle: usedByHandle(nodes),
    nowMs,
    graceMs,
  });
  return { cluster, findings, pools, tunnels: tunnels.size, endpoints: workloads.size, handles: handles.size };
}

/** Of addresses that have no endpoint: the gateways of Docker's networks, and what upstream keeps back on Windows. */
function usedByHandle(nodes: readonly Node[]): (handle: string) => boolean {
  const gateways = nodes.map(({ metadata }) => `docker-${metadata.name}-network-`);
  return (handle) =>
    handle === "windows-reserved-ipam-handle" || gateways.some((gateway) => handle.startsWith(gateway));
}

function readable<Value>({ key, value }: KeyValue, decode: (text: string, path: string) => Value): readonly Value[] {
  try {
    return [decode(value, key)];
  } catch (error) {
    if (error instanceof BadInput) return [];
    throw error;
  }
}

function handleOf(
  kv: KeyValue,
): readonly (readonly [string, { readonly revision: number; readonly counts: HandleCounts }])[] {
  const handle = parseHandleKey(kv.key);
  if (handle === undefined) return [];
  return readable(kv, decodeHandle).map((counts) => [handle, { revision: kv.modRevision, counts }] as const);
}

function tunnelsOf({ metadata, spec }: Node): readonly (readonly [IpAddress, string])[] {
  const { bgp, ipv4VXLANTunnelAddr, ipv6VXLANTunnelAddr, wireguard } = spec;
  const texts = [
    bgp?.ipv4IPIPTunnelAddr,
    ipv4VXLANTunnelAddr,
    ipv6VXLANTunnelAddr,
    wireguard?.interfaceIPv4Address,
    wireguard?.interfaceIPv6Address,
  ];
  return texts.flatMap((text) => {
    const address = text ? tryParseIpAddress(text) : undefined;
    return address === undefined ? [] : [[address, `a tunnel of Node(${metadata.name})`] as const];
  });
}
