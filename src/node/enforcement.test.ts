/** From the store to a data plane that takes notes: the policy gate, the store going away, passes that fail. */
import { expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { eventually } from "../kernel/testing/test-namespaces.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import { Enforcement } from "./enforcement.ts";
import { HealthBoard } from "./health-board.ts";

const KEY = "/calico/resources/v3/projectcalico.org/workloadendpoints/libnetwork/host1-libnetwork-libnetwork-ep1";

async function fixture(stored: Readonly<Record<string, string>> = {}) {
  const store = await openSqliteStore({ path: ":memory:", clock: systemClock });
  for (const [key, value] of Object.entries(stored)) await store.put(key, value);
  const health = new HealthBoard(systemClock);
  const known = new Map<string, string>();
  const dataplane = {
    wanted: new Map<string, string>(),
    applied: new Map<string, string>(),
    inSyncAtKeys: -1,
    failWith: undefined as string | undefined,
    setInSync() {
      this.inSyncAtKeys = known.size;
    },
    async closeUnlessStanding() {},
    async apply() {
      if (this.failWith !== undefined) throw new Error(this.failWith);
      this.applied = new Map(this.wanted);
    },
  };
  let inSync = false;
  let locked = false;
  const calculator = {
    invalid: new Map<string, string>(),
    update(key: string, value: string | undefined) {
      if (value === undefined) known.delete(key);
      else known.set(key, value);
    },
    inSync() {
      inSync = true;
    },
    flush() {
      if (inSync) dataplane.wanted = new Map(known);
    },
  };
  const enforcement = new Enforcement({
    store,
    calculator,
    dataplane,
    onChange: (key, value) => {
      if (key === "/calico/lock") locked = value !== undefined;
    },
    onUpdate: () => {},
    onInSync: () => {},
    onResync: () => {},
    isLocked: () => locked,
    clock: systemClock,
    log: silentLog,
    health,
    onPass: () => {},
  });
  const stop = new AbortController();
  const running = [enforcement.watch(stop.signal), enforcement.converge(stop.signal)];
  return {
    store,
    health,
    dataplane,
    enforcement,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
      await store[Symbol.asyncDispose]();
    },
  };
}

test("the gate opens when what was written is applied, not before", async () => {
  await using all = await fixture();
  const revision = await all.store.put(KEY, "v1");
  await all.enforcement.programmed(KEY, revision, AbortSignal.timeout(2_000));
  expect(all.dataplane.applied.get(KEY)).toBe("v1");
  const next = await all.store.put(KEY, "v2");
  await all.enforcement.programmed(KEY, next, AbortSignal.timeout(2_000));
  expect(all.dataplane.applied.get(KEY)).toBe("v2");
});

test("the gate stays shut while the kernel refuses, says why, and opens once it does not", async () => {
  await using all = await fixture();
  all.dataplane.failWith = "nft is broken";
  const revision = await all.store.put(KEY, "v1");
  await expect(all.enforcement.programmed(KEY, revision, AbortSignal.timeout(300))).rejects.toThrow(
    "the kernel does not enforce the endpoint's policy yet: nft is broken",
  );
  expect(all.health.summary().ready).toBe(false);
  expect(all.enforcement.status()).toMatchObject({ revision });
  expect(all.enforcement.status()).not.toMatchObject({ enforcedRevision: revision });
  const opening = all.enforcement.programmed(KEY, revision, AbortSignal.timeout(2_000));
  all.dataplane.failWith = undefined;
  await opening;
  expect(all.enforcement.status()).toMatchObject({ enforcedRevision: revision });
  expect(all.dataplane.applied.get(KEY)).toBe("v1");
  expect(all.health.summary().ready).toBe(true);
});

test("the gate for something nobody wrote ends with its time", async () => {
  await using all = await fixture();
  await expect(all.enforcement.programmed(KEY, 1, AbortSignal.timeout(100))).rejects.toThrow(
    "the endpoint has not come back from the datastore in time",
  );
});

test("nothing may be swept before everything was told", async () => {
  await using all = await fixture({ "/calico/a": "1", "/calico/b": "2" });
  await all.enforcement.programmed(KEY, await all.store.put(KEY, "v1"), AbortSignal.timeout(2_000));
  expect(all.dataplane.inSyncAtKeys).toBeGreaterThanOrEqual(2);
  expect(all.enforcement.status()).toMatchObject({ datastore: "in-sync", lastError: null });
});

test("datastore 18: while the datastore is locked what is enforced stays, and whoever waits is told why", async () => {
  await using all = await fixture({ "/calico/a": "1" });
  await eventually("applied", () => all.dataplane.applied.size === 1);
  await all.store.put("/calico/lock", "x");
  await all.store.put("/calico/b", "2");
  const revision = await all.store.put(KEY, "3");
  const gate = all.enforcement.programmed(KEY, revision, AbortSignal.timeout(200));
  await expect(gate).rejects.toThrow("the datastore is locked (datastoreReady is false); nothing is changed");
  expect([...all.dataplane.applied.keys()]).toEqual(["/calico/a"]);
  expect(all.health.summary()).toMatchObject({ live: true, ready: false });
  await all.store.delete("/calico/lock");
  await all.enforcement.programmed(KEY, revision, AbortSignal.timeout(5_000));
  expect([...all.dataplane.applied.keys()].sort()).toEqual(["/calico/a", "/calico/b", KEY]);
});

test("datastore 18: a node that starts with a locked datastore leaves the kernel as the one before it had it", async () => {
  await using all = await fixture({ "/calico/a": "1", "/calico/lock": "x" });
  await eventually("said", () => all.health.summary().table.includes("locked"));
  expect(all.dataplane.applied.size).toBe(0);
  expect(all.dataplane.inSyncAtKeys).toBe(-1);
  await all.store.delete("/calico/lock");
  await eventually("applied", () => all.dataplane.applied.size === 1);
});

test("52: a thousand changes in a burst are as many passes as there is time for, one after the other", async () => {
  await using all = await fixture();
  const { dataplane } = all;
  await all.enforcement.programmed(KEY, await all.store.put(KEY, "v1"), AbortSignal.timeout(2_000));
  const passMs = 50;
  let passes = 0;
  let running = 0;
  let together = 0;
  dataplane.apply = async () => {
    passes++;
    together = Math.max(together, ++running);
    const { wanted } = dataplane;
    await systemClock.sleep(passMs);
    dataplane.applied = new Map(wanted);
    running--;
  };
  const startMs = systemClock.monotonicMs();
  let revision = 0;
  for (let at = 0; at < 1_000; at++) revision = await all.store.put(KEY, `v${at}`);
  await all.enforcement.programmed(KEY, revision, AbortSignal.timeout(10_000));
  expect(dataplane.applied.get(KEY)).toBe("v999");
  expect(together).toBe(1);
  expect(passes).toBeLessThanOrEqual((systemClock.monotonicMs() - startMs) / passMs + 1);
});
