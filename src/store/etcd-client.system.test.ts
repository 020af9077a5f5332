/** The client on real servers: the contract, pages, kills in the middle of writes, servers that are gone or silent. */
import { expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { connectEtcd } from "./etcd-client.ts";
import type { Store } from "./store.ts";
import { codeOf } from "./testing/error-code.ts";
import { follow } from "./testing/followed-watch.ts";
import { storeContract } from "./testing/store-contract.ts";
import { freePort, StoreProcess } from "./testing/store-process.ts";

const kinds = [
  ["margay store", () => StoreProcess.startMargay()],
  ["etcd", () => StoreProcess.startEtcd()],
] as const;

const connect = (...endpoints: string[]): Promise<Store> =>
  connectEtcd({ endpoints, clock: systemClock, log: silentLog });

for (const [name, start] of kinds) {
  storeContract(`gRPC to ${name}`, async () => {
    const server = await start();
    const store = await connect(server.endpoint);
    return {
      store,
      compact: async (revision) => {
        const { code, stderr } = await server.etcdctl("compact", String(revision));
        if (code !== 0) throw new Error(stderr);
      },
      // The watch of the test waits for the deletion.
      elapse: async () => undefined,
      [Symbol.asyncDispose]: async () => {
        await store[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  });

  test(`${name}: a list of more keys than fit a page is whole and at one revision`, async () => {
    await using server = await start();
    await using store = await connect(server.endpoint);
    const keys = Array.from({ length: 20_500 }, (_, index) => `/many/${String(index).padStart(6, "0")}`);
    for (let from = 0; from < keys.length; from += 128) {
      const success = keys.slice(from, from + 128).map((key) => ({ put: key, value: key }));
      await store.transact({ compare: [], success });
    }
    const { revision, kvs } = await store.list("/many/");
    expect(kvs.map((kv) => kv.key)).toEqual(keys);
    expect(revision).toBe((await store.list("/none/")).revision);
    expect((await store.list("/many/", { limit: 10_001 })).kvs.length).toBe(10_001);
  }, 60_000);

  test(`${name}: killed and started again, it has every acknowledged write, and watches miss and repeat nothing`, async () => {
    await using server = await start();
    await using store = await connect(server.endpoint);
    const from = (await store.list("/kill/")).revision + 1;
    await using watch = follow(store, "/kill/", from);
    const acknowledged = new Map<string, number>();
    const stop = new AbortController();
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let index = 0; !stop.signal.aborted; index++) {
        const key = `/kill/${writer}-${index}`;
        try {
          acknowledged.set(key, await store.put(key, key));
        } catch (error) {
          // In flight when it was killed: it may have happened or not.
          if (!stop.signal.aborted && (await codeOf(Promise.reject(error))) !== "STORE_UNAVAILABLE") throw error;
        }
      }
    });
    for (let round = 1; round <= 3; round++) {
      await waitUntil(() => acknowledged.size >= round * 200);
      await server.kill();
      await server.start();
    }
    await waitUntil(() => acknowledged.size >= 800);
    stop.abort();
    await Promise.all(writers);
    const { kvs } = await store.list("/kill/");
    const stored = new Map(kvs.map((kv) => [kv.key, kv.modRevision]));
    for (const [key, revision] of acknowledged) expect([key, stored.get(key)]).toEqual([key, revision]);
    await watch.until((events) => events.length >= kvs.length);
    const told = watch.events.map((event) => event.kv.modRevision);
    expect(told).toEqual(kvs.map((kv) => kv.modRevision).toSorted((a, b) => a - b));
    expect(new Set(acknowledged.values()).size).toBe(acknowledged.size);
  }, 60_000);
}

test("the client goes to another endpoint when one is gone", async () => {
  await using server = await StoreProcess.startMargay();
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await using store = await connect(nobody, server.endpoint);
  expect(await store.put("a", "1")).toBe(2);
  expect((await store.get("a"))?.value).toBe("1");
});

test("without any store a call fails at its deadline with STORE_UNAVAILABLE, and works once there is one", async () => {
  await using server = await StoreProcess.startMargay();
  await server.kill();
  await using store = await connectEtcd({
    endpoints: [server.endpoint],
    clock: systemClock,
    log: silentLog,
    callTimeoutMs: 300,
  });
  expect(await codeOf(store.get("a"))).toBe("STORE_UNAVAILABLE");
  expect(await codeOf(store.put("a", "1"))).toBe("STORE_UNAVAILABLE");
  await server.start();
  expect(await store.put("a", "1")).toBe(2);
});

test("a store that stopped answering is given up at the deadline", async () => {
  await using server = await StoreProcess.startMargay();
  await using store = await connectEtcd({
    endpoints: [server.endpoint],
    clock: systemClock,
    log: silentLog,
    callTimeoutMs: 500,
  });
  await store.put("a", "1");
  process.kill(server.pid, "SIGSTOP");
  try {
    expect(await codeOf(store.get("a"))).toBe("STORE_UNAVAILABLE");
    const reason = new Error("enough");
    const waiting = store.get("a", { signal: AbortSignal.abort(reason) });
    expect(await waiting.catch((error: unknown) => error)).toBe(reason);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
  expect((await store.get("a"))?.value).toBe("1");
});

test("a store put in the place of another is noticed by a watch: it must start over", async () => {
  await using server = await StoreProcess.startMargay();
  await using store = await connect(server.endpoint);
  const revision = await store.put("a", "1");
  await using watch = follow(store, "a", revision);
  await watch.until((events) => events.length === 1);
  await server.kill();
  for (const suffix of ["", "-wal"]) await Bun.file(`${server.dataDirectory}/margay-store.db${suffix}`).delete();
  await server.start();
  await watch.ended();
  expect(await codeOf(Promise.reject(watch.failure))).toBe("STORE_COMPACTED");
});

test("closing the client ends its watches and calls with STORE_CLOSED", async () => {
  await using server = await StoreProcess.startMargay();
  const store = await connect(server.endpoint);
  const revision = await store.put("a", "1");
  await using watch = follow(store, "a", revision);
  await watch.until((events) => events.length === 1);
  await store[Symbol.asyncDispose]();
  await watch.ended();
  expect(await codeOf(Promise.reject(watch.failure))).toBe("STORE_CLOSED");
  expect(await codeOf(store.get("a"))).toBe("STORE_CLOSED");
});

async function waitUntil(condition: () => boolean): Promise<void> {
  const timeout = AbortSignal.timeout(20_000);
  while (!condition()) {
    if (timeout.aborted) throw new Error("waited 20 s in vain");
    await Bun.sleep(10);
  }
}
