/**
 * An instance is one placed copy of an app: its record is stored before its launch is sent, and removed when it ended.
 * Conditions and how Mesos' states become them: reference marathon-behaviour 1. Pure.
 */

import type { StatusReason, TaskState } from "../../mesos/protocol/task-status.ts";
import type { AppId, InstanceId, TaskId, Timestamp } from "../app/app-id.ts";

export type Condition =
  | "Provisioned"
  | "Staging"
  | "Starting"
  | "Running"
  | "Killing"
  | "Unreachable"
  | "UnreachableInactive"
  | "Finished"
  | "Failed"
  | "Killed"
  | "Error"
  | "Gone"
  | "Dropped"
  | "Unknown";

const terminal: ReadonlySet<Condition> = new Set<Condition>([
  "Finished",
  "Failed",
  "Killed",
  "Error",
  "Gone",
  "Dropped",
  "Unknown",
]);

export function isTerminalCondition(condition: Condition): boolean {
  return terminal.has(condition);
}

/** Running: it shall be there. Decommissioned: it is to be killed and forgotten. */
export type Goal = "Running" | "Decommissioned";
export type KillReason =
  | "scaled-down"
  | "superseded"
  | "app-removed"
  | "unhealthy"
  | "killed-by-user"
  | "launch-overdue";

export interface NetworkAddress {
  readonly ipAddress: string;
  readonly protocol: "IPv4" | "IPv6";
}

export interface Instance {
  readonly id: InstanceId;
  readonly appId: AppId;
  readonly taskId: TaskId;
  /** Version of the app it was launched for. */
  readonly runSpecVersion: Timestamp;
  readonly goal: Goal;
  readonly killReason?: KillReason;
  readonly condition: Condition;
  /** As the API shows it. */
  readonly state: TaskState;
  readonly agentId: string;
  readonly hostname: string;
  /** The agent's own address, where offers tell it: names of hosts need not resolve here. */
  readonly agentAddress?: string;
  /** Attributes of the agent as constraints see them, with `@hostname`, `@region` and `@zone`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly role: string;
  readonly hostPorts: readonly number[];
  /** What each port of the app effectively is, in the app's order: host port, or container port where it has no host port. */
  readonly ports: readonly number[];
  readonly networkAddresses: readonly NetworkAddress[];
  readonly stagedAtMs: number;
  readonly startedAtMs?: number;
  readonly unreachableSinceMs?: number;
}

/** Health as all checks together say it; an instance without checks is healthy when it runs. */
export type Health = "healthy" | "unhealthy" | "unknown";

/** Undefined for a state that says nothing new. */
export function conditionOf(state: TaskState, reason: StatusReason | undefined): Condition {
  switch (state) {
    case "TASK_STAGING":
      return "Staging";
    case "TASK_STARTING":
      return "Starting";
    case "TASK_RUNNING":
      return "Running";
    case "TASK_KILLING":
      return "Killing";
    case "TASK_FINISHED":
      return "Finished";
    case "TASK_FAILED":
      return "Failed";
    case "TASK_KILLED":
      return "Killed";
    case "TASK_ERROR":
      return "Error";
    case "TASK_UNREACHABLE":
      return "Unreachable";
    case "TASK_GONE":
    case "TASK_GONE_BY_OPERATOR":
      return "Gone";
    case "TASK_DROPPED":
      return "Dropped";
    case "TASK_UNKNOWN":
      return "Unknown";
    case "TASK_LOST":
      return lostCondition(reason);
    default:
      // A state of a later Mesos: keep the task, reconciliation will tell.
      return "Unreachable";
  }
}

/** A master without PARTITION_AWARE says LOST for what may come back, too. */
function lostCondition(reason: StatusReason | undefined): Condition {
  switch (reason) {
    case "REASON_RECONCILIATION":
    case "REASON_AGENT_DISCONNECTED":
    case "REASON_AGENT_REMOVED":
      return "Unreachable";
    case "REASON_TASK_UNKNOWN":
      return "Unknown";
    default:
      return "Gone";
  }
}

/** What the API calls a condition that came from TASK_LOST. */
export function shownState(state: TaskState, condition: Condition): TaskState {
  if (state !== "TASK_LOST") return state;
  if (condition === "Unreachable") return "TASK_UNREACHABLE";
  return condition === "Unknown" ? "TASK_UNKNOWN" : "TASK_GONE";
}

/** Holds its place among the app's instances: wanted, and not given up as unreachable. */
export function isActive(instance: Instance): boolean {
  return instance.goal === "Running" && instance.condition !== "UnreachableInactive";
}

export function isUnreachable(instance: Instance): boolean {
  return instance.condition === "Unreachable" || instance.condition === "UnreachableInactive";
}

/** Does what it is there for: runs, and its health is not in doubt. */
export function isReady(instance: Instance, health: Health, ready: boolean): boolean {
  return instance.goal === "Running" && instance.condition === "Running" && health === "healthy" && ready;
}
