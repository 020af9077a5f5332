/** etcd's Lease service on the engine. */
import { create } from "@bufbuild/protobuf";
import type { Engine } from "../engine/engine.ts";
import {
  Lease,
  LeaseGrantResponseSchema,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveResponseSchema,
} from "../etcd-protocol/etcd_pb.ts";
import type { GrpcServer } from "../etcd-protocol/grpc-server.ts";
import type { HeaderOf } from "./wire.ts";

export function serveLease(server: GrpcServer, engine: Engine, header: HeaderOf): void {
  const { leaseGrant, leaseRevoke, leaseKeepAlive, leaseTimeToLive, leaseLeases } = Lease.method;
  const now = () => header(engine.revision);

  server.unary("/etcdserverpb.Lease/LeaseGrant", leaseGrant.input, leaseGrant.output, async (request) => {
    const lease = await engine.grantLease(Number(request.TTL), request.ID.toString());
    return create(LeaseGrantResponseSchema, {
      header: now(),
      ID: BigInt(lease.id),
      TTL: BigInt(lease.ttlSeconds),
    });
  });

  server.unary("/etcdserverpb.Lease/LeaseRevoke", leaseRevoke.input, leaseRevoke.output, async (request) => {
    await engine.revokeLease(request.ID.toString());
    return create(LeaseRevokeResponseSchema, { header: now() });
  });

  server.unary(
    "/etcdserverpb.Lease/LeaseTimeToLive",
    leaseTimeToLive.input,
    leaseTimeToLive.output,
    async (request) => {
      const id = request.ID.toString();
      const lease = engine.leaseInfo(id);
      if (lease === undefined) {
        return create(LeaseTimeToLiveResponseSchema, { header: now(), ID: request.ID, TTL: -1n });
      }
      return create(LeaseTimeToLiveResponseSchema, {
        header: now(),
        ID: request.ID,
        TTL: BigInt(lease.remainingSeconds),
        grantedTTL: BigInt(lease.ttlSeconds),
        keys: request.keys ? engine.leaseKeys(id) : [],
      });
    },
  );

  server.unary("/etcdserverpb.Lease/LeaseLeases", leaseLeases.input, leaseLeases.output, async () =>
    create(LeaseLeasesResponseSchema, { header: now(), leases: engine.leaseIds().map((id) => ({ ID: BigInt(id) })) }),
  );

  server.stream("/etcdserverpb.Lease/LeaseKeepAlive", leaseKeepAlive.input, leaseKeepAlive.output, async (call) => {
    for await (const request of call.requests) {
      const ttlSeconds = engine.renewLease(request.ID.toString());
      await call.send(create(LeaseKeepAliveResponseSchema, { header: now(), ID: request.ID, TTL: BigInt(ttlSeconds) }));
    }
  });
}
