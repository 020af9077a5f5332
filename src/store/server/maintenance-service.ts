/** etcd's Maintenance and Cluster services, as far as a store of one member has an answer. */
import { create } from "@bufbuild/protobuf";
import type { Engine } from "../engine/engine.ts";
import { notOffered } from "../etcd-error.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmResponseSchema,
  AlarmType,
  Cluster,
  DefragmentResponseSchema,
  Maintenance,
  MemberListResponseSchema,
  StatusResponseSchema,
} from "../etcd-protocol/etcd_pb.ts";
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
  const { alarm, status, defragment, hash, hashKV } = Maintenance.method;
  const now = () => header(engine.revision);

  server.unary("/etcdserverpb.Maintenance/Status", status.input, status.output, async () => {
    const seen = engine.status();
    return create(StatusResponseSchema, {
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

  server.unary("/etcdserverpb.Maintenance/Alarm", alarm.input, alarm.output, async (request) => {
    if (request.action === AlarmRequest_AlarmAction.ACTIVATE) throw notOffered("alarms are raised by the store itself");
    const alarms = engine.full ? [{ memberID: member.id, alarm: AlarmType.NOSPACE }] : [];
    return create(AlarmResponseSchema, { header: now(), alarms });
  });

  server.unary("/etcdserverpb.Maintenance/Defragment", defragment.input, defragment.output, async () => {
    await engine.defragment();
    return create(DefragmentResponseSchema, { header: now() });
  });

  const noHash = async () => {
    throw notOffered("there are no members to compare, so no hash is offered");
  };
  server.unary("/etcdserverpb.Maintenance/Hash", hash.input, hash.output, noHash);
  server.unary("/etcdserverpb.Maintenance/HashKV", hashKV.input, hashKV.output, noHash);

  const { memberList } = Cluster.method;
  server.unary("/etcdserverpb.Cluster/MemberList", memberList.input, memberList.output, async () =>
    create(MemberListResponseSchema, {
      header: now(),
      members: [{ ID: member.id, name: member.name, clientURLs: [...member.clientUrls] }],
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
