/**
 * ipam/ gives out addresses and takes them back, in Calico's IPAM v2 format, shared with other writers of the store.
 * - No address twice, no half change: address, handle and whatever the caller writes with them (`also`) are ONE
 *   transaction, compared with everything it rests on.
 * - A block owned by a host has both `affinity: host:<name>` and a confirmed affinity key, changed together.
 * - Refusals are OperationErrors with the codes of ipam-error.ts, decided on what the store says now.
 * Absent on purpose: caches that outlive a call, knowledge of Docker, CNI or endpoints, garbage collection (the caller
 * knows what lives: listOwn() tells what is held).
 */

import { type Cidr, cidrCovers, type IpAddress, prefixLength } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import type { Pool } from "../model/ip-pool.ts";
import { type Allocation, allocationsOf, type Block, ownerHost } from "../model/ipam-documents.ts";
import { blockKey, handleKey, ipamPrefix, parseAffinityKey } from "../model/keys.ts";
import type { Compare, Operation, Store } from "../store/store.ts";
import { allocationAt, isEmpty, ordinalOf } from "./block-allocation.ts";
import { ChangeQueue } from "./change-queue.ts";
import { Draft } from "./draft.ts";
import { type HostView, hostViewKeys, poolsPrefix, readHostView, readPools } from "./host-view.ts";
import { planAssignment } from "./plan-assignment.ts";
import {
  addressesOf,
  blockOfAddress,
  planMoveHandle,
  planReleaseAddress,
  planReleaseAffinity,
  planReleaseHandle,
  type ReleaseGuard,
} from "./plan-release.ts";

export interface RequestOptions<Result> {
  /** Operations of the caller in the same transaction, e.g. the endpoint that uses the address. */
  readonly also?: (result: Result) => readonly Operation[];
  /** Comparisons of the caller in the same transaction; one that fails refuses with IPAM_PRECONDITION_FAILED. */
  readonly require?: readonly Compare[];
  /** Takes the request out of the queue while it is waiting; what is under way is finished. */
  readonly signal?: AbortSignal;
}

export interface AssignRequest extends RequestOptions<IpAddress> {
  readonly host: string;
  readonly family: 4 | 6;
  /** Only from these pools; without it from those that select the host. */
  readonly pools?: readonly Cidr[];
  /** Exactly this address. */
  readonly address?: IpAddress;
  readonly handle: string | ((address: IpAddress) => string);
  /** Stored with the address; `node` is added. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Default "Workload". */
  readonly use?: "Workload" | "Tunnel";
}

export interface HeldAddress extends Allocation {
  readonly block: Cidr;
  readonly blockOwner: string | undefined;
}

export interface Utilization {
  readonly pools: readonly { readonly pool: Pool; readonly capacity: bigint; readonly used: number }[];
  readonly blocks: readonly {
    readonly cidr: Cidr;
    readonly affinity: string | undefined;
    readonly capacity: number;
    readonly used: number;
    readonly empty: boolean;
  }[];
}

