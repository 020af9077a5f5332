/** Random operations on the embedded store and on a model so simple that it is right by inspection. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { TestClock } from "../base/clock.ts";
import { openSqliteStore, type SqliteStore } from "./sqlite-store.ts";
import type { Compare, KeyValue, Operation, Transaction } from "./store.ts";
import { codeOf } from "./testing/error-code.ts";
import { follow } from "./testing/followed-watch.ts";

type State = ReadonlyMap<string, KeyValue>;

/** Keeps the state after each revision; index is the revision. */
class Model {
  readonly states: State[] = [new Map(), new Map()];
  readonly history: { type: "put" | "delete"; key: string; value: string; revision: number }[] = [];
  compacted = 0;

  get revision(): number {
    return this.states.length - 1;
  }

  get state(): State {
    return this.states.at(-1) ?? new Map();
  }

  transact({ compare, success, failure }: Transaction) {
    const state = new Map(this.state);
    const revision = this.revision + 1;
    const succeeded = compare.every((one) => holds(one, state.get(one.key)));
    const before = this.history.length;
    const responses = (succeeded ? success : (failure ?? [])).map((operation) => this.#run(operation, state, revision));
    if (this.history.length > before) this.states.push(state);
    return { succeeded, revision: this.revision, responses };
  }

  #run(operation: Operation, state: Map<string, KeyValue>, revision: number) {
    if ("put" in operation) {
      const { put: key, value } = operation;
      const old = state.get(key);
      const createRevision = old?.createRevision ?? revision;
      const version = (old?.version ?? 0) + 1;
      state.set(key, { key, value, createRevision, modRevision: revision, version, leaseId: "0" });
      this.history.push({ type: "put", key, value, revision });
      return { kvs: [], deleted: 0 };
    }
    const wanted = "delete" in operation ? operation.delete : "get" in operation ? operation.get : undefined;
    const prefix = "deletePrefix" in operation ? operation.deletePrefix : "list" in operation ? operation.list : "";
    const found = [...state.values()]
      .filter((kv) => (wanted === undefined ? kv.key.startsWith(prefix) : kv.key === wanted))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    if ("get" in operation || "list" in operation) return { kvs: found, deleted: 0 };
    for (const { key } of found) {
      state.delete(key);
      this.history.push({ type: "delete", key, value: "", revision });
    }
    return { kvs: [], deleted: found.length };
  }
}

function holds(compare: Compare, kv: KeyValue | undefined): boolean {
  if ("modRevision" in compare) return (kv?.modRevision ?? 0) === compare.modRevision;
  if ("version" in compare) return (kv?.version ?? 0) === compare.version;
  return kv?.value === compare.value;
}

/** Keys of which some begin with others, to catch ends of ranges. */
const keys = ["a", "a/", "a/b", "a/b/c", "a0", "b", "b\u{10ffff}", "é"];
const key = fc.constantFrom(...keys);
const value = fc.constantFrom("", "1", "2", "long".repeat(300));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ put: key, value }),
  fc.record({ delete: key }),
  fc.record({ deletePrefix: fc.constantFrom("", "a", "a/", "b") }),
  fc.record({ get: key }),
  fc.record({ list: fc.constantFrom("", "a", "a/b", "é") }),
);
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({ key, modRevision: fc.nat(12) }),
  fc.record({ key, version: fc.nat(3) }),
  fc.record({ key, value }),
);
const transaction: fc.Arbitrary<Transaction> = fc.record({
  compare: fc.array(compare, { maxLength: 2 }),
  success: fc.array(operation, { maxLength: 4 }),
  failure: fc.array(operation, { maxLength: 3 }),
});
const directory = mkdtempSync(join(tmpdir(), "margay-store-property-"));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("transact" as const), transaction }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("read" as const), back: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("compact" as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
);

/** What a branch puts twice, or puts and deletes, is refused whole by both. */
function changesKeyTwice(operations: readonly Operation[]): boolean {
  const puts = operations.flatMap((one) => ("put" in one ? [one.put] : []));
  const deleted = (put: string) =>
    operations.some(
      (one) => ("delete" in one && one.delete === put) || ("deletePrefix" in one && put.startsWith(one.deletePrefix)),
    );
  return new Set(puts).size < puts.length || puts.some(deleted);
}

for (const [where, numRuns] of [
  ["in memory", 300],
  // Opened again now and then, so that watches read the past from the file.
  ["in a file", 60],
] as const) {
  test(`the embedded store ${where} answers any sequence of operations as the model does`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.nat(20), async (steps, watchFrom) => {
        const path = where === "in memory" ? ":memory:" : join(directory, `${files++}.db`);
        const model = new Model();
        let store = await openSqliteStore({ path, clock: new TestClock() });
        const reopen = async () => {
          if (path === ":memory:") return;
          await store[Symbol.asyncDispose]();
          store = await openSqliteStore({ path, clock: new TestClock() });
        };
        try {
          for (const what of steps) {
            if (what.kind === "reopen") await reopen();
            else await runStep(what, store, model);
          }
          await reopen();
          await checkWatch(store, model, Math.max(1, model.compacted, model.revision - watchFrom));
        } finally {
          await store[Symbol.asyncDispose]();
        }
      }),
      { numRuns },
    );
  }, 60_000);
}

type Step =
  | { readonly kind: "transact"; readonly transaction: Transaction }
  | { readonly kind: "read" | "compact"; readonly back: number };

async function runStep(what: Step, store: SqliteStore, model: Model): Promise<void> {
  if (what.kind === "transact") {
    const { success, failure } = what.transaction;
    if (changesKeyTwice(success) || changesKeyTwice(failure ?? [])) {
      expect(await codeOf(store.transact(what.transaction))).toBe("STORE_BAD_REQUEST");
    } else expect(await store.transact(what.transaction)).toEqual(model.transact(what.transaction));
  } else if (what.kind === "read") {
    const revision = Math.max(1, model.revision - what.back);
    if (revision < model.compacted) expect(await codeOf(store.list("", { revision }))).toBe("STORE_COMPACTED");
    else {
      const kvs = [...(model.states[revision] ?? new Map()).values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      expect(await store.list("", { revision })).toEqual({ revision, kvs });
    }
  } else {
    const revision = model.revision - what.back;
    if (revision <= model.compacted) expect(await codeOf(store.compact(revision))).toBe("STORE_COMPACTED");
    else {
      await store.compact(revision);
      model.compacted = revision;
    }
  }
}

async function checkWatch(store: SqliteStore, model: Model, from: number): Promise<void> {
  const expected = model.history.filter((event) => event.revision >= from);
  await using watch = follow(store, "", from);
  await watch.until((events) => events.length >= expected.length);
  const seen = watch.events.map(({ type, kv }) => ({
    type,
    key: kv.key,
    value: kv.value,
    revision: kv.modRevision,
  }));
  expect(seen).toEqual(expected);
}
