/**
 * One transaction being carried out: compares, reads and writes in order, each write visible to what follows it.
 * All its changes get the revision after the store's present one. Synchronous from first to last, so nothing can come
 * in between; an error at any point undoes everything.
 */
import { unreachable } from "../../base/errors.ts";
import { refused } from "../etcd-error.ts";
import { comparisonHolds } from "./compare.ts";
import type { EngineDatabase, StoredRow } from "./database.ts";
import { limitsWhileReading, select } from "./range-selection.ts";
import type {
  Bytes,
  CompareOp,
  DeleteOp,
  DeleteResult,
  EngineEvent,
  EngineOp,
  EngineResult,
  PutOp,
  PutResult,
  RangeOp,
  RangeResult,
  TxnOp,
  TxnResult,
} from "./requests.ts";
import { keyRange, noBytes } from "./requests.ts";

export interface ExecutionBase {
  readonly revision: number;
  readonly compactRevision: number;
  readonly nextRowId: number;
  readonly leaseExists: (id: string) => boolean;
}

export class Execution {
  readonly #db: EngineDatabase;
  readonly #base: ExecutionBase;
  #begun = false;
  #nextRowId: number;
  readonly events: EngineEvent[] = [];

  constructor(db: EngineDatabase, base: ExecutionBase) {
    this.#db = db;
    this.#base = base;
    this.#nextRowId = base.nextRowId;
  }

  get nextRowId(): number {
    return this.#nextRowId;
  }

  /** Whether there is something to commit. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The store's revision as seen from inside: the new one as soon as something changed. */
  get revision(): number {
    return this.events.length > 0 ? this.#base.revision + 1 : this.#base.revision;
  }

  commit(): void {
    if (this.#begun) this.#db.commit();
  }

  rollback(): void {
    if (this.#begun) this.#db.rollback();
  }

  /** For writes beside the keys (leases, meta). */
  database(): EngineDatabase {
    this.#begin();
    return this.#db;
  }

  run(op: EngineOp): EngineResult {
    switch (op.kind) {
      case "range":
        return this.range(op);
      case "put":
        return this.put(op);
      case "delete":
        return this.delete(op);
      case "txn":
        return this.txn(op);
      default:
        return unreachable(op);
    }
  }

  range(op: RangeOp): RangeResult {
    if (op.key.length === 0) throw refused("emptyKey");
    const asked = op.revision ?? 0;
    if (asked > this.revision) throw refused("futureRevision");
    if (asked > 0 && asked < this.#base.compactRevision) throw refused("compacted");
    const past = asked > 0 && asked < this.revision ? asked : undefined;

    if (op.rangeEnd.length === 0) {
      const row = past === undefined ? this.#db.point(op.key) : this.#db.rangeAt(op, past, 1, false)[0];
      const found = row === undefined ? [] : [row];
      const { rows } = select(found, op);
      return {
        kind: "range",
        revision: this.revision,
        rows: op.countOnly ? [] : rows,
        more: false,
        count: found.length,
      };
    }
    const count = () => (past === undefined ? this.#db.count(op) : this.#db.countAt(op, past));
    if (op.countOnly) return { kind: "range", revision: this.revision, rows: [], more: false, count: count() };

    const limit = op.limit ?? 0;
    const readLimit = limit > 0 && limitsWhileReading(op) ? limit + 1 : 0;
    const keysOnly = op.keysOnly === true && op.sort?.by !== "value";
    const read =
      past === undefined ? this.#db.range(op, readLimit, keysOnly) : this.#db.rangeAt(op, past, readLimit, keysOnly);
    const { rows, more } = select(read, op);
    const complete = readLimit === 0 || read.length < readLimit;
    return { kind: "range", revision: this.revision, rows, more, count: complete ? read.length : count() };
  }

  put(op: PutOp): PutResult {
    const previous = this.#db.point(op.key);
    if (previous === undefined && (op.ignoreValue === true || op.ignoreLease === true)) throw refused("keyNotFound");
    const lease = op.ignoreLease === true && previous !== undefined ? previous.lease : (op.lease ?? "0");
    if (lease !== "0" && !this.#base.leaseExists(lease)) throw refused("leaseNotFound");
    const revision = this.#base.revision + 1;
    const row = {
      key: op.key,
      value: op.ignoreValue === true && previous !== undefined ? previous.value : op.value,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
      lease,
    };
    this.#begin();
    this.#db.insertVersion(this.#nextRowId++, row, previous?.id);
    this.events.push({ type: "put", row, previous });
    return { kind: "put", revision, previous };
  }

  delete(op: DeleteOp): DeleteResult {
    const rows = op.rangeEnd.length === 0 ? single(this.#db.point(op.key)) : this.#db.range(op, 0, false);
    for (const row of rows) this.#deleteRow(row);
    return { kind: "delete", revision: this.revision, previous: rows };
  }

  txn(op: TxnOp): TxnResult {
    const succeeded = op.compare.every((compare) => this.#holds(compare));
    const responses = (succeeded ? op.success : op.failure).map((inner) => this.run(inner));
    return { kind: "txn", revision: this.revision, succeeded, responses };
  }

  deleteKeys(keys: readonly Bytes[]): void {
    for (const key of keys) this.delete({ kind: "delete", ...keyRange(key) });
  }

  #deleteRow(previous: StoredRow): void {
    const row = {
      key: previous.key,
      value: noBytes,
      createRevision: 0,
      modRevision: this.#base.revision + 1,
      version: 0,
      lease: "0",
    };
    this.#begin();
    this.#db.insertVersion(this.#nextRowId++, row, previous.id);
    this.events.push({ type: "delete", row, previous });
  }

  #holds(compare: CompareOp): boolean {
    const rows =
      compare.rangeEnd.length === 0 ? single(this.#db.point(compare.key)) : this.#db.range(compare, 0, false);
    return comparisonHolds(compare, rows);
  }

  #begin(): void {
    if (this.#begun) return;
    this.#db.begin();
    this.#begun = true;
  }
}

function single<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}
