/** IPAM against the embedded store: what calico-datastore.md 6 and its check list 50 to 64 say. */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr, parseIpAddress } from "../base/addresses.ts";
import { encodeBlock } from "../model/ipam-documents.ts";
import { affinityKey, blockKey, blocksPrefix, handleKey, ipamConfigKey } from "../model/keys.ts";
import type { Store } from "../store/store.ts";
import { newBlock } from "./block-allocation.ts";
import { Ipam } from "./ipam.ts";
import { onlyBlock, plan, putPool, putReservation, refusal } from "./testing/ipam-plan.ts";

test("51: the first address of a host brings block, confirmed affinity, handle and configuration", async () => {
  await using at = await plan();
  const address = await at.assign("h1", { handle: "first", attributes: { type: "test" } });
  const block = await onlyBlock(at.store);
  expect(address).toBe(block.cidr.replace("/28", "") as string);
  expect(block.affinity).toBe("host:h1");
  expect(block.unallocated[0]).toBe(1);
  expect(block.sequenceByOrdinal.get(0)).toBe(block.sequenceNumber - 1n);
  expect(block.attributes).toEqual([{ handle: "first", secondary: { node: "h1", type: "test" }, rest: {} }]);
  expect((await at.store.get(affinityKey("h1", block.cidr)))?.value).toBe('{"state":"confirmed","deleted":false}');
  expect((await at.store.get(handleKey("first")))?.value).toBe(`{"block":{"${block.cidr}":1},"deleted":false}`);
  expect(JSON.parse((await at.store.get(ipamConfigKey))?.value ?? "")).toEqual({
    auto_allocate_blocks: true,
    kubeVirtVMAddressPersistence: "Enabled",
  });
});

test("52: a released address goes to the tail of the queue and its handle is gone", async () => {
  await using at = await plan();
  const first = await at.assign("h1", { handle: "a" });
  expect(await at.ipam.releaseByHandle("a")).toEqual([first as IpAddress]);
  const block = await onlyBlock(at.store);
  expect(block.unallocated.at(-1)).toBe(0);
  expect(block.attributes).toEqual([]);
  expect(block.sequenceByOrdinal.size).toBe(0);
  expect(await at.store.get(handleKey("a"))).toBeUndefined();
  expect(await at.assign("h1")).not.toBe(first);
});

test("50: a host that is unknown gets nothing and nothing is written", async () => {
  await using at = await plan();
  expect(await refusal(at.assign("ghost"))).toBe("IPAM_HOST_UNKNOWN");
  expect((await at.store.list("/calico/ipam/")).kvs).toEqual([]);
});

test("53, 54: a full block is followed by a new one, the last pool's end by borrowing, then by exhaustion", async () => {
  await using at = await plan(["10.0.0.0/27"]);
  const own = await Promise.all(Array.from({ length: 17 }, () => at.assign("h1")));
  expect((await at.store.list(blocksPrefix)).kvs).toHaveLength(2);
  const borrowed = await Promise.all(Array.from({ length: 15 }, () => at.assign("h2")));
  expect(new Set([...own, ...borrowed]).size).toBe(32);
  expect((await at.ipam.listOwn("h2")).map(({ blockOwner }) => blockOwner)).toEqual(new Array(15).fill("h1"));
  expect(await refusal(at.assign("h2"))).toBe("IPAM_POOL_EXHAUSTED");
});

test("54: strict affinity does not borrow and does not give addresses of others' blocks", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  await at.store.put(ipamConfigKey, '{"strict_affinity":true,"auto_allocate_blocks":true}');
  await at.assign("h1");
  expect(await refusal(at.assign("h2"))).toBe("IPAM_POOL_EXHAUSTED");
  expect(await refusal(at.assign("h2", { address: parseIpAddress("10.0.0.9") }))).toBe("IPAM_ADDRESS_OF_OTHER_HOST");
});

test("55: an empty block of another host changes its owner a minute after its claim", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  const kept = await at.assign("h1", { handle: "a" });
  await at.ipam.releaseByHandle("a");
  await at.assign("h2", { handle: "b" });
  expect((await onlyBlock(at.store)).affinity).toBe("host:h1");
  await at.ipam.releaseByHandle("b");
  await at.clock.advance(61_000);
  await at.assign("h2");
  expect((await onlyBlock(at.store)).affinity).toBe("host:h2");
  expect(await at.store.get(affinityKey("h1", parseCidr("10.0.0.0/28")))).toBeUndefined();
  expect(await at.store.get(affinityKey("h2", parseCidr("10.0.0.0/28")))).toBeDefined();
  expect(kept).toBe("10.0.0.0");
});

