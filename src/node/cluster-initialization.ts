/**
 * What must be in the store before a host can give addresses: cluster identity, built-in tiers, default pools, defaults of
 * Felix, and this host's Node (reference/calico-datastore.md 1.8, felix-dataplane.md 6.1-6.3). Everything is created only if
 * absent and may run on all hosts at once; of a Node only what this host knows about itself is overwritten.
 */
import { type IpAddress, ipFamily } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import { BadInput } from "../base/errors.ts";
import { decodeClusterInformation, initializationKeys, initializationWrites } from "../model/cluster-information.ts";
import { decodeIpPool } from "../model/ip-pool.ts";
import { clusterInformationKey, ipPoolKey, kindPrefix, resourceKey } from "../model/keys.ts";
import { apiVersion, encode, newMetadata } from "../model/resource.ts";
import type { KeyValue, Store } from "../store/store.ts";
import type { HostSurroundings } from "./start-up/address-detection.ts";
import type { HostAddresses } from "./start-up/address-wish.ts";
import type { StartUpSettings } from "./start-up/calico-environment.ts";
import { createIfAbsent, untilCommitted } from "./start-up/committed.ts";
import { defaultPoolNameOf, newDefaultPool } from "./start-up/default-pools.ts";
import { ensureNode } from "./start-up/node-resource.ts";

export interface InitializationOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly host: string;
  readonly startUp: Omit<StartUpSettings, "redetectEveryMs">;
  readonly surroundings: HostSurroundings;
  readonly signal: AbortSignal;
}

export interface Initialized {
  /** The cluster's GUID. */
  readonly cluster: string;
  readonly addresses: HostAddresses;
}

export async function initializeCluster(options: InitializationOptions): Promise<Initialized> {
  const cluster = await ensureCluster(options);
  await ensureDefaultPools(options);
  await ensureFelixDefaults(options);
  const addresses = await ensureNode({ ...options, ...options.startUp });
  return { cluster, addresses };
}

async function ensureCluster({ store, clock, startUp, signal }: InitializationOptions): Promise<string> {
  const clusterType = ["margay", ...startUp.clusterTypes].join(",");
  return await untilCommitted("ClusterInformation", async () => {
    const current = new Map<string, string>();
    for (const key of initializationKeys) {
      const stored = await store.get(key, { signal });
      if (stored !== undefined) current.set(key, stored.value);
    }
    const uuid = () => clock.uuid();
    const writes = initializationWrites(current, { clusterType, nowMs: clock.nowMs(), uuid });
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

async function ensureDefaultPools({
  store,
  clock,
  startUp,
  surroundings,
  signal,
}: InitializationOptions): Promise<void> {
  const wanted = [
    [4, startUp.pools.ipv4],
    [6, startUp.pools.ipv6],
  ] as const;
  if (wanted.every(([, pool]) => pool === undefined)) return;
  const { kvs } = await store.list(kindPrefix("IPPool"), { signal });
  for (const [family, pool] of wanted) {
    if (pool === undefined || kvs.some((kv) => isPoolOf(family, kv))) continue;
    const taken = surroundings.interfaces().flatMap(({ addresses }) => addresses.map(({ address }) => address));
    const given = givenAddresses(startUp);
    const object = newDefaultPool(pool, family, [...taken, ...given], clock);
    await createIfAbsent(store, ipPoolKey(defaultPoolNameOf(family)), encode(object), signal);
  }
}

/** One that nobody can read may be of any family: it is not for us to put another beside it. */
function isPoolOf(family: 4 | 6, { key, value }: KeyValue): boolean {
  try {
    return ipFamily(decodeIpPool(value, key).cidr) === family;
  } catch (error) {
    if (error instanceof BadInput) return true;
    throw error;
  }
}

function givenAddresses({ addresses }: Pick<StartUpSettings, "addresses">): readonly IpAddress[] {
  return [addresses.ipv4, addresses.ipv6].flatMap((wish) => (wish.kind === "given" ? wish.address : []));
}

async function ensureFelixDefaults({ store, clock, host, signal }: InitializationOptions): Promise<void> {
  const defaults = {
    default: { reportingInterval: "0s", logSeverityScreen: "Info" },
    [`node.${host}`]: { defaultEndpointToHostAction: "Return" },
  };
  for (const [name, spec] of Object.entries(defaults)) {
    const kind = "FelixConfiguration";
    const metadata = newMetadata(name, { uid: clock.uuid(), nowMs: clock.nowMs() });
    await createIfAbsent(store, resourceKey({ kind, name }), encode({ kind, apiVersion, metadata, spec }), signal);
  }
}
