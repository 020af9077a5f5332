/** Events of a scheduler's stream, one RecordIO record each (reference: mesos-api 2.3). */

import type { AgentID, ExecutorID, FrameworkID, OfferID } from "./ids.ts";
import type { Offer, OperationStatus } from "./offer.ts";
import type { FrameworkMessage } from "./scheduler-call.ts";
import type { TaskStatus } from "./task-status.ts";
import type { Address, DomainInfo } from "./values.ts";

export interface MasterInfo {
  readonly id: string;
  /** IPv4 as a number whose lowest byte is the first octet; prefer `address.ip`. */
  readonly ip: number;
  readonly port: number;
  readonly pid?: string | undefined;
  readonly hostname?: string | undefined;
  readonly version?: string | undefined;
  readonly address?: Address | undefined;
  readonly domain?: DomainInfo | undefined;
  readonly capabilities?: readonly { readonly type?: string | undefined }[] | undefined;
}

export type SchedulerEvent =
  | {
      readonly type: "SUBSCRIBED";
      readonly subscribed: {
        readonly framework_id: FrameworkID;
        readonly heartbeat_interval_seconds?: number | undefined;
        readonly master_info?: MasterInfo | undefined;
      };
    }
  | { readonly type: "OFFERS"; readonly offers: { readonly offers?: readonly Offer[] | undefined } }
  | { readonly type: "RESCIND"; readonly rescind: { readonly offer_id: OfferID } }
  | { readonly type: "UPDATE"; readonly update: { readonly status: TaskStatus } }
  | { readonly type: "UPDATE_OPERATION_STATUS"; readonly update_operation_status: { readonly status: OperationStatus } }
  | { readonly type: "MESSAGE"; readonly message: FrameworkMessage }
  | {
      readonly type: "FAILURE";
      readonly failure: {
        readonly agent_id?: AgentID | undefined;
        readonly executor_id?: ExecutorID | undefined;
        /** Raw wait(2) status: exit code 1 is 256. */
        readonly status?: number | undefined;
      };
    }
  | { readonly type: "ERROR"; readonly error: { readonly message: string } }
  | { readonly type: "HEARTBEAT" };
export type SchedulerEventType = SchedulerEvent["type"];
