/**
 * What every Store does, as tests: run on SQLite in memory and in a file, and over gRPC on `margay store` and etcd.
 * Each test works below a prefix of its own, so that a shared server will do.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Store } from "../store.ts";
import { codeOf, codeOfError, failureOf } from "./error-code.ts";
import { follow } from "./followed-watch.ts";

export interface ContractSubject extends AsyncDisposable {
  readonly store: Store;
  compact(revision: number): Promise<void>;
  /** Lets a lease of this many seconds run out. */
  elapse(seconds: number): Promise<void>;
}

export function storeContract(name: string, open: () => Promise<ContractSubject>): void {
  describe(`store contract on ${name}`, () => {
    let subject: ContractSubject;
    let store: Store;
    let count = 0;
    const run = crypto.randomUUID();
    const fresh = () => `/contract/${run}/${count++}/`;

    beforeAll(async () => {
      subject = await open();
      store = subject.store;
    });
    afterAll(async () => {
      await subject[Symbol.asyncDispose]();
    });

    test("an absent key has no value", async () => {
      expect(await store.get(`${fresh()}x`)).toBeUndefined();
    });

    test("a put shows in revision, version and value; create revision stays", async () => {
      const key = `${fresh()}k`;
      const first = await store.put(key, "1");
      const second = await store.put(key, "2");
      expect(second).toBe(first + 1);
      expect(await store.get(key)).toEqual({
        key,
        value: "2",
        createRevision: first,
        modRevision: second,
        version: 2,
        leaseId: "0",
      });
      expect((await store.get(key, { revision: first }))?.value).toBe("1");
    });

    for (const [what, value] of [
      ["empty", ""],
      ["beyond ASCII", "käse ☂ 𝄞 \u0000 end"],
      ["of a megabyte", "m".repeat(1024 * 1024)],
    ] as const) {
      test(`a value ${what} comes back as it was`, async () => {
        const key = `${fresh()}schlüssel`;
        await store.put(key, value);
        expect((await store.get(key))?.value).toBe(value);
      });
    }

    test("a list holds the prefix's keys in byte order and nothing else, at one revision", async () => {
      const prefix = fresh();
      const beside = `${prefix.slice(0, -1)}0`;
      for (const key of [`${prefix}b`, `${prefix}a/2`, `${prefix}a`, beside, `${prefix}é`]) await store.put(key, "v");
      const revision = await store.put(`${prefix}c`, "v");
      const listed = await store.list(prefix);
      expect(listed.revision).toBeGreaterThanOrEqual(revision);
      expect(listed.kvs.map((kv) => kv.key.slice(prefix.length))).toEqual(["a", "a/2", "b", "c", "é"]);
      expect((await store.list(prefix, { limit: 2 })).kvs.map((kv) => kv.key.slice(prefix.length))).toEqual([
        "a",
        "a/2",
      ]);
      await store.delete(beside);
    });

    test("a list at a revision shows what was there then", async () => {
      const prefix = fresh();
      await store.put(`${prefix}a`, "1");
      const then = await store.put(`${prefix}b`, "1");
      await store.put(`${prefix}a`, "2");
      await store.delete(`${prefix}b`);
      await store.put(`${prefix}c`, "1");
      const listed = await store.list(prefix, { revision: then });
      expect(listed.revision).toBe(then);
      expect(listed.kvs.map((kv) => [kv.key.slice(prefix.length), kv.value])).toEqual([
        ["a", "1"],
        ["b", "1"],
      ]);
    });

    test("a list in parts has what a list has, whatever is written while it is read", async () => {
      const prefix = fresh();
      const keys = Array.from({ length: 11_000 }, (_, at) => `${prefix}${String(at).padStart(5, "0")}`);
      for (let at = 0; at < keys.length; at += 100) {
        const success = keys.slice(at, at + 100).map((put) => ({ put, value: put }));
        await store.transact({ compare: [], success });
      }
      const { revision, kvs } = await store.list(prefix);
      const found: string[] = [];
      for await (const page of store.listPages(prefix)) {
        expect(page.revision).toBe(revision);
        found.push(...page.kvs.map((kv) => kv.key));
        await store.put(`${prefix}0-late`, ""); // before what is still to come
        await store.delete(keys.at(-1) ?? "");
      }
      expect(found).toEqual(kvs.map((kv) => kv.key));
      const left: string[] = [];
      for await (const page of store.listPages(prefix, { except: `${prefix}0` }))
        left.push(...page.kvs.map((kv) => kv.key));
      expect(left).toEqual(keys.slice(10_000, -1));
      const none: string[] = [];
      for await (const page of store.listPages(prefix, { except: prefix })) none.push(...page.kvs.map((kv) => kv.key));
      expect(none).toEqual([]);
      await store.transact({ compare: [], success: [{ deletePrefix: prefix }] });
    });

    test("a deletion says whether the key was there; a key made again starts at version 1", async () => {
      const key = `${fresh()}k`;
      expect(await store.delete(key)).toBe(false);
      await store.put(key, "1");
      await store.put(key, "2");
      expect(await store.delete(key)).toBe(true);
      expect(await store.get(key)).toBeUndefined();
      const again = await store.put(key, "3");
      expect(await store.get(key)).toMatchObject({ createRevision: again, modRevision: again, version: 1 });
    });

    test("a transaction whose comparisons hold changes all its keys at one revision", async () => {
      const prefix = fresh();
      const seen = await store.put(`${prefix}a`, "1");
      const outcome = await store.transact({
        compare: [
          { key: `${prefix}a`, modRevision: seen },
          { key: `${prefix}a`, value: "1" },
          { key: `${prefix}b`, version: 0 },
          { key: `${prefix}b`, modRevision: 0 },
        ],
        success: [
          { get: `${prefix}a` },
          { put: `${prefix}a`, value: "2" },
          { put: `${prefix}b`, value: "2" },
          { list: prefix },
          { delete: `${prefix}nothing` },
        ],
        failure: [{ put: `${prefix}failed`, value: "" }],
      });
      expect(outcome).toMatchObject({ succeeded: true, revision: seen + 1 });
      expect(outcome.responses.map((response) => response.kvs.map((kv) => kv.value))).toEqual([
        ["1"],
        [],
        [],
        ["2", "2"],
        [],
      ]);
      expect((await store.list(prefix)).kvs.map((kv) => kv.modRevision)).toEqual([seen + 1, seen + 1]);
    });

    test("a transaction one of whose comparisons fails does the other branch, and nothing else", async () => {
      const prefix = fresh();
      const before = await store.put(`${prefix}a`, "1");
      const outcome = await store.transact({
        compare: [
          { key: `${prefix}a`, value: "1" },
          { key: `${prefix}a`, modRevision: before - 1 },
        ],
        success: [{ put: `${prefix}a`, value: "2" }, { deletePrefix: `${prefix}b` }],
        failure: [{ get: `${prefix}a` }],
      });
      expect(outcome.succeeded).toBe(false);
      expect(outcome.revision).toBe(before);
      expect(outcome.responses[0]?.kvs[0]?.value).toBe("1");
      expect((await store.get(`${prefix}a`))?.modRevision).toBe(before);
    });

    test("the value of an absent key equals nothing, not even the empty text", async () => {
      const key = `${fresh()}k`;
      expect((await store.transact({ compare: [{ key, value: "" }], success: [] })).succeeded).toBe(false);
    });

    test("deleting a prefix counts what it removed and spares the neighbours", async () => {
      const prefix = fresh();
      for (const key of ["a/1", "a/2", "a0", "b"]) await store.put(prefix + key, "v");
      const outcome = await store.transact({ compare: [], success: [{ deletePrefix: `${prefix}a/` }] });
      expect(outcome.responses).toEqual([{ kvs: [], deleted: 2 }]);
      expect((await store.list(prefix)).kvs.map((kv) => kv.key.slice(prefix.length))).toEqual(["a0", "b"]);
    });

    test("a transaction that puts a key twice is refused and changes nothing", async () => {
      const prefix = fresh();
      const success = [{ put: `${prefix}x`, value: "1" }];
      for (const second of [{ put: `${prefix}x`, value: "2" }, { deletePrefix: prefix }]) {
        expect(await codeOf(store.transact({ compare: [], success: [...success, second] }))).toBe("STORE_BAD_REQUEST");
      }
      expect((await store.list(prefix)).kvs).toEqual([]);
    });

    test("a transaction of more than 128 operations is refused, one of 128 is done", async () => {
      const prefix = fresh();
      const puts = Array.from({ length: 129 }, (_, index) => ({ put: `${prefix}${index}`, value: "v" }));
      expect(await codeOf(store.transact({ compare: [], success: puts }))).toBe("STORE_BAD_REQUEST");
      await store.transact({ compare: [], success: puts.slice(1) });
      expect((await store.list(prefix)).kvs.length).toBe(128);
    });

    test("an error in the middle of a transaction undoes what came before it", async () => {
      const prefix = fresh();
      const transaction = {
        compare: [],
        success: [
          { put: `${prefix}a`, value: "1" },
          { put: `${prefix}b`, value: "1", lease: "987654321" },
        ],
      };
      expect(await codeOf(store.transact(transaction))).toBe("STORE_LEASE_NOT_FOUND");
      expect((await store.list(prefix)).kvs).toEqual([]);
    });

    test("concurrent compare-and-swap loses no increment", async () => {
      const key = `${fresh()}counter`;
      const increment = async () => {
        for (;;) {
          const seen = await store.get(key);
          const value = String(Number(seen?.value ?? 0) + 1);
          const compare = [{ key, modRevision: seen?.modRevision ?? 0 }];
          if ((await store.transact({ compare, success: [{ put: key, value }] })).succeeded) return;
        }
      };
      await Promise.all(Array.from({ length: 16 }, increment));
      expect(await store.get(key)).toMatchObject({ value: "16", version: 16 });
    });

    test("a watch from the past tells everything in order, each transaction whole, then goes on live", async () => {
      const prefix = fresh();
      const first = await store.put(`${prefix}a`, "1");
      await store.transact({
        compare: [],
        success: [
          { put: `${prefix}a`, value: "2" },
          { put: `${prefix}b`, value: "1" },
        ],
      });
      await using watch = follow(store, prefix, first);
      await watch.until((events) => events.length === 3);
      await store.delete(`${prefix}a`);
      await store.put(`${prefix.slice(0, -1)}0`, "beside");
      await store.put(`${prefix}c`, "1");
      await watch.until((events) => events.length === 5);
      expect(watch.events.map(({ type, kv }) => [type, kv.key.slice(-1), kv.value])).toEqual([
        ["put", "a", "1"],
        ["put", "a", "2"],
        ["put", "b", "1"],
        ["delete", "a", ""],
        ["put", "c", "1"],
      ]);
      expect(watch.events.map((event) => event.kv.modRevision)).toEqual([
        first,
        first + 1,
        first + 1,
        first + 2,
        first + 4,
      ]);
      expect(watch.events[3]?.kv).toMatchObject({ version: 0, createRevision: 0, leaseId: "0" });
      for (const batch of watch.batches) {
        expect(batch.revision).toBeGreaterThanOrEqual(batch.events.at(-1)?.kv.modRevision ?? 0);
      }
      const pair = watch.batches.filter((batch) => batch.events.some((event) => event.kv.modRevision === first + 1));
      expect(pair.length).toBe(1);
      await store.delete(`${prefix.slice(0, -1)}0`);
    });

    test("a list and a watch from its revision + 1 miss nothing and repeat nothing under load", async () => {
      const prefix = fresh();
      let stop = false;
      const writer = (async () => {
        for (let index = 0; !stop && index < 2_000; index++) await store.put(`${prefix}${index}`, "v");
      })();
      const start = await store.list(prefix);
      await using watch = follow(store, prefix, start.revision + 1);
      await watch.until((events) => events.length >= 50);
      stop = true;
      await writer;
      const end = await store.list(prefix);
      await watch.until(() => start.kvs.length + watch.events.length >= end.kvs.length);
      const seen = [...start.kvs, ...watch.events.map((event) => event.kv)].map((kv) => kv.key);
      expect(seen.toSorted()).toEqual(end.kvs.map((kv) => kv.key).toSorted());
      const revisions = watch.events.map((event) => event.kv.modRevision);
      expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    });

    test("a watch from a revision still to come tells nothing before it", async () => {
      const prefix = fresh();
      const now = await store.put(`${prefix}a`, "1");
      await using watch = follow(store, prefix, now + 3);
      for (const value of ["2", "3", "4"]) await store.put(`${prefix}a`, value);
      await watch.until((events) => events.length >= 1);
      expect(watch.events.map((event) => event.kv.value)).toEqual(["4"]);
    });

    test("a watch ends without an error when its signal aborts", async () => {
      const watch = follow(store, fresh(), 1 + (await store.put(`${fresh()}x`, "")));
      await watch[Symbol.asyncDispose]();
      expect(watch.failure).toBeUndefined();
    });

    test("after a compaction, reads and watches from before it are refused and the rest is as it was", async () => {
      const prefix = fresh();
      const first = await store.put(`${prefix}a`, "1");
      await store.put(`${prefix}b`, "1");
      await store.delete(`${prefix}b`);
      const last = await store.put(`${prefix}a`, "2");
      await subject.compact(last);
      expect(await codeOf(store.get(`${prefix}a`, { revision: first }))).toBe("STORE_COMPACTED");
      expect(await codeOf(store.list(prefix, { revision: first }))).toBe("STORE_COMPACTED");
      await using watch = follow(store, prefix, first);
      await watch.ended();
      expect(codeOfError(watch.failure)).toBe("STORE_COMPACTED");
      expect((await store.list(prefix)).kvs.map((kv) => [kv.key.slice(-1), kv.value, kv.version])).toEqual([
        ["a", "2", 2],
      ]);
      await using later = follow(store, prefix, last);
      await store.put(`${prefix}a`, "3");
      await later.until((events) => events.length === 2);
      expect(later.events.map((event) => event.kv.value)).toEqual(["2", "3"]);
    });

    test("a revision that has not happened is refused", async () => {
      const now = await store.put(`${fresh()}a`, "1");
      expect(await codeOf(store.get("x", { revision: now + 1_000 }))).toBe("STORE_FUTURE_REVISION");
    });

    test("a key goes with its lease when that is revoked, and only if it still hangs on it", async () => {
      const prefix = fresh();
      const lease = await store.grantLease(60);
      const from = await store.put(`${prefix}a`, "1", { lease });
      await store.put(`${prefix}b`, "1", { lease });
      await store.transact({ compare: [], success: [{ put: `${prefix}c`, value: "1", lease }] });
      await store.put(`${prefix}b`, "2");
      expect((await store.get(`${prefix}a`))?.leaseId).toBe(lease);
      expect((await store.get(`${prefix}b`))?.leaseId).toBe("0");
      expect(await store.keepAlive(lease)).toBe(60);
      await using watch = follow(store, prefix, from + 4);
      await store.revokeLease(lease);
      await watch.until((events) => events.length === 2);
      expect(watch.events.map((event) => [event.type, event.kv.key.slice(-1)])).toEqual([
        ["delete", "a"],
        ["delete", "c"],
      ]);
      expect((await store.list(prefix)).kvs.map((kv) => kv.key.slice(-1))).toEqual(["b"]);
      expect(await store.keepAlive(lease)).toBe(0);
      await store.revokeLease(lease);
      expect(await codeOf(store.put(`${prefix}d`, "1", { lease }))).toBe("STORE_LEASE_NOT_FOUND");
    });

    test("a lease nobody renews takes its keys with it", async () => {
      const prefix = fresh();
      const lease = await store.grantLease(2);
      const from = await store.put(`${prefix}a`, "1", { lease });
      await using watch = follow(store, prefix, from + 1);
      await subject.elapse(2);
      await watch.until((events) => events.length === 1);
      expect(watch.events[0]?.type).toBe("delete");
      expect(await store.keepAlive(lease)).toBe(0);
    }, 15_000);

    test("a call whose signal is aborted rejects with the signal's reason", async () => {
      const reason = new Error("changed my mind");
      const signal = AbortSignal.abort(reason);
      expect(await failureOf(store.get("a", { signal }))).toBe(reason);
      expect(await failureOf(store.put("a", "b", { signal }))).toBe(reason);
      expect(await failureOf(store.transact({ compare: [], success: [] }, { signal }))).toBe(reason);
    });
  });
}