export class Ipam {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #queue: ChangeQueue;
  readonly #views = new WeakMap<Draft, Map<string, HostView>>();

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#queue = new ChangeQueue(store, clock);
  }

  assignAddress(request: AssignRequest): Promise<IpAddress> {
    const { host, family, pools, address, handle, attributes = {}, use = "Workload" } = request;
    const wish = {
      family,
      use,
      handle,
      attributes,
      ...(pools === undefined ? {} : { pools }),
      ...(address === undefined ? {} : { address }),
    };
    const { keys, prefixes } = hostViewKeys(host);
    return this.#submit(
      request,
      [...keys, ...(typeof handle === "string" ? [handleKey(handle)] : [])],
      prefixes,
      async (draft) => planAssignment(draft, await this.#view(draft, host), wish, this.#clock.nowMs()),
    );
  }

  /** Answers the addresses released; an unknown handle releases none, and `also` is done all the same. */
  releaseByHandle(handle: string, options: RequestOptions<readonly IpAddress[]> = {}): Promise<readonly IpAddress[]> {
    return this.#submit(options, [handleKey(handle)], [], (draft) => planReleaseHandle(draft, handle));
  }

  /** Answers whether the address was allocated; `also` is done in both cases. @throws IPAM_OWNER_MISMATCH */
  releaseAddress(address: IpAddress, options: RequestOptions<boolean> & ReleaseGuard = {}): Promise<boolean> {
    const { handle, sequence } = options;
    const keys = handle === undefined ? [] : [handleKey(handle)];
    return this.#submit(options, keys, [poolsPrefix], (draft) =>
      planReleaseAddress(draft, address, { handle, sequence }),
    );
  }

  /** Gives all addresses of the `from` handles to `to`, and answers what `to` holds. @throws IPAM_HANDLE_UNKNOWN */
  moveHandle(
    move: RequestOptions<readonly IpAddress[]> & {
      readonly from: readonly string[];
      readonly to: string;
      readonly attributes?: Readonly<Record<string, string>>;
    },
  ): Promise<readonly IpAddress[]> {
    const { from, to, attributes = {} } = move;
    return this.#submit(move, [...from, to].map(handleKey), [], (draft) =>
      planMoveHandle(draft, { from, to, attributes }),
    );
  }

  /** Gives back a host's blocks (all of them, or those in a pool): for a host that leaves, or a pool that goes. */
  async releaseAffinities(scope: {
    readonly host?: string;
    readonly within?: Cidr;
    readonly emptyOnly?: boolean;
  }): Promise<number> {
    const { host, within, emptyOnly = false } = scope;
    const { kvs } = await this.#store.list(`${ipamPrefix}host/${host === undefined ? "" : `${host}/`}`);
    const affinities = kvs.flatMap(({ key }) => parseAffinityKey(key) ?? []);
    const wanted = affinities.filter(
      ({ host: owner, cidr }) => (host ?? owner) === owner && (within === undefined || cidrCovers(within, cidr)),
    );
    const done = await Promise.all(
      wanted.map(({ host: owner, cidr }) =>
        this.#submit({}, [blockKey(cidr)], [], (draft) => planReleaseAffinity(draft, owner, cidr, emptyOnly)),
      ),
    );
    return done.filter((released) => released).length;
  }

  /** Everything a host holds, in its own and in borrowed blocks: what its reconciler compares with what lives. */
  async listOwn(host: string): Promise<readonly HeldAddress[]> {
    const draft = new Draft(this.#store);
    const held: HeldAddress[] = [];
    for (const block of await readableBlocks(draft)) {
      const owner = ownerHost(block);
      for (const allocation of allocationsOf(block)) {
        if ((allocation.attributes.node ?? owner) !== host) continue;
        held.push({ ...allocation, block: block.cidr, blockOwner: owner });
      }
    }
    return held;
  }

  async addressesOfHandle(handle: string): Promise<readonly IpAddress[]> {
    const draft = new Draft(this.#store);
    const counts = await draft.handle(handle);
    await draft.fetch([...counts.keys()].map(blockKey));
    return addressesOf(draft, handle, counts.keys());
  }

  /** Who holds the address; undefined if nobody does. */
  async lookup(address: IpAddress): Promise<HeldAddress | undefined> {
    const block = await blockOfAddress(new Draft(this.#store), address);
    const allocation = block === undefined ? undefined : allocationAt(block, ordinalOf(block, address));
    if (block === undefined || allocation === undefined) return undefined;
    return { ...allocation, block: block.cidr, blockOwner: ownerHost(block) };
  }

  async pools(): Promise<readonly Pool[]> {
    return readPools(new Draft(this.#store));
  }

  async utilization(): Promise<Utilization> {
    const draft = new Draft(this.#store);
    const pools = await readPools(draft);
    const blocks = (await readableBlocks(draft)).map((block) => ({
      cidr: block.cidr,
      affinity: block.affinity,
      capacity: block.allocations.length,
      used: block.allocations.length - block.unallocated.length,
      empty: isEmpty(block),
    }));
    return {
      blocks,
      pools: pools.map((pool) => ({
        pool,
        capacity: 1n << BigInt((pool.cidr.includes(":") ? 128 : 32) - prefixLength(pool.cidr)),
        used: blocks.filter(({ cidr }) => cidrCovers(pool.cidr, cidr)).reduce((sum, { used }) => sum + used, 0),
      })),
    };
  }

  #submit<Result>(
    { also, require = [], signal }: RequestOptions<Result>,
    keys: readonly string[],
    prefixes: readonly string[],
    plan: (draft: Draft) => Promise<Result>,
  ): Promise<Result> {
    return this.#queue.submit({ keys, prefixes, plan, also, require, signal });
  }

  /** One view per draft and host, so that a batch of requests reads it once. */
  async #view(draft: Draft, host: string): Promise<HostView> {
    const views = this.#views.get(draft) ?? new Map<string, HostView>();
    this.#views.set(draft, views);
    const known = views.get(host);
    if (known !== undefined) return known;
    const view = await readHostView(draft, host);
    views.set(host, view);
    return view;
  }
}

async function readableBlocks(draft: Draft): Promise<readonly Block[]> {
  const families = [await draft.blocks(4), await draft.blocks(6)];
  return families.flatMap((blocks) => [...blocks.values()].filter((block) => block !== "unreadable"));
}
