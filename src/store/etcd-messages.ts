/** Between the Store interface (text, numbers) and etcd's messages, on the client's side. Pure. */
import { keyRange, prefixRange } from "./engine/requests.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  Compare as CompareMessage,
  DeleteRangeRequest,
  type Event,
  Event_EventType,
  type KeyValue as KeyValueMessage,
  PutRequest,
  RangeRequest,
  RequestOp,
  type ResponseOp,
  TxnRequest,
} from "./etcd-protocol/etcd-api.ts";
import type { Compare, KeyValue, Operation, OperationOutcome, Transaction, WatchEvent } from "./store.ts";

export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

export function singleKey(key: string): { key: Uint8Array; rangeEnd: Uint8Array } {
  return keyRange(bytesOf(key));
}

export function keysBelow(prefix: string): { key: Uint8Array; rangeEnd: Uint8Array } {
  return prefixRange(bytesOf(prefix));
}

export function txnRequest(transaction: Transaction): TxnRequest {
  return TxnRequest.make({
    compare: transaction.compare.map(compareMessage),
    success: transaction.success.map(requestOp),
    failure: (transaction.failure ?? []).map(requestOp),
  });
}

function compareMessage(compare: Compare): CompareMessage {
  const base = { key: bytesOf(compare.key), result: Compare_CompareResult.EQUAL };
  if ("modRevision" in compare) {
    return CompareMessage.make({
      ...base,
      target: Compare_CompareTarget.MOD,
      targetUnion: { case: "modRevision", value: BigInt(compare.modRevision) },
    });
  }
  if ("version" in compare) {
    return CompareMessage.make({
      ...base,
      target: Compare_CompareTarget.VERSION,
      targetUnion: { case: "version", value: BigInt(compare.version) },
    });
  }
  return CompareMessage.make({
    ...base,
    target: Compare_CompareTarget.VALUE,
    targetUnion: { case: "value", value: bytesOf(compare.value) },
  });
}

function requestOp(operation: Operation): RequestOp {
  return RequestOp.make({ request: requestOf(operation) });
}

function requestOf(operation: Operation): RequestOp["request"] {
  if ("put" in operation) {
    const lease = BigInt(operation.lease ?? "0");
    const put = { key: bytesOf(operation.put), value: bytesOf(operation.value), lease };
    return { case: "requestPut", value: PutRequest.make(put) };
  }
  if ("delete" in operation) return deleteOf(singleKey(operation.delete));
  if ("deletePrefix" in operation) return deleteOf(keysBelow(operation.deletePrefix));
  return {
    case: "requestRange",
    value: RangeRequest.make("get" in operation ? singleKey(operation.get) : keysBelow(operation.list)),
  };
}

function deleteOf(range: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): RequestOp["request"] {
  return { case: "requestDeleteRange", value: DeleteRangeRequest.make(range) };
}

export function outcomeOf({ response }: ResponseOp): OperationOutcome {
  if (response.case === "responseRange") return { kvs: response.value.kvs.map(keyValueOf), deleted: 0 };
  if (response.case === "responseDeleteRange") return { kvs: [], deleted: Number(response.value.deleted) };
  return { kvs: [], deleted: 0 };
}

export function keyValueOf(message: KeyValueMessage): KeyValue {
  return {
    key: textOf(message.key),
    value: textOf(message.value),
    createRevision: Number(message.createRevision),
    modRevision: Number(message.modRevision),
    version: Number(message.version),
    leaseId: message.lease === 0n ? "0" : message.lease.toString(),
  };
}

export function watchEventsOf(events: readonly Event[]): WatchEvent[] {
  const converted: WatchEvent[] = [];
  for (const event of events) {
    if (event.kv === undefined) continue;
    const type = event.type === Event_EventType.DELETE ? "delete" : "put";
    converted.push({ type, kv: keyValueOf(event.kv) });
  }
  return converted;
}