test("53: the limit of blocks per host holds", async () => {
  await using at = await plan();
  await at.store.put(ipamConfigKey, '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":1}');
  await Promise.all(Array.from({ length: 16 }, () => at.assign("h1")));
  expect(await refusal(at.assign("h1"))).toBe("IPAM_BLOCK_LIMIT");
});

const given: readonly [name: string, request: Record<string, unknown>, answer: string][] = [
  ["a free address", { address: "10.0.0.5" }, "granted 10.0.0.5"],
  ["a taken address", { address: "10.0.0.7" }, "IPAM_ADDRESS_IN_USE"],
  ["an address outside", { address: "10.9.0.5" }, "IPAM_ADDRESS_OUTSIDE_POOLS"],
  ["an address of a disabled pool", { address: "10.1.0.5" }, "IPAM_ADDRESS_OUTSIDE_POOLS"],
  ["an address outside the asked pool", { address: "10.0.0.5", pools: ["10.2.0.0/24"] }, "IPAM_ADDRESS_OUTSIDE_POOLS"],
  ["a reserved address by name", { address: "10.0.0.1" }, "granted 10.0.0.1"],
  ["a pool that is not there", { pools: ["10.9.0.0/24"] }, "IPAM_POOL_UNKNOWN"],
  ["a disabled pool", { pools: ["10.1.0.0/24"] }, "IPAM_POOL_UNKNOWN"],
  ["a manual pool by name", { pools: ["10.2.0.0/24"], address: "10.2.0.3" }, "granted 10.2.0.3"],
  ["a family without pool", { family: 6 }, "IPAM_NO_POOL"],
  ["a use no pool has", { use: "Tunnel", pools: ["10.3.0.0/24"] }, "IPAM_NO_POOL"],
];
for (const [name, request, answer] of given) {
  test(`58: asked for ${name}: ${answer}`, async () => {
    await using at = await plan();
    await putPool(at.store, "disabled", "10.1.0.0/24", { disabled: true });
    await putPool(at.store, "manual", "10.2.0.0/24", { assignmentMode: "Manual" });
    await putPool(at.store, "workloads", "10.3.0.0/24", { allowedUses: ["Workload"], assignmentMode: "Manual" });
    await putReservation(at.store, "10.0.0.0/31");
    await at.assign("h2", { address: parseIpAddress("10.0.0.7") });
    expect(await refusal(at.assign("h1", request as object))).toBe(answer);
  });
}

test("60: automatic assignment leaves reserved addresses where they are in the queue", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  await putReservation(at.store, "10.0.0.0/31");
  expect(await at.assign("h1")).toBe("10.0.0.2");
  expect((await onlyBlock(at.store)).unallocated.slice(0, 3)).toEqual([0, 1, 3]);
});

test("62: a pool is used by the hosts its selector names, and its empty blocks are given back by the others", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.assign("h1", { handle: "a" });
  await at.ipam.releaseByHandle("a");
  await putPool(at.store, "p0", "10.0.0.0/24", { nodeSelector: "has(rack)" });
  await putPool(at.store, "p1", "10.1.0.0/24");
  expect(await at.assign("h1")).toStartWith("10.1.0.");
  const { kvs } = await at.store.list(blocksPrefix);
  expect(kvs.map(({ key }) => key.split("/").at(-1))).toEqual([expect.stringContaining("10.1.0.")]);
  expect(await at.assign("h1", { pools: [parseCidr("10.0.0.0/24")] })).toStartWith("10.0.0.");
});

test("IPv6 works the same, also from a pool too large to list", async () => {
  await using at = await plan(["fd00:1::/48"]);
  const first = await at.assign("h1", { family: 6 });
  const second = await at.assign("h1", { family: 6 });
  expect(first).toStartWith("fd00:1:");
  expect((await onlyBlock(at.store)).allocations).toHaveLength(16);
  expect(await at.ipam.releaseAddress(second as IpAddress)).toBe(true);
});

