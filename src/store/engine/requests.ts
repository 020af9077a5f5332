/**
 * What can be asked of the engine, and its answers: etcd's KV requests with bytes for keys and values, plain numbers
 * for revisions (safe up to 2^53: 9e15 transactions) and decimal text for lease ids (63 bits). Pure data.
 */

export type Bytes = Uint8Array;

export const noBytes: Bytes = new Uint8Array(0);
const zeroByte: Bytes = new Uint8Array([0]);

/** etcd's way to name keys: `rangeEnd` empty = just `key`; a single zero byte = all keys >= `key`; else [key, rangeEnd). */
export interface KeyRange {
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}

/** One version of one key. A deletion is a version too: `version` 0, no value. */
export interface Row {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";

export interface RangeOp extends KeyRange {
  readonly kind: "range";
  /** 0: all. */
  readonly limit?: number;
  /** 0: now. */
  readonly revision?: number;
  readonly sort?: { readonly by: SortTarget; readonly descending: boolean };
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly modRevisionMin?: number;
  readonly modRevisionMax?: number;
  readonly createRevisionMin?: number;
  readonly createRevisionMax?: number;
}

export interface PutOp {
  readonly kind: "put";
  readonly key: Bytes;
  readonly value: Bytes;
  /** "0": none. */
  readonly lease?: string;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface DeleteOp extends KeyRange {
  readonly kind: "delete";
}

export interface TxnOp {
  readonly kind: "txn";
  readonly compare: readonly CompareOp[];
  readonly success: readonly EngineOp[];
  readonly failure: readonly EngineOp[];
}

export type EngineOp = RangeOp | PutOp | DeleteOp | TxnOp;

export type CompareRelation = "equal" | "greater" | "less" | "not-equal";

export type CompareOp = KeyRange & { readonly relation: CompareRelation } & (
    | { readonly target: "version" | "create" | "mod"; readonly number: number }
    | { readonly target: "value"; readonly value: Bytes }
    | { readonly target: "lease"; readonly lease: string }
  );

export interface RangeResult {
  readonly kind: "range";
  readonly revision: number;
  readonly rows: readonly Row[];
  readonly more: boolean;
  readonly count: number;
}

export interface PutResult {
  readonly kind: "put";
  readonly revision: number;
  readonly previous: Row | undefined;
}

export interface DeleteResult {
  readonly kind: "delete";
  readonly revision: number;
  readonly previous: readonly Row[];
}

export interface TxnResult {
  readonly kind: "txn";
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly EngineResult[];
}

export type EngineResult = RangeResult | PutResult | DeleteResult | TxnResult;

export interface EngineEvent {
  readonly type: "put" | "delete";
  readonly row: Row;
  readonly previous: Row | undefined;
}

/** The range of all keys that begin with `prefix`; all keys for an empty one. */
export function prefixRange(prefix: Bytes): KeyRange {
  if (prefix.length === 0) return { key: zeroByte, rangeEnd: zeroByte };
  const end = Uint8Array.from(prefix);
  for (let index = end.length - 1; index >= 0; index--) {
    const byte = end[index] ?? 0xff;
    if (byte < 0xff) {
      end[index] = byte + 1;
      return { key: prefix, rangeEnd: end.subarray(0, index + 1) };
    }
  }
  return { key: prefix, rangeEnd: zeroByte };
}

export function keyRange(key: Bytes): KeyRange {
  return { key, rangeEnd: noBytes };
}

export function isOpenEnded(range: KeyRange): boolean {
  return range.rangeEnd.length === 1 && range.rangeEnd[0] === 0;
}

export function rangeContains(range: KeyRange, key: Bytes): boolean {
  if (range.rangeEnd.length === 0) return compareBytes(range.key, key) === 0;
  if (compareBytes(key, range.key) < 0) return false;
  return isOpenEnded(range) || compareBytes(key, range.rangeEnd) < 0;
}

export function compareBytes(a: Bytes, b: Bytes): number {
  return Buffer.compare(a, b);
}
