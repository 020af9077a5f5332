/** What the parts of the master share, handed in once; and the two ways to tell somebody something. */

import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { AgentEvent } from "../protocol/agent-link.ts";
import type { MasterInfo, SchedulerEvent } from "../protocol/scheduler-event.ts";
import type { Agent, Cluster, Framework } from "./cluster.ts";
import type { Counters } from "./counters.ts";
import type { FrameworkRules } from "./framework-validation.ts";
import type { Quantities } from "./quantities.ts";
import type { Registry } from "./registry.ts";

export interface MasterSettings extends FrameworkRules {
  readonly allocationIntervalMs: number;
  readonly agentPingTimeoutMs: number;
  readonly agentPingTimeoutsMax: number;
  readonly agentReregisterTimeoutMs: number;
  /** Undefined: offers stand until they are answered. */
  readonly offerTimeoutMs: number | undefined;
  /** An offer must reach one of these. */
  readonly minAllocatable: readonly Quantities[];
  readonly weights: ReadonlyMap<string, number>;
  readonly fairnessExcluded: ReadonlySet<string>;
  readonly filterGpuResources: boolean;
  /** Undefined: every host. */
  readonly hostsAllowed: ReadonlySet<string> | undefined;
}

export interface MasterContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: MasterSettings;
  /** `id` is new with each start: ids made from it never meet those of an earlier master. */
  readonly info: MasterInfo;
  readonly cluster: Cluster;
  readonly registry: Registry;
  readonly counters: Counters;
}

/** Lost if the framework is not connected: agents keep what must arrive. */
export function tellFramework(context: MasterContext, framework: Framework, event: SchedulerEvent): void {
  context.counters.add(`events/${event.type.toLowerCase()}`);
  framework.stream?.send(event);
}

/** Lost if the agent is not connected: on its return the two lists of tasks are compared. */
export function tellAgent(agent: Agent, event: AgentEvent): void {
  agent.stream?.send(event);
}
