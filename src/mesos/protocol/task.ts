/** A task as a master knows it: the Task message of the operator API and of the unversioned endpoints. */

import type { ContainerInfo } from "./container-info.ts";
import type { DiscoveryInfo } from "./discovery-info.ts";
import type { HealthCheck } from "./health-check.ts";
import type { AgentID, ExecutorID, FrameworkID, TaskID } from "./ids.ts";
import type { Resource } from "./resource-info.ts";
import type { KillPolicy } from "./task-info.ts";
import type { TaskState, TaskStatus } from "./task-status.ts";
import type { Labels, Scalar } from "./values.ts";

export interface Task {
  readonly name: string;
  readonly task_id: TaskID;
  readonly framework_id: FrameworkID;
  readonly executor_id?: ExecutorID | undefined;
  readonly agent_id: AgentID;
  readonly state: TaskState;
  readonly resources?: readonly Resource[] | undefined;
  readonly statuses?: readonly TaskStatus[] | undefined;
  readonly status_update_state?: TaskState | undefined;
  readonly status_update_uuid?: string | undefined;
  readonly labels?: Labels | undefined;
  readonly discovery?: DiscoveryInfo | undefined;
  readonly container?: ContainerInfo | undefined;
  readonly health_check?: HealthCheck | undefined;
  readonly kill_policy?: KillPolicy | undefined;
  readonly user?: string | undefined;
  readonly limits?: Readonly<Record<string, Scalar>> | undefined;
}
