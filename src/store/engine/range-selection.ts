/** Filters, order and limit of a range request, applied to rows in key order (etcd: server/etcdserver/txn/range.go). Pure. */
import { unreachable } from "../../base/errors.ts";
import type { RangeOp, Row, SortTarget } from "./requests.ts";
import { compareBytes, noBytes } from "./requests.ts";

/** True if the limit may be applied while reading: rows come in key order and none is dropped afterwards. */
export function limitsWhileReading(op: RangeOp): boolean {
  const inKeyOrder = op.sort === undefined || (op.sort.by === "key" && !op.sort.descending);
  return inKeyOrder && !filters(op);
}

export function select<R extends Row>(rows: R[], op: RangeOp): { readonly rows: Row[]; readonly more: boolean } {
  let selected: Row[] = filters(op) ? rows.filter((row) => passes(row, op)) : rows;
  if (op.sort !== undefined && !limitsWhileReading(op)) {
    const { by, descending } = op.sort;
    selected = selected.toSorted((a, b) => (descending ? orderBy(by, b, a) : orderBy(by, a, b)));
  }
  const limit = op.limit ?? 0;
  const more = limit > 0 && selected.length > limit;
  if (more) selected = selected.slice(0, limit);
  if (op.keysOnly === true) selected = selected.map((row) => ({ ...row, value: noBytes }));
  return { rows: selected, more };
}

function filters(op: RangeOp): boolean {
  return [op.modRevisionMin, op.modRevisionMax, op.createRevisionMin, op.createRevisionMax].some(
    (bound) => bound !== undefined && bound !== 0,
  );
}

function passes(row: Row, op: RangeOp): boolean {
  return (
    within(row.modRevision, op.modRevisionMin, op.modRevisionMax) &&
    within(row.createRevision, op.createRevisionMin, op.createRevisionMax)
  );
}

/** 0 is no bound. */
function within(revision: number, min: number | undefined, max: number | undefined): boolean {
  return (!min || revision >= min) && (!max || revision <= max);
}

function orderBy(by: SortTarget, a: Row, b: Row): number {
  switch (by) {
    case "key":
      return compareBytes(a.key, b.key);
    case "value":
      return compareBytes(a.value, b.value);
    case "version":
      return a.version - b.version;
    case "create":
      return a.createRevision - b.createRevision;
    case "mod":
      return a.modRevision - b.modRevision;
    default:
      return unreachable(by);
  }
}
