/** The rest of calico-datastore.md 6.4 to 6.6: several at once, blocks by hand, configuration, counts, large pools. */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr, parseIpAddress } from "../base/addresses.ts";
import { encodeBlock } from "../model/ipam-documents.ts";
import { affinityKey, blockKey, blocksPrefix, handleKey, ipamConfigKey } from "../model/keys.ts";
import { newBlock, touch } from "./block-allocation.ts";
import { onlyBlock, type Plan, plan, putPool, putReservation, refusal } from "./testing/ipam-plan.ts";

const several = (at: Plan, count: number, more: object = {}) =>
  at.ipam.assignAddresses({ host: "h1", family: 4, handle: "many", count, ...more });

async function cidrs(at: Plan): Promise<string[]> {
  const { kvs } = await at.store.list(blocksPrefix);
  return kvs.map(({ key }) => (key.split("/").at(-1) ?? "").replace("-", "/"));
}

test("61: more than there are: all of them over all blocks, no error, and the shortage is said", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const { addresses, shortage } = await several(at, 300);
  expect(new Set(addresses).size).toBe(256);
  expect(shortage?.code).toBe("IPAM_POOL_EXHAUSTED");
  expect(await cidrs(at)).toHaveLength(16);
  expect(await at.ipam.addressesOfHandle("many")).toHaveLength(256);
  expect(await at.ipam.releaseByHandle("many")).toHaveLength(256);
});

test("addresses from more blocks than a transaction can hold come in several", async () => {
  await using at = await plan([]);
  await putPool(at.store, "single", "10.0.0.0/24", { blockSize: 32 });
  await at.store.put(ipamConfigKey, '{"auto_allocate_blocks":true,"strict_affinity":true,"maxBlocksPerHost":200}');
  const { addresses, shortage } = await several(at, 150);
  expect([new Set(addresses).size, shortage]).toEqual([150, undefined]);
  const { kvs } = await at.store.list("/calico/ipam/v2/handle/");
  await at.store.put(kvs[0]?.key ?? "", '{"block":{"10.0.0.250/32":9},"deleted":false}');
  const recount = async () => {
    const revision = (await at.store.get(kvs[0]?.key ?? ""))?.modRevision ?? 0;
    const all = (await at.ipam.listHeld()).map(({ block }) => block);
    return await at.ipam.recountHandle("many", revision, all);
  };
  for (let looks = 0; await recount(); looks++) expect(looks).toBeLessThan(5);
  expect(await at.ipam.addressesOfHandle("many")).toHaveLength(150);
  const also = (released: readonly IpAddress[]) => [{ put: "/released", value: `${released.length}` }];
  expect(await at.ipam.releaseByHandle("many", { also })).toHaveLength(150);
  expect((await at.store.get("/released"))?.value).toBe("150");
});

test("a request's own limit of blocks holds within that of the configuration", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.store.put(ipamConfigKey, '{"auto_allocate_blocks":true,"strict_affinity":true,"maxBlocksPerHost":3}');
  const first = await several(at, 100, { blocksMax: 2 });
  expect([first.addresses.length, first.shortage?.code]).toEqual([32, "IPAM_BLOCK_LIMIT"]);
  expect((await several(at, 100, { blocksMax: 9 })).addresses).toHaveLength(16);
});

test("a configuration that forbids new blocks leaves a host with what it has, and does not borrow", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.ipam.ensureBlock({ host: "h1", family: 4 });
  await at.store.put(ipamConfigKey, "{}");
  expect(await at.assign("h1")).toBeString();
  expect(await refusal(at.assign("h2"))).toBe("IPAM_POOL_EXHAUSTED");
});

test("several addresses for a host that is unknown are refused, not short", async () => {
  await using at = await plan();
  expect(await refusal(several(at, 2, { host: "ghost" }))).toBe("IPAM_HOST_UNKNOWN");
});

