/**
 * Every operation, ours and the stepwise writer's, cut off at every one of its writes: before it, and after it has taken
 * effect but before anybody has heard of that. Then others, of both kinds, go on with the same host, block and pool: no
 * address twice, nothing lost that somebody holds, and the collectors take back the rest.
 */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr } from "../base/addresses.ts";
import { type Clock, TestClock } from "../base/clock.ts";
import { newIpPool } from "../model/ip-pool.ts";
import { ipPoolKey, nodeKey } from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { encode } from "../model/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store, Transaction } from "../store/store.ts";
import { Ipam } from "./ipam.ts";
import { impatientClock } from "./testing/impatient-clock.ts";
import { checkPlan, type Held, mendPlan } from "./testing/plan-checks.ts";
import { StepwiseWriter } from "./testing/stepwise-writer.ts";

const stamp = { uid: "u", nowMs: 0 };
const hosts = ["h0", "h1", "h2"];
/** h0 holds these in two blocks; the first block of its three is full, the last one empty. */
const several = "several";
const single = "single";

class Died extends Error {}

interface Writers {
  readonly ours: (host: string) => Ipam;
  readonly stepwise: (host: string) => StepwiseWriter;
}

interface Operation {
  /** Handles whose addresses nobody counts on from here on. */
  readonly lets: readonly string[];
  readonly run: (writers: Writers) => Promise<readonly (readonly [handle: string, addresses: readonly IpAddress[]])[]>;
}

const request = { host: "h0", family: 4 } as const;
const operations: Readonly<Record<string, Operation>> = {
  "ours: an address of an own block": {
    lets: [],
    run: async ({ ours }) => [["new", [await ours("h0").assignAddress({ ...request, handle: "new" })]]],
  },
  "ours: an address of a block to be claimed": {
    lets: [],
    run: async ({ ours }) => [["new", [await ours("h2").assignAddress({ ...request, host: "h2", handle: "new" })]]],
  },
  "ours: more than the own blocks hold": {
    lets: [],
    run: async ({ ours }) => [
      ["new", (await ours("h0").assignAddresses({ ...request, handle: "new", count: 9 })).addresses],
    ],
  },
  "ours: a handle of two blocks is released": {
    lets: [several],
    run: async ({ ours }) => [[several, (await ours("h0").releaseByHandle(several)).slice(0, 0)]],
  },
  "ours: an address is released": {
    lets: [single],
    run: async ({ ours }) => {
      const [address] = await ours("h0").addressesOfHandle(single);
      if (address !== undefined) await ours("h0").releaseAddress(address, { handle: single });
      return [];
    },
  },
  "ours: an address of a block to be claimed is set aside, then assigned": {
    lets: [],
    run: async ({ ours }) => {
      const ipam = ours("h2");
      const addresses = [await ipam.setAside({ ...request, host: "h2" })];
      await ipam.assignThese({ host: "h2", addresses, handle: "new" });
      return [["new", addresses]];
    },
  },
  "ours: a host leaves its blocks": {
    lets: [],
    run: async ({ ours }) => {
      await ours("h0").releaseAffinities({ host: "h0" });
      return [];
    },
  },
  "stepwise: an address of an own block": {
    lets: [],
    run: async ({ stepwise }) => [["new", await stepwise("h0").autoAssign(1, "new")]],
  },
  "stepwise: an address of a block to be claimed": {
    lets: [],
    run: async ({ stepwise }) => [["new", await stepwise("h2").autoAssign(1, "new")]],
  },
  "stepwise: more than the own blocks hold": {
    lets: [],
    run: async ({ stepwise }) => [["new", await stepwise("h0").autoAssign(9, "new")]],
  },
  "stepwise: a handle of two blocks is released": {
    lets: [several],
    run: async ({ stepwise }) => {
      await stepwise("h0").releaseByHandle(several);
      return [];
    },
  },
  "stepwise: an address is released": {
    lets: [single],
    run: async ({ ours, stepwise }) => {
      const [address] = await ours("h0").addressesOfHandle(single);
      if (address !== undefined) await stepwise("h0").releaseIp(address, single);
      return [];
    },
  },
  "stepwise: a host leaves its empty blocks": {
    lets: [],
    run: async ({ stepwise }) => {
      await stepwise("h0").releaseAffinities(true);
      return [];
    },
  },
  "stepwise: a host leaves all its blocks": {
    lets: [],
    run: async ({ stepwise }) => {
      await stepwise("h0").releaseAffinities(false);
      return [];
    },
  },
};

