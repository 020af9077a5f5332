/** What must be true of an address plan that many have written at once, dying anywhere; and of its mending afterwards. */

import { expect } from "bun:test";
import type { IpAddress } from "../../base/addresses.ts";
import { allocationsOf, decodeAffinity, decodeBlock, decodeHandle, ownerHost } from "../../model/ipam-documents.ts";
import {
  blocksPrefix,
  handleKey,
  handlesPrefix,
  ipamPrefix,
  parseAffinityKey,
  parseHandleKey,
} from "../../model/keys.ts";
import type { Store } from "../../store/store.ts";
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

/** Nobody writes any more: counts are set right, addresses of the dead are freed, and each host's next one mends its blocks. */
export async function mendPlan(store: Store, ipam: Ipam, hosts: readonly string[], family: 4 | 6): Promise<void> {
  for (const { key } of (await store.list(handlesPrefix)).kvs) {
    const handle = parseHandleKey(key) ?? "";
    const revision = (await store.get(handleKey(handle)))?.modRevision ?? 0;
    await ipam.recountHandle(handle, revision, []);
    const held = (await ipam.listHeld()).filter((one) => one.handle === handle).map(({ address }) => address);
    expect([...(await ipam.addressesOfHandle(handle))].sort()).toEqual(held.sort());
    await ipam.releaseByHandle(handle);
  }
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
