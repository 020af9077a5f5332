/** `/metrics/snapshot` under Mesos' names: one flat object, sorted, numbers only (reference: mesos-behaviour 9.1). */

import { availableParallelism, freemem, loadavg, totalmem } from "node:os";
import type { Clock } from "../../../base/clock.ts";
import { type TaskState, taskStates } from "../../protocol/task-status.ts";
import type { Master } from "../master.ts";

const thousandths = 1_000;

/** Counters that scrapers expect from the start, at 0. */
const counterNames = [
  ...["slave_registrations", "slave_reregistrations", "slave_removals", "recovery_slave_removals"],
  ...["unhealthy", "unregistered", "registered"].map((reason) => `slave_removals/reason_${reason}`),
  ...["unreachable", "shutdowns"].flatMap((what) =>
    ["scheduled", "canceled", "completed"].map((step) => `slave_${what}_${step}`),
  ),
  ...["finished", "failed", "killed", "error", "lost", "dropped", "gone", "gone_by_operator"].map(
    (one) => `tasks_${one}`,
  ),
  ...[
    ...["launch_tasks", "decline_offers", "revive_offers", "suppress_offers", "kill_task", "reconcile_tasks"],
    ...["reconcile_operations", "status_update", "status_update_acknowledgement", "operation_status_update"],
    ...["register_framework", "reregister_framework", "unregister_framework", "deactivate_framework"],
    ...["register_slave", "reregister_slave", "unregister_slave", "update_slave", "authenticate", "resource_request"],
    ...["framework_to_executor", "executor_to_framework", "exited_executor"],
  ].map((name) => `messages_${name}`),
  ...["valid", "invalid"].flatMap((judgement) =>
    [
      "status_updates",
      "status_update_acknowledgements",
      "framework_to_executor_messages",
      "executor_to_framework_messages",
    ].map((name) => `${judgement}_${name}`),
  ),
  "dropped_messages",
];

export function metricsView(master: Master, clock: Clock): Readonly<Record<string, number>> {
  const { cluster, counters, registry } = master.context;
  const agents = [...cluster.agents.values()];
  const frameworks = [...cluster.frameworks.values()];
  const tasks = frameworks.flatMap((framework) => [...framework.tasks.values()]);
  const inState = (state: TaskState) => tasks.filter((task) => task.state === state).length;
  const connectedAgents = agents.filter((agent) => agent.stream !== undefined).length;
  const connectedFrameworks = frameworks.filter((framework) => framework.stream !== undefined).length;
  const metrics: Record<string, number> = {};
  const put = (name: string, value: number) => {
    metrics[name] = value;
  };

  put("master/elected", 1);
  put("master/uptime_secs", (clock.nowMs() - master.startedAtMs) / 1_000);
  put("master/slaves_active", connectedAgents);
  put("master/slaves_inactive", agents.length - connectedAgents);
  put("master/slaves_connected", connectedAgents);
  put("master/slaves_disconnected", agents.length - connectedAgents);
  put("master/slaves_unreachable", [...registry.agents.values()].filter((one) => one.state === "unreachable").length);
  put("master/frameworks_active", connectedFrameworks);
  put("master/frameworks_inactive", frameworks.length - connectedFrameworks);
  put("master/frameworks_connected", connectedFrameworks);
  put("master/frameworks_disconnected", frameworks.length - connectedFrameworks);
  put("master/outstanding_offers", cluster.offers.size);
  for (const state of ["staging", "starting", "running", "killing"] as const) {
    const name = taskStates.find((one) => one === `TASK_${state.toUpperCase()}`);
    put(`master/tasks_${state}`, name === undefined ? 0 : inState(name));
  }
  put(
    "master/tasks_unreachable",
    frameworks.reduce((sum, framework) => sum + framework.unreachableTasks.size, 0),
  );
  for (const name of counterNames) put(`master/${name}`, counters.get(name));
  for (const [name, value] of counters.all) if (/^task_.*\/source_/.test(name)) put(`master/${name}`, value);
  for (const name of ["cpus", "gpus", "mem", "disk"]) {
    const total = (cluster.ledger.total.get(name) ?? 0) / thousandths;
    const used = usedScalar(master, name);
    put(`master/${name}_total`, total);
    put(`master/${name}_used`, used);
    put(`master/${name}_percent`, total === 0 ? 0 : used / total);
    for (const kind of ["total", "used", "percent"]) put(`master/${name}_revocable_${kind}`, 0);
    if (name === "gpus") continue;
    put(`allocator/mesos/resources/${name}/total`, total);
    put(`allocator/mesos/resources/${name}/offered_or_allocated`, (cluster.ledger.held.get(name) ?? 0) / thousandths);
  }
  put("master/event_queue_messages", 0);
  put("master/event_queue_dispatches", 0);
  put("master/event_queue_http_requests", 0);
  put("master/operator_event_stream_subscribers", 0);
  put("allocator/event_queue_dispatches", 0);
  put("allocator/mesos/event_queue_dispatches", 0);
  put("allocator/mesos/allocation_runs", master.offering.runs);
  put("allocator/mesos/allocation_run_ms", master.offering.lastRunMs);
  put("registrar/queued_operations", registry.pendingWrites);
  put("registrar/log/recovered", 1);
  putSystem(put);
  return Object.fromEntries(Object.entries(metrics).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Held is used plus offered. */
function usedScalar(master: Master, name: string): number {
  const { cluster } = master.context;
  let offered = 0;
  for (const offer of cluster.offers.values()) {
    for (const resource of offer.resources) {
      if (resource.name === name) offered += Math.round((resource.scalar?.value ?? 0) * thousandths);
    }
  }
  return ((cluster.ledger.held.get(name) ?? 0) - offered) / thousandths;
}

function putSystem(put: (name: string, value: number) => void): void {
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  put("system/cpus_total", availableParallelism());
  put("system/load_1min", one);
  put("system/load_5min", five);
  put("system/load_15min", fifteen);
  put("system/mem_free_bytes", freemem());
  put("system/mem_total_bytes", totalmem());
}
