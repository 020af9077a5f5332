/** Who offers resources: AgentInfo of the Mesos v1 API. */

import type { AgentID } from "./ids.ts";
import type { Resource } from "./resource-info.ts";
import type { Attribute, DomainInfo } from "./values.ts";

export interface AgentInfo {
  readonly hostname: string;
  /** Absent means 5051. */
  readonly port?: number | undefined;
  readonly resources?: readonly Resource[] | undefined;
  readonly attributes?: readonly Attribute[] | undefined;
  readonly id?: AgentID | undefined;
  readonly domain?: DomainInfo | undefined;
}

export const agentCapabilities = [
  "UNKNOWN",
  "MULTI_ROLE",
  "HIERARCHICAL_ROLE",
  "RESERVATION_REFINEMENT",
  "RESOURCE_PROVIDER",
  "RESIZE_VOLUME",
  "AGENT_OPERATION_FEEDBACK",
  "AGENT_DRAINING",
  "TASK_RESOURCE_LIMITS",
] as const;
export type AgentCapability = (typeof agentCapabilities)[number];
