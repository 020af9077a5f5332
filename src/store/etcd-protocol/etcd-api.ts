/**
 * The part of etcd's v3 gRPC interface that Margay speaks, as client and as server: names, numbers and types as in etcd 3.4
 * (etcd.proto), with the names as they are in JSON. Of Auth only what a client needs: `margay store` answers it with
 * UNIMPLEMENTED.
 */
import {
  bool,
  bytes,
  choice,
  field,
  int64,
  list,
  type MessageOf,
  type MessageType,
  message,
  oneOf,
  text,
  uint32,
  uint64,
} from "./protobuf.ts";

/** A call: where it goes, what is asked and answered. Of a stream: each message of it. */
export interface Method<Request, Response> {
  readonly name: string;
  readonly path: string;
  readonly request: MessageType<Request>;
  readonly response: MessageType<Response>;
}

export const KeyValue = message(() => ({
  key: field(1, bytes),
  createRevision: field(2, int64),
  modRevision: field(3, int64),
  version: field(4, int64),
  value: field(5, bytes),
  lease: field(6, int64),
}));
export type KeyValue = MessageOf<typeof KeyValue>;

export const Event_EventType = { PUT: 0, DELETE: 1 } as const;

export const Event = message(() => ({
  type: field(1, choice),
  kv: field(2, KeyValue),
  prevKv: field(3, KeyValue),
}));
export type Event = MessageOf<typeof Event>;

export const ResponseHeader = message(() => ({
  clusterId: field(1, uint64),
  memberId: field(2, uint64),
  revision: field(3, int64),
  raftTerm: field(4, uint64),
}));
export type ResponseHeader = MessageOf<typeof ResponseHeader>;

export const RangeRequest_SortOrder = { NONE: 0, ASCEND: 1, DESCEND: 2 } as const;
export const RangeRequest_SortTarget = { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 } as const;

export const RangeRequest = message(() => ({
  key: field(1, bytes),
  rangeEnd: field(2, bytes),
  limit: field(3, int64),
  revision: field(4, int64),
  sortOrder: field(5, choice),
  sortTarget: field(6, choice),
  serializable: field(7, bool),
  keysOnly: field(8, bool),
  countOnly: field(9, bool),
  minModRevision: field(10, int64),
  maxModRevision: field(11, int64),
  minCreateRevision: field(12, int64),
  maxCreateRevision: field(13, int64),
}));
export type RangeRequest = MessageOf<typeof RangeRequest>;

export const RangeResponse = message(() => ({
  header: field(1, ResponseHeader),
  kvs: list(2, KeyValue),
  more: field(3, bool),
  count: field(4, int64),
}));
export type RangeResponse = MessageOf<typeof RangeResponse>;

export const PutRequest = message(() => ({
  key: field(1, bytes),
  value: field(2, bytes),
  lease: field(3, int64),
  prevKv: field(4, bool),
  ignoreValue: field(5, bool),
  ignoreLease: field(6, bool),
}));
export type PutRequest = MessageOf<typeof PutRequest>;

export const PutResponse = message(() => ({
  header: field(1, ResponseHeader),
  prevKv: field(2, KeyValue),
}));
export type PutResponse = MessageOf<typeof PutResponse>;

export const DeleteRangeRequest = message(() => ({
  key: field(1, bytes),
  rangeEnd: field(2, bytes),
  prevKv: field(3, bool),
}));
export type DeleteRangeRequest = MessageOf<typeof DeleteRangeRequest>;

export const DeleteRangeResponse = message(() => ({
  header: field(1, ResponseHeader),
  deleted: field(2, int64),
  prevKvs: list(3, KeyValue),
}));
export type DeleteRangeResponse = MessageOf<typeof DeleteRangeResponse>;