test("a block is ensured once, and taken from afterwards", async () => {
  await using at = await plan();
  const cidr = await at.ipam.ensureBlock({ host: "h1", family: 4 });
  expect(await at.ipam.ensureBlock({ host: "h1", family: 4 })).toBe(cidr);
  expect((await onlyBlock(at.store)).unallocated).toHaveLength(16);
  expect(await at.assign("h1")).toBe(cidr.replace("/28", ""));
});

test("56: a range is claimed block by block; what another host owns fails and leaves no affinity", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const foreign = parseCidr("10.0.0.16/28");
  expect((await at.ipam.claimAffinity(foreign, "h2")).claimed).toEqual([foreign]);
  await at.store.put(affinityKey("h1", foreign), '{"state":"pending"}');
  const { claimed, failed } = await at.ipam.claimAffinity(parseCidr("10.0.0.0/26"), "h1");
  expect([claimed.length, failed]).toEqual([3, [foreign]]);
  expect(await at.store.get(affinityKey("h1", foreign))).toBeUndefined();
  expect((await at.ipam.releaseAffinities({ host: "h1", within: parseCidr("10.0.0.0/27") })).released).toHaveLength(1);
  expect((await at.ipam.releaseAffinities({ within: parseCidr("10.0.0.0/24") })).released).toHaveLength(3);
  expect(await cidrs(at)).toEqual([]);
});

const ranges: readonly [string, string][] = [
  ["10.0.0.0/29", "The requested CIDR (10.0.0.0/29) is smaller than the minimum."],
  ["10.9.0.0/24", "The requested CIDR (10.9.0.0/24) is not within any configured pools."],
  ["fd00::/48", "The requested CIDR (fd00::/48) has more than 4096 blocks"],
];
for (const [range, problem] of ranges) {
  test(`claiming ${range}: ${problem}`, async () => {
    await using at = await plan(["10.0.0.0/24", "fd00::/48"]);
    await expect(at.ipam.claimAffinity(parseCidr(range), "h1")).rejects.toThrow(problem);
    expect(await cidrs(at)).toEqual([]);
  });
}

test("blocks with addresses in use stay with their host when only empty ones are wanted", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.ipam.claimAffinity(parseCidr("10.0.0.0/27"), "h1");
  await at.assign("h1");
  const { released, inUse } = await at.ipam.releaseAffinities({ host: "h1", emptyOnly: true });
  expect([released.length, inUse.length]).toEqual([1, 1]);
  expect((await onlyBlock(at.store)).affinity).toBe("host:h1");
});

test("65: a host that is removed leaves no affinity, also where a crash has taken the key", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.assign("h1", { handle: "kept", address: parseIpAddress("10.0.0.5") });
  await at.ipam.claimAffinity(parseCidr("10.0.0.0/27"), "h1");
  await at.store.delete(affinityKey("h1", parseCidr("10.0.0.16/28")));
  await at.ipam.releaseAffinities({ host: "h1" });
  expect((await at.store.list("/calico/ipam/v2/host/h1")).kvs).toEqual([]);
  expect((await at.ipam.listHeld()).map(({ handle, blockOwner }) => [handle, blockOwner])).toEqual([
    ["kept", undefined],
  ]);
  expect(await cidrs(at)).toHaveLength(1);
});

test("a large block full of handles of their own is given back in parts", async () => {
  await using at = await plan([]);
  await putPool(at.store, "large", "10.0.0.0/24", { blockSize: 24 });
  await Promise.all(Array.from({ length: 200 }, () => at.assign("h1")));
  const held = await at.ipam.listHeld();
  const { released } = await at.ipam.releaseAddresses(held.map(({ address, handle }) => ({ address, handle })));
  expect(released).toHaveLength(200);
  expect((await at.store.list("/calico/ipam/v2/handle/")).kvs).toEqual([]);
});

