/**
 * Carries out what garbage.ts plans. Two looks, each handed its own times: addresses() for those of this host, with the
 * keepers' judgement; upkeep() for counts and affinities of the whole cluster, which any host may do, several at once too.
 * Before an address is given back, every WorkloadEndpoint of the cluster is asked once more: whatever a keeper believes, an
 * address that an endpoint claims stays.
 */

import type { IpAddress } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import { BadInput, OperationError, unreachable } from "../base/errors.ts";
import { type Allocation, decodeHandle, type HandleCounts } from "../model/ipam-documents.ts";
import {
  handlesPrefix,
  ipamPrefix,
  kindPrefix,
  parseAffinityKey,
  parseHandleKey,
  parseResourceKey,
} from "../model/keys.ts";
import type { KeyValue, Store } from "../store/store.ts";
import { claimsOf } from "./endpoint-claims.ts";
import {
  type GarbageAddress,
  type GarbageTimes,
  type Keeper,
  planAddresses,
  planUpkeep,
  type Upkeep,
} from "./garbage.ts";
import type { Ipam } from "./ipam.ts";
import { isIpamError } from "./ipam-error.ts";

export interface GarbageCollectorOptions {
  readonly store: Store;
  readonly ipam: Ipam;
  readonly host: string;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly onAddressReleased: (address: GarbageAddress) => void;
  readonly onUpkeep: (step: Upkeep) => void;
}

/** Addresses in blocks of other hosts are looked for less often: that takes reading every block of the cluster. */
const everywhereEveryMs = 600_000;

export class GarbageCollector {
  readonly #options: GarbageCollectorOptions;
  #addresses: GarbageTimes = new Map();
  #upkeep: GarbageTimes = new Map();
  #everywhereAtMs: number | undefined;

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
  }

  /** What is garbage but has not been so for long enough. */
  get waiting(): readonly string[] {
    return [...this.#addresses.keys(), ...this.#upkeep.keys()];
  }

  /** What this host holds. To be read before the keepers look at what lives: what comes meanwhile is then not judged. */
  async look(): Promise<readonly Allocation[]> {
    const { ipam, host, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const everywhere =
      this.#everywhereAtMs === undefined ||
      this.#addresses.size > 0 ||
      nowMs - this.#everywhereAtMs >= everywhereEveryMs;
    if (everywhere) this.#everywhereAtMs = nowMs;
    return everywhere ? await ipam.listOwn(host) : await ipam.listInOwnBlocks(host);
  }

  /** Gives back what `look` has found and no keeper has had alive for the grace period. */
  async addresses(held: readonly Allocation[], keepers: readonly Keeper[], signal: AbortSignal): Promise<void> {
    const { clock, host, graceMs } = this.#options;
    const moment = { nowMs: clock.monotonicMs(), graceMs };
    const { steps, since } = planAddresses({ ...moment, host, held, keepers }, this.#addresses);
    this.#addresses = since;
    if (steps.length === 0) return;
    const claimed = await this.#claimedByEndpoints(signal);
    for (const step of steps) {
      signal.throwIfAborted();
      if (!claimed(step.address)) await this.#release(step, signal);
    }
  }

  async upkeep(signal: AbortSignal): Promise<void> {
    const { store, ipam, clock, graceMs } = this.#options;
    const handles = await store.list(handlesPrefix, { signal });
    const affinities = await store.list(`${ipamPrefix}host/`, { signal });
    const nodes = await store.list(kindPrefix("Node"), { signal });
    const { steps, since } = planUpkeep(
      {
        nowMs: clock.monotonicMs(),
        graceMs,
        held: await ipam.listHeld(),
        handles: new Map(handles.kvs.flatMap(readHandle)),
        affinities: affinities.kvs.flatMap(({ key }) => parseAffinityKey(key) ?? []),
        hosts: new Set(nodes.kvs.flatMap(({ key }) => parseResourceKey(key)?.name ?? [])),
      },
      this.#upkeep,
    );
    this.#upkeep = since;
    for (const step of steps) {
      signal.throwIfAborted();
      if (await this.#carryOut(step)) this.#options.onUpkeep(step);
    }
  }

  async #release(step: GarbageAddress, signal: AbortSignal): Promise<void> {
    const { address, handle, sequence } = step;
    try {
      const released = await this.#options.ipam.releaseAddress(address, { handle, sequence, signal });
      if (released) this.#options.onAddressReleased(step);
    } catch (error) {
      if (!isIpamError(error, "IPAM_OWNER_MISMATCH")) throw error; // it has become somebody's since we looked
    }
  }

  async #carryOut(step: Upkeep): Promise<boolean> {
    const { ipam } = this.#options;
    switch (step.kind) {
      case "recount-handle":
        return await ipam.recountHandle(step.handle, step.revision, step.seenIn);
      case "release-affinity": {
        const scope = { host: step.host, within: step.cidr, emptyOnly: true };
        return (await ipam.releaseAffinities(scope)).released.length > 0;
      }
      default:
        return unreachable(step);
    }
  }

  async #claimedByEndpoints(signal: AbortSignal): Promise<(address: IpAddress) => boolean> {
    return claimsOf((await this.#options.store.list(kindPrefix("WorkloadEndpoint"), { signal })).kvs);
  }
}

function readHandle({
  key,
  value,
  modRevision,
}: KeyValue): readonly (readonly [string, { readonly revision: number; readonly counts: HandleCounts }])[] {
  const handle = parseHandleKey(key);
  if (handle === undefined) return [];
  try {
    return [[handle, { revision: modRevision, counts: decodeHandle(value, key) }]];
  } catch (error) {
    if (error instanceof BadInput || error instanceof OperationError) return []; // not ours to judge
    throw error;
  }
}
