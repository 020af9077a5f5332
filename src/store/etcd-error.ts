/**
 * Refusals of the store in etcd's words: one table of text, gRPC status and our own code, used by the embedded engine
 * (which throws them), the gRPC server (which sends them) and the client (which recognises them by their text, as
 * etcd's own client does: the status alone does not tell a compacted revision from a future one).
 */
import { OperationError, type Retry } from "../base/errors.ts";
import type { StoreErrorCode } from "./store.ts";

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly code: StoreErrorCode;
  readonly retry: Retry;
  readonly remedy?: string;
}

const badRequest = { code: "STORE_BAD_REQUEST", retry: "never" } as const;

/** Texts and statuses: etcd's api/v3rpc/rpctypes. */
const refusals = {
  emptyKey: { status: grpcStatus.invalidArgument, text: "etcdserver: key is not provided", ...badRequest },
  keyNotFound: { status: grpcStatus.invalidArgument, text: "etcdserver: key not found", ...badRequest },
  valueProvided: { status: grpcStatus.invalidArgument, text: "etcdserver: value is provided", ...badRequest },
  leaseProvided: { status: grpcStatus.invalidArgument, text: "etcdserver: lease is provided", ...badRequest },
  tooManyOperations: {
    status: grpcStatus.invalidArgument,
    text: "etcdserver: too many operations in txn request",
    ...badRequest,
  },
  duplicateKey: {
    status: grpcStatus.invalidArgument,
    text: "etcdserver: duplicate key given in txn request",
    ...badRequest,
  },
  requestTooLarge: { status: grpcStatus.invalidArgument, text: "etcdserver: request is too large", ...badRequest },
  compacted: {
    status: grpcStatus.outOfRange,
    text: "etcdserver: mvcc: required revision has been compacted",
    code: "STORE_COMPACTED",
    retry: "now",
    remedy: "list again and go on from that revision",
  },
  futureRevision: {
    status: grpcStatus.outOfRange,
    text: "etcdserver: mvcc: required revision is a future revision",
    code: "STORE_FUTURE_REVISION",
    retry: "never",
  },
  noSpace: {
    status: grpcStatus.resourceExhausted,
    text: "etcdserver: mvcc: database space exceeded",
    code: "STORE_FULL",
    retry: "after-change",
    remedy: "compact and defragment the store, or give it more room",
  },
  tooManyRequests: {
    status: grpcStatus.resourceExhausted,
    text: "etcdserver: too many requests",
    code: "STORE_UNAVAILABLE",
    retry: "backoff",
  },
  leaseNotFound: {
    status: grpcStatus.notFound,
    text: "etcdserver: requested lease not found",
    code: "STORE_LEASE_NOT_FOUND",
    retry: "never",
  },
  leaseExists: { status: grpcStatus.failedPrecondition, text: "etcdserver: lease already exists", ...badRequest },
  leaseTtlTooLarge: { status: grpcStatus.outOfRange, text: "etcdserver: too large lease TTL", ...badRequest },
  /** Nothing was done: it may be asked again with a new token. */
  staleToken: {
    status: grpcStatus.unauthenticated,
    text: "etcdserver: invalid auth token",
    code: "STORE_UNAVAILABLE",
    retry: "now",
  },
  stopped: {
    status: grpcStatus.unavailable,
    text: "etcdserver: server stopped",
    code: "STORE_UNAVAILABLE",
    retry: "backoff",
  },
} as const satisfies Record<string, Refusal>;

export type RefusalName = keyof typeof refusals;

export const staleTokenText = refusals.staleToken.text;

const byText = new Map<string, Refusal>(Object.values(refusals).map((refusal) => [refusal.text, refusal]));

/** An error that can travel over gRPC: `status` and `message` are what the other side sees. */
export class EtcdError extends OperationError {
  readonly status: number;

  constructor(
    status: number,
    message: string,
    code: StoreErrorCode,
    options: { readonly retry?: Retry; readonly remedy?: string; readonly cause?: unknown } = {},
  ) {
    super(code, message, options);
    this.name = "EtcdError";
    this.status = status;
  }
}

export function refused(name: RefusalName, cause?: unknown): EtcdError {
  return fromRefusal(refusals[name], cause);
}

/** What the embedded store does not offer, in a sentence. */
export function notOffered(what: string): EtcdError {
  return new EtcdError(grpcStatus.unimplemented, `margay store: ${what}`, "STORE_BAD_REQUEST", { retry: "never" });
}

/** The error a gRPC status from a server stands for; `where` names the call and the endpoint. */
export function errorFromStatus(status: number, message: string, where: string): EtcdError {
  const known = byText.get(message);
  if (known !== undefined) return fromRefusal(known, new Error(where));
  const text = `${where}: ${message === "" ? `gRPC status ${status}` : message}`;
  switch (status) {
    case grpcStatus.unauthenticated:
    case grpcStatus.permissionDenied:
      return new EtcdError(status, text, "STORE_UNAUTHORIZED", { retry: "after-change" });
    case grpcStatus.resourceExhausted:
      return new EtcdError(status, text, "STORE_FULL", { retry: "backoff" });
    case grpcStatus.invalidArgument:
    case grpcStatus.failedPrecondition:
    case grpcStatus.outOfRange:
    case grpcStatus.unimplemented:
    case grpcStatus.notFound:
      // etcd answers this to any request when its users are switched on and the client sent none.
      if (message.includes("user name is empty") || message.includes("authentication failed")) {
        return new EtcdError(status, text, "STORE_UNAUTHORIZED", { retry: "after-change" });
      }
      return new EtcdError(status, text, "STORE_BAD_REQUEST", { retry: "never" });
    default:
      return new EtcdError(status, text, "STORE_UNAVAILABLE", { retry: "backoff" });
  }
}

/** The store could not be asked. */
export function unavailable(message: string, cause?: unknown): EtcdError {
  return new EtcdError(grpcStatus.unavailable, message, "STORE_UNAVAILABLE", {
    retry: "backoff",
    ...(cause === undefined ? {} : { cause }),
  });
}

function fromRefusal(refusal: Refusal, cause: unknown): EtcdError {
  return new EtcdError(refusal.status, refusal.text, refusal.code, {
    retry: refusal.retry,
    ...(refusal.remedy === undefined ? {} : { remedy: refusal.remedy }),
    ...(cause === undefined ? {} : { cause }),
  });
}
