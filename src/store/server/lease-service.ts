/** etcd's Lease service on the engine. */
import type { Engine } from "../engine/engine.ts";
import {
  Lease,
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
} from "../etcd-protocol/etcd-api.ts";
import type { GrpcServer } from "../etcd-protocol/grpc-server.ts";
import type { HeaderOf } from "./wire.ts";

export function serveLease(server: GrpcServer, engine: Engine, header: HeaderOf): void {
  const { leaseGrant, leaseRevoke, leaseKeepAlive, leaseTimeToLive, leaseLeases } = Lease;
  const now = () => header(engine.revision);

  server.unary(leaseGrant, async (request) => {
    const lease = await engine.grantLease(Number(request.TTL), request.ID.toString());
    return LeaseGrantResponse.make({
      header: now(),
      ID: BigInt(lease.id),
      TTL: BigInt(lease.ttlSeconds),
    });
  });

  server.unary(leaseRevoke, async (request) => {
    await engine.revokeLease(request.ID.toString());
    return LeaseRevokeResponse.make({ header: now() });
  });

  server.unary(leaseTimeToLive, async (request) => {
    const id = request.ID.toString();
    const lease = engine.leaseInfo(id);
    if (lease === undefined) {
      return LeaseTimeToLiveResponse.make({ header: now(), ID: request.ID, TTL: -1n });
    }
    return LeaseTimeToLiveResponse.make({
      header: now(),
      ID: request.ID,
      TTL: BigInt(lease.remainingSeconds),
      grantedTTL: BigInt(lease.ttlSeconds),
      keys: request.keys ? engine.leaseKeys(id) : [],
    });
  });

  server.unary(leaseLeases, async () =>
    LeaseLeasesResponse.make({ header: now(), leases: engine.leaseIds().map((id) => ({ ID: BigInt(id) })) }),
  );

  server.stream(leaseKeepAlive, async (call) => {
    for await (const request of call.requests) {
      const ttlSeconds = engine.renewLease(request.ID.toString());
      await call.send(LeaseKeepAliveResponse.make({ header: now(), ID: request.ID, TTL: BigInt(ttlSeconds) }));
    }
  });
}
