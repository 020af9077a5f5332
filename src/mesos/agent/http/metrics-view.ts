/** `/metrics/snapshot` of the agent: Mesos' names, one flat object of numbers (reference/mesos-behaviour.md 9.2). */

import { cpus, freemem, loadavg, totalmem } from "node:os";
import { scalarOf } from "../../protocol/resources.ts";
import type { TaskState } from "../../protocol/task-status.ts";
import type { Agent } from "../agent.ts";
import { allocatedResources } from "./state-view.ts";

export function metricsView(agent: Agent, nowMs: number): Record<string, number> {
  const metrics: Record<string, number> = {};
  const total = agent.info.resources ?? [];
  const used = allocatedResources(agent.runs);
  for (const name of ["cpus", "gpus", "mem", "disk"]) {
    const all = scalarOf(total, name);
    const taken = scalarOf(used, name);
    metrics[`slave/${name}_total`] = all;
    metrics[`slave/${name}_used`] = taken;
    metrics[`slave/${name}_percent`] = all === 0 ? 0 : taken / all;
    for (const kind of ["total", "used", "percent"]) metrics[`slave/${name}_revocable_${kind}`] = 0;
  }
  const live = agent.runs.filter((run) => !run.finished);
  const inState = (state: TaskState) => live.filter((run) => run.updates.state === state).length;
  metrics["slave/registered"] = agent.registered ? 1 : 0;
  metrics["slave/uptime_secs"] = (nowMs - agent.startedAtMs) / 1_000;
  metrics["slave/recovery_errors"] = 0;
  metrics["slave/frameworks_active"] = new Set(live.map((run) => run.ids.frameworkId)).size;
  metrics["slave/executors_registering"] = inState("TASK_STAGING");
  metrics["slave/executors_running"] = live.filter((run) => run.report !== undefined).length;
  metrics["slave/executors_terminating"] = inState("TASK_KILLING");
  metrics["slave/executors_terminated"] = agent.counters.total;
  metrics["slave/executors_preempted"] = 0;
  for (const name of ["staging", "starting", "running", "killing"] as const) {
    metrics[`slave/tasks_${name}`] = inState(`TASK_${name.toUpperCase()}` as TaskState);
  }
  for (const name of ["finished", "failed", "killed", "lost", "gone"] as const) {
    metrics[`slave/tasks_${name}`] = agent.counters.count(`TASK_${name.toUpperCase()}` as TaskState);
  }
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  Object.assign(metrics, {
    "system/cpus_total": cpus().length,
    "system/load_1min": one,
    "system/load_5min": five,
    "system/load_15min": fifteen,
    "system/mem_free_bytes": freemem(),
    "system/mem_total_bytes": totalmem(),
  });
  return Object.fromEntries(Object.entries(metrics).sort(([a], [b]) => (a < b ? -1 : 1)));
}
