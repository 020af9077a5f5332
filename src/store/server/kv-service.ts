/** etcd's KV service on the engine. */
import { create } from "@bufbuild/protobuf";
import type { Engine } from "../engine/engine.ts";
import { refused } from "../etcd-error.ts";
import { CompactionResponseSchema, KV, ResponseHeaderSchema } from "../etcd-protocol/etcd_pb.ts";
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
  const { range, put, deleteRange, txn, compact } = KV.method;

  server.unary("/etcdserverpb.KV/Range", range.input, range.output, async (request) => {
    const result = await engine.range(rangeOp(request));
    return rangeResponse(result, header(result.revision));
  });

  server.unary("/etcdserverpb.KV/Put", put.input, put.output, async (request, bytes) => {
    refuseTooLarge(bytes);
    const result = await engine.put(putOp(request));
    return putResponse(result.previous, request, header(result.revision));
  });

  server.unary("/etcdserverpb.KV/DeleteRange", deleteRange.input, deleteRange.output, async (request) => {
    const result = await engine.delete(deleteOp(request));
    return deleteResponse(result.previous, request, header(result.revision));
  });

  server.unary("/etcdserverpb.KV/Txn", txn.input, txn.output, async (request, bytes) => {
    refuseTooLarge(bytes);
    const result = await engine.transact(txnOp(request));
    return txnResponse(result, request, header(result.revision), revisionOnly);
  });

  server.unary("/etcdserverpb.KV/Compact", compact.input, compact.output, async (request) => {
    const revision = await engine.compact(Number(request.revision), request.physical);
    return create(CompactionResponseSchema, { header: header(revision) });
  });
}

const revisionOnly: HeaderOf = (revision) => create(ResponseHeaderSchema, { revision: BigInt(revision) });

function refuseTooLarge(bytes: number): void {
  if (bytes > requestMaxBytes) throw refused("requestTooLarge");
}