export const RequestOp = message(() => ({
  request: oneOf({
    requestRange: [1, RangeRequest],
    requestPut: [2, PutRequest],
    requestDeleteRange: [3, DeleteRangeRequest],
    requestTxn: [4, TxnRequest],
  }),
}));
export type RequestOp = MessageOf<typeof RequestOp>;

export const ResponseOp = message(() => ({
  response: oneOf({
    responseRange: [1, RangeResponse],
    responsePut: [2, PutResponse],
    responseDeleteRange: [3, DeleteRangeResponse],
    responseTxn: [4, TxnResponse],
  }),
}));
export type ResponseOp = MessageOf<typeof ResponseOp>;

export const Compare_CompareResult = { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 } as const;

export const Compare_CompareTarget = { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 } as const;

export const Compare = message(() => ({
  result: field(1, choice),
  target: field(2, choice),
  key: field(3, bytes),
  targetUnion: oneOf({
    version: [4, int64],
    createRevision: [5, int64],
    modRevision: [6, int64],
    value: [7, bytes],
    lease: [8, int64],
  }),
  rangeEnd: field(64, bytes),
}));
export type Compare = MessageOf<typeof Compare>;

/** Spelled out, like its answer, because one can hold another. */
export interface TxnRequest {
  readonly compare: Compare[];
  readonly success: RequestOp[];
  readonly failure: RequestOp[];
}

export const TxnRequest: MessageType<TxnRequest> = message(() => ({
  compare: list(1, Compare),
  success: list(2, RequestOp),
  failure: list(3, RequestOp),
}));

export interface TxnResponse {
  readonly header: ResponseHeader | undefined;
  readonly succeeded: boolean;
  readonly responses: ResponseOp[];
}

export const TxnResponse: MessageType<TxnResponse> = message(() => ({
  header: field(1, ResponseHeader),
  succeeded: field(2, bool),
  responses: list(3, ResponseOp),
}));

export const CompactionRequest = message(() => ({
  revision: field(1, int64),
  physical: field(2, bool),
}));
export type CompactionRequest = MessageOf<typeof CompactionRequest>;

export const CompactionResponse = message(() => ({
  header: field(1, ResponseHeader),
}));
export type CompactionResponse = MessageOf<typeof CompactionResponse>;

export const WatchRequest = message(() => ({
  requestUnion: oneOf({
    createRequest: [1, WatchCreateRequest],
    cancelRequest: [2, WatchCancelRequest],
    progressRequest: [3, WatchProgressRequest],
  }),
}));
export type WatchRequest = MessageOf<typeof WatchRequest>;

export const WatchCreateRequest_FilterType = { NOPUT: 0, NODELETE: 1 } as const;

export const WatchCreateRequest = message(() => ({
  key: field(1, bytes),
  rangeEnd: field(2, bytes),
  startRevision: field(3, int64),
  progressNotify: field(4, bool),
  filters: list(5, choice),
  prevKv: field(6, bool),
  watchId: field(7, int64),
  fragment: field(8, bool),
}));
export type WatchCreateRequest = MessageOf<typeof WatchCreateRequest>;

export const WatchCancelRequest = message(() => ({
  watchId: field(1, int64),
}));
export type WatchCancelRequest = MessageOf<typeof WatchCancelRequest>;

export const WatchProgressRequest = message(() => ({}));
export type WatchProgressRequest = MessageOf<typeof WatchProgressRequest>;

export const WatchResponse = message(() => ({
  header: field(1, ResponseHeader),
  watchId: field(2, int64),
  created: field(3, bool),
  canceled: field(4, bool),
  compactRevision: field(5, int64),
  cancelReason: field(6, text),
  fragment: field(7, bool),
  events: list(11, Event),
}));
export type WatchResponse = MessageOf<typeof WatchResponse>;

export const LeaseGrantRequest = message(() => ({
  TTL: field(1, int64),
  ID: field(2, int64),
}));
export type LeaseGrantRequest = MessageOf<typeof LeaseGrantRequest>;