for (const [name, operation] of Object.entries(operations)) {
  test(`cut off at any write, the plan stays whole (${name})`, async () => {
    let cuts = 0;
    for (const when of ["before", "after"] as const)
      for (let write = 0; await isCutOff(operation, write, when); write++) cuts++;
    // Ours are one write, but for blocks that are given back one by one.
    expect(cuts).toBeGreaterThanOrEqual(name.startsWith("ours") ? 2 : 4);
  });
}

/** @returns whether there was such a write. */
async function isCutOff(operation: Operation, write: number, when: "before" | "after"): Promise<boolean> {
  const clock = new TestClock();
  const impatient = impatientClock(clock);
  await using store = await openSqliteStore({ path: ":memory:", clock });
  const held = await prepare(store, impatient);
  const cut = cutOff(store, write, when);
  const dying: Writers = writersOn(cut.store, impatient);
  for (const handle of operation.lets) held.delete(handle);
  try {
    for (const [handle, addresses] of await operation.run(dying)) if (addresses.length > 0) held.set(handle, addresses);
    if (!cut.happened()) return false;
  } catch (error) {
    if (!(error instanceof Died)) throw error;
  }
  await checkPlan(store, held);
  const { ours, stepwise } = writersOn(store, impatient);
  for (const [at, host] of ["h0", "h2", "h1", "h0"].entries()) {
    const handle = `later-${at}`;
    const given =
      at % 2 === 0
        ? await stepwise(host).autoAssign(1, handle)
        : (await ours(host).assignAddresses({ host, family: 4, handle, count: 1 })).addresses;
    if (given.length > 0) held.set(handle, given);
    await checkPlan(store, held);
  }
  await mendPlan(store, ours("h0"), { hosts, family: 4, held, clock });
  return true;
}

/** Seven blocks of four addresses: three of h0's, one of h1's. */
async function prepare(store: Store, clock: Clock): Promise<Held> {
  await store.put(
    ipPoolKey("p"),
    encode(newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/27"), blockSize: 30 }, stamp)),
  );
  for (const name of hosts) await store.put(nodeKey(name), encode(newNode({ name }, stamp)));
  const ipam = new Ipam({ store, clock });
  const held: Held = new Map();
  for (const [host, handle, count] of [
    ["h0", single, 1],
    ["h0", several, 5],
    ["h0", "gone", 4],
    ["h1", "other", 2],
  ] as const)
    held.set(handle, (await ipam.assignAddresses({ host, family: 4, handle, count })).addresses);
  await ipam.releaseByHandle("gone");
  held.delete("gone");
  return held;
}

function writersOn(store: Store, clock: Clock): Writers {
  const turn = async () => undefined;
  return {
    ours: () => new Ipam({ store, clock }),
    stepwise: (host) => new StepwiseWriter({ store, clock, host, family: 4, turn }),
  };
}

/** A store of a process that dies at one of its writes; it does nothing more then. */
function cutOff(
  store: Store,
  write: number,
  when: "before" | "after",
): { readonly store: Store; readonly happened: () => boolean } {
  let left = write;
  let isDead = false;
  const act = async <Result>(isWrite: boolean, work: () => Promise<Result>): Promise<Result> => {
    if (isDead) throw new Died();
    isDead = isWrite && left-- === 0;
    if (isDead && when === "before") throw new Died();
    const result = await work();
    if (isDead) throw new Died();
    return result;
  };
  const changes = ({ success }: Transaction) => success.some((one) => "put" in one || "delete" in one);
  const cutting: Store = Object.create(store, {
    get: { value: (...given: Parameters<Store["get"]>) => act(false, () => store.get(...given)) },
    list: { value: (...given: Parameters<Store["list"]>) => act(false, () => store.list(...given)) },
    delete: { value: (...given: Parameters<Store["delete"]>) => act(true, () => store.delete(...given)) },
    transact: {
      value: (...given: Parameters<Store["transact"]>) => act(changes(given[0]), () => store.transact(...given)),
    },
  });
  return { store: cutting, happened: () => isDead };
}
