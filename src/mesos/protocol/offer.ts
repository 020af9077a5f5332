/** Offers, what may be done with them, and filters, as in the Mesos v1 API. */

import type { ExecutorInfo } from "./command-info.ts";
import type { AgentID, ExecutorID, FrameworkID, OfferID, OperationID } from "./ids.ts";
import type { Resource } from "./resource-info.ts";
import type { TaskGroupInfo, TaskInfo } from "./task-info.ts";
import type { Attribute, DomainInfo, Unavailability, URL } from "./values.ts";

export interface Offer {
  readonly id: OfferID;
  readonly framework_id: FrameworkID;
  readonly agent_id: AgentID;
  readonly hostname: string;
  readonly url?: URL | undefined;
  readonly domain?: DomainInfo | undefined;
  readonly resources?: readonly Resource[] | undefined;
  readonly attributes?: readonly Attribute[] | undefined;
  readonly executor_ids?: readonly ExecutorID[] | undefined;
  readonly unavailability?: Unavailability | undefined;
  /** Only for frameworks with MULTI_ROLE. */
  readonly allocation_info?: { readonly role?: string | undefined } | undefined;
}
/** `refuse_seconds` defaults to 5; 0 means no filter; more than a year counts as a year. */
export interface Filters {
  readonly refuse_seconds?: number | undefined;
}
export const operationTypes = [
  "UNKNOWN",
  "LAUNCH",
  "LAUNCH_GROUP",
  "RESERVE",
  "UNRESERVE",
  "CREATE",
  "DESTROY",
  "GROW_VOLUME",
  "SHRINK_VOLUME",
  "CREATE_DISK",
  "DESTROY_DISK",
] as const;
export type OperationType = (typeof operationTypes)[number];

export interface Operation {
  readonly type?: OperationType | undefined;
  readonly id?: OperationID | undefined;
  readonly launch?: { readonly task_infos?: readonly TaskInfo[] | undefined } | undefined;
  readonly launch_group?: { readonly executor: ExecutorInfo; readonly task_group: TaskGroupInfo } | undefined;
  readonly reserve?:
    | { readonly source?: readonly Resource[] | undefined; readonly resources?: readonly Resource[] | undefined }
    | undefined;
  readonly unreserve?: { readonly resources?: readonly Resource[] | undefined } | undefined;
  readonly create?: { readonly volumes?: readonly Resource[] | undefined } | undefined;
  readonly destroy?: { readonly volumes?: readonly Resource[] | undefined } | undefined;
}
export interface OperationStatus {
  readonly operation_id?: OperationID | undefined;
  readonly state: string;
  readonly message?: string | undefined;
  readonly converted_resources?: readonly Resource[] | undefined;
  readonly uuid?: { readonly value: string } | undefined;
  readonly agent_id?: AgentID | undefined;
}
