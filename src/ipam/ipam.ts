/**
 * ipam/ gives out addresses and takes them back, in Calico's IPAM v2 format, shared with other writers of the store.
 * - No address twice, no half change: address, handle and whatever the caller writes with them (`also`) are ONE
 *   transaction, compared with everything it rests on.
 * - A block owned by a host has both `affinity: host:<name>` and a confirmed affinity key, changed together.
 * - Refusals are OperationErrors with the codes of ipam-error.ts, decided on what the store says now.
 * - What a host knows already (known-documents.ts) spares reads; what rests on it is compared when it is written.
 * Absent on purpose: knowledge of Docker or CNI (whoever makes endpoints says what lives:
 * garbage.ts).
 */

import { type Cidr, cidrCovers, type IpAddress, ipFamily } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import type { Pool } from "../model/ip-pool.ts";
import { allocationsOf, type Block, decodeIpamConfig, type IpamConfig, ownerHost } from "../model/ipam-documents.ts";
import {
  type AffinityKey,
  affinitiesPrefix,
  affinityKey,
  blockKey,
  blocksOfFamilyPrefix,
  handleKey,
  ipamConfigKey,
  ipamPrefix,
  parseAffinityKey,
} from "../model/keys.ts";
import type { Store } from "../store/store.ts";
import { allocationAt, ordinalOf } from "./block-allocation.ts";
import { ChangeQueue } from "./change-queue.ts";
import { type ConfigChange, changedConfig } from "./config-change.ts";
import { Draft } from "./draft.ts";
import { type HostView, readConfig, readHostView, readPools, readReservations } from "./host-view.ts";
import { hostViewKeys, poolsPrefix } from "./host-view-keys.ts";
import { isIpamError } from "./ipam-error.ts";
import {
  type AddressesReleased,
  type AddressRelease,
  type AffinitiesReleased,
  type AffinityScope,
  type AssignRequest,
  type AssignSeveralRequest,
  type AssignTheseRequest,
  type HeldAddress,
  type RequestOptions,
  type SetAsideRequest,
  wishOf,
} from "./ipam-requests.ts";
import type { KnownDocuments } from "./known-documents.ts";
import {
  planAssignment,
  planEnsureBlock,
  planSettingAside,
  planSeveral,
  planThese,
  type SeveralAssigned,
} from "./plan-assignment.ts";
import { blocksOfRange, planClaimBlock } from "./plan-blocks.ts";
import {
  type AffinityRelease,
  addressesOf,
  blockOfAddress,
  type HandleRelease,
  planRecount,
  planReleaseAddress,
  planReleaseAffinity,
  planReleaseHandle,
  type ReleaseGuard,
} from "./plan-release.ts";
import { SetAside } from "./set-aside.ts";
import { type Utilization, utilizationOf } from "./utilization.ts";

export class Ipam {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #queue: ChangeQueue;
  readonly #setAside: SetAside;
  readonly #views = new WeakMap<Draft, Map<string, HostView>>();

  constructor({
    store,
    clock,
    known,
  }: { readonly store: Store; readonly clock: Clock; readonly known?: KnownDocuments }) {
    this.#store = store;
    this.#clock = clock;
    this.#queue = new ChangeQueue(store, clock, known);
    this.#setAside = new SetAside(clock);
  }

  assignAddress(request: AssignRequest): Promise<IpAddress> {
    const { host, handle } = request;
    const wish = wishOf(request);
    const { keys, prefixes } = hostViewKeys(host);
    return this.#submit(
      request,
      [...keys, handleKey(handle)],
      prefixes,
      async (draft) => planAssignment(draft, await this.#view(draft, host), wish, this.#clock.nowMs()),
      { mayRestOnKnown: true },
    );
  }

