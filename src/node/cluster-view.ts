/**
 * What programs on this host want to know of the cluster without asking the store: pools, which profiles exist, whether the
 * datastore is locked.
 * Fed from the same watch as the policy calculation; while the store is away it keeps what it knew last.
 */
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { decodeClusterInformation } from "../model/cluster-information.ts";
import { decodeIpPool, type Pool } from "../model/ip-pool.ts";
import { clusterInformationKey, kindPrefix } from "../model/keys.ts";
import type { KeyValue } from "../store/store.ts";

const poolsPrefix = kindPrefix("IPPool");
const profilesPrefix = kindPrefix("Profile");

export class ClusterView {
  readonly #log: Log;
  readonly #pools = new Map<string, Pool>();
  readonly #profileKeys = new Set<string>();
  readonly #onPoolsChange: (pools: readonly Pool[]) => void;

  constructor(options: { log: Log; onPoolsChange: (pools: readonly Pool[]) => void }) {
    this.#log = options.log;
    this.#onPoolsChange = options.onPoolsChange;
  }

  #locked = false;

  /** Whoever locked the datastore (datastoreReady: false) is changing it as a whole: nobody acts on what it says meanwhile. */
  get locked(): boolean {
    return this.#locked;
  }

  update(key: string, value: KeyValue | undefined): void {
    if (key === clusterInformationKey) this.#locked = value !== undefined && this.#isLocked(value);
    if (key.startsWith(profilesPrefix)) {
      if (value === undefined) this.#profileKeys.delete(key);
      else this.#profileKeys.add(key);
    }
    if (!key.startsWith(poolsPrefix)) return;
    this.#pools.delete(key);
    if (value !== undefined) {
      try {
        this.#pools.set(key, decodeIpPool(value.value, key));
      } catch (error) {
        // An invalid pool counts as absent.
        this.#log.warn({ event: "pool_invalid", key, error: describeError(error) });
      }
    }
    this.#onPoolsChange(this.pools());
  }

  /** As last seen; a profile removed a moment ago may still be told of. */
  hasProfile(key: string): boolean {
    return this.#profileKeys.has(key);
  }

  pools(): readonly Pool[] {
    return [...this.#pools.values()];
  }

  #isLocked({ key, value }: KeyValue): boolean {
    try {
      return decodeClusterInformation(value, key).spec.datastoreReady === false;
    } catch (error) {
      this.#log.warn({ event: "cluster_information_invalid", key, error: describeError(error) });
      return this.#locked;
    }
  }
}
