/** Between etcd's messages and the engine's requests and rows. Wire types stop here. */
import { unreachable } from "../../base/errors.ts";
import type {
  CompareOp,
  CompareRelation,
  DeleteOp,
  EngineEvent,
  EngineOp,
  EngineResult,
  KeyRange,
  PutOp,
  RangeOp,
  RangeResult,
  Row,
  SortTarget,
  TxnOp,
  TxnResult,
} from "../engine/requests.ts";
import { noBytes } from "../engine/requests.ts";
import { EtcdError, grpcStatus } from "../etcd-error.ts";
import {
  type Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  type DeleteRangeRequest,
  DeleteRangeResponse,
  Event,
  Event_EventType,
  KeyValue,
  type PutRequest,
  PutResponse,
  type RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  RangeResponse,
  type RequestOp,
  type ResponseHeader,
  ResponseOp,
  type TxnRequest,
  TxnResponse,
} from "../etcd-protocol/etcd-api.ts";

/** Makes the header of an answer that is true of `revision`. */
export type HeaderOf = (revision: number) => ResponseHeader;

export function rangeOp(request: RangeRequest): RangeOp {
  const by = sortTargets[request.sortTarget];
  if (by === undefined || request.sortOrder > RangeRequest_SortOrder.DESCEND) {
    throw new EtcdError(grpcStatus.invalidArgument, "etcdserver: invalid sort option", "STORE_BAD_REQUEST");
  }
  // As etcd: an order is only implied for a target that is not the key, because rows come by key anyway.
  const sorted = request.sortOrder !== RangeRequest_SortOrder.NONE || by !== "key";
  const descending = request.sortOrder === RangeRequest_SortOrder.DESCEND;
  return {
    kind: "range",
    ...keyRangeOf(request),
    limit: Number(request.limit),
    revision: Math.max(0, Number(request.revision)),
    ...(sorted ? { sort: { by, descending } } : {}),
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    modRevisionMin: Number(request.minModRevision),
    modRevisionMax: Number(request.maxModRevision),
    createRevisionMin: Number(request.minCreateRevision),
    createRevisionMax: Number(request.maxCreateRevision),
  };
}

const sortTargets: Readonly<Record<number, SortTarget>> = {
  [RangeRequest_SortTarget.KEY]: "key",
  [RangeRequest_SortTarget.VERSION]: "version",
  [RangeRequest_SortTarget.CREATE]: "create",
  [RangeRequest_SortTarget.MOD]: "mod",
  [RangeRequest_SortTarget.VALUE]: "value",
};

export function putOp(request: PutRequest): PutOp {
  return {
    kind: "put",
    key: request.key,
    value: request.value,
    lease: request.lease.toString(),
    ignoreValue: request.ignoreValue,
    ignoreLease: request.ignoreLease,
  };
}

export function deleteOp(request: DeleteRangeRequest): DeleteOp {
  return { kind: "delete", ...keyRangeOf(request) };
}

export function txnOp(request: TxnRequest): TxnOp {
  return {
    kind: "txn",
    compare: request.compare.map(compareOp),
    success: request.success.map(engineOp),
    failure: request.failure.map(engineOp),
  };
}

function engineOp(op: RequestOp): EngineOp {
  switch (op.request.case) {
    case "requestRange":
      return rangeOp(op.request.value);
    case "requestPut":
      return putOp(op.request.value);
    case "requestDeleteRange":
      return deleteOp(op.request.value);
    case "requestTxn":
      return txnOp(op.request.value);
    case undefined:
      // etcd refuses an operation without content as it does a missing key.
      throw new EtcdError(grpcStatus.invalidArgument, "etcdserver: key not found", "STORE_BAD_REQUEST");
    default:
      return unreachable(op.request);
  }
}

const relations: Readonly<Record<number, CompareRelation>> = {
  [Compare_CompareResult.EQUAL]: "equal",
  [Compare_CompareResult.GREATER]: "greater",
  [Compare_CompareResult.LESS]: "less",
  [Compare_CompareResult.NOT_EQUAL]: "not-equal",
};

