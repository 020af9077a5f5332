/** Whether a transaction's comparison holds for the rows its range names. Pure. */
import { unreachable } from "../../base/errors.ts";
import type { CompareOp, CompareRelation, Row } from "./requests.ts";
import { compareBytes, noBytes } from "./requests.ts";

const absent: Row = { key: noBytes, value: noBytes, createRevision: 0, modRevision: 0, version: 0, lease: "0" };

/** All rows must satisfy it. An absent key has version and revisions 0, but no value equals, exceeds or differs from it. */
export function comparisonHolds(compare: CompareOp, rows: readonly Row[]): boolean {
  if (rows.length === 0) return compare.target !== "value" && holdsFor(compare, absent);
  return rows.every((row) => holdsFor(compare, row));
}

function holdsFor(compare: CompareOp, row: Row): boolean {
  return relationHolds(compare.relation, orderOf(compare, row));
}

/** Negative, zero or positive: the row's field against the given one. */
function orderOf(compare: CompareOp, row: Row): number {
  switch (compare.target) {
    case "version":
      return row.version - compare.number;
    case "create":
      return row.createRevision - compare.number;
    case "mod":
      return row.modRevision - compare.number;
    case "value":
      return compareBytes(row.value, compare.value);
    case "lease": {
      const difference = BigInt(row.lease) - BigInt(compare.lease);
      return difference < 0n ? -1 : difference > 0n ? 1 : 0;
    }
    default:
      return unreachable(compare);
  }
}

function relationHolds(relation: CompareRelation, order: number): boolean {
  switch (relation) {
    case "equal":
      return order === 0;
    case "not-equal":
      return order !== 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
    default:
      return unreachable(relation);
  }
}
