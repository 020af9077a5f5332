/**
 * Finds hosts that were removed and has what they left taken away (host-removal.ts), for whoever deleted the Node alone or died in
 * the middle. Upstream's clients do it when they delete a Node, and nobody after them. Any host does it for any other, several at
 * once too.
 *
 * A host counts as removed when it was a node once, its Node has been absent for the grace period, and its agent does not
 * report. A node that still runs writes its Node again at once (start-up/own-node.ts). Hosts that never had a Node (other
 * orchestrators') are left alone.
 */
import type { Clock } from "../base/clock.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { kindPrefix, nodeKey, parseResourceKey } from "../model/keys.ts";
import type { KeyValue, Store } from "../store/store.ts";
import { removeHostsThings, reportsOf } from "./host-removal.ts";

export interface RemovedHostsOptions {
  readonly store: Store;
  readonly ipam: Ipam;
  /** This one is never judged. */
  readonly host: string;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly onRemoved: (host: string) => void;
}

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
    const { store, ipam } = this.#options;
    const reports = await reportsOf(store, name);
    if (reports.some((key) => key.endsWith(`/host/${name}/status`))) return false;
    const removed = { key: nodeKey(name), modRevision: 0 };
    return await removeHostsThings({ store, ipam, host: name, removed, signal });
  }
}

function nameOf({ key }: KeyValue): readonly string[] {
  const name = parseResourceKey(key)?.name;
  return name === undefined ? [] : [name];
}
