/** Addresses that are somebody's in this process before the store knows of them. */

import { expect, test } from "bun:test";
import { type IpAddress, parseIpAddress } from "../base/addresses.ts";
import { affinityKey, blocksPrefix, ipamConfigKey } from "../model/keys.ts";
import { Ipam } from "./ipam.ts";
import { onlyBlock, type Plan, plan, putPool, putReservation, refusal } from "./testing/ipam-plan.ts";

const aside = (at: Plan, host = "h1", more: { address?: IpAddress; family?: 6 } = {}) =>
  at.ipam.setAside({ host, family: 4, ...more });

test("the first address set aside brings the block; nothing is assigned, and the second writes nothing", async () => {
  await using at = await plan();
  const first = await aside(at);
  const block = await onlyBlock(at.store);
  expect((await at.store.get(affinityKey("h1", block.cidr)))?.value).toContain("confirmed");
  const { revision } = await at.store.list("/");
  const second = await aside(at);
  expect(second).not.toBe(first);
  expect((await at.store.list("/")).revision).toBe(revision);
  expect(await at.ipam.listHeld()).toEqual([]);
});

test("it is assigned with its handle and what the caller writes in one transaction, and again without harm", async () => {
  await using at = await plan(["10.0.0.0/24", "fd00::/120"]);
  const addresses = [await aside(at), await aside(at, "h1", { family: 6 })];
  const assign = (modRevision: number) =>
    at.ipam.assignThese({
      host: "h1",
      addresses,
      handle: "e",
      attributes: { container: "c" },
      require: [{ key: "/endpoint", modRevision }],
      also: () => [{ put: "/endpoint", value: "x" }],
    });
  await assign(0);
  const written = await at.store.get("/endpoint");
  for (const address of addresses)
    expect(await at.ipam.lookup(address)).toMatchObject({ handle: "e", attributes: { node: "h1", container: "c" } });
  expect(await refusal(assign(0))).toBe("IPAM_PRECONDITION_FAILED");
  await assign(written?.modRevision ?? 0);
  expect([...(await at.ipam.releaseByHandle("e"))].sort()).toEqual([...addresses].sort());
  expect(at.ipam.noLongerSetAside(addresses[0] as IpAddress)).toBe(false);
});

test("nobody of this process is given it, neither by choice nor by name, until it is given up or forgotten", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  const address = await aside(at);
  const others = await Promise.all(Array.from({ length: 15 }, () => at.assign("h1")));
  expect(others).not.toContain(address);
  expect(await refusal(aside(at))).toBe("IPAM_POOL_EXHAUSTED");
  expect(await refusal(aside(at, "h1", { address }))).toBe("IPAM_ADDRESS_IN_USE");
  expect(await refusal(at.assign("h1", { address }))).toBe("IPAM_ADDRESS_IN_USE");
  expect(at.ipam.noLongerSetAside(address)).toBe(true);
  expect(at.ipam.noLongerSetAside(address)).toBe(false);
  expect(await aside(at)).toBe(address);
  await at.clock.advance(60_000);
  expect(await at.assign("h1")).toBe(address);
});

test("what is set aside fills a block: the next one is claimed for it", async () => {
  await using at = await plan(["10.0.0.0/27"]);
  const all = await Promise.all(Array.from({ length: 32 }, () => aside(at)));
  expect(new Set(all).size).toBe(32);
  expect((await at.store.list(blocksPrefix)).kvs).toHaveLength(2);
  expect(await refusal(aside(at))).toBe("IPAM_POOL_EXHAUSTED");
});

test("another process that assigns it has it; then nothing of the request is done", async () => {
  await using at = await plan(["10.0.0.0/24", "fd00::/120"]);
  const addresses = [await aside(at), await aside(at, "h1", { family: 6 })];
  const other = new Ipam({ store: at.store, clock: at.clock });
  expect(await other.assignAddress({ host: "h1", family: 6, handle: "other" })).toBe(addresses[1] as IpAddress);
  const also = () => [{ put: "/endpoint", value: "x" }];
  expect(await refusal(at.ipam.assignThese({ host: "h1", addresses, handle: "e", also }))).toBe("IPAM_ADDRESS_IN_USE");
  expect(await at.store.get("/endpoint")).toBeUndefined();
  expect((await at.ipam.listHeld()).map(({ handle }) => handle)).toEqual(["other"]);
});

test("a process that has forgotten it, or never knew, assigns it if it is free", async () => {
  await using at = await plan();
  const address = await aside(at);
  const restarted = new Ipam({ store: at.store, clock: at.clock });
  await restarted.assignThese({ host: "h1", addresses: [address], handle: "e" });
  expect(await restarted.lookup(address)).toMatchObject({ handle: "e" });
  const foreign = parseIpAddress("10.99.0.1");
  expect(await refusal(restarted.assignThese({ host: "h1", addresses: [foreign], handle: "e" }))).toBe(
    "IPAM_ADDRESS_OUTSIDE_POOLS",
  );
});

test("reservations, pools, strict affinity and limits hold as for an assignment", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  await putReservation(at.store, "10.0.0.0/31");
  expect((await aside(at)) as string).toBe("10.0.0.2");
  expect((await aside(at, "h1", { address: parseIpAddress("10.0.0.1") })) as string).toBe("10.0.0.1");
  expect(await refusal(aside(at, "ghost"))).toBe("IPAM_HOST_UNKNOWN");
  expect((await aside(at, "h2")) as string).toBe("10.0.0.3"); // borrowed
  await at.store.put(ipamConfigKey, '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":1}');
  expect(await refusal(aside(at, "h2"))).toBe("IPAM_POOL_EXHAUSTED");
  expect(await refusal(aside(at, "h2", { address: parseIpAddress("10.0.0.9") }))).toBe("IPAM_ADDRESS_OF_OTHER_HOST");
  await putPool(at.store, "p0", "10.0.0.0/28", { disabled: true });
  expect(await refusal(aside(at))).toBe("IPAM_NO_POOL");
});
