/**
 * Gives back what a host that was removed has left: endpoints, addresses, blocks, its own configuration (the cascade of
 * calico-datastore.md 2.1, for whoever deleted the Node alone or died in the middle). Upstream's clients do it when they delete
 * a Node, and nobody after them. Any host does it for any other, several at once too.
 *
 * A host counts as removed when it was a node once, its Node has been absent for the grace period, and its agent does not
 * report. A node that still runs writes its Node again at once (start-up/own-node.ts), and every single change here is
 * compared with the Node's absence: nothing is taken from a host that has come back. Hosts that never had a Node (other
 * orchestrators') are left alone, and so is an address that an endpoint of another host claims.
 */
import { networkAddress } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import { BadInput } from "../base/errors.ts";
import { claimsOf } from "../ipam/endpoint-claims.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { isIpamError } from "../ipam/ipam-error.ts";
import type { HeldAddress } from "../ipam/ipam-requests.ts";
import { affinitiesPrefix, kindPrefix, nodeKey, parseResourceKey, resourceKey } from "../model/keys.ts";
import type { Kind } from "../model/kinds.ts";
import { AnyResource, decode } from "../model/resource.ts";
import { hostEndpointStatusPrefix } from "../model/status-keys.ts";
import { decodeWorkloadEndpoint, networksOf } from "../model/workload-endpoint.ts";
import type { Compare, KeyValue, Store } from "../store/store.ts";

export interface RemovedHostsOptions {
  readonly store: Store;
  readonly ipam: Ipam;
  /** This one is never judged. */
  readonly host: string;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly onRemoved: (host: string) => void;
}

const felixStatusPrefix = "/calico/felix/v2/";
/** Keys a transaction of etcd takes without being told to take more. */
const operationsMax = 100;

export class RemovedHosts {
  readonly #options: RemovedHostsOptions;
  readonly #known = new Set<string>();
  #absentSinceMs: ReadonlyMap<string, number> = new Map();

  constructor(options: RemovedHostsOptions) {
    this.#options = options;
  }