export const LeaseGrantResponse = message(() => ({
  header: field(1, ResponseHeader),
  ID: field(2, int64),
  TTL: field(3, int64),
  error: field(4, text),
}));
export type LeaseGrantResponse = MessageOf<typeof LeaseGrantResponse>;

export const LeaseRevokeRequest = message(() => ({
  ID: field(1, int64),
}));
export type LeaseRevokeRequest = MessageOf<typeof LeaseRevokeRequest>;

export const LeaseRevokeResponse = message(() => ({
  header: field(1, ResponseHeader),
}));
export type LeaseRevokeResponse = MessageOf<typeof LeaseRevokeResponse>;

export const LeaseKeepAliveRequest = message(() => ({
  ID: field(1, int64),
}));
export type LeaseKeepAliveRequest = MessageOf<typeof LeaseKeepAliveRequest>;

export const LeaseKeepAliveResponse = message(() => ({
  header: field(1, ResponseHeader),
  ID: field(2, int64),
  TTL: field(3, int64),
}));
export type LeaseKeepAliveResponse = MessageOf<typeof LeaseKeepAliveResponse>;

export const LeaseTimeToLiveRequest = message(() => ({
  ID: field(1, int64),
  keys: field(2, bool),
}));
export type LeaseTimeToLiveRequest = MessageOf<typeof LeaseTimeToLiveRequest>;

export const LeaseTimeToLiveResponse = message(() => ({
  header: field(1, ResponseHeader),
  ID: field(2, int64),
  TTL: field(3, int64),
  grantedTTL: field(4, int64),
  keys: list(5, bytes),
}));
export type LeaseTimeToLiveResponse = MessageOf<typeof LeaseTimeToLiveResponse>;

export const LeaseLeasesRequest = message(() => ({}));
export type LeaseLeasesRequest = MessageOf<typeof LeaseLeasesRequest>;

export const LeaseStatus = message(() => ({
  ID: field(1, int64),
}));
export type LeaseStatus = MessageOf<typeof LeaseStatus>;

export const LeaseLeasesResponse = message(() => ({
  header: field(1, ResponseHeader),
  leases: list(2, LeaseStatus),
}));
export type LeaseLeasesResponse = MessageOf<typeof LeaseLeasesResponse>;

export const Member = message(() => ({
  ID: field(1, uint64),
  name: field(2, text),
  peerURLs: list(3, text),
  clientURLs: list(4, text),
  isLearner: field(5, bool),
}));
export type Member = MessageOf<typeof Member>;

export const MemberListRequest = message(() => ({}));
export type MemberListRequest = MessageOf<typeof MemberListRequest>;

export const MemberListResponse = message(() => ({
  header: field(1, ResponseHeader),
  members: list(2, Member),
}));
export type MemberListResponse = MessageOf<typeof MemberListResponse>;

export const AlarmType = { NONE: 0, NOSPACE: 1, CORRUPT: 2 } as const;

export const AlarmRequest_AlarmAction = { GET: 0, ACTIVATE: 1, DEACTIVATE: 2 } as const;

export const AlarmRequest = message(() => ({
  action: field(1, choice),
  memberID: field(2, uint64),
  alarm: field(3, choice),
}));
export type AlarmRequest = MessageOf<typeof AlarmRequest>;

export const AlarmMember = message(() => ({
  memberID: field(1, uint64),
  alarm: field(2, choice),
}));
export type AlarmMember = MessageOf<typeof AlarmMember>;

export const AlarmResponse = message(() => ({
  header: field(1, ResponseHeader),
  alarms: list(2, AlarmMember),
}));
export type AlarmResponse = MessageOf<typeof AlarmResponse>;

export const StatusRequest = message(() => ({}));
export type StatusRequest = MessageOf<typeof StatusRequest>;

