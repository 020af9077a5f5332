/**
 * What in the address plan belongs to nobody any more: addresses whose endpoint is gone, counts of handles that upstream's
 * clients left too high, affinities of hosts that are no more (calico-datastore.md 6.6). Pure: a snapshot in, steps out.
 *
 * - An address is garbage only if its attributes say that it is this host's, a keeper says that it is his kind of address,
 *   and he knows of nothing alive that has it. What no keeper knows (other orchestrators, tunnels, addresses without
 *   attributes) is never touched: whoever uses it may have no endpoint here at all.
 * - Nothing is garbage at first sight: it must have been so without interruption for the grace period.
 * - Each step names what was seen (handle, sequence number, revision), so that it does nothing once that has changed.
 */

import type { Cidr, IpAddress } from "../base/addresses.ts";
import type { Allocation, HandleCounts } from "../model/ipam-documents.ts";

/** Whoever makes endpoints of one kind on this host judges their addresses, from what he has read a moment ago. */
export interface Keeper {
  readonly isOurs: (held: Allocation) => boolean;
  readonly isAlive: (held: Allocation) => boolean;
}

export interface GarbageAddress {
  readonly address: IpAddress;
  readonly handle: string | undefined;
  readonly sequence: bigint | undefined;
}

export type Upkeep =
  | {
      readonly kind: "recount-handle";
      readonly handle: string;
      readonly revision: number;
      readonly seenIn: readonly Cidr[];
    }
  | { readonly kind: "release-affinity"; readonly host: string; readonly cidr: Cidr };

/** Since when each thing has been garbage; handed from one look to the next. */
export type GarbageTimes = ReadonlyMap<string, number>;

export interface Planned<Step> {
  readonly steps: readonly Step[];
  readonly since: GarbageTimes;
}

interface Moment {
  readonly nowMs: number;
  readonly graceMs: number;
}

export function planAddresses(
  {
    host,
    held,
    keepers,
    ...moment
  }: Moment & {
    readonly host: string;
    readonly held: readonly Allocation[];
    readonly keepers: readonly Keeper[];
  },
  before: GarbageTimes,
): Planned<GarbageAddress> {
  const plan = new Ripening<GarbageAddress>(moment, before);
  for (const one of held) {
    if (one.attributes.node !== host) continue;
    const kept = keepers.filter((keeper) => keeper.isOurs(one));
    if (kept.length === 0 || kept.some((keeper) => keeper.isAlive(one))) continue;
    const { address, handle, sequence } = one;
    plan.add(`address ${address} ${handle} ${sequence}`, { address, handle, sequence });
  }
  return plan;
}

export interface UpkeepSnapshot extends Moment {
  readonly held: readonly (Allocation & { readonly block: Cidr })[];
  readonly handles: ReadonlyMap<string, { readonly revision: number; readonly counts: HandleCounts }>;
  readonly affinities: readonly { readonly host: string; readonly cidr: Cidr }[];
  /** Hosts that have a Node object. */
  readonly hosts: ReadonlySet<string>;
}

export function planUpkeep(snapshot: UpkeepSnapshot, before: GarbageTimes): Planned<Upkeep> {
  const plan = new Ripening<Upkeep>(snapshot, before);
  const truth = new Map<string, Map<Cidr, number>>();
  for (const { handle, block } of snapshot.held) {
    if (handle === undefined || handle === "") continue;
    const counts = truth.get(handle) ?? new Map<Cidr, number>();
    truth.set(handle, counts.set(block, (counts.get(block) ?? 0) + 1));
  }
  for (const handle of new Set([...snapshot.handles.keys(), ...truth.keys()])) {
    const { revision = 0, counts = new Map<Cidr, number>() } = snapshot.handles.get(handle) ?? {};
    const right = truth.get(handle) ?? new Map<Cidr, number>();
    if (right.size === counts.size && [...right].every(([cidr, count]) => counts.get(cidr) === count)) continue;
    plan.add(`handle ${handle} ${revision}`, { kind: "recount-handle", handle, revision, seenIn: [...right.keys()] });
  }
  const used = new Set(snapshot.held.map(({ block }) => block));
  for (const { host, cidr } of snapshot.affinities) {
    // Addresses in use may be those of containers that still run: somebody has to say what becomes of them.
    if (snapshot.hosts.has(host) || used.has(cidr)) continue;
    plan.add(`affinity ${host} ${cidr}`, { kind: "release-affinity", host, cidr });
  }
  return plan;
}

/** Steps become due when they were wanted at each look for as long as the grace period. */
class Ripening<Step> implements Planned<Step> {
  readonly steps: Step[] = [];
  readonly since = new Map<string, number>();
  readonly #moment: Moment;
  readonly #before: GarbageTimes;

  constructor(moment: Moment, before: GarbageTimes) {
    this.#moment = moment;
    this.#before = before;
  }

  add(what: string, step: Step): void {
    const { nowMs, graceMs } = this.#moment;
    const sinceMs = this.#before.get(what) ?? nowMs;
    this.since.set(what, sinceMs);
    if (nowMs - sinceMs >= graceMs) this.steps.push(step);
  }
}
