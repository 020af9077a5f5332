/** What is asked of IPAM, and what it answers. */

import type { Cidr, IpAddress } from "../base/addresses.ts";
import type { OperationError } from "../base/errors.ts";
import type { Allocation } from "../model/ipam-documents.ts";
import type { Compare, Operation } from "../store/store.ts";
import type { AssignmentWish } from "./plan-assignment.ts";
import type { ReleaseGuard } from "./plan-release.ts";

export interface RequestOptions<Result> {
  /** Operations of the caller in the same transaction, e.g. the endpoint that uses the address. */
  readonly also?: (result: Result) => readonly Operation[];
  /** Comparisons of the caller in the same transaction; one that fails refuses with IPAM_PRECONDITION_FAILED. */
  readonly require?: readonly Compare[];
  /** Takes the request out of the queue while it is waiting; what is under way is finished. */
  readonly signal?: AbortSignal;
}

export interface AssignRequest extends RequestOptions<IpAddress> {
  readonly host: string;
  readonly family: 4 | 6;
  /** Only from these pools; without it from those that select the host. */
  readonly pools?: readonly Cidr[];
  /** Exactly this address. */
  readonly address?: IpAddress;
  readonly handle: string;
  /** Stored with the address; `node` is added. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Default "Workload". */
  readonly use?: "Workload" | "Tunnel";
  /** Blocks the host may own with this request, within the configuration's limit. */
  readonly blocksMax?: number;
}

/** What assignAddress would be asked for; nobody has it yet. */
export type SetAsideRequest = Pick<AssignRequest, "host" | "family" | "pools" | "address" | "signal">;

/** Exactly these addresses, of either family, for one handle. */
export interface AssignTheseRequest
  extends RequestOptions<void>,
    Pick<AssignRequest, "host" | "handle" | "attributes"> {
  readonly addresses: readonly IpAddress[];
}

/** Several addresses for one handle; what is written with them is written by the caller. */
export interface AssignSeveralRequest
  extends Pick<AssignRequest, "host" | "family" | "pools" | "attributes" | "use" | "blocksMax" | "signal"> {
  readonly handle: string;
  readonly count: number;
}

export interface AffinityScope {
  readonly host?: string;
  readonly within?: Cidr;
  /** Leaves blocks with addresses in use to their owner. */
  readonly emptyOnly?: boolean;
  readonly family?: 4 | 6;
  /** Comparisons of the caller in each transaction; one that fails refuses with IPAM_PRECONDITION_FAILED. */
  readonly require?: readonly Compare[];
}

export interface AffinitiesReleased {
  readonly released: readonly Cidr[];
  /** Not given back because addresses are in use (emptyOnly). */
  readonly inUse: readonly Cidr[];
}

export interface AddressRelease extends ReleaseGuard {
  readonly address: IpAddress;
}

export interface AddressesReleased {
  readonly released: readonly IpAddress[];
  /** Were free already. */
  readonly unallocated: readonly IpAddress[];
  /** Belong to somebody else, or to a later allocation; nothing of their block was released. */
  readonly refused: readonly { readonly address: IpAddress; readonly error: OperationError }[];
}

export interface HeldAddress extends Allocation {
  readonly block: Cidr;
  readonly blockOwner: string | undefined;
}

export function wishOf({
  family,
  use = "Workload",
  handle,
  attributes = {},
  pools,
  address,
  blocksMax,
}: Omit<AssignRequest, "host">): AssignmentWish {
  return {
    family,
    use,
    handle,
    attributes,
    ...(pools === undefined ? {} : { pools }),
    ...(address === undefined ? {} : { address }),
    ...(blocksMax === undefined ? {} : { blocksMax }),
  };
}