  /** Hosts that are gone, but not for long enough. */
  get waiting(): readonly string[] {
    return [...this.#absentSinceMs.keys()];
  }

  async pass(signal: AbortSignal): Promise<void> {
    const { clock, graceMs, onRemoved } = this.#options;
    const nowMs = clock.monotonicMs();
    const absent = await this.#absentHosts(signal);
    this.#absentSinceMs = new Map(absent.map((name) => [name, this.#absentSinceMs.get(name) ?? nowMs]));
    for (const [name, sinceMs] of this.#absentSinceMs) {
      if (nowMs - sinceMs < graceMs || !(await this.#clear(name, signal))) continue;
      this.#known.delete(name);
      onRemoved(name);
    }
  }

  /** Were nodes once and are not now. What start-up writes for a host tells of it after its Node is gone. */
  async #absentHosts(signal: AbortSignal): Promise<readonly string[]> {
    const { store, host } = this.#options;
    const nodes = new Set((await store.list(kindPrefix("Node"), { signal })).kvs.flatMap(nameOf));
    const configured = (await store.list(kindPrefix("FelixConfiguration"), { signal })).kvs
      .flatMap(nameOf)
      .flatMap((name) => (name.startsWith("node.") ? name.slice("node.".length) : []));
    const once = new Set([...this.#known, ...configured]);
    for (const name of nodes) this.#known.add(name);
    return [...once].filter((name) => name !== host && !nodes.has(name)).sort();
  }

  /** False: it is not removed after all. */
  async #clear(name: string, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#options;
    const reports = (await store.list(felixStatusPrefix, { signal })).kvs
      .map(({ key }) => key)
      .filter((key) => key.split("/")[5] === "host" && key.split("/")[6] === name);
    if (reports.some((key) => key.endsWith(`/host/${name}/status`))) return false;
    try {
      await this.#endpointsAndAddresses(name, signal);
      const require = [absent(name)];
      await this.#options.ipam.releaseAffinities({ host: name, require });
      await this.#delete(name, [affinitiesPrefix(name).slice(0, -1)]);
      await this.#configuration(name, signal);
      const told = (await store.list(hostEndpointStatusPrefix(name), { signal })).kvs.map(({ key }) => key);
      await this.#delete(name, [...reports, ...told]);
      // Last: with it goes what says that there was such a host.
      await this.#delete(name, [resourceKey({ kind: "FelixConfiguration", name: `node.${name}` })]);
      return true;
    } catch (error) {
      if (error instanceof CameBack || isIpamError(error, "IPAM_PRECONDITION_FAILED")) return false;
      throw error;
    }
  }

  async #endpointsAndAddresses(name: string, signal: AbortSignal): Promise<void> {
    const { store, ipam } = this.#options;
    const { kvs } = await store.list(kindPrefix("WorkloadEndpoint"), { signal });
    const own = kvs.filter((kv) => nodeOf(kv) === name);
    const claimedByOthers = claimsOf(kvs.filter((kv) => !own.includes(kv)));
    const held = (await ipam.listHeld()).filter(({ attributes }) => attributes.node === name);
    const free = new Map(held.map((one) => [one.address, one]));
    for (const address of [...free.keys()]) if (claimedByOthers(address)) free.delete(address);
    for (const endpoint of own) {
      signal.throwIfAborted();
      const its = networksOf(decodeWorkloadEndpoint(endpoint.value, endpoint.key)).flatMap(
        (cidr) => free.get(networkAddress(cidr)) ?? [],
      );
      await this.#endpoint(name, endpoint, its);
      for (const { address } of its) free.delete(address);
    }
    for (const one of free.values()) {
      signal.throwIfAborted();
      await this.#release(one, [absent(name)], undefined);
    }
  }

  /** Its addresses one by one, the endpoint itself with the last: a crash leaves an endpoint with fewer addresses to free. */
  async #endpoint(name: string, { key, modRevision }: KeyValue, its: readonly HeldAddress[]): Promise<void> {
    const unchanged = { key, modRevision };
    for (const [at, one] of its.entries()) {
      const last = at === its.length - 1;
      const done = await this.#release(one, [absent(name), unchanged], last ? key : undefined);
      if (last && done) return;
    }
    await this.#delete(name, [key], [unchanged]);
  }

  /** False: it has become somebody else's since it was seen. */
  async #release(one: HeldAddress, require: readonly Compare[], deleted: string | undefined): Promise<boolean> {
    const { address, handle, sequence } = one;
    try {
      const also = () => (deleted === undefined ? [] : [{ delete: deleted }]);
      await this.#options.ipam.releaseAddress(address, { handle, sequence, require, also });
      return true;
    } catch (error) {
      if (isIpamError(error, "IPAM_OWNER_MISMATCH")) return false;
      throw error;
    }
  }

  async #configuration(name: string, signal: AbortSignal): Promise<void> {
    for (const kind of ["HostEndpoint", "BGPPeer"] as const satisfies readonly Kind[]) {
      const { kvs } = await this.#options.store.list(kindPrefix(kind), { signal });
      for (const kv of kvs.filter((one) => nodeOf(one) === name)) {
        await this.#delete(name, [kv.key], [{ key: kv.key, modRevision: kv.modRevision }]);
      }
    }
    await this.#delete(name, [resourceKey({ kind: "BGPConfiguration", name: `node.${name}` })]);
  }

  /** @throws CameBack when the host has a Node, or what was planned on has changed */
  async #delete(name: string, keys: readonly string[], more: readonly Compare[] = []): Promise<void> {
    for (let at = 0; at < keys.length; at += operationsMax) {
      const success = keys.slice(at, at + operationsMax).map((key) => ({ delete: key }));
      const { succeeded } = await this.#options.store.transact({ compare: [absent(name), ...more], success });
      if (!succeeded) throw new CameBack();
    }
  }
}

class CameBack extends Error {}

function absent(name: string): Compare {
  return { key: nodeKey(name), modRevision: 0 };
}

function nameOf({ key }: KeyValue): readonly string[] {
  const name = parseResourceKey(key)?.name;
  return name === undefined ? [] : [name];
}

/** undefined: of no host, or unreadable. */
function nodeOf({ key, value }: KeyValue): unknown {
  try {
    // An endpoint that is not valid cannot be taken apart; it stays for whoever repairs it.
    if (key.startsWith(kindPrefix("WorkloadEndpoint"))) return decodeWorkloadEndpoint(value, key).spec.node;
    return decode(AnyResource, value, key).spec?.node;
  } catch (error) {
    if (error instanceof BadInput) return undefined;
    throw error;
  }
}
