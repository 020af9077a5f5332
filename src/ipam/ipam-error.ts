/** Codes of the OperationErrors IPAM throws; callers word them for their own interface. */

import { OperationError, type OperationErrorOptions } from "../base/errors.ts";

export type IpamErrorCode =
  /** No free address for this host: everything is taken, or what is free belongs to others and may not be borrowed. */
  | "IPAM_POOL_EXHAUSTED"
  /** The host owns as many blocks as it may. */
  | "IPAM_BLOCK_LIMIT"
  /** There is no enabled pool this host may use for this. */
  | "IPAM_NO_POOL"
  /** A pool was asked for that does not exist or is disabled. */
  | "IPAM_POOL_UNKNOWN"
  | "IPAM_ADDRESS_IN_USE"
  | "IPAM_ADDRESS_OUTSIDE_POOLS"
  /** Strict affinity: the address belongs to another host's block. */
  | "IPAM_ADDRESS_OF_OTHER_HOST"
  /** The Node object of the host is missing. */
  | "IPAM_HOST_UNKNOWN"
  /** The address is allocated, but not to the one who wants to release it. */
  | "IPAM_OWNER_MISMATCH"
  /** Something is asked of a range that is no whole number of blocks of a pool, or too many of them. */
  | "IPAM_RANGE_INVALID"
  /** A configuration that contradicts itself. */
  | "IPAM_CONFIG_INVALID"
  /** A comparison the caller attached to its request failed; nothing was changed. */
  | "IPAM_PRECONDITION_FAILED"
  /** The transaction lost against others too often. */
  | "IPAM_CONTENTION"
  /** What is stored under a block's or handle's key cannot be read. */
  | "IPAM_CORRUPT";

export function ipamError(code: IpamErrorCode, message: string, options: OperationErrorOptions = {}): OperationError {
  return new OperationError(code, message, { retry: "after-change", ...options });
}

export function isIpamError(error: unknown, code: IpamErrorCode): error is OperationError {
  return error instanceof OperationError && error.code === code;
}
