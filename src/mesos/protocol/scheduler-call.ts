/** Calls of a scheduler: bodies of `POST /api/v1/scheduler` (reference: mesos-api 2.2). */

import type { FrameworkInfo } from "./framework-info.ts";
import type { AgentID, ExecutorID, FrameworkID, OfferID, OperationID, TaskID } from "./ids.ts";
import type { Filters, Operation } from "./offer.ts";
import type { Resource } from "./resource-info.ts";
import type { KillPolicy } from "./task-info.ts";

export interface AttributeConstraint {
  readonly selector: {
    readonly pseudoattribute_type?: "UNKNOWN" | "HOSTNAME" | "REGION" | "ZONE" | undefined;
    readonly attribute_name?: string | undefined;
  };
  readonly predicate: {
    readonly exists?: Record<string, never> | undefined;
    readonly not_exists?: Record<string, never> | undefined;
    readonly text_equals?: { readonly value: string } | undefined;
    readonly text_not_equals?: { readonly value: string } | undefined;
    readonly text_matches?: { readonly regex: string } | undefined;
    readonly text_not_matches?: { readonly regex: string } | undefined;
  };
}
/** Groups are or-ed, the constraints within a group and-ed. */
export interface OfferConstraints {
  readonly role_constraints?:
    | Readonly<
        Record<
          string,
          {
            readonly groups?:
              | readonly { readonly attribute_constraints?: readonly AttributeConstraint[] | undefined }[]
              | undefined;
          }
        >
      >
    | undefined;
}
export interface Subscribe {
  readonly framework_info: FrameworkInfo;
  readonly suppressed_roles?: readonly string[] | undefined;
  readonly offer_constraints?: OfferConstraints | undefined;
}
export interface Accept {
  readonly offer_ids?: readonly OfferID[] | undefined;
  readonly operations?: readonly Operation[] | undefined;
  readonly filters?: Filters | undefined;
}
export interface Decline {
  readonly offer_ids?: readonly OfferID[] | undefined;
  readonly filters?: Filters | undefined;
}
export interface Kill {
  readonly task_id: TaskID;
  readonly agent_id?: AgentID | undefined;
  readonly kill_policy?: KillPolicy | undefined;
}
/** `uuid`: base64 of 16 raw bytes, as in the update. */
export interface Acknowledge {
  readonly agent_id: AgentID;
  readonly task_id: TaskID;
  readonly uuid: string;
}
export interface ReconcileTask {
  readonly task_id: TaskID;
  readonly agent_id?: AgentID | undefined;
}
/** No tasks: implicit reconciliation. */
export interface Reconcile {
  readonly tasks?: readonly ReconcileTask[] | undefined;
}
export interface FrameworkMessage {
  readonly agent_id: AgentID;
  readonly executor_id: ExecutorID;
  /** base64 */
  readonly data: string;
}
export interface Shutdown {
  readonly executor_id: ExecutorID;
  readonly agent_id: AgentID;
}
export interface RoleList {
  readonly roles?: readonly string[] | undefined;
}
interface InverseOfferAnswer {
  readonly inverse_offer_ids?: readonly OfferID[] | undefined;
  readonly filters?: Filters | undefined;
}

type From<Type extends string, Body = unknown> = {
  readonly type: Type;
  /** Absent only in a first SUBSCRIBE. */
  readonly framework_id?: FrameworkID | undefined;
} & Body;

export type SchedulerCall =
  | From<"SUBSCRIBE", { readonly subscribe: Subscribe }>
  | From<"TEARDOWN">
  | From<"ACCEPT", { readonly accept: Accept }>
  | From<"DECLINE", { readonly decline: Decline }>
  | From<"REVIVE", { readonly revive?: RoleList | undefined }>
  | From<"SUPPRESS", { readonly suppress?: RoleList | undefined }>
  | From<"KILL", { readonly kill: Kill }>
  | From<"SHUTDOWN", { readonly shutdown: Shutdown }>
  | From<"ACKNOWLEDGE", { readonly acknowledge: Acknowledge }>
  | From<"RECONCILE", { readonly reconcile: Reconcile }>
  | From<"MESSAGE", { readonly message: FrameworkMessage }>
  | From<
      "REQUEST",
      {
        readonly request: {
          readonly requests?:
            | readonly {
                readonly agent_id?: AgentID | undefined;
                readonly resources?: readonly Resource[] | undefined;
              }[]
            | undefined;
        };
      }
    >
  | From<"ACCEPT_INVERSE_OFFERS", { readonly accept_inverse_offers: InverseOfferAnswer }>
  | From<"DECLINE_INVERSE_OFFERS", { readonly decline_inverse_offers: InverseOfferAnswer }>
  | From<
      "ACKNOWLEDGE_OPERATION_STATUS",
      {
        readonly acknowledge_operation_status: {
          readonly agent_id?: AgentID | undefined;
          readonly uuid: string;
          readonly operation_id: OperationID;
        };
      }
    >
  | From<
      "RECONCILE_OPERATIONS",
      {
        readonly reconcile_operations: {
          readonly operations?:
            | readonly { readonly operation_id: OperationID; readonly agent_id?: AgentID | undefined }[]
            | undefined;
        };
      }
    >
  | From<"UPDATE_FRAMEWORK", { readonly update_framework: Subscribe }>;
export type SchedulerCallType = SchedulerCall["type"];