test("59: of a list, what is free is told, a wrong guard keeps its block, and an address named twice counts once", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const given = async (text: string, handle: string) =>
    await at.assign("h1", { address: parseIpAddress(text), handle });
  for (const [text, handle] of [
    ["10.0.0.1", "a"],
    ["10.0.0.2", "b"],
    ["10.0.0.17", "a"],
  ] as const)
    await given(text, handle);
  const { released, unallocated, refused } = await at.ipam.releaseAddresses([
    { address: parseIpAddress("10.0.0.1"), handle: "a" },
    { address: parseIpAddress("10.0.0.2"), handle: "a" },
    { address: parseIpAddress("10.0.0.17"), handle: "a" },
    { address: parseIpAddress("10.0.0.17"), handle: "a" },
    { address: parseIpAddress("10.0.0.18") },
    { address: parseIpAddress("10.0.9.18") },
  ]);
  expect([...released] as string[]).toEqual(["10.0.0.17"]);
  expect([...unallocated].sort() as string[]).toEqual(["10.0.0.18", "10.0.9.18"]);
  expect(refused.map(({ address, error }) => `${address} ${error.code}`)).toEqual([
    "10.0.0.1 IPAM_OWNER_MISMATCH",
    "10.0.0.2 IPAM_OWNER_MISMATCH",
  ]);
  expect(await at.ipam.addressesOfHandle("a")).toHaveLength(1);
});

test("62: the last address of a block whose pool no longer selects its host takes the block with it", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.assign("h1", { handle: "a" });
  await putPool(at.store, "p0", "10.0.0.0/24", { nodeSelector: "has(rack)" });
  await at.ipam.releaseByHandle("a");
  expect((await at.store.list("/calico/ipam/v2/")).kvs.map(({ key }) => key)).toEqual([ipamConfigKey]);
});

const unallocatable: readonly [string, object][] = [
  ["being deleted", { metadata: { name: "p0", deletionTimestamp: "2026-01-01T00:00:00Z" } }],
  ["not allocatable", { status: { conditions: [{ type: "Allocatable", status: "False" }] } }],
  ["kept for namespaces", { spec: { cidr: "10.0.0.0/24", namespaceSelector: "all()" } }],
];
for (const [state, change] of unallocatable) {
  test(`a pool that is ${state} gives nothing by itself`, async () => {
    await using at = await plan([]);
    const pool = {
      kind: "IPPool",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "p0" },
      spec: { cidr: "10.0.0.0/24" },
    };
    await at.store.put("/calico/resources/v3/projectcalico.org/ippools/p0", JSON.stringify({ ...pool, ...change }));
    expect(await refusal(at.assign("h1"))).toBe("IPAM_NO_POOL");
  });
}

const changes: readonly [string, Parameters<Plan["ipam"]["changeConfig"]>[0], string][] = [
  ["{}", { strictAffinity: true }, '{"strict_affinity":true,"auto_allocate_blocks":false}'],
  [
    '{"auto_allocate_blocks":true,"other":[1]}',
    { strictAffinity: true, blocksPerHostMax: 4 },
    '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":4,"other":[1]}',
  ],
  ['{"auto_allocate_blocks":true}', { strictAffinity: false }, '{"auto_allocate_blocks":true}'],
  ['{"auto_allocate_blocks":true}', { autoAllocateBlocks: false }, "IPAM_CONFIG_INVALID"],
  ['{"auto_allocate_blocks":true}', { blocksPerHostMax: 4 }, "IPAM_CONFIG_INVALID"],
];
for (const [before, change, after] of changes) {
  test(`configuration ${before} changed by ${JSON.stringify(change)}: ${after}`, async () => {
    await using at = await plan();
    await at.store.put(ipamConfigKey, before);
    const refused = await refusal(at.ipam.changeConfig(change).then(() => "changed"));
    const { value = "", version } = (await at.store.get(ipamConfigKey)) ?? {};
    expect(refused === "granted changed" ? value : refused).toBe(after);
    if (value === before) expect(version).toBe(1);
  });
}

