/**
 * The documents of a made-up cluster of one network, as a store holds them. Endpoints stand on the hosts in turn; 25 in a
 * row are one app, so that an app is spread over hosts; each policy is of one app, and lets the web tier of the next in.
 * Where there are more apps than policies, the endpoints of the others are under the network's profile alone.
 * Every endpoint has a label of its own besides shared ones: the worst case for an index by label.
 */

import { cidrAround, hostCidr, type IpAddress, parseIpAddress } from "../src/base/addresses.ts";
import { encodeAffinity, encodeBlock, encodeHandle } from "../src/model/ipam-documents.ts";
import { affinityKey, blockKey, handleKey, nodeKey } from "../src/model/keys.ts";
import { newNode } from "../src/model/node.ts";
import { encode } from "../src/model/resource.ts";
import type { Store } from "../src/store/store.ts";

export interface ClusterSize {
  readonly endpoints: number;
  readonly hosts: number;
  readonly policies: number;
  /** Default: as many as policies. */
  readonly apps?: number;
}

export type KeyAndValue = readonly [key: string, value: string];

const prefix = "/calico/resources/v3/projectcalico.org/";
const apiVersion = "projectcalico.org/v3";
export const network = "my-calico-net";
const endpointsOfApp = 25;
const putsPerTransaction = 100;
const blockSize = 64;
/** As real blocks have them: nanoseconds, which a number would not hold. */
const firstSequence = 1_790_000_000_000_000_000n;
const stamp = { uid: "bench", nowMs: 0 };

export class ClusterDocuments {
  readonly size: Required<ClusterSize>;

  readonly #blocksOfHost: number;

  constructor(size: ClusterSize) {
    this.size = { apps: size.policies, ...size };
    this.#blocksOfHost = Math.ceil(size.endpoints / size.hosts / blockSize);
  }

  static hostName(host: number): string {
    return `host-${host}`;
  }

  static hostAddress(host: number): IpAddress {
    return parseIpAddress(`172.31.${(host + 11) >> 8}.${(host + 11) & 255}`);
  }

  static interfaceOf(endpoint: number): string {
    return `cali${endpoint}`;
  }

  /** The nth of 10.0.0.0/8. */
  static address(at: number): IpAddress {
    return parseIpAddress(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`);
  }

  /** Each host has blocks of its own. */
  addressOf(endpoint: number): IpAddress {
    const { hosts } = this.size;
    return ClusterDocuments.address((endpoint % hosts) * this.#blocksOfHost * blockSize + Math.floor(endpoint / hosts));
  }

  appOf(endpoint: number): number {
    return Math.floor(endpoint / endpointsOfApp) % this.size.apps;
  }

  /** The endpoints that stand on a host. */
  localTo(host: number): readonly number[] {
    const { endpoints, hosts } = this.size;
    return Array.from({ length: Math.ceil((endpoints - host) / hosts) }, (_, at) => host + at * hosts);
  }

  endpoint(at: number, app = this.appOf(at)): KeyAndValue {
    const node = ClusterDocuments.hostName(at % this.size.hosts);
    const name = `${node.replaceAll("-", "--")}-libnetwork-libnetwork-e${at}`;
    const labels = {
      app: `app-${app}`,
      tier: at % 3 === 0 ? "web" : "db",
      name: `endpoint-${at}`,
      "projectcalico.org/namespace": "libnetwork",
      "projectcalico.org/orchestrator": "libnetwork",
    };
    const spec = {
      orchestrator: "libnetwork",
      workload: "libnetwork",
      node,
      endpoint: `e${at}`,
      ipNetworks: [hostCidr(this.addressOf(at))],
      profiles: [network],
      interfaceName: ClusterDocuments.interfaceOf(at),
    };
    const metadata = { name, namespace: "libnetwork", labels };
    return document("WorkloadEndpoint", `workloadendpoints/libnetwork/${name}`, metadata, spec);
  }

  policy(at: number, options: { readonly order?: number; readonly port?: number } = {}): KeyAndValue {
    const { order = at, port = 80 + (order % 8) } = options;
    const name = `policy-${at}`;
    const from = `app == 'app-${(at + 1) % this.size.apps}' && tier == 'web'`;
    const spec = {
      order,
      selector: `app == 'app-${at}'`,
      types: ["Ingress"],
      ingress: [{ action: "Allow", protocol: "TCP", source: { selector: from }, destination: { ports: [port] } }],
    };
    return document("GlobalNetworkPolicy", `globalnetworkpolicies/${name}`, { name }, spec);
  }

  profile(): KeyAndValue {
    const spec = {
      ingress: [{ action: "Allow", source: { selector: `has(${network})` } }],
      egress: [{ action: "Allow" }],
      labelsToApply: { [network]: "" },
    };
    return document("Profile", `profiles/${network}`, { name: network }, spec);
  }

  *all(): Generator<KeyAndValue> {
    yield this.profile();
    for (let at = 0; at < this.size.policies; at++) yield this.policy(at);
    for (let at = 0; at < this.size.endpoints; at++) yield this.endpoint(at);
  }

  /** Nodes, and what the address plan holds of the endpoints: blocks, their affinities, handles. */
  *addressPlan(): Generator<KeyAndValue> {
    for (let host = 0; host < this.size.hosts; host++) {
      const name = ClusterDocuments.hostName(host);
      const ipv4 = `${ClusterDocuments.hostAddress(host)}/16`;
      yield [nodeKey(name), encode(newNode({ name, ipv4 }, stamp))];
      const local = this.localTo(host);
      for (let at = 0; at < local.length; at += blockSize) yield* blockOf(this, name, local.slice(at, at + blockSize));
    }
  }

  async putInto(store: Store): Promise<void> {
    let puts: { readonly put: string; readonly value: string }[] = [];
    const write = async () => {
      if (puts.length > 0) await store.transact({ compare: [], success: puts });
      puts = [];
    };
    for (const documents of [this.all(), this.addressPlan()])
      for (const [put, value] of documents) {
        puts.push({ put, value });
        if (puts.length === putsPerTransaction) await write();
      }
    await write();
  }
}

/** A block of the host with the endpoints' addresses, its affinity and their handles. */
function* blockOf(documents: ClusterDocuments, host: string, endpoints: readonly number[]): Generator<KeyAndValue> {
  const [first = 0] = endpoints;
  const cidr = cidrAround(documents.addressOf(first), 26);
  const handleOf = (endpoint: number) => `libnetwork.e${endpoint}`;
  const ordinals = Array.from({ length: blockSize }, (_, at) => at);
  const block = encodeBlock({
    cidr,
    affinity: `host:${host}`,
    claimTime: undefined,
    allocations: ordinals.map((at) => (at < endpoints.length ? at : undefined)),
    unallocated: ordinals.slice(endpoints.length),
    attributes: endpoints.map((at) => ({ handle: handleOf(at), secondary: { node: host }, rest: {} })),
    sequenceNumber: firstSequence + BigInt(endpoints.length),
    sequenceByOrdinal: new Map(endpoints.map((_, at) => [at, firstSequence + BigInt(at)])),
    rest: {},
  });
  yield [blockKey(cidr), block];
  yield [affinityKey(host, cidr), encodeAffinity("confirmed")];
  for (const endpoint of endpoints) yield [handleKey(handleOf(endpoint)), encodeHandle(new Map([[cidr, 1]]))];
}

function document(kind: string, path: string, metadata: { readonly name: string }, spec: object): KeyAndValue {
  return [`${prefix}${path}`, JSON.stringify({ kind, apiVersion, metadata, spec })];
}
