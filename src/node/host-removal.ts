/**
 * Takes out of the store all that a host has there beside its Node (the cascade of calico-datastore.md 2.1): addresses, endpoints,
 * blocks, configuration, reports. Who removes a host says what makes it removed, and every single change is compared with that:
 * nothing is taken from a host that has come back. It may be killed at any write, and several may do it at once; done twice it
 * is done once. An address that an endpoint of another host claims is left alone.
 */
import { networkAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { claimsOf } from "../ipam/endpoint-claims.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { isIpamError } from "../ipam/ipam-error.ts";
import type { HeldAddress } from "../ipam/ipam-requests.ts";
import { affinitiesPrefix, kindPrefix, resourceKey } from "../model/keys.ts";
import type { Kind } from "../model/kinds.ts";
import { AnyResource, decode } from "../model/resource.ts";
import { hostEndpointStatusPrefix } from "../model/status-keys.ts";
import { decodeWorkloadEndpoint, networksOf } from "../model/workload-endpoint.ts";
import type { Compare, KeyValue, Store } from "../store/store.ts";

export interface HostRemovalOptions {
  readonly store: Pick<Store, "list" | "transact">;
  /** Undefined: the plan of addresses stays as it is (a dry run). */
  readonly ipam: Ipam | undefined;
  readonly host: string;
  /** What says that the host is removed. */
  readonly removed: Compare;
  readonly signal: AbortSignal;
}

const felixStatusPrefix = "/calico/felix/v2/";
/** Keys a transaction of etcd takes without being told to take more. */
const operationsMax = 100;

/** False: it is not removed (any more), or what was planned on has changed; what was not taken until then is still there. */
export async function removeHostsThings(options: HostRemovalOptions): Promise<boolean> {
  try {
    await new HostRemoval(options).run();
    return true;
  } catch (error) {
    if (error instanceof Changed || isIpamError(error, "IPAM_PRECONDITION_FAILED")) return false;
    throw error;
  }
}

/** What the host's agent has said of itself and its endpoints. */
export async function reportsOf(store: Pick<Store, "list">, host: string): Promise<readonly string[]> {
  const { kvs } = await store.list(felixStatusPrefix);
  return kvs.map(({ key }) => key).filter((key) => key.split("/")[5] === "host" && key.split("/")[6] === host);
}

class Changed extends Error {}

class HostRemoval {
  readonly #options: HostRemovalOptions;

  constructor(options: HostRemovalOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { store, ipam, host, removed } = this.#options;
    await this.#endpointsAndAddresses();
    if (ipam !== undefined) {
      await ipam.releaseAffinities({ host, require: [removed] });
      await this.#delete([affinitiesPrefix(host).slice(0, -1)]);
    }
    await this.#configuration();
    const { kvs } = await store.list(hostEndpointStatusPrefix(host));
    await this.#delete([...(await reportsOf(store, host)), ...kvs.map(({ key }) => key)]);
    // Last: with it goes what says that there was such a host.
    await this.#delete([resourceKey({ kind: "FelixConfiguration", name: `node.${host}` })]);
  }

  async #endpointsAndAddresses(): Promise<void> {
    const { store, ipam, host, removed, signal } = this.#options;
    const { kvs } = await store.list(kindPrefix("WorkloadEndpoint"));
    const own = kvs.filter((kv) => nodeOf(kv) === host);
    const claimedByOthers = claimsOf(kvs.filter((kv) => !own.includes(kv)));
    const held = ((await ipam?.listHeld()) ?? []).filter(({ attributes }) => attributes.node === host);
    const free = new Map(held.map((one) => [one.address, one]));
    for (const address of [...free.keys()]) if (claimedByOthers(address)) free.delete(address);
    for (const endpoint of own) {
      signal.throwIfAborted();
      const its = addressesOf(endpoint).flatMap((address) => free.get(address) ?? []);
      await this.#endpoint(endpoint, its);
      for (const { address } of its) free.delete(address);
    }
    for (const one of free.values()) {
      signal.throwIfAborted();
      await this.#release(one, [removed], undefined);
    }
  }

  /** Its addresses one by one, the endpoint itself with the last: a crash leaves an endpoint with fewer addresses to free. */
  async #endpoint({ key, modRevision }: KeyValue, its: readonly HeldAddress[]): Promise<void> {
    const unchanged = { key, modRevision };
    for (const [at, one] of its.entries()) {
      const last = at === its.length - 1;
      const done = await this.#release(one, [this.#options.removed, unchanged], last ? key : undefined);
      if (last && done) return;
    }
    await this.#delete([key], [unchanged]);
  }

  /** False: it has become somebody else's since it was seen. */
  async #release(one: HeldAddress, require: readonly Compare[], deleted: string | undefined): Promise<boolean> {
    const { address, handle, sequence } = one;
    try {
      const also = () => (deleted === undefined ? [] : [{ delete: deleted }]);
      await this.#options.ipam?.releaseAddress(address, { handle, sequence, require, also });
      return true;
    } catch (error) {
      if (isIpamError(error, "IPAM_OWNER_MISMATCH")) return false;
      throw error;
    }
  }

  async #configuration(): Promise<void> {
    const { store, host } = this.#options;
    for (const kind of ["HostEndpoint", "BGPPeer"] as const satisfies readonly Kind[]) {
      const { kvs } = await store.list(kindPrefix(kind));
      for (const kv of kvs.filter((one) => nodeOf(one) === host)) {
        await this.#delete([kv.key], [{ key: kv.key, modRevision: kv.modRevision }]);
      }
    }
    await this.#delete([resourceKey({ kind: "BGPConfiguration", name: `node.${host}` })]);
  }

  /** @throws Changed */
  async #delete(keys: readonly string[], more: readonly Compare[] = []): Promise<void> {
    const { store, removed } = this.#options;
    for (let at = 0; at < keys.length; at += operationsMax) {
      const success = keys.slice(at, at + operationsMax).map((key) => ({ delete: key }));
      const { succeeded } = await store.transact({ compare: [removed, ...more], success });
      if (!succeeded) throw new Changed();
    }
  }
}

/** undefined: of no host, or nobody can read it: it stays, with what it may mean, for whoever repairs it. */
function nodeOf({ key, value }: KeyValue): unknown {
  return unlessUnreadable(() => decode(AnyResource, value, key).spec?.node);
}

/** None of one that is not valid: those it has are found by what they say themselves. */
function addressesOf({ key, value }: KeyValue) {
  return unlessUnreadable(() => networksOf(decodeWorkloadEndpoint(value, key)).map(networkAddress)) ?? [];
}

function unlessUnreadable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
