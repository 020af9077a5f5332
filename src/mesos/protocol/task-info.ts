/** What a framework asks to run: TaskInfo of the Mesos v1 API. */

import type { CommandInfo, ExecutorInfo } from "./command-info.ts";
import type { ContainerInfo } from "./container-info.ts";
import type { DiscoveryInfo } from "./discovery-info.ts";
import type { CheckInfo, HealthCheck } from "./health-check.ts";
import type { AgentID, TaskID } from "./ids.ts";
import type { Resource } from "./resource-info.ts";
import type { DurationInfo, Labels, Scalar } from "./values.ts";

export interface KillPolicy {
  readonly grace_period?: DurationInfo | undefined;
}
export interface TaskInfo {
  readonly name: string;
  readonly task_id: TaskID;
  readonly agent_id: AgentID;
  readonly resources?: readonly Resource[] | undefined;
  /** Exactly one of `executor` and `command`. */
  readonly executor?: ExecutorInfo | undefined;
  readonly command?: CommandInfo | undefined;
  readonly container?: ContainerInfo | undefined;
  readonly health_check?: HealthCheck | undefined;
  readonly check?: CheckInfo | undefined;
  readonly kill_policy?: KillPolicy | undefined;
  /** base64 */
  readonly data?: string | undefined;
  readonly labels?: Labels | undefined;
  readonly discovery?: DiscoveryInfo | undefined;
  readonly max_completion_time?: DurationInfo | undefined;
  /** Only `cpus` and `mem`; may be infinite. */
  readonly limits?: Readonly<Record<string, Scalar>> | undefined;
}
export interface TaskGroupInfo {
  readonly tasks?: readonly TaskInfo[] | undefined;
}
