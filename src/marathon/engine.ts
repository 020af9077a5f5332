/** What the parts of one running Marathon share. Built once in start-marathon.ts; nothing here is global. */

import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { EventBus } from "./events/event-bus.ts";
import type { HealthMonitor } from "./health/health-monitor.ts";
import type { Metrics } from "./metrics.ts";
import type { LaunchDelays } from "./plan/launch-delay.ts";
import type { SchedulerConnection } from "./scheduler/scheduler-connection.ts";
import type { LaunchQueue } from "./scheduling/launch-queue.ts";
import type { MarathonSettings } from "./settings.ts";
import type { ClusterState } from "./state/cluster-state.ts";

export interface Engine {
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: MarathonSettings;
  readonly state: ClusterState;
  readonly bus: EventBus;
  readonly metrics: Metrics;
  readonly health: HealthMonitor;
  readonly delays: LaunchDelays;
  readonly queue: LaunchQueue;
  readonly connection: SchedulerConnection;
  /** Something changed: plan again, soon. */
  readonly poke: () => void;
}