test("address, handle and the caller's writes are one transaction; the caller's comparison guards all", async () => {
  await using at = await plan();
  const address = await at.assign("h1", {
    handle: "mine",
    also: (given) => [{ put: "/endpoint/1", value: given }],
    require: [{ key: "/endpoint/1", modRevision: 0 }],
  });
  const written = await at.store.get("/endpoint/1");
  expect(written?.value).toBe(address);
  expect((await at.store.get(handleKey("mine")))?.modRevision).toBe(written?.modRevision as number);
  const refused = at.assign("h1", { handle: "other", require: [{ key: "/endpoint/1", modRevision: 0 }] });
  const neighbour = at.assign("h1", { handle: "neighbour" });
  expect(await refusal(refused)).toBe("IPAM_PRECONDITION_FAILED");
  expect(await neighbour).toBeString();
  expect(await at.store.get(handleKey("other"))).toBeUndefined();
});

test("one handle may hold an address of each family and releases both", async () => {
  await using at = await plan(["10.0.0.0/24", "fd00::/120"]);
  const both = [await at.assign("h1", { handle: "e" }), await at.assign("h1", { handle: "e", family: 6 })];
  expect([...(await at.ipam.addressesOfHandle("e"))].sort() as string[]).toEqual(both.sort());
  expect(await at.ipam.releaseByHandle("e")).toHaveLength(2);
  expect(await at.ipam.listOwn("h1")).toEqual([]);
});

test("59: a release is refused to others than the owner, and for another allocation of the address", async () => {
  await using at = await plan();
  const address = (await at.assign("h1", { handle: "mine" })) as IpAddress;
  const sequence = (await at.ipam.lookup(address))?.sequence ?? 0n;
  expect(await refusal(at.ipam.releaseAddress(address, { handle: "other" }))).toBe("IPAM_OWNER_MISMATCH");
  expect(await refusal(at.ipam.releaseAddress(address, { sequence: sequence + 1n }))).toBe("IPAM_OWNER_MISMATCH");
  expect(await at.ipam.releaseAddress(address, { handle: "mine", sequence })).toBe(true);
  expect(await at.ipam.releaseAddress(address)).toBe(false);
  expect(await at.store.get(handleKey("mine"))).toBeUndefined();
});

test("releasing an unknown handle still does what the caller wants done with it", async () => {
  await using at = await plan();
  await at.store.put("/endpoint", "x");
  expect(await at.ipam.releaseByHandle("gone", { also: () => [{ delete: "/endpoint" }] })).toEqual([]);
  expect(await at.store.get("/endpoint")).toBeUndefined();
});

test("a hundred requests at once share few transactions", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const before = (await at.store.list("/")).revision;
  const addresses = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      at.assign("h1", { also: (address) => [{ put: `/endpoint/${n}`, value: address }] }),
    ),
  );
  expect(new Set(addresses).size).toBe(100);
  expect((await at.store.list("/")).revision - before).toBeLessThanOrEqual(4);
});

test("requests that write the same key of the caller take different transactions", async () => {
  await using at = await plan();
  const writer = (value: string) => at.assign("h1", { also: () => [{ put: "/same", value }] });
  await Promise.all([writer("1"), writer("2"), writer("3")]);
  expect((await at.store.get("/same"))?.value).toBe("3");
  expect((await at.store.get("/same"))?.version).toBe(3);
});

test("two hosts' allocators in two processes never give an address twice", async () => {
  await using at = await plan(["10.0.0.0/26"]);
  const others = [new Ipam({ store: at.store, clock: at.clock }), new Ipam({ store: at.store, clock: at.clock })];
  const asked = others.flatMap((ipam, which) =>
    Array.from({ length: 32 }, (_, n) =>
      ipam.assignAddress({ host: `h${which + 1}`, family: 4, handle: `${which}.${n}` }),
    ),
  );
  const drive = setInterval(() => void at.clock.advance(200), 1);
  const addresses = await Promise.all(asked).finally(() => clearInterval(drive));
  expect(new Set(addresses).size).toBe(64);
});

