/** The embedded store: the contract in memory and in a file, restarts, forgetting of history, slow watchers. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../base/clock.ts";
import { openSqliteStore, type SqliteStore } from "./sqlite-store.ts";
import { codeOf } from "./testing/error-code.ts";
import { follow } from "./testing/followed-watch.ts";
import { storeContract } from "./testing/store-contract.ts";

const directory = mkdtempSync(join(tmpdir(), "margay-sqlite-store-"));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;
const newFile = () => join(directory, `${files++}.db`);

async function open(path: string) {
  const clock = new TestClock();
  const store = await openSqliteStore({ path, clock });
  return {
    store,
    compact: (revision: number) => store.compact(revision),
    elapse: (seconds: number) => clock.advance(seconds * 1_000),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

storeContract("SQLite in memory", () => open(":memory:"));
storeContract("SQLite in a file", () => open(newFile()));

describe("a store in a file, opened again", () => {
  const clock = new TestClock();
  const reopen = async (path: string, use: (store: SqliteStore) => Promise<void>) => {
    await using store = await openSqliteStore({ path, clock });
    await use(store);
  };

  test("holds values, revisions and history", async () => {
    const path = newFile();
    let revision = 0;
    await reopen(path, async (store) => {
      await store.put("a", "1");
      revision = await store.put("a", "2");
    });
    await reopen(path, async (store) => {
      expect(await store.get("a")).toMatchObject({ value: "2", version: 2, modRevision: revision });
      expect((await store.get("a", { revision: revision - 1 }))?.value).toBe("1");
      expect(await store.put("b", "1")).toBe(revision + 1);
      await using watch = follow(store, "", revision);
      await watch.until((events) => events.length === 2);
      expect(watch.events.map(({ kv }) => [kv.key, kv.value])).toEqual([
        ["a", "2"],
        ["b", "1"],
      ]);
    });
  });

  test("never goes back to an earlier revision, even if everything was deleted and compacted", async () => {
    const path = newFile();
    let revision = 0;
    await reopen(path, async (store) => {
      await store.put("a", "1");
      await store.delete("a");
      revision = await store.put("b", "1");
      await store.delete("b");
      await store.compact(revision + 1);
    });
    await reopen(path, async (store) => {
      expect((await store.list("")).revision).toBe(revision + 1);
      expect(await store.put("c", "1")).toBe(revision + 2);
      expect(await codeOf(store.get("a", { revision }))).toBe("STORE_COMPACTED");
    });
  });

  test("keeps its leases, each with its full time again", async () => {
    const path = newFile();
    let lease = "";
    await reopen(path, async (store) => {
      lease = await store.grantLease(10);
      await store.put("a", "1", { lease });
      await clock.advance(9_000);
    });
    await reopen(path, async (store) => {
      await clock.advance(9_000);
      expect(await store.get("a")).toMatchObject({ leaseId: lease });
      await clock.advance(1_000);
      expect(await store.get("a")).toBeUndefined();
      expect(await store.keepAlive(lease)).toBe(0);
    });
  });

  test("is refused while another has it open, and is whole afterwards", async () => {
    const path = newFile();
    await reopen(path, async (store) => {
      await store.put("a", "1");
      expect(await codeOf(openSqliteStore({ path, clock }))).toBe("STORE_IN_USE");
      await store.put("a", "2");
    });
    await reopen(path, async (store) => expect((await store.get("a"))?.value).toBe("2"));
  });
});

describe("the history", () => {
  test("is forgotten by itself beyond its age, and beyond its length", async () => {
    const clock = new TestClock();
    const retention = { ageMs: 60_000, revisionsMax: 10, checkEveryMs: 10_000 };
    await using store = await openSqliteStore({ path: ":memory:", clock, retention });
    const old = await store.put("a", "1");
    await store.put("a", "2");
    await clock.advance(60_000);
    expect((await store.get("a", { revision: old }))?.value).toBe("1");
    await clock.advance(10_000);
    expect(await codeOf(store.get("a", { revision: old }))).toBe("STORE_COMPACTED");

    const from = await store.put("a", "3");
    for (let index = 0; index < 11; index++) await store.put("b", String(index));
    expect((await store.get("a", { revision: from }))?.value).toBe("3");
    await clock.advance(10_000);
    expect(await codeOf(store.get("a", { revision: from }))).toBe("STORE_COMPACTED");
  });

  test("takes no space after compaction: one row per living key is left", async () => {
    const path = newFile();
    const clock = new TestClock();
    {
      await using store = await openSqliteStore({ path, clock });
      for (let index = 0; index < 3_000; index++) await store.put(`k${index % 10}`, String(index));
      for (let index = 0; index < 5; index++) await store.delete(`k${index}`);
      const last = await store.put("end", "");
      await store.compact(last);
    }
    const { Database } = await import("bun:sqlite");
    using db = new Database(path);
    expect(db.query("SELECT count(*) AS rows FROM history").get()).toEqual({ rows: 6 });
    expect(db.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  });
});

test("a watcher that does not read holds nothing up and is told all when it does", async () => {
  await using store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
  const controller = new AbortController();
  const batches = store.watch("k", { fromRevision: 1, signal: controller.signal })[Symbol.asyncIterator]();
  for (let index = 0; index < 20_000; index++) await store.put(`k${index}`, "v".repeat(1_000));
  let seen = 0;
  while (seen < 20_000) seen += (await batches.next()).value?.events.length ?? 0;
  expect(seen).toBe(20_000);
  controller.abort();
});

test("closing the store ends its watches and refuses calls with STORE_CLOSED", async () => {
  const store = await openSqliteStore({ path: ":memory:", clock: new TestClock() });
  await using watch = follow(store, "", 1);
  await store.put("a", "1");
  await watch.until((events) => events.length === 1);
  await store[Symbol.asyncDispose]();
  await watch.ended();
  expect(await codeOf(Promise.reject(watch.failure))).toBe("STORE_CLOSED");
  expect(await codeOf(store.put("a", "2"))).toBe("STORE_CLOSED");
  expect(await codeOf(store.get("a"))).toBe("STORE_CLOSED");
});