  /**
   * What assignAddress would give or refuse now, as far as is known. Nobody of this process is given it for a while; the store
   * learns of it with assignThese(), which others may come before.
   */
  async setAside({ host, signal, ...request }: SetAsideRequest): Promise<IpAddress> {
    const { keys, prefixes } = hostViewKeys(host);
    const wish = wishOf({ ...request, handle: "" });
    let chosen: IpAddress | undefined;
    const forget = () => {
      if (chosen !== undefined) this.#setAside.delete(chosen);
      chosen = undefined;
    };
    const plan = async (draft: Draft) => {
      forget(); // of an attempt that lost
      chosen = await planSettingAside(draft, await this.#view(draft, host), wish, this.#clock.nowMs());
      this.#setAside.add(chosen);
      return chosen;
    };
    try {
      return await this.#submit(signal === undefined ? {} : { signal }, keys, prefixes, plan, { mayRestOnKnown: true });
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** False if the address is not set aside. */
  noLongerSetAside(address: IpAddress): boolean {
    return this.#setAside.delete(address);
  }

  /** Repeating it is fine: what the handle has already counts. @throws IPAM_ADDRESS_IN_USE and others; then nothing is assigned */
  async assignThese({ host, addresses, handle, attributes = {}, ...options }: AssignTheseRequest): Promise<void> {
    const { keys, prefixes } = hostViewKeys(host);
    const wish = { use: "Workload", handle, attributes };
    let refused = false;
    try {
      await this.#submit(
        options,
        [...keys, handleKey(handle)],
        prefixes,
        async (draft) => planThese(draft, await this.#view(draft, host), addresses, wish, this.#clock.nowMs()),
        { mayRestOnKnown: true },
      );
    } catch (error) {
      refused = error instanceof OperationError && error.code.startsWith("IPAM_");
      throw error;
    } finally {
      // Also when the answer was lost: whose an address is then, only the store can tell.
      if (!refused) for (const address of addresses) this.#setAside.delete(address);
    }
  }

  /** As many of the addresses as there are; in one transaction unless they come from very many blocks. */
  async assignAddresses(request: AssignSeveralRequest): Promise<SeveralAssigned> {
    const { host, handle, count, signal } = request;
    const wish = wishOf(request);
    const { keys, prefixes } = hostViewKeys(host);
    const addresses: IpAddress[] = [];
    for (;;) {
      const part = await this.#submit(
        signal === undefined ? {} : { signal },
        [...keys, handleKey(handle)],
        prefixes,
        async (draft) => {
          const nowMs = this.#clock.nowMs();
          const view = await this.#view(draft, host);
          return await planSeveral(draft, count - addresses.length, () => planAssignment(draft, view, wish, nowMs));
        },
      );
      addresses.push(...part.addresses);
      if (part.shortage !== undefined || addresses.length >= count) return { addresses, shortage: part.shortage };
    }
  }

  /** A block for the host, claimed if it has none; nothing is assigned from it. */
  async ensureBlock(request: Pick<AssignRequest, "host" | "family" | "pools" | "use" | "blocksMax">): Promise<Cidr> {
    const { host } = request;
    const wish = wishOf({ ...request, handle: "" });
    const { keys, prefixes } = hostViewKeys(host);
    return await this.#submit({}, keys, prefixes, async (draft) =>
      planEnsureBlock(draft, await this.#view(draft, host), wish, this.#clock.nowMs()),
    );
  }

  /** Makes every block of the range the host's; those of others fail. @throws IPAM_RANGE_INVALID */
  async claimAffinity(
    range: Cidr,
    host: string,
  ): Promise<{ readonly claimed: readonly Cidr[]; readonly failed: readonly Cidr[] }> {
    const blocks = blocksOfRange(await this.pools(), range);
    const nowMs = this.#clock.nowMs();
    const done = await Promise.all(
      blocks.map((cidr) =>
        this.#submit({}, [blockKey(cidr), affinityKey(host, cidr)], [blocksOfFamilyPrefix(ipFamily(range))], (draft) =>
          planClaimBlock(draft, host, cidr, nowMs),
        ),
      ),
    );
    return { claimed: blocks.filter((_, at) => done[at]), failed: blocks.filter((_, at) => !done[at]) };
  }

  /**
   * Answers the addresses released; an unknown handle releases none, and `also` is done all the same. One transaction, but
   * for a handle with very many blocks: then `also` goes with the last.
   */
  async releaseByHandle(
    handle: string,
    options: RequestOptions<readonly IpAddress[]> = {},
  ): Promise<readonly IpAddress[]> {
    const { also, ...rest } = options;
    const released: IpAddress[] = [];
    for (;;) {
      const finish = (part: HandleRelease) => (part.more ? [] : (also?.([...released, ...part.released]) ?? []));
      const part = await this.#submit(
        { ...rest, also: finish },
        [handleKey(handle)],
        [poolsPrefix],
        (draft) => planReleaseHandle(draft, handle),
        { mayRestOnKnown: true },
      );
      released.push(...part.released);
      if (!part.more) return released;
    }
  }

