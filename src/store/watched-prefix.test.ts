/** A followed prefix: what is told, after what, in every order of changes, cuts and compactions. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { TestClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { openSqliteStore, type SqliteStore } from "./sqlite-store.ts";
import type { KeyValue, ListPagesOptions, Store, WatchBatch } from "./store.ts";
import { WatchedPrefix } from "./watched-prefix.ts";

/** A real store whose watches and lists can be made to fail, as a lost connection does. */
class BreakableStore implements Store {
  readonly inner: SqliteStore;
  #cut = Promise.withResolvers<never>();
  listFailures = 0;

  constructor(inner: SqliteStore) {
    this.inner = inner;
    this.#cut.promise.catch(() => undefined);
  }

  cutWatches(code: string): void {
    const cut = this.#cut;
    this.#cut = Promise.withResolvers<never>();
    this.#cut.promise.catch(() => undefined);
    cut.reject(new OperationError(code, "cut", { retry: "backoff" }));
  }

  async *watch(prefix: string, options: { fromRevision: number; signal: AbortSignal }): AsyncGenerator<WatchBatch> {
    const batches = this.inner.watch(prefix, options)[Symbol.asyncIterator]();
    const cut = this.#cut.promise;
    for (;;) {
      const next = await Promise.race([batches.next(), cut]);
      if (next.done === true) return;
      yield next.value;
    }
  }

  async list(prefix: string, options?: { signal?: AbortSignal }) {
    if (this.listFailures > 0) {
      this.listFailures--;
      throw new OperationError("STORE_UNAVAILABLE", "no store", { retry: "backoff" });
    }
    return this.inner.list(prefix, options);
  }

  async *listPages(prefix: string, { except, ...options }: ListPagesOptions = {}) {
    await this.list(prefix, options); // fails when it is to fail
    yield* this.inner.listPages(prefix, except === undefined ? options : { ...options, except });
  }

  get: Store["get"] = (key, options) => this.inner.get(key, options);
  put: Store["put"] = (key, value, options) => this.inner.put(key, value, options);
  delete: Store["delete"] = (key, options) => this.inner.delete(key, options);
  transact: Store["transact"] = (transaction, options) => this.inner.transact(transaction, options);
  grantLease: Store["grantLease"] = (ttlSeconds) => this.inner.grantLease(ttlSeconds);
  keepAlive: Store["keepAlive"] = (lease, signal) => this.inner.keepAlive(lease, signal);
  revokeLease: Store["revokeLease"] = (lease) => this.inner.revokeLease(lease);
  [Symbol.asyncDispose] = () => this.inner[Symbol.asyncDispose]();
}