test("a count that is too high stays while somebody may be writing, and is set right when nobody is", async () => {
  await using at = await plan();
  const address = (await at.assign("h1", { handle: "a" })) as IpAddress;
  const { cidr } = await onlyBlock(at.store);
  await at.store.put(handleKey("a"), `{"block":{"${cidr}":3,"10.0.9.0/28":2},"deleted":false}`);
  await at.ipam.releaseAddress(address);
  const stored = await at.store.get(handleKey("a"));
  expect(JSON.parse(stored?.value ?? "").block).toEqual({ [cidr]: 2, "10.0.9.0/28": 2 });
  expect(await at.ipam.recountHandle("a", (stored?.modRevision ?? 0) - 1, [])).toBe(false);
  expect(await at.ipam.recountHandle("a", stored?.modRevision ?? 0, [])).toBe(true);
  expect(await at.store.get(handleKey("a"))).toBeUndefined();
});

test("a handle that was lost is written again from the blocks", async () => {
  await using at = await plan();
  await at.assign("h1", { handle: "a" });
  await at.store.delete(handleKey("a"));
  const { cidr } = await onlyBlock(at.store);
  expect(await at.ipam.recountHandle("a", 0, [cidr])).toBe(true);
  expect(await at.ipam.addressesOfHandle("a")).toHaveLength(1);
});

const vast = "fd00:1::/48";
const reservedAll: readonly [string, readonly string[], string][] = [
  ["all of it", [vast], "IPAM_POOL_EXHAUSTED"],
  ["all but its last block", halves(parseCidr("fd00:1::/48"), 124), "granted fd00:1:0:ffff:ffff:ffff:ffff:fff0"],
];
for (const [what, reservations, answer] of reservedAll) {
  test(`a pool of 2^76 blocks with ${what} reserved is not walked through`, async () => {
    await using at = await plan([vast]);
    await putReservation(at.store, ...reservations);
    expect(await refusal(at.assign("h1", { family: 6 }))).toBe(answer);
  });
}

test("64 hosts on a vast pool have blocks of their own at once", async () => {
  const hosts = Array.from({ length: 64 }, (_, at) => `host${at}`);
  await using at = await plan([vast], hosts);
  const addresses = await Promise.all(hosts.map((host) => at.assign(host, { family: 6 })));
  expect(new Set(addresses).size).toBe(64);
  expect(await cidrs(at)).toHaveLength(64);
  expect((await at.ipam.utilization()).pools.map(({ capacity, used, blocks }) => [capacity, used, blocks])).toEqual([
    [1n << 80n, 64, 64],
  ]);
});

test("blocks of another size, left from a former pool, are kept out of", async () => {
  await using at = await plan(["10.0.0.0/27"]);
  const old = newBlock(parseCidr("10.0.0.0/29"), "h2", at.clock.nowMs());
  await at.store.put(blockKey(old.cidr), encodeBlock(touch(old)));
  expect(await at.assign("h1")).toBe("10.0.0.16");
  expect(await refusal(at.assign("h1", { address: parseIpAddress("10.0.0.9") }))).toBe("IPAM_ADDRESS_IN_USE");
});

test("utilization tells what is reserved, counting ranges inside others once", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await putReservation(at.store, "10.0.0.0/31", "10.0.0.1", "10.0.0.8/29", "10.9.0.0/16");
  expect((await at.ipam.utilization()).pools.map(({ reserved }) => reserved)).toEqual([10n]);
});

/** Ranges that together are all of the CIDR but its last block of that size. */
function halves(cidr: string, blockSize: number): readonly string[] {
  const base = 0xfd000001n << 96n;
  const ranges: string[] = [];
  let from = base;
  for (let length = Number(cidr.split("/")[1]) + 1; length <= blockSize; length++) {
    const groups = Array.from({ length: 8 }, (_, at) => ((from >> BigInt(112 - 16 * at)) & 0xffffn).toString(16));
    ranges.push(`${groups.join(":")}/${length}`);
    from += 1n << BigInt(128 - length);
  }
  return ranges;
}
