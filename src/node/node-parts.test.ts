/** The small parts of the host agent: health, waiting for revisions, link-local addresses, what an empty store gets. */
import { describe, expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../base/addresses.ts";
import { TestClock } from "../base/clock.ts";
import { clusterInformationKey, ipPoolKey, nodeKey, tierKey } from "../model/keys.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { chooseDefaultPool, type InitializationOptions, initializeCluster } from "./cluster-initialization.ts";
import { HealthBoard } from "./health-board.ts";
import { linkLocalOfMac } from "./link-local-address.ts";
import { RevisionWaiters } from "./revision-waiters.ts";

const { signal } = new AbortController();

describe("health", () => {
  test("a node is ready when all its parts are, and says which one is not", () => {
    const board = new HealthBoard(new TestClock());
    board.register("Datastore", { detail: "waiting" });
    board.register("Dataplane", { detail: "applied" });
    board.report("Dataplane", { ready: true });
    expect(board.summary()).toMatchObject({ live: true, ready: false });
    expect(board.summary().table).toBe(
      "COMPONENT  TIMEOUT  LIVENESS  READINESS  DETAIL\n" +
        "Datastore  -        live      not ready  waiting\n" +
        "Dataplane  -        live      ready      applied\n",
    );
    board.report("Datastore", { ready: true });
    expect(board.summary()).toMatchObject({ live: true, ready: true });
  });

  test("a part that stops reporting is not live", async () => {
    const clock = new TestClock();
    const board = new HealthBoard(clock);
    board.register("Dataplane", { timeoutMs: 90_000, detail: "" });
    board.report("Dataplane", { ready: true });
    await clock.advance(90_000);
    expect(board.summary().live).toBe(true);
    await clock.advance(1);
    expect(board.summary()).toMatchObject({ live: false, ready: false });
    board.report("Dataplane", {});
    expect(board.summary()).toMatchObject({ live: true, ready: true });
  });
});

describe("waiting for a revision", () => {
  test("ends when the key was seen at it or later, before or after the question", async () => {
    const waiters = new RevisionWaiters();
    waiters.seen("a", 5);
    await waiters.until("a", 5, signal);
    let done = false;
    const waiting = waiters.until("a", 7, signal).then(() => {
      done = true;
    });
    waiters.seen("a", 6);
    waiters.seen("b", 9);
    await Promise.resolve();
    expect(done).toBe(false);
    waiters.seen("a", 8);
    await waiting;
  });

  test("a key that went is waited for, until the signal ends it", async () => {
    const waiters = new RevisionWaiters();
    waiters.seen("a", 5);
    waiters.seen("a", undefined);
    const stop = new AbortController();
    const waiting = waiters.until("a", 1, stop.signal);
    stop.abort(new Error("time is over"));
    await expect(waiting).rejects.toThrow("time is over");
  });
});

test("a link-local address follows from the MAC as the kernel makes it", () => {
  expect(linkLocalOfMac("5a:3f:02:1a:77:b1") as string).toBe("fe80::583f:2ff:fe1a:77b1");
  expect(linkLocalOfMac("ee:ee:ee:ee:ee:ee") as string).toBe("fe80::ecee:eeff:feee:eeee");
  expect(linkLocalOfMac("")).toBeUndefined();
});

describe("an empty store", () => {
  const options = (store: Store, name: string, address: string): InitializationOptions => ({
    store,
    clock: new TestClock(),
    host: { name, address: parseIpAddress(address) },
    defaultPool: "choose",
    allowDuplicateAddress: false,
    signal,
  });
  const specOf = async (store: Store, key: string) => JSON.parse((await store.get(key))?.value ?? "{}").spec;

  test("gets what Calico's own start-up writes, once, from however many hosts at once", async () => {
    await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
    const all = [1, 2, 3].map((index) => initializeCluster(options(store, `host${index}`, `172.31.0.1${index}`)));
    const guids = await Promise.all(all);
    expect(new Set(guids).size).toBe(1);
    expect(guids[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(await specOf(store, clusterInformationKey)).toMatchObject({ clusterType: "margay", datastoreReady: true });
    expect(await specOf(store, ipPoolKey("default-ipv4-ippool"))).toMatchObject({
      cidr: "192.168.0.0/16",
      natOutgoing: true,
      blockSize: 26,
      ipipMode: "Never",
      vxlanMode: "Never",
    });
    expect(await specOf(store, tierKey("default"))).toMatchObject({ defaultAction: "Deny" });
    expect((await specOf(store, nodeKey("host2"))).bgp).toEqual({ ipv4Address: "172.31.0.12/32" });
    const { revision } = await store.list("/");
    await initializeCluster(options(store, "host1", "172.31.0.11"));
    expect((await store.list("/")).revision).toBe(revision); // nothing to write the second time
  });

  test("a host that moved tells its new address and keeps what others wrote on it", async () => {
    await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
    await initializeCluster(options(store, "host1", "172.31.0.11"));
    const node = JSON.parse((await store.get(nodeKey("host1")))?.value ?? "");
    node.metadata.labels = { rack: "r1" };
    node.spec.bgp.asNumber = 64512;
    await store.put(nodeKey("host1"), JSON.stringify(node));
    await initializeCluster(options(store, "host1", "172.31.0.21"));
    const after = JSON.parse((await store.get(nodeKey("host1")))?.value ?? "");
    expect(after.metadata).toEqual(node.metadata);
    expect(after.spec.bgp).toEqual({ asNumber: 64512, ipv4Address: "172.31.0.21/32" });
  });

  test("a second host with the same address is refused", async () => {
    await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
    await initializeCluster(options(store, "host1", "172.31.0.11"));
    const second = options(store, "host2", "172.31.0.11");
    await expect(initializeCluster(second)).rejects.toThrow("host host1 already has the address 172.31.0.11");
    expect(await store.get(nodeKey("host2"))).toBeUndefined();
    await initializeCluster({ ...second, allowDuplicateAddress: true });
  });

  test("a locked datastore stays locked, and an existing pool is enough", async () => {
    await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
    await initializeCluster({ ...options(store, "host1", "172.31.0.11"), defaultPool: parseCidr("10.5.0.0/16") });
    const info = JSON.parse((await store.get(clusterInformationKey))?.value ?? "");
    await store.put(clusterInformationKey, JSON.stringify({ ...info, spec: { ...info.spec, datastoreReady: false } }));
    await initializeCluster(options(store, "host1", "172.31.0.11"));
    expect((await specOf(store, clusterInformationKey)).datastoreReady).toBe(false);
    expect((await specOf(store, ipPoolKey("default-ipv4-ippool"))).cidr).toBe("10.5.0.0/16");
  });

  test("the default pool is not the range the host lives in", () => {
    const cases = [
      ["172.31.0.11", "192.168.0.0/16"],
      ["192.168.1.5", "172.16.0.0/16"],
      ["fd00::1", "192.168.0.0/16"],
    ] as const;
    for (const [address, pool] of cases) expect(chooseDefaultPool(parseIpAddress(address)) as string).toBe(pool);
  });
});
