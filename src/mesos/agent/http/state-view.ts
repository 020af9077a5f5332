/** `/state` and `/containers` of the agent in Mesos' shapes (reference/mesos-api.md 6.3, 6.6, 6.7). Pure. */

import { type FrameworkInfo, frameworkRoles, hasCapability } from "../../protocol/framework-info.ts";
import type { Resource } from "../../protocol/resource-info.ts";
import { addResources, reservationRole, scalarOf } from "../../protocol/resources.ts";
import { isTerminal } from "../../protocol/task-status.ts";
import type { Agent } from "../agent.ts";
import type { TaskRun } from "../task-run.ts";
import { attributesModel, reservedModels, resourceModel } from "./resource-model.ts";

export interface BuildInfo {
  readonly version: string;
  readonly buildDate: string;
  readonly buildTime: number;
}

export function stateView(
  agent: Agent,
  build: BuildInfo,
  flags: Readonly<Record<string, string>>,
  workDirectory: string,
): Record<string, unknown> {
  const { info, options } = agent;
  const resources = info.resources ?? [];
  const unreserved = resources.filter((one) => reservationRole(one) === "*");
  const allocated = allocatedResources(agent.runs);
  return {
    version: build.version,
    build_date: build.buildDate,
    build_time: build.buildTime,
    build_user: "margay",
    start_time: agent.startedAtMs / 1_000,
    id: agent.agentId ?? "",
    pid: agentPid(agent),
    hostname: info.hostname,
    capabilities: ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "TASK_RESOURCE_LIMITS"],
    resources: resourceModel(resources),
    reserved_resources: reservedModels(resources),
    unreserved_resources: resourceModel(unreserved),
    reserved_resources_full: {},
    unreserved_resources_full: unreserved,
    reserved_resources_allocated: {},
    unreserved_resources_allocated: resourceModel(allocated),
    resource_providers: [],
    attributes: attributesModel(info.attributes ?? []),
    ...(agent.master === undefined ? {} : { master_hostname: new URL(agent.master).hostname }),
    flags,
    frameworks: frameworksView(agent, agent.runs, workDirectory),
    completed_frameworks: completedFrameworks(agent, workDirectory),
    recovering: agent.recovering,
    registered: agent.registered,
    work_dir: options.workDirectory,
  };
}

export function agentPid(agent: Agent): string {
  return `slave(1)@${agent.options.ip}:${agent.info.port ?? 5051}`;
}

export function allocatedResources(runs: readonly TaskRun[]): readonly Resource[] {
  return addResources(
    [],
    runs.filter((run) => !run.finished).flatMap((run) => run.task.resources ?? []),
  );
}

export function containersView(agent: Agent, nowMs: number): readonly Record<string, unknown>[] {
  return agent.runs
    .filter((run) => run.report !== undefined && !run.finished)
    .map((run) => ({
      framework_id: run.ids.frameworkId,
      executor_id: run.ids.executorId,
      executor_name: executorName(run),
      source: run.task.task_id.value,
      container_id: run.ids.containerId,
      status: run.updates.latest?.container_status ?? { container_id: { value: run.ids.containerId } },
      statistics: {
        timestamp: nowMs / 1_000,
        cpus_limit: scalarOf(run.task.resources ?? [], "cpus"),
        mem_limit_bytes: Math.max(32, scalarOf(run.task.resources ?? [], "mem")) * 1024 * 1024,
      },
    }));
}

function frameworksView(agent: Agent, runs: readonly TaskRun[], workDirectory: string): readonly unknown[] {
  return [...agent.frameworks.values()].flatMap((framework) => {
    const id = framework.id?.value ?? "";
    const own = runs.filter((run) => run.ids.frameworkId === id);
    const done = agent.completedRuns.filter((run) => run.ids.frameworkId === id);
    return own.length === 0 ? [] : [frameworkView(agent, framework, own, done, workDirectory)];
  });
}

function completedFrameworks(agent: Agent, workDirectory: string): readonly unknown[] {
  const active = new Set(agent.runs.map((run) => run.ids.frameworkId));
  const ids = new Set(agent.completedRuns.map((run) => run.ids.frameworkId).filter((id) => !active.has(id)));
  return [...ids].map((id) => {
    const done = agent.completedRuns.filter((run) => run.ids.frameworkId === id);
    const framework = done.at(-1)?.framework ?? { user: "", name: "" };
    return frameworkView(agent, { ...framework, id: { value: id } }, [], done, workDirectory);
  });
}

function frameworkView(
  agent: Agent,
  framework: FrameworkInfo,
  own: readonly TaskRun[],
  done: readonly TaskRun[],
  workDirectory: string,
): Record<string, unknown> {
  return {
    id: framework.id?.value ?? "",
    name: framework.name,
    user: framework.user,
    failover_timeout: framework.failover_timeout ?? 0,
    checkpoint: framework.checkpoint ?? false,
    hostname: framework.hostname ?? "",
    ...(framework.principal === undefined ? {} : { principal: framework.principal }),
    ...(hasCapability(framework, "MULTI_ROLE")
      ? { roles: frameworkRoles(framework) }
      : { role: frameworkRoles(framework)[0] }),
    executors: own.map((run) => executorView(agent, run, workDirectory)),
    completed_executors: done.map((run) => executorView(agent, run, workDirectory)),
  };
}

/** A command task's executor is named after the task, as Mesos' own agent does. */
function executorName(run: TaskRun): string {
  const words = run.task.command?.value ?? (run.task.command?.arguments ?? []).join(" ");
  const short = words.length > 12 ? `${words.slice(0, 12)}...` : words;
  return `Command Executor (Task: ${run.task.task_id.value}) (Command: ${words === "" ? "NO EXECUTABLE" : `sh -c '${short}'`})`;
}

function executorView(agent: Agent, run: TaskRun, workDirectory: string): Record<string, unknown> {
  const task = taskView(agent, run);
  const ended = isTerminal(run.updates.state);
  return {
    id: run.ids.executorId,
    name: executorName(run),
    source: run.task.task_id.value,
    container: run.ids.containerId,
    directory: run.sandboxDirectory.startsWith("/") ? run.sandboxDirectory : `${workDirectory}/${run.sandboxDirectory}`,
    resources: resourceModel(run.task.resources ?? []),
    tasks: ended ? [] : [task],
    queued_tasks: [],
    completed_tasks: ended ? [task] : [],
  };
}

function taskView(agent: Agent, run: TaskRun): Record<string, unknown> {
  const { task } = run;
  const role = (task.resources ?? []).find((one) => one.allocation_info?.role !== undefined)?.allocation_info?.role;
  return {
    id: task.task_id.value,
    name: task.name,
    framework_id: run.ids.frameworkId,
    executor_id: run.ids.executorId,
    slave_id: agent.agentId ?? run.ids.agentId,
    state: run.updates.state,
    resources: resourceModel(task.resources ?? []),
    role: role ?? "*",
    statuses: run.updates.history.map((status) => ({
      state: status.state,
      timestamp: status.timestamp ?? 0,
      ...(status.labels?.labels === undefined ? {} : { labels: status.labels.labels }),
      ...(status.container_status === undefined ? {} : { container_status: status.container_status }),
      ...(status.healthy === undefined ? {} : { healthy: status.healthy }),
      ...(status.message === undefined ? {} : { message: status.message }),
    })),
    ...(task.labels?.labels === undefined ? {} : { labels: task.labels.labels }),
    ...(task.discovery === undefined ? {} : { discovery: task.discovery }),
    ...(task.container === undefined ? {} : { container: task.container }),
    ...(task.health_check === undefined ? {} : { health_check: task.health_check }),
  };
}
