/** etcd's KV service on the engine. */
import type { Engine } from "../engine/engine.ts";
import { refused } from "../etcd-error.ts";
import { CompactionResponse, KV, ResponseHeader } from "../etcd-protocol/etcd-api.ts";
import type { GrpcServer } from "../etcd-protocol/grpc-server.ts";
import {
  deleteOp,
  deleteResponse,
  type HeaderOf,
  putOp,
  putResponse,
  rangeOp,
  rangeResponse,
  txnOp,
  txnResponse,
} from "./wire.ts";

/** etcd's default for --max-request-bytes: the largest request it carries out. */
export const requestMaxBytes = 1.5 * 1024 * 1024;

export function serveKv(server: GrpcServer, engine: Engine, header: HeaderOf): void {
  const { range, put, deleteRange, txn, compact } = KV;

  server.unary(range, async (request) => {
    const result = await engine.range(rangeOp(request));
    return rangeResponse(result, header(result.revision));
  });

  server.unary(put, async (request, bytes) => {
    refuseTooLarge(bytes);
    const result = await engine.put(putOp(request));
    return putResponse(result.previous, request, header(result.revision));
  });

  server.unary(deleteRange, async (request) => {
    const result = await engine.delete(deleteOp(request));
    return deleteResponse(result.previous, request, header(result.revision));
  });

  server.unary(txn, async (request, bytes) => {
    refuseTooLarge(bytes);
    const result = await engine.transact(txnOp(request));
    return txnResponse(result, request, header(result.revision), revisionOnly);
  });

  server.unary(compact, async (request) => {
    const revision = await engine.compact(Number(request.revision), request.physical);
    return CompactionResponse.make({ header: header(revision) });
  });
}

const revisionOnly: HeaderOf = (revision) => ResponseHeader.make({ revision: BigInt(revision) });

function refuseTooLarge(bytes: number): void {
  if (bytes > requestMaxBytes) throw refused("requestTooLarge");
}