const halfDone: readonly [
  name: string,
  affinity: string | undefined,
  block: "absent" | "own" | "foreign" | "orphan",
][] = [
  ["a pending affinity without block", '{"state":"pending"}', "absent"],
  ["a confirmed affinity without block", '{"state":"confirmed"}', "absent"],
  ["a block of ours without affinity", undefined, "own"],
  ["a block of ours about to be given back", '{"state":"pendingDeletion"}', "own"],
  ["an affinity to a block of another host", '{"state":"confirmed"}', "foreign"],
  ["an affinity to a block without owner", "", "orphan"],
];
for (const [name, affinity, block] of halfDone) {
  test(`57: ${name}, left by a crash, is mended by the next assignment`, async () => {
    await using at = await plan(["10.0.0.0/28"]);
    const cidr = parseCidr("10.0.0.0/28");
    if (affinity !== undefined) await at.store.put(affinityKey("h1", cidr), affinity);
    if (block !== "absent") {
      const owned = newBlock(cidr, block === "foreign" ? "h2" : "h1", at.clock.nowMs());
      await at.store.put(blockKey(cidr), encodeBlock(block === "orphan" ? { ...owned, affinity: undefined } : owned));
    }
    expect(await at.assign("h1")).toBe("10.0.0.0");
    const owner = (await onlyBlock(at.store)).affinity;
    const confirmed = (await at.store.get(affinityKey("h1", cidr)))?.value;
    if (owner === "host:h1") expect(confirmed).toContain("confirmed");
    else expect(confirmed).toBeUndefined();
    expect(owner).toBe({ absent: "host:h1", own: "host:h1", foreign: "host:h2", orphan: undefined }[block]);
  });
}

test("a block nobody can read is left alone and nothing is given from its range", async () => {
  await using at = await plan(["10.0.0.0/28"]);
  await at.store.put(blockKey(parseCidr("10.0.0.0/28")), "{");
  expect(await refusal(at.assign("h1"))).toBe("IPAM_POOL_EXHAUSTED");
  expect(await refusal(at.assign("h1", { address: parseIpAddress("10.0.0.1") }))).toBe("IPAM_CORRUPT");
});

test("63: a host that leaves gives back empty blocks and leaves those in use without owner", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const kept = await at.assign("h1", { address: parseIpAddress("10.0.0.1"), handle: "kept" });
  await at.assign("h1", { address: parseIpAddress("10.0.0.17"), handle: "gone" });
  await at.ipam.releaseByHandle("gone");
  expect((await at.ipam.releaseAffinities({ host: "h1" })).released).toHaveLength(2);
  expect((await onlyBlock(at.store)).affinity).toBeUndefined();
  expect((await at.store.list("/calico/ipam/v2/host/")).kvs).toEqual([]);
  await at.ipam.releaseAddress(kept as IpAddress);
  expect((await at.store.list(blocksPrefix)).kvs).toEqual([]);
});

test("utilization counts what is used of pools and blocks", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  await at.assign("h1");
  await at.assign("h2");
  const { pools, blocks } = await at.ipam.utilization();
  expect(pools.map(({ capacity, used }) => [capacity, used])).toEqual([[256n, 2]]);
  expect(blocks.map(({ affinity, used }) => [affinity, used]).sort()).toEqual([
    ["host:h1", 1],
    ["host:h2", 1],
  ]);
});

test("a pool disabled while an address is being taken refuses the address", async () => {
  await using at = await plan(["10.0.0.0/24"]);
  const disabled: Store = Object.create(at.store, {
    transact: {
      value: async (...given: Parameters<Store["transact"]>) => {
        const [{ success }] = given;
        if (success.some((operation) => "put" in operation))
          await putPool(at.store, "p0", "10.0.0.0/24", { disabled: true });
        return at.store.transact(...given);
      },
    },
  });
  const ipam = new Ipam({ store: disabled, clock: at.clock });
  expect(await refusal(ipam.assignAddress({ host: "h1", family: 4, handle: "x" }))).toBe("IPAM_NO_POOL");
  expect((await at.store.list(blocksPrefix)).kvs).toEqual([]);
});

test("a request whose caller has gone is not carried out", async () => {
  await using at = await plan();
  const reason = await at
    .assign("h1", { handle: "x", signal: AbortSignal.abort(new Error("gone")) })
    .catch((error) => error.message);
  expect(reason).toBe("gone");
  expect(await at.ipam.listOwn("h1")).toEqual([]);
});
