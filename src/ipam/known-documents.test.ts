/** What a host knows spares reads, and only reads: on a store that counts them. */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr } from "../base/addresses.ts";
import { TestClock } from "../base/clock.ts";
import { newIpPool } from "../model/ip-pool.ts";
import { ipPoolKey, nodeKey, resourceKey } from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { apiVersion, encode } from "../model/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { Ipam } from "./ipam.ts";
import { KnownDocuments } from "./known-documents.ts";

const stamp = { uid: "u", nowMs: 0 };

async function plan(isCurrent = () => true) {
  const clock = new TestClock();
  const store = await openSqliteStore({ path: ":memory:", clock });
  await store.put(nodeKey("h"), encode(newNode({ name: "h" }, stamp)));
  await store.put(
    ipPoolKey("p"),
    encode(newIpPool({ name: "p", cidr: parseCidr("10.0.0.0/29"), blockSize: 29 }, stamp)),
  );
  const calls: ("read" | "commit")[] = [];
  const counting: Store = Object.create(store, {
    transact: {
      value: (...given: Parameters<Store["transact"]>) => {
        calls.push(
          given[0].success.every((operation) => "get" in operation || "list" in operation) ? "read" : "commit",
        );
        return store.transact(...given);
      },
    },
  });
  const known = new KnownDocuments({ host: "h", isCurrent });
  const told = async () => {
    for (const kv of (await store.list("/calico/")).kvs) known.seen(kv.key, kv);
  };
  await told();
  const ipam = new Ipam({ store: counting, clock, known });
  const said = async <T>(action: () => Promise<T>) => {
    calls.length = 0;
    const result = await action();
    return [result, ...calls] as readonly unknown[];
  };
  const assign = (handle: string, host = "h") => ipam.assignAddress({ host, family: 4, handle });
  return { store, ipam, known, told, said, assign, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

test("assignment and release of what it knows are one transaction each, and setting aside is none", async () => {
  await using at = await plan();
  await at.assign("first"); // claims a block: what is there is not known yet
  expect(await at.said(() => at.assign("a"))).toEqual(["10.0.0.1", "commit"]);
  expect(await at.said(() => at.ipam.releaseByHandle("a"))).toEqual([["10.0.0.1"], "commit"]);
  expect(await at.said(() => at.ipam.setAside({ host: "h", family: 4 }))).toEqual(["10.0.0.2"]);
  const addresses = ["10.0.0.2" as IpAddress];
  expect(await at.said(() => at.ipam.assignThese({ host: "h", addresses, handle: "b" }))).toEqual([
    undefined,
    "commit",
  ]);
  expect(await at.said(() => at.ipam.releaseByHandle("b"))).toEqual([["10.0.0.2"], "commit"]);
  expect(await at.ipam.lookup("10.0.0.2" as never)).toBeUndefined();
});

test("what somebody else has changed costs a second attempt on a fresh read", async () => {
  await using at = await plan();
  await at.assign("first");
  const other = new Ipam({ store: at.store, clock: new TestClock() });
  await other.assignAddress({ host: "h", family: 4, handle: "other" });
  expect(await at.said(() => at.assign("a"))).toEqual(["10.0.0.2", "commit", "read", "commit"]);
  await other.assignAddress({ host: "h", family: 4, handle: "taken" });
  // The guess that there is no such handle is only compared; then the handle is read, and its block.
  expect(await at.said(() => at.ipam.releaseByHandle("taken"))).toEqual([
    ["10.0.0.3"],
    ...["read", "read", "read", "commit"],
  ]);
});

test("an address set aside that somebody else has meanwhile is refused once, and then known to be taken", async () => {
  await using at = await plan();
  await at.assign("first");
  const other = new Ipam({ store: at.store, clock: new TestClock() });
  await other.assignAddress({ host: "h", family: 4, handle: "other" });
  const address = await at.ipam.setAside({ host: "h", family: 4 });
  expect(address as string).toBe("10.0.0.1");
  await expect(at.ipam.assignThese({ host: "h", addresses: [address], handle: "a" })).rejects.toMatchObject({
    code: "IPAM_ADDRESS_IN_USE",
  });
  at.ipam.noLongerSetAside(address);
  expect(await at.said(() => at.ipam.setAside({ host: "h", family: 4 }))).toEqual(["10.0.0.2"]);
});

test("a refusal is decided on what the store says, not on what was known", async () => {
  await using at = await plan();
  await at.assign("first");
  const key = ipPoolKey("p");
  const stored = await at.store.get(key);
  at.known.seen(key, undefined); // it was deleted, as the watch said, and made again a moment ago
  expect(stored).toBeDefined();
  expect((await at.said(() => at.assign("a")))[0]).toBe("10.0.0.1");
});

test("a new reservation counts from the moment the watch has told of it", async () => {
  await using at = await plan();
  await at.assign("first");
  const name = "r";
  const spec = { reservedCIDRs: ["10.0.0.1", "10.0.0.2"] };
  const document = { kind: "IPReservation", apiVersion, metadata: { name, creationTimestamp: null, uid: "u" }, spec };
  await at.store.put(resourceKey({ kind: "IPReservation", name }), JSON.stringify(document));
  await at.told();
  expect(await at.said(() => at.assign("a"))).toEqual(["10.0.0.3", "commit"]);
});

test("with a gap in the watch everything is read", async () => {
  await using at = await plan(() => false);
  await at.assign("first");
  expect(await at.said(() => at.assign("a"))).toEqual(["10.0.0.1", "read", "commit"]);
});

test("news that comes late does not take back what was written since", async () => {
  await using at = await plan();
  await at.assign("first");
  const block = (await at.store.list("/calico/ipam/v2/assignment/")).kvs[0];
  await at.assign("a");
  if (block !== undefined) at.known.seen(block.key, block);
  expect(await at.said(() => at.assign("b"))).toEqual(["10.0.0.2", "commit"]);
});
