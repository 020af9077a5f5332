/** etcd's Maintenance and Cluster services, as far as a store of one member has an answer. */
import type { Engine } from "../engine/engine.ts";
import { notOffered } from "../etcd-error.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmResponse,
  AlarmType,
  Cluster,
  DefragmentResponse,
  Maintenance,
  Member,
  MemberListResponse,
  StatusResponse,
} from "../etcd-protocol/etcd-api.ts";
import type { GrpcServer } from "../etcd-protocol/grpc-server.ts";
import type { HeaderOf } from "./wire.ts";

/** The release of etcd whose protocol is spoken. */
export const protocolVersion = "3.4.0";

export interface MemberIdentity {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

export function serveMaintenance(server: GrpcServer, engine: Engine, header: HeaderOf, member: MemberIdentity): void {
  const { alarm, status, defragment, hash, hashKV } = Maintenance;
  const now = () => header(engine.revision);

  server.unary(status, async () => {
    const seen = engine.status();
    return StatusResponse.make({
      header: now(),
      version: protocolVersion,
      dbSize: BigInt(seen.sizeBytes),
      dbSizeInUse: BigInt(seen.sizeInUseBytes),
      leader: member.id,
      raftIndex: BigInt(seen.revision),
      raftAppliedIndex: BigInt(seen.revision),
      raftTerm: BigInt(seen.term),
      errors: engine.full ? [`memberID:${member.id} alarm:NOSPACE `] : [],
    });
  });

  server.unary(alarm, async (request) => {
    if (request.action === AlarmRequest_AlarmAction.ACTIVATE) throw notOffered("alarms are raised by the store itself");
    const alarms = engine.full ? [{ memberID: member.id, alarm: AlarmType.NOSPACE }] : [];
    return AlarmResponse.make({ header: now(), alarms });
  });

  server.unary(defragment, async () => {
    await engine.defragment();
    return DefragmentResponse.make({ header: now() });
  });

  const noHash = async () => {
    throw notOffered("there are no members to compare, so no hash is offered");
  };
  server.unary(hash, noHash);
  server.unary(hashKV, noHash);

  const { memberList } = Cluster;
  server.unary(memberList, async () =>
    MemberListResponse.make({
      header: now(),
      members: [Member.make({ ID: member.id, name: member.name, clientURLs: [...member.clientUrls] })],
    }),
  );
}

/** Why a method of etcd is not here. */
export function whyUnknown(path: string): string | undefined {
  if (path.startsWith("/etcdserverpb.Auth/")) return "margay store: users and roles are not offered";
  if (path.startsWith("/etcdserverpb.Cluster/")) return "margay store: it is a single member and cannot be extended";
  if (path === "/etcdserverpb.Maintenance/Snapshot") {
    return "margay store: snapshots are not offered; stop the store and copy its data directory";
  }
  return undefined;
}