async function setUp(onChange?: (key: string) => void, except?: string) {
  const clock = new TestClock();
  const store = new BreakableStore(await openSqliteStore({ path: ":memory:", clock }));
  const told: string[] = [];
  const holds = new Map<string, KeyValue>();
  const abort = new AbortController();
  const watched = new WatchedPrefix({
    store,
    prefix: "/a/",
    ...(except === undefined ? {} : { except }),
    clock,
    log: silentLog,
    onChange(key, value) {
      told.push(`${key.slice(3)}=${value?.value ?? "gone"}`);
      if (value === undefined) expect(holds.delete(key)).toBe(true);
      else {
        expect(holds.get(key)?.modRevision).not.toBe(value.modRevision);
        holds.set(key, value);
      }
      onChange?.(key);
    },
    onInSync: () => void told.push("in-sync"),
    onStale: () => void told.push("stale"),
  });
  return {
    clock,
    store,
    watched,
    holds,
    /** What was told since the last look. */
    async news(): Promise<string[]> {
      await clock.advance(0);
      return told.splice(0);
    },
    start: () => watched.run(abort.signal),
    stop: () => abort.abort(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

test("what is there is told, then that it is all, then each change", async () => {
  await using it = await setUp();
  await it.store.put("/a/1", "x");
  await it.store.put("/b/1", "other");
  const running = it.start();
  expect(await it.news()).toEqual(["1=x", "in-sync"]);
  await it.store.put("/a/2", "y");
  await it.store.delete("/a/1");
  await it.store.delete("/b/1");
  expect(await it.news()).toEqual(["2=y", "1=gone"]);
  it.stop();
  await running;
});

test("keys that nobody wants are not told of, neither those there are nor those that come and go", async () => {
  await using it = await setUp(undefined, "/a/x");
  for (const name of ["w", "x1", "y"]) await it.store.put(`/a/${name}`, "1");
  const running = it.start();
  expect(await it.news()).toEqual(["w=1", "y=1", "in-sync"]);
  await it.store.put("/a/x2", "1");
  await it.store.delete("/a/x1");
  const last = await it.store.put("/a/z", "1");
  expect(await it.news()).toEqual(["z=1"]);
  expect(it.watched.revision).toBe(last);
  it.stop();
  await running;
});

for (const code of ["STORE_COMPACTED", "STORE_UNAVAILABLE"]) {
  test(`12: after ${code} only what differs is told, however much happened meanwhile`, async () => {
    await using it = await setUp();
    for (const name of ["same", "changed", "deleted", "remade"]) await it.store.put(`/a/${name}`, "1");
    const running = it.start();
    await it.news();
    it.store.cutWatches(code);
    await it.store.put("/a/changed", "2");
    await it.store.put("/a/changed", "3");
    await it.store.delete("/a/deleted");
    await it.store.delete("/a/remade");
    await it.store.put("/a/remade", "1");
    await it.store.put("/a/short-lived", "1");
    await it.store.delete("/a/short-lived");
    const last = await it.store.put("/a/new", "1");
    await it.store.inner.compact(last);
    expect(await it.news()).toEqual(["stale"]);
    await it.clock.advance(1_000);
    expect((await it.news()).toSorted()).toEqual(["changed=3", "deleted=gone", "in-sync", "new=1", "remade=1"]);
    await it.store.put("/a/new", "2");
    expect(await it.news()).toEqual(["new=2"]);
    it.stop();
    await running;
  });
}

test("12: a watch that lags behind a compaction starts over by itself", async () => {
  await using it = await setUp();
  const running = it.start();
  expect(await it.news()).toEqual(["in-sync"]);
  it.store.cutWatches("STORE_UNAVAILABLE");
  await it.news();
  await it.store.put("/a/1", "x");
  const last = await it.store.put("/a/1", "y");
  await it.store.inner.compact(last);
  await it.clock.advance(1_000);
  expect(await it.news()).toEqual(["1=y", "in-sync"]);
  it.stop();
  await running;
});

test("while the store is out of reach nothing is taken back, and it is asked again with growing pauses", async () => {
  await using it = await setUp();
  await it.store.put("/a/1", "x");
  const running = it.start();
  await it.news();
  it.store.listFailures = 5;
  it.store.cutWatches("STORE_UNAVAILABLE");
  expect(await it.news()).toEqual(["stale"]);
  expect(it.watched.inSync).toBe(false);
  expect(it.holds.size).toBe(1);
  await it.clock.advance(100);
  expect(it.store.listFailures).toBeGreaterThan(3);
  await it.clock.advance(60_000);
  expect(await it.news()).toEqual(["in-sync"]);
  it.stop();
  await running;
});

test("a callback that throws ends it: a mistake is not a store out of reach", async () => {
  await using it = await setUp(() => {
    throw new OperationError("MISTAKE", "a mistake");
  });
  await it.store.put("/a/1", "x");
  const failure = await it.start().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
  expect(String(failure)).toContain("a callback of WatchedPrefix threw");
});

test("whatever happens in whatever order, it ends up holding what the store holds", async () => {
  const key = fc.constantFrom("/a/1", "/a/2", "/a/3", "/a/4");
  const step = fc.oneof(
    fc.record({ kind: fc.constant("put" as const), key }),
    fc.record({ kind: fc.constant("delete" as const), key }),
    fc.constant({ kind: "cut" as const }),
    fc.constant({ kind: "compact" as const }),
    fc.record({ kind: fc.constant("pause" as const), ms: fc.integer({ min: 0, max: 500 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await using it = await setUp();
      const running = it.start();
      for (const [index, what] of steps.entries()) {
        if (what.kind === "put") await it.store.put(what.key, String(index));
        else if (what.kind === "delete") await it.store.delete(what.key);
        else if (what.kind === "cut") it.store.cutWatches("STORE_UNAVAILABLE");
        else if (what.kind === "pause") await it.clock.advance(what.ms);
        else await it.store.inner.compact((await it.store.list("")).revision).catch(() => undefined);
      }
      await it.clock.advance(20_000);
      expect([...it.holds.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([
        ...(await it.store.list("/a/")).kvs,
      ]);
      it.stop();
      await running;
    }),
    { numRuns: 60 },
  );
});
