/**
 * What must be in the store before a host can give addresses: cluster identity, built-in tiers, a default pool, defaults of
 * Felix, and this host's Node (reference/calico-datastore.md 1.8, felix-dataplane.md 6.1-6.3). Everything is created only if
 * absent and may run on all hosts at once; of a Node only what this host knows about itself is overwritten.
 */
import { type Cidr, cidrContains, hostCidr, type IpAddress, ipFamily, parseCidr } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { decodeClusterInformation, initializationKeys, initializationWrites } from "../model/cluster-information.ts";
import { decodeIpPool, defaultPoolCidr, defaultPoolName, newIpPool } from "../model/ip-pool.ts";
import { clusterInformationKey, ipPoolKey, kindPrefix, nodeKey, resourceKey } from "../model/keys.ts";
import { decodeNode, hostAddress, newNode } from "../model/node.ts";
import { apiVersion, encode, type NewObject, newMetadata } from "../model/resource.ts";
import type { KeyValue, Store } from "../store/store.ts";

const ATTEMPTS_MAX = 20;

export interface HostIdentity {
  readonly name: string;
  readonly address: IpAddress;
}

export interface InitializationOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly host: HostIdentity;
  /** undefined: no default pool; "choose": 192.168.0.0/16 unless the host's own address lies in it. */
  readonly defaultPool: Cidr | "choose" | undefined;
  readonly allowDuplicateAddress: boolean;
  readonly signal: AbortSignal;
}

/** Resolves with the cluster's GUID. */
export async function initializeCluster(options: InitializationOptions): Promise<string> {
  const cluster = await ensureCluster(options);
  await ensureDefaultPool(options);
  await ensureFelixDefaults(options);
  await ensureNode(options);
  return cluster;
}

async function ensureCluster({ store, clock, signal }: InitializationOptions): Promise<string> {
  return await untilCommitted("ClusterInformation", async () => {
    const current = new Map<string, string>();
    for (const key of initializationKeys) {
      const stored = await store.get(key, { signal });
      if (stored !== undefined) current.set(key, stored.value);
    }
    const uuid = () => clock.uuid();
    const writes = initializationWrites(current, { clusterType: "margay", nowMs: clock.nowMs(), uuid });
    const { succeeded } = await store.transact(
      {
        compare: writes.map(({ key, expected }) =>
          expected === undefined ? { key, modRevision: 0 } : { key, value: expected },
        ),
        success: [...writes.map(({ key, value }) => ({ put: key, value })), { get: clusterInformationKey }],
      },
      { signal },
    );
    if (!succeeded) return undefined;
    const stored = await store.get(clusterInformationKey, { signal });
    return stored === undefined
      ? undefined
      : decodeClusterInformation(stored.value, clusterInformationKey).spec.clusterGUID;
  });
}

async function ensureDefaultPool({ store, clock, host, defaultPool, signal }: InitializationOptions): Promise<void> {
  if (defaultPool === undefined) return;
  const { kvs } = await store.list(kindPrefix("IPPool"), { signal });
  if (kvs.some((kv) => ipFamily(decodeIpPool(kv.value, kv.key).cidr) === 4)) return;
  const cidr = defaultPool === "choose" ? chooseDefaultPool(host.address) : defaultPool;
  const pool = newIpPool({ name: defaultPoolName, cidr, natOutgoing: true }, stamp(clock));
  await createIfAbsent(store, ipPoolKey(defaultPoolName), encode(pool), signal);
}

/** 192.168.0.0/16, or the first of 172.16.0.0/16 to 172.31.0.0/16, that does not hold the host's own address. */
export function chooseDefaultPool(address: IpAddress): Cidr {
  const others = Array.from({ length: 16 }, (_, index) => parseCidr(`172.${16 + index}.0.0/16`));
  const free = [defaultPoolCidr, ...others].find((cidr) => ipFamily(address) !== 4 || !cidrContains(cidr, address));
  return free ?? defaultPoolCidr;
}

async function ensureFelixDefaults({ store, clock, host, signal }: InitializationOptions): Promise<void> {
  const defaults = {
    default: { reportingInterval: "0s", logSeverityScreen: "Info" },
    [`node.${host.name}`]: { defaultEndpointToHostAction: "Return" },
  };
  for (const [name, spec] of Object.entries(defaults)) {
    const kind = "FelixConfiguration";
    const value = encode({ kind, apiVersion, metadata: newMetadata(name, stamp(clock)), spec });
    await createIfAbsent(store, resourceKey({ kind, name }), value, signal);
  }
}

async function ensureNode(options: InitializationOptions): Promise<void> {
  const { store, clock, host, signal } = options;
  const key = nodeKey(host.name);
  // Margay's routes do not depend on the interface's prefix: the host's own address is all it claims.
  const own = newNode(
    { name: host.name, [ipFamily(host.address) === 4 ? "ipv4" : "ipv6"]: hostCidr(host.address) },
    stamp(clock),
  );
  await untilCommitted(`Node ${host.name}`, async () => {
    const { kvs } = await store.list(kindPrefix("Node"), { signal });
    if (!options.allowDuplicateAddress) refuseDuplicateAddress(kvs, key, host);
    const stored = kvs.find((kv) => kv.key === key);
    if (stored === undefined) return await commit(store, key, 0, encode(own), signal);
    const current = decodeNode(stored.value, key);
    const spec = { ...current.spec, bgp: { ...current.spec.bgp, ...own.spec.bgp }, addresses: own.spec.addresses };
    const value = encode({ ...current, spec });
    return value === stored.value || (await commit(store, key, stored.modRevision, value, signal));
  });
}

/** Two hosts with one address would attract each other's traffic: better not to start. */
function refuseDuplicateAddress(nodes: readonly KeyValue[], ownKey: string, host: HostIdentity): void {
  for (const { key, value } of nodes) {
    if (key === ownKey) continue;
    const node = decodeNode(value, key);
    if (hostAddress(node, ipFamily(host.address)) !== host.address) continue;
    throw new OperationError(
      "NODE_DUPLICATE_ADDRESS",
      `host ${node.metadata.name} already has the address ${host.address}`,
      {
        remedy: "give this host another --ip, or remove the other with: calicoctl delete node",
      },
    );
  }
}

async function createIfAbsent(store: Store, key: string, value: string, signal: AbortSignal): Promise<void> {
  await commit(store, key, 0, value, signal);
}

async function commit(
  store: Store,
  key: string,
  modRevision: number,
  value: string,
  signal: AbortSignal,
): Promise<true | undefined> {
  const transaction = { compare: [{ key, modRevision }], success: [{ put: key, value }] };
  const { succeeded } = await store.transact(transaction, { signal });
  return succeeded ? true : undefined;
}

async function untilCommitted<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  for (let count = 0; count < ATTEMPTS_MAX; count += 1) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  throw new OperationError(
    "STORE_CONFLICT",
    `${what} was changed by others ${ATTEMPTS_MAX} times while it was written`,
    {
      retry: "backoff",
    },
  );
}

function stamp(clock: Clock): NewObject {
  return { uid: clock.uuid(), nowMs: clock.nowMs() };
}
