/** Which transactions are refused before anything is done, as a table. */
import { expect, test } from "bun:test";
import { describeError } from "../../base/errors.ts";
import type { CompareOp, DeleteOp, EngineOp, PutOp, TxnOp } from "./requests.ts";
import { keyRange, noBytes, prefixRange } from "./requests.ts";
import { checkTransaction } from "./transaction-check.ts";

const put = (key: string): PutOp => ({ kind: "put", key: Buffer.from(key), value: noBytes });
const del = (key: string): DeleteOp => ({ kind: "delete", ...keyRange(Buffer.from(key)) });
const delPrefix = (prefix: string): DeleteOp => ({ kind: "delete", ...prefixRange(Buffer.from(prefix)) });
const txn = (success: EngineOp[], failure: EngineOp[] = [], compare: CompareOp[] = []): TxnOp => ({
  kind: "txn",
  compare,
  success,
  failure,
});
const many = (count: number, prefix = "k") => Array.from({ length: count }, (_, index) => put(`${prefix}${index}`));

const duplicate = "etcdserver: duplicate key given in txn request";
const tooMany = "etcdserver: too many operations in txn request";
const noKey = "etcdserver: key is not provided";

const cases: readonly [name: string, txn: TxnOp, answer: string][] = [
  ["nothing", txn([]), "accepted"],
  ["one key in both branches", txn([put("a")], [put("a")]), "accepted"],
  ["one key twice", txn([put("a"), put("a")]), duplicate],
  ["one key twice in the branch not taken", txn([], [put("a"), put("a")]), duplicate],
  ["put and deleted", txn([put("a"), del("a")]), duplicate],
  ["deleted and put", txn([del("a"), put("a")]), duplicate],
  ["put below a deleted prefix", txn([delPrefix("a/"), put("a/1")]), duplicate],
  ["put beside a deleted prefix", txn([delPrefix("a/"), put("a0")]), "accepted"],
  ["deleted twice", txn([del("a"), delPrefix("a")]), "accepted"],
  ["put here and in a nested transaction", txn([put("a"), txn([put("a")])]), duplicate],
  ["put here and in a nested branch not taken", txn([put("a"), txn([], [put("a")])]), duplicate],
  ["put in both branches of a nested one", txn([txn([put("a")], [put("a")])]), "accepted"],
  ["put in two nested ones", txn([txn([put("a")]), txn([put("a")])]), duplicate],
  ["put in a nested one, deleted here", txn([txn([put("a")]), del("a")]), duplicate],
  ["put here, deleted in a nested one", txn([put("a"), txn([del("a")])]), duplicate],
  ["128 operations", txn(many(128), many(128)), "accepted"],
  ["129 operations", txn(many(129)), tooMany],
  ["129 in the branch not taken", txn([], many(129)), tooMany],
  ["nesting adds up along its path", txn([...many(64), txn(many(63, "n"))]), "accepted"],
  ["and is refused beyond", txn([...many(64), txn(many(64, "n"))]), tooMany],
  [
    "129 comparisons",
    txn(
      [],
      [],
      Array.from({ length: 129 }, () => compareWith("a")),
    ),
    tooMany,
  ],
  ["a comparison without key", txn([], [], [compareWith("")]), noKey],
  ["a put without key", txn([put("")]), noKey],
  ["a nested deletion without key", txn([txn([del("")])]), noKey],
];

function compareWith(key: string): CompareOp {
  return { ...keyRange(Buffer.from(key)), relation: "equal", target: "version", number: 0 };
}

for (const [name, transaction, answer] of cases) {
  test(`${name}: ${answer}`, () => {
    let given = "accepted";
    try {
      checkTransaction(transaction);
    } catch (error) {
      given = describeError(error);
    }
    expect(given).toBe(answer);
  });
}
