/**
 * Refuses transactions etcd would refuse, before anything is done: too many operations, missing keys, the same key
 * changed twice within one revision (etcd: server/etcdserver/api/v3rpc/key.go, checkTxnRequest and checkIntervals).
 */
import { refused } from "../etcd-error.ts";
import type { DeleteOp, EngineOp, PutOp, TxnOp } from "./requests.ts";
import { rangeContains } from "./requests.ts";

/** etcd's default for --max-txn-ops: per list of a transaction, and summed along each path of nesting. */
export const transactionOperationsMax = 128;

export function checkTransaction(txn: TxnOp, operationsMax: number = transactionOperationsMax): void {
  checkShape(txn, operationsMax);
  changesOf(txn.success);
  changesOf(txn.failure);
}

export function checkPut(op: PutOp): void {
  if (op.key.length === 0) throw refused("emptyKey");
  if (op.ignoreValue === true && op.value.length !== 0) throw refused("valueProvided");
  if (op.ignoreLease === true && op.lease !== undefined && op.lease !== "0") throw refused("leaseProvided");
}

function checkShape(txn: TxnOp, operationsMax: number): void {
  const count = Math.max(txn.compare.length, txn.success.length, txn.failure.length);
  if (count > operationsMax) throw refused("tooManyOperations");
  for (const compare of txn.compare) if (compare.key.length === 0) throw refused("emptyKey");
  for (const op of [...txn.success, ...txn.failure]) {
    if (op.kind === "put") checkPut(op);
    else if (op.kind === "txn") checkShape(op, operationsMax - count);
    else if (op.key.length === 0) throw refused("emptyKey");
  }
}

interface Changes {
  /** Keys as latin1 text: one character per byte, so that equal texts are equal keys. */
  readonly puts: ReadonlySet<string>;
  readonly deletes: readonly DeleteOp[];
}

function changesOf(ops: readonly EngineOp[]): Changes {
  const deletes = ops.filter((op) => op.kind === "delete");
  const puts = new Set<string>();

  for (const op of ops) {
    if (op.kind !== "txn") continue;
    const success = changesOf(op.success);
    const failure = changesOf(op.failure);
    for (const key of success.puts) addPut(key, puts, deletes);
    for (const key of failure.puts) {
      // Only one of the branches is done, so both may put the same key.
      if (success.puts.has(key)) refuseIfDeleted(key, deletes);
      else addPut(key, puts, deletes);
    }
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) if (op.kind === "put") addPut(Buffer.from(op.key).toString("latin1"), puts, deletes);
  return { puts, deletes };
}

function addPut(key: string, puts: Set<string>, deletes: readonly DeleteOp[]): void {
  if (puts.has(key)) throw refused("duplicateKey");
  refuseIfDeleted(key, deletes);
  puts.add(key);
}

function refuseIfDeleted(key: string, deletes: readonly DeleteOp[]): void {
  if (deletes.length === 0) return;
  const bytes = Buffer.from(key, "latin1");
  if (deletes.some((range) => rangeContains(range, bytes))) throw refused("duplicateKey");
}