export const StatusResponse = message(() => ({
  header: field(1, ResponseHeader),
  version: field(2, text),
  dbSize: field(3, int64),
  leader: field(4, uint64),
  raftIndex: field(5, uint64),
  raftTerm: field(6, uint64),
  raftAppliedIndex: field(7, uint64),
  errors: list(8, text),
  dbSizeInUse: field(9, int64),
  isLearner: field(10, bool),
}));
export type StatusResponse = MessageOf<typeof StatusResponse>;

export const DefragmentRequest = message(() => ({}));
export type DefragmentRequest = MessageOf<typeof DefragmentRequest>;

export const DefragmentResponse = message(() => ({
  header: field(1, ResponseHeader),
}));
export type DefragmentResponse = MessageOf<typeof DefragmentResponse>;

export const HashRequest = message(() => ({}));
export type HashRequest = MessageOf<typeof HashRequest>;

export const HashResponse = message(() => ({
  header: field(1, ResponseHeader),
  hash: field(2, uint32),
}));
export type HashResponse = MessageOf<typeof HashResponse>;

export const HashKVRequest = message(() => ({
  revision: field(1, int64),
}));
export type HashKVRequest = MessageOf<typeof HashKVRequest>;

export const HashKVResponse = message(() => ({
  header: field(1, ResponseHeader),
  hash: field(2, uint32),
  compactRevision: field(3, int64),
}));
export type HashKVResponse = MessageOf<typeof HashKVResponse>;

export const AuthenticateRequest = message(() => ({
  name: field(1, text),
  password: field(2, text),
}));
export type AuthenticateRequest = MessageOf<typeof AuthenticateRequest>;

export const AuthenticateResponse = message(() => ({
  header: field(1, ResponseHeader),
  token: field(2, text),
}));
export type AuthenticateResponse = MessageOf<typeof AuthenticateResponse>;

function method<Request, Response>(
  path: `/${string}/${string}`,
  request: MessageType<Request>,
  response: MessageType<Response>,
): Method<Request, Response> {
  return { name: path.slice(path.lastIndexOf("/") + 1), path, request, response };
}

export const KV = {
  range: method("/etcdserverpb.KV/Range", RangeRequest, RangeResponse),
  put: method("/etcdserverpb.KV/Put", PutRequest, PutResponse),
  deleteRange: method("/etcdserverpb.KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse),
  txn: method("/etcdserverpb.KV/Txn", TxnRequest, TxnResponse),
  compact: method("/etcdserverpb.KV/Compact", CompactionRequest, CompactionResponse),
};

export const Watch = {
  watch: method("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse),
};

export const Lease = {
  leaseGrant: method("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest, LeaseGrantResponse),
  leaseRevoke: method("/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse),
  leaseKeepAlive: method("/etcdserverpb.Lease/LeaseKeepAlive", LeaseKeepAliveRequest, LeaseKeepAliveResponse),
  leaseTimeToLive: method("/etcdserverpb.Lease/LeaseTimeToLive", LeaseTimeToLiveRequest, LeaseTimeToLiveResponse),
  leaseLeases: method("/etcdserverpb.Lease/LeaseLeases", LeaseLeasesRequest, LeaseLeasesResponse),
};

export const Cluster = {
  memberList: method("/etcdserverpb.Cluster/MemberList", MemberListRequest, MemberListResponse),
};

export const Maintenance = {
  alarm: method("/etcdserverpb.Maintenance/Alarm", AlarmRequest, AlarmResponse),
  status: method("/etcdserverpb.Maintenance/Status", StatusRequest, StatusResponse),
  defragment: method("/etcdserverpb.Maintenance/Defragment", DefragmentRequest, DefragmentResponse),
  hash: method("/etcdserverpb.Maintenance/Hash", HashRequest, HashResponse),
  hashKV: method("/etcdserverpb.Maintenance/HashKV", HashKVRequest, HashKVResponse),
};

export const Auth = {
  authenticate: method("/etcdserverpb.Auth/Authenticate", AuthenticateRequest, AuthenticateResponse),
};