function compareOp(compare: Compare): CompareOp {
  const relation = relations[compare.result];
  if (relation === undefined) throw unknownCompare();
  const base = { ...keyRangeOf(compare), relation };
  const union = compare.targetUnion;
  switch (compare.target) {
    case Compare_CompareTarget.VERSION:
      return { ...base, target: "version", number: union.case === "version" ? Number(union.value) : 0 };
    case Compare_CompareTarget.CREATE:
      return { ...base, target: "create", number: union.case === "createRevision" ? Number(union.value) : 0 };
    case Compare_CompareTarget.MOD:
      return { ...base, target: "mod", number: union.case === "modRevision" ? Number(union.value) : 0 };
    case Compare_CompareTarget.VALUE:
      return { ...base, target: "value", value: union.case === "value" ? union.value : noBytes };
    case Compare_CompareTarget.LEASE:
      return { ...base, target: "lease", lease: union.case === "lease" ? union.value.toString() : "0" };
    default:
      throw unknownCompare();
  }
}

function unknownCompare(): EtcdError {
  return new EtcdError(grpcStatus.invalidArgument, "etcdserver: unknown comparison", "STORE_BAD_REQUEST");
}

export function keyRangeOf(message: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): KeyRange {
  return { key: message.key, rangeEnd: message.rangeEnd };
}

export function rangeResponse(result: RangeResult, header: ResponseHeader): RangeResponse {
  return RangeResponse.make({
    header,
    kvs: result.rows.map(keyValue),
    more: result.more,
    count: BigInt(result.count),
  });
}

export function putResponse(previous: Row | undefined, request: PutRequest, header: ResponseHeader): PutResponse {
  return PutResponse.make({
    header,
    ...(request.prevKv && previous !== undefined ? { prevKv: keyValue(previous) } : {}),
  });
}

export function deleteResponse(
  previous: readonly Row[],
  request: DeleteRangeRequest,
  header: ResponseHeader,
): DeleteRangeResponse {
  return DeleteRangeResponse.make({
    header,
    deleted: BigInt(previous.length),
    prevKvs: request.prevKv ? previous.map(keyValue) : [],
  });
}

/** The answers to the operations of the branch that was done carry a header with nothing but a revision, as etcd's. */
export function txnResponse(
  result: TxnResult,
  request: TxnRequest,
  header: ResponseHeader,
  inner: HeaderOf,
): TxnResponse {
  const done = result.succeeded ? request.success : request.failure;
  return TxnResponse.make({
    header,
    succeeded: result.succeeded,
    responses: result.responses.map((response, index) => responseOp(response, done[index], inner)),
  });
}

function responseOp(result: EngineResult, op: RequestOp | undefined, inner: HeaderOf): ResponseOp {
  const header = inner(result.revision);
  const request = op?.request;
  if (result.kind === "range") {
    return ResponseOp.make({ response: { case: "responseRange", value: rangeResponse(result, header) } });
  }
  if (result.kind === "put" && request?.case === "requestPut") {
    const value = putResponse(result.previous, request.value, header);
    return ResponseOp.make({ response: { case: "responsePut", value } });
  }
  if (result.kind === "delete" && request?.case === "requestDeleteRange") {
    const value = deleteResponse(result.previous, request.value, header);
    return ResponseOp.make({ response: { case: "responseDeleteRange", value } });
  }
  if (result.kind === "txn" && request?.case === "requestTxn") {
    const value = txnResponse(result, request.value, header, inner);
    return ResponseOp.make({ response: { case: "responseTxn", value } });
  }
  throw new Error("broken invariant: the answer's kind is the operation's");
}

export function keyValue(row: Row): KeyValue {
  return KeyValue.make({
    key: row.key,
    createRevision: BigInt(row.createRevision),
    modRevision: BigInt(row.modRevision),
    version: BigInt(row.version),
    value: row.value,
    lease: row.lease === "0" ? 0n : BigInt(row.lease),
  });
}

export function eventMessage(event: EngineEvent, withPrevious: boolean): Event {
  return Event.make({
    type: event.type === "put" ? Event_EventType.PUT : Event_EventType.DELETE,
    kv: keyValue(event.row),
    ...(withPrevious && event.previous !== undefined ? { prevKv: keyValue(event.previous) } : {}),
  });
}
