/** What must be true of an address plan that many have written at once, dying anywhere; and of its mending afterwards. */

import { expect } from "bun:test";
import type { IpAddress } from "../../base/addresses.ts";
import type { Clock } from "../../base/clock.ts";
import {
  type Allocation,
  allocationsOf,
  decodeAffinity,
  decodeBlock,
  decodeHandle,
  ownerHost,
} from "../../model/ipam-documents.ts";
import { blocksPrefix, handlesPrefix, ipamPrefix, parseAffinityKey, parseHandleKey } from "../../model/keys.ts";
import type { Store } from "../../store/store.ts";
import { GarbageCollector } from "../garbage-collector.ts";
import type { Ipam } from "../ipam.ts";

/** Addresses those who live believe to be theirs, by handle. */
export type Held = Map<string, readonly IpAddress[]>;

/** What holds at every moment, whoever has died. */
export async function checkPlan(store: Store, held: Held): Promise<void> {
  const all = [...held.values()].flat();
  expect(new Set(all).size).toBe(all.length);
  const counted = new Map<string, number>();
  for (const { key, value } of (await store.list(handlesPrefix)).kvs) {
    for (const [cidr, count] of decodeHandle(value)) counted.set(`${parseHandleKey(key)} ${cidr}`, count);
  }
  const affinities = new Set(
    (await store.list(`${ipamPrefix}host/`)).kvs.map(({ key }) => {
      const affinity = parseAffinityKey(key);
      return `${affinity?.host} ${affinity?.cidr}`;
    }),
  );
  const truth = new Map<string, number>();
  const holders = new Map<string, string>();
  for (const { value } of (await store.list(blocksPrefix)).kvs) {
    const block = decodeBlock(value);
    const taken = block.allocations.flatMap((index, ordinal) => (index === undefined ? [] : [ordinal]));
    const raw = JSON.parse(value) as { unallocated: number[] };
    expect([...raw.unallocated, ...taken].sort((a, b) => a - b)).toEqual([...block.allocations.keys()]);
    if (ownerHost(block) !== undefined) expect(affinities).toContain(`${ownerHost(block)} ${block.cidr}`);
    for (const { handle = "", address } of allocationsOf(block)) {
      truth.set(`${handle} ${block.cidr}`, (truth.get(`${handle} ${block.cidr}`) ?? 0) + 1);
      holders.set(address, handle);
    }
  }
  for (const [handle, addresses] of held) for (const address of addresses) expect(holders.get(address)).toBe(handle);
  for (const [which, count] of truth) expect(counted.get(which) ?? 0).toBeGreaterThanOrEqual(count);
}

/**
 * Nobody writes any more: the collectors of the hosts take back what nobody has and set counts right, and touch nothing of
 * those who live. Then they go too, and each host's next address mends its blocks.
 */
export async function mendPlan(
  store: Store,
  ipam: Ipam,
  { hosts, family, held, clock }: { hosts: readonly string[]; family: 4 | 6; held: Held; clock: Clock },
): Promise<void> {
  const isAlive = ({ handle = "", address }: Allocation) => held.get(handle)?.includes(address) === true;
  const nobodysBusiness = { onAddressReleased: () => undefined, onUpkeep: () => undefined };
  const { signal } = new AbortController();
  for (const host of hosts) {
    const collector = new GarbageCollector({ store, ipam, host, clock, graceMs: 0, ...nobodysBusiness });
    await collector.addresses(await collector.look(), [{ isOurs: () => true, isAlive }], signal);
    await collector.upkeep(signal);
  }
  await checkPlan(store, held);
  const left = (await ipam.listHeld()).map(({ handle, address }) => `${handle} ${address}`);
  expect(left.sort()).toEqual([...held].flatMap(([handle, own]) => own.map((one) => `${handle} ${one}`)).sort());
  for (const { key, value } of (await store.list(handlesPrefix)).kvs) {
    const counted = [...decodeHandle(value).values()].reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(held.get(parseHandleKey(key) ?? "")?.length ?? 0);
  }
  for (const handle of held.keys()) await ipam.releaseByHandle(handle);
  expect((await store.list(handlesPrefix)).kvs).toEqual([]);
  expect(await ipam.listHeld()).toEqual([]);
  for (const host of hosts) {
    await ipam.assignAddress({ host, family, handle: host });
    await ipam.releaseByHandle(host);
  }
  const affinities = (await store.list(`${ipamPrefix}host/`)).kvs.map(({ key, value }) => {
    const affinity = parseAffinityKey(key);
    return `${affinity?.host} ${affinity?.cidr} ${decodeAffinity(value)}`;
  });
  const owned = (await store.list(blocksPrefix)).kvs.flatMap(({ value }) => {
    const block = decodeBlock(value);
    return ownerHost(block) === undefined ? [] : [`${ownerHost(block)} ${block.cidr} confirmed`];
  });
  expect(affinities.sort()).toEqual(owned.sort());
}