  /** Answers whether the address was allocated; `also` is done in both cases. @throws IPAM_OWNER_MISMATCH */
  releaseAddress(address: IpAddress, options: RequestOptions<boolean> & ReleaseGuard = {}): Promise<boolean> {
    const { handle, sequence } = options;
    const keys = handle === undefined ? [] : [handleKey(handle)];
    return this.#submit(options, keys, [poolsPrefix], (draft) =>
      planReleaseAddress(draft, address, { handle, sequence }),
    );
  }

  /**
   * Several at once, up to 64 of a block as one: a guard that fails keeps all of them. An address named twice counts once.
   */
  async releaseAddresses(releases: readonly AddressRelease[]): Promise<AddressesReleased> {
    const wanted = [...new Map(releases.map((release) => [release.address, release] as const)).values()];
    const blocks = new Map<string, AddressRelease[]>();
    const draft = new Draft(this.#store);
    for (const release of wanted) {
      const cidr = (await blockOfAddress(draft, release.address))?.cidr ?? "";
      blocks.set(cidr, [...(blocks.get(cidr) ?? []), release]);
    }
    const released: IpAddress[] = [];
    const unallocated: IpAddress[] = (blocks.get("") ?? []).map(({ address }) => address);
    const refused: AddressesReleased["refused"][number][] = [];
    blocks.delete("");
    const release = async (ofBlock: readonly AddressRelease[]) => {
      try {
        const were = await this.#submit({}, [], [poolsPrefix], async (fresh) => {
          const allocated: boolean[] = [];
          for (const { address, ...guard } of ofBlock) allocated.push(await planReleaseAddress(fresh, address, guard));
          return allocated;
        });
        for (const [at, { address }] of ofBlock.entries()) (were[at] ? released : unallocated).push(address);
      } catch (error) {
        if (!isIpamError(error, "IPAM_OWNER_MISMATCH")) throw error;
        for (const { address } of ofBlock) refused.push({ address, error });
      }
    };
    await Promise.all([...blocks.values()].flatMap(inParts).map(release));
    return { released, unallocated, refused };
  }

  /** Gives back blocks: of a host that leaves, of a pool that goes, of a range. What is in use stays without owner. */
  async releaseAffinities(scope: AffinityScope): Promise<AffinitiesReleased> {
    const { within, emptyOnly = false, family, require = [] } = scope;
    const owned = (await this.#affinities(scope.host)).filter(
      ({ cidr }) =>
        (within === undefined || cidrCovers(within, cidr)) && (family === undefined || ipFamily(cidr) === family),
    );
    const done = await Promise.all(
      owned.map(({ host, cidr }) =>
        this.#submit({ require }, [blockKey(cidr), affinityKey(host, cidr)], [], (draft) =>
          planReleaseAffinity(draft, host, cidr, { emptyOnly }),
        ),
      ),
    );
    const those = (outcome: AffinityRelease) => owned.flatMap(({ cidr }, at) => (done[at] === outcome ? [cidr] : []));
    return { released: those("released"), inUse: those("in-use") };
  }

  /** Affinity keys, and blocks whose affinity key a crash has taken. */
  async #affinities(host: string | undefined): Promise<readonly AffinityKey[]> {
    const prefix = host === undefined ? `${ipamPrefix}host/` : affinitiesPrefix(host);
    const draft = new Draft(this.#store);
    const listed = (await draft.list(prefix)).flatMap(({ key }) => parseAffinityKey(key) ?? []);
    const found = new Map(listed.map((affinity) => [affinityKey(affinity.host, affinity.cidr), affinity]));
    for (const block of await readableBlocks(draft)) {
      const owner = ownerHost(block);
      if (owner === undefined || owner !== (host ?? owner)) continue;
      found.set(affinityKey(owner, block.cidr), { host: owner, cidr: block.cidr });
    }
    return [...found.values()];
  }

  /** See planRecount. */
  recountHandle(handle: string, revision: number, hints: readonly Cidr[]): Promise<boolean> {
    return this.#submit({}, [handleKey(handle)], [], (draft) => planRecount(draft, handle, revision, hints));
  }

  async config(): Promise<IpamConfig> {
    return await readConfig(new Draft(this.#store));
  }

  /** Answers the configuration afterwards. Existing borrowed addresses and blocks stay. @throws IPAM_CONFIG_INVALID */
  changeConfig(change: ConfigChange): Promise<IpamConfig> {
    return this.#submit({}, [ipamConfigKey], [], async (draft) => {
      const before = await draft.value(ipamConfigKey);
      const after = changedConfig(before, change);
      if (after !== before) draft.setPlain(ipamConfigKey, after);
      return decodeIpamConfig(after);
    });
  }

  /** Every address that is held, in every readable block. */
  async listHeld(): Promise<readonly HeldAddress[]> {
    return (await readableBlocks(new Draft(this.#store))).flatMap(heldIn);
  }

  /** Everything a host holds, in its own and in borrowed blocks. */
  async listOwn(host: string): Promise<readonly HeldAddress[]> {
    return (await this.listHeld()).filter(({ attributes, blockOwner }) => (attributes.node ?? blockOwner) === host);
  }

  /** What a host holds in the blocks it has an affinity to: costs no reading of the others. */
  async listInOwnBlocks(host: string): Promise<readonly HeldAddress[]> {
    const draft = new Draft(this.#store);
    const cidrs = await draft.affineCidrs(host);
    await draft.fetch(cidrs.map(blockKey));
    const blocks = await Promise.all(cidrs.map((cidr) => draft.readableBlock(cidr)));
    return blocks
      .flatMap((block) => (block === undefined || block === "unreadable" ? [] : heldIn(block)))
      .filter(({ attributes, blockOwner }) => (attributes.node ?? blockOwner) === host);
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
    return utilizationOf(await readPools(draft), await readableBlocks(draft), await readReservations(draft));
  }

  #submit<Result>(
    { also, require = [], signal }: RequestOptions<Result>,
    keys: readonly string[],
    prefixes: readonly string[],
    plan: (draft: Draft) => Promise<Result>,
    { mayRestOnKnown } = { mayRestOnKnown: false },
  ): Promise<Result> {
    return this.#queue.submit({ keys, prefixes, plan, also, require, signal, mayRestOnKnown });
  }

  /** One view per draft and host, so that a batch of requests reads it once. */
  async #view(draft: Draft, host: string): Promise<HostView> {
    const views = this.#views.get(draft) ?? new Map<string, HostView>();
    this.#views.set(draft, views);
    const known = views.get(host);
    if (known !== undefined) return known;
    const view = await readHostView(draft, host, (address) => this.#setAside.has(address));
    views.set(host, view);
    return view;
  }
}

async function readableBlocks(draft: Draft): Promise<readonly Block[]> {
  const families = [await draft.blocks(4), await draft.blocks(6)];
  return families.flatMap((blocks) => [...blocks.values()].filter((block) => block !== "unreadable"));
}

function heldIn(block: Block): readonly HeldAddress[] {
  const blockOwner = ownerHost(block);
  return allocationsOf(block).map((allocation) => ({ ...allocation, block: block.cidr, blockOwner }));
}

/** Each address may have a handle of its own to be written with it. */
const releasesPerPartMax = 64;

function inParts(releases: readonly AddressRelease[]): readonly (readonly AddressRelease[])[] {
  const count = Math.ceil(releases.length / releasesPerPartMax);
  return Array.from({ length: count }, (_, at) =>
    releases.slice(at * releasesPerPartMax, (at + 1) * releasesPerPartMax),
  );
}
