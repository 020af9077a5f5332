/**
 * The link between Margay's own agent and master: `POST /margay/v1/agent` on the master, `Content-Type: application/json`.
 *
 * - SUBSCRIBE is answered 200 with a RecordIO stream of AgentEvents and the header `Margay-Stream-Id`. Every other call
 *   carries that header and is answered 202, empty. A call whose stream id is not the agent's current one gets 403: the
 *   agent must subscribe again. Several calls may be under way; a status update may arrive twice.
 * - One stream per agent. Before an agent composes a SUBSCRIBE it must have ended its old stream: a RUN_TASK that it had
 *   not read by then never reached it, and the master asks after it with RECONCILE.
 * - First event is SUBSCRIBED (or ERROR, then end). The master sends PING each `ping_interval_seconds`; the agent answers
 *   each with PONG and subscribes again if it saw no event for `ping_timeout_seconds`.
 * - Status updates are the agent's to keep: one per task is under way, with the same uuid until ACKNOWLEDGE names it,
 *   resent after 10 s, 20 s, 40 s ... at most 10 min, and at once after SUBSCRIBED. A terminal task is kept by the agent
 *   (and listed in SUBSCRIBE) until its terminal update is acknowledged.
 * Refusals are 400 (malformed), 403 (stream), 503 (recovering) with one line of text.
 */

import type { AgentCapability, AgentInfo } from "./agent-info.ts";
import type { FrameworkInfo } from "./framework-info.ts";
import type { AgentID, ExecutorID, FrameworkID, TaskID } from "./ids.ts";
import type { KillPolicy, TaskInfo } from "./task-info.ts";
import type { TaskState, TaskStatus } from "./task-status.ts";

export const agentLinkPath = "/margay/v1/agent";
export const agentStreamIdHeader = "Margay-Stream-Id";

export interface StatusUpdate {
  readonly framework_id: FrameworkID;
  /** Has `uuid`, `agent_id`, `timestamp`, `source`. */
  readonly status: TaskStatus;
  /** The newest state the agent knows, which may be ahead of `status.state` while older updates wait to be acknowledged. */
  readonly latest_state?: TaskState | undefined;
}

/** A task that the agent has, running or terminal but not yet acknowledged. */
export interface AgentTask {
  readonly framework_id: FrameworkID;
  readonly task: TaskInfo;
  /** Newest state the agent knows. */
  readonly state: TaskState;
  /** Newest status that has been sent to the master at least once; absent before the first one. */
  readonly latest_status?: TaskStatus | undefined;
}

export interface AgentSubscribe {
  /** With `id` when the agent had one before (re-registration), with `resources` (its total) and `attributes`. */
  readonly agent_info: AgentInfo;
  /** Where the agent's own HTTP endpoint is reachable; port is in agent_info. */
  readonly ip: string;
  /** Three integers with dots. */
  readonly version: string;
  readonly capabilities?: readonly AgentCapability[] | undefined;
  readonly tasks?: readonly AgentTask[] | undefined;
  /** Infos of the frameworks that have tasks here, each with `id`. */
  readonly frameworks?: readonly FrameworkInfo[] | undefined;
}

export type AgentCall =
  | { readonly type: "SUBSCRIBE"; readonly subscribe: AgentSubscribe }
  | { readonly type: "STATUS_UPDATE"; readonly agent_id: AgentID; readonly status_update: StatusUpdate }
  | { readonly type: "PONG"; readonly agent_id: AgentID; readonly pong: { readonly sequence: number } }
  /** Executor to framework. `data` is base64. */
  | {
      readonly type: "MESSAGE";
      readonly agent_id: AgentID;
      readonly message: { readonly framework_id: FrameworkID; readonly executor_id: ExecutorID; readonly data: string };
    }
  /** The agent leaves for good (SIGUSR1 in Mesos): its tasks are lost. */
  | { readonly type: "UNREGISTER"; readonly agent_id: AgentID };
export type AgentCallType = AgentCall["type"];

export type AgentEvent =
  | {
      readonly type: "SUBSCRIBED";
      readonly subscribed: {
        /** The agent keeps this id on disk and sends it in agent_info from now on. */
        readonly agent_id: AgentID;
        readonly master_id: string;
        readonly ping_interval_seconds: number;
        /** Silence after which the agent must give up the stream and subscribe again. */
        readonly ping_timeout_seconds: number;
      };
    }
  /** `framework` has its id. Repeated for a task the agent already has or had: ignored. */
  | { readonly type: "RUN_TASK"; readonly run_task: { readonly framework: FrameworkInfo; readonly task: TaskInfo } }
  | {
      readonly type: "KILL_TASK";
      readonly kill_task: {
        readonly framework_id: FrameworkID;
        readonly task_id: TaskID;
        readonly kill_policy?: KillPolicy | undefined;
      };
    }
  /** `uuid` is the base64 text of the update. */
  | {
      readonly type: "ACKNOWLEDGE";
      readonly acknowledge: { readonly framework_id: FrameworkID; readonly task_id: TaskID; readonly uuid: string };
    }
  | { readonly type: "PING"; readonly ping: { readonly sequence: number } }
  /**
   * The master holds these as this agent's. For each one that the agent does not have: send a reliable update
   * TASK_DROPPED (TASK_LOST if `partition_aware` is false), source AGENT, reason RECONCILIATION, message
   * `Reconciliation: task unknown to the agent`.
   */
  | {
      readonly type: "RECONCILE";
      readonly reconcile: {
        readonly tasks: readonly {
          readonly framework_id: FrameworkID;
          readonly task_id: TaskID;
          readonly partition_aware: boolean;
        }[];
      };
    }
  /** Kill all tasks of the framework and forget its updates: nobody will acknowledge them. */
  | { readonly type: "SHUTDOWN_FRAMEWORK"; readonly shutdown_framework: { readonly framework_id: FrameworkID } }
  | {
      readonly type: "SHUTDOWN_EXECUTOR";
      readonly shutdown_executor: { readonly framework_id: FrameworkID; readonly executor_id: ExecutorID };
    }
  /** Framework to executor. `data` is base64. */
  | {
      readonly type: "MESSAGE";
      readonly message: { readonly framework_id: FrameworkID; readonly executor_id: ExecutorID; readonly data: string };
    }
  /**
   * The scheduler of a framework with tasks here has subscribed (again), with this FrameworkInfo. Updates of it that are
   * not acknowledged are sent again at once: what was forwarded meanwhile reached nobody.
   */
  | { readonly type: "UPDATE_FRAMEWORK"; readonly update_framework: { readonly framework: FrameworkInfo } }
  /** This agent id may not come back (marked gone): kill all tasks, forget the id, exit or subscribe anew without id. */
  | { readonly type: "SHUTDOWN"; readonly shutdown: { readonly message: string } }
  | { readonly type: "ERROR"; readonly error: { readonly message: string } };
export type AgentEventType = AgentEvent["type"];
