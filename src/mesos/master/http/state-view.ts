/** The cluster as `/state`, `/slaves`, `/frameworks`, `/tasks`, `/state-summary` and `/roles` show it (reference: mesos-api 6). */

import { type FrameworkInfo, frameworkRoles, hasCapability } from "../../protocol/framework-info.ts";
import { formatRanges } from "../../protocol/ranges.ts";
import { isTerminal, type TaskState, type TaskStatus, taskStates } from "../../protocol/task-status.ts";
import type { Attribute } from "../../protocol/values.ts";
import type { Agent, Framework, TaskRecord } from "../cluster.ts";
import type { Master } from "../master.ts";
import type { AgentRecord } from "../registry.ts";
import { byReservation, resourceModel, sumOf } from "./resource-model.ts";
import { buildInfo } from "./version.ts";

export function stateView(master: Master, flags: Readonly<Record<string, string>>): object {
  const { cluster, info, registry } = master.context;
  const agents = [...cluster.agents.values()];
  const startSeconds = master.startedAtMs / 1_000;
  return {
    ...buildInfo,
    start_time: startSeconds,
    elected_time: startSeconds,
    id: info.id,
    pid: info.pid,
    hostname: info.hostname,
    capabilities: (info.capabilities ?? []).map((capability) => capability.type),
    activated_slaves: agents.filter(isActive).length,
    deactivated_slaves: agents.filter((agent) => !isActive(agent)).length,
    unreachable_slaves: [...registry.agents.values()].filter((record) => record.state === "unreachable").length,
    leader: info.pid,
    leader_info: { id: info.id, pid: info.pid, port: info.port, hostname: info.hostname },
    ...(flags.cluster === undefined ? {} : { cluster: flags.cluster }),
    flags,
    slaves: agents.map((agent) => agentEntry(agent)),
    recovered_slaves: recoveredAgents(master).map(recoveredEntry),
    ...frameworksView(master, undefined),
    orphan_tasks: [],
    unregistered_frameworks: [],
  };
}

export function slavesView(master: Master, id: string | undefined): object {
  const agents = [...master.context.cluster.agents.values()].filter((agent) => id === undefined || agent.id === id);
  const recovered = recoveredAgents(master).filter(([key]) => id === undefined || key === id);
  return {
    slaves: agents.map((agent) => {
      const { unreserved, reserved } = byReservation(agent.total);
      return {
        ...agentEntry(agent),
        reserved_resources_full: reserved,
        unreserved_resources_full: unreserved,
        used_resources_full: sumOf(liveTasks(agent)),
        offered_resources_full: sumOf(agent.offers),
      };
    }),
    recovered_slaves: recovered.map(recoveredEntry),
  };
}

export function frameworksView(master: Master, id: string | undefined) {
  const { cluster } = master.context;
  const wanted = (framework: Framework) => id === undefined || framework.id === id;
  return {
    frameworks: [...cluster.frameworks.values()].filter(wanted).map(frameworkEntry),
    completed_frameworks: [...cluster.completedFrameworks.values()].filter(wanted).map(frameworkEntry),
    unregistered_frameworks: [],
  };
}

export interface TasksQuery {
  readonly limit: number;
  readonly offset: number;
  readonly order: "asc" | "des";
  readonly frameworkId: string | undefined;
  readonly taskId: string | undefined;
}

export function tasksView(master: Master, query: TasksQuery): object {
  const { cluster } = master.context;
  const tasks = [...cluster.frameworks.values(), ...cluster.completedFrameworks.values()]
    .filter((framework) => query.frameworkId === undefined || framework.id === query.frameworkId)
    .flatMap((framework) => [
      ...framework.tasks.values(),
      ...framework.unreachableTasks.values(),
      ...framework.completedTasks,
    ])
    .filter((task) => query.taskId === undefined || task.info.task_id.value === query.taskId);
  const sign = query.order === "asc" ? 1 : -1;
  tasks.sort((a, b) => sign * ((a.statuses[0]?.timestamp ?? 0) - (b.statuses[0]?.timestamp ?? 0)));
  return { tasks: tasks.slice(query.offset, query.offset + query.limit).map(taskEntry) };
}

export function summaryView(master: Master): object {
  const { cluster, info } = master.context;
  const everyTask = [...cluster.frameworks.values()].flatMap((framework) => [
    ...framework.tasks.values(),
    ...framework.unreachableTasks.values(),
    ...framework.completedTasks,
  ]);
  const ofAgent = Map.groupBy(everyTask, (task) => task.agentId);
  const ofFramework = Map.groupBy(everyTask, (task) => task.frameworkId);
  return {
    hostname: info.hostname,
    slaves: [...cluster.agents.values()].map((agent) => {
      const tasks = ofAgent.get(agent.id) ?? [];
      return {
        ...agentEntry(agent),
        ...counts(tasks),
        framework_ids: [...new Set(tasks.map((task) => task.frameworkId))],
      };
    }),
    frameworks: [...cluster.frameworks.values()].map((framework) => {
      const tasks = ofFramework.get(framework.id) ?? [];
      return {
        ...frameworkSummary(framework),
        ...counts(tasks),
        slave_ids: [...new Set(tasks.map((task) => task.agentId))],
      };
    }),
  };
}

export function rolesView(master: Master): object {
  const { cluster, settings } = master.context;
  const roles = new Map<string, Framework[]>();
  for (const framework of cluster.frameworks.values()) {
    for (const role of frameworkRoles(framework.info)) {
      const parts = role.split("/");
      for (let depth = 1; depth < parts.length; depth++) {
        const ancestor = parts.slice(0, depth).join("/");
        roles.set(ancestor, roles.get(ancestor) ?? []);
      }
      roles.set(role, [...(roles.get(role) ?? []), framework]);
    }
  }
  return {
    roles: [...roles]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, frameworks]) => {
        const inRole = (part: { readonly role: string }) => part.role === name;
        const used = frameworks
          .flatMap((one) => [...one.tasks.values()])
          .filter((task) => inRole(task) && !isTerminal(task.state));
        const offered = frameworks.flatMap((one) => [...one.offers]).filter(inRole);
        const allocated = resourceModel(sumOf([...used, ...offered]));
        return {
          name,
          weight: settings.weights.get(name) ?? 1,
          quota: { role: name, guarantee: {}, limit: {}, consumed: {} },
          resources: allocated,
          allocated: resourceModel(sumOf(used)),
          offered: resourceModel(sumOf(offered)),
          reserved: {},
          frameworks: frameworks.map((one) => one.id),
        };
      }),
  };
}

export function recoveredAgents(master: Master): readonly [string, AgentRecord][] {
  return [...master.context.registry.agents].filter(([id]) => master.agents.isRecovered(id));
}

export function agentPid(agent: Agent): string {
  return `slave(1)@${agent.ip}:${agent.info.port ?? 5051}`;
}

export function isActive(agent: Agent): boolean {
  return agent.stream !== undefined;
}

export function liveTasks(agent: Agent): readonly TaskRecord[] {
  return [...agent.tasks].filter((task) => !isTerminal(task.state));
}

function agentEntry(agent: Agent) {
  const { unreserved, reserved } = byReservation(agent.total);
  return {
    id: agent.id,
    hostname: agent.info.hostname,
    port: agent.info.port ?? 5051,
    attributes: attributesObject(agent.info.attributes),
    ...(agent.info.domain === undefined ? {} : { domain: agent.info.domain }),
    pid: agentPid(agent),
    registered_time: agent.registeredAtMs / 1_000,
    ...(agent.reregisteredAtMs === undefined ? {} : { reregistered_time: agent.reregisteredAtMs / 1_000 }),
    resources: resourceModel(agent.total),
    used_resources: resourceModel(sumOf(liveTasks(agent))),
    offered_resources: resourceModel(sumOf(agent.offers)),
    reserved_resources: Object.fromEntries(Object.entries(reserved).map(([role, list]) => [role, resourceModel(list)])),
    unreserved_resources: resourceModel(unreserved),
    active: isActive(agent),
    deactivated: false,
    version: agent.version,
    capabilities: agent.capabilities,
  };
}

function recoveredEntry([id, { info }]: [string, AgentRecord]) {
  return {
    id,
    hostname: info.hostname,
    port: info.port ?? 5051,
    attributes: attributesObject(info.attributes),
    ...(info.domain === undefined ? {} : { domain: info.domain }),
  };
}

function attributesObject(attributes: readonly Attribute[] | undefined): Readonly<Record<string, number | string>> {
  return Object.fromEntries(
    (attributes ?? []).map((attribute) => {
      if (attribute.type === "SCALAR") return [attribute.name, attribute.scalar?.value ?? 0];
      if (attribute.type === "RANGES") return [attribute.name, formatRanges(attribute.ranges?.range ?? [])];
      return [attribute.name, attribute.text?.value ?? ""];
    }),
  );
}

function frameworkSummary(framework: Framework) {
  const { info } = framework;
  const connected = framework.stream !== undefined;
  return {
    id: framework.id,
    name: info.name,
    used_resources: resourceModel(sumOf([...framework.tasks.values()].filter((task) => !isTerminal(task.state)))),
    offered_resources: resourceModel(sumOf(framework.offers)),
    capabilities: (info.capabilities ?? []).flatMap((capability) => capability.type ?? []),
    hostname: info.hostname ?? "",
    webui_url: info.webui_url ?? "",
    active: connected,
    connected,
    recovered: framework.recovered,
  };
}

function frameworkEntry(framework: Framework) {
  const { info } = framework;
  const live = [...framework.tasks.values()].filter((task) => !isTerminal(task.state));
  return {
    ...frameworkSummary(framework),
    user: info.user,
    failover_timeout: info.failover_timeout ?? 0,
    checkpoint: info.checkpoint ?? false,
    registered_time: framework.registeredAtMs / 1_000,
    unregistered_time: (framework.unregisteredAtMs ?? 0) / 1_000,
    ...(info.principal === undefined ? {} : { principal: info.principal }),
    resources: resourceModel(sumOf([...live, ...framework.offers])),
    ...(framework.reregisteredAtMs === undefined ? {} : { reregistered_time: framework.reregisteredAtMs / 1_000 }),
    ...roleFields(info),
    tasks: [...framework.tasks.values()].map(taskEntry),
    unreachable_tasks: [...framework.unreachableTasks.values()].map(taskEntry),
    completed_tasks: framework.completedTasks.map(taskEntry),
    offers: [...framework.offers].map((offer) => ({
      id: offer.id,
      framework_id: framework.id,
      allocation_info: { role: offer.role },
      slave_id: offer.agentId,
      resources: resourceModel(offer.resources),
    })),
    executors: [],
    ...(info.labels?.labels === undefined ? {} : { labels: info.labels.labels }),
    offer_constraints: framework.offerConstraints ?? {},
  };
}

function roleFields(info: FrameworkInfo): object {
  return hasCapability(info, "MULTI_ROLE") ? { roles: info.roles ?? [] } : { role: info.role ?? "*" };
}

/** `executor_id` is empty on the master for tasks that run by a command (reference: mesos-api 10.14). */
function taskEntry(task: TaskRecord) {
  const { info } = task;
  return {
    id: info.task_id.value,
    name: info.name,
    framework_id: task.frameworkId,
    executor_id: "",
    slave_id: task.agentId,
    state: task.state,
    resources: resourceModel(task.resources),
    ...(info.limits === undefined ? {} : { limits: limitsObject(info.limits) }),
    role: task.role,
    statuses: task.statuses.map(statusEntry),
    user: task.user,
    ...(info.labels?.labels === undefined ? {} : { labels: info.labels.labels }),
    ...(info.discovery === undefined ? {} : { discovery: info.discovery }),
    ...(info.container === undefined ? {} : { container: info.container }),
    ...(info.health_check === undefined ? {} : { health_check: info.health_check }),
  };
}

function limitsObject(limits: NonNullable<TaskRecord["info"]["limits"]>): object {
  return Object.fromEntries(
    Object.entries(limits).map(([name, { value }]) => [name, Number.isFinite(value) ? value : String(value)]),
  );
}

function statusEntry(status: TaskStatus) {
  const networks = status.container_status?.network_infos;
  return {
    state: status.state,
    timestamp: status.timestamp ?? 0,
    ...(status.labels?.labels === undefined ? {} : { labels: status.labels.labels }),
    ...(status.container_status === undefined
      ? {}
      : {
          container_status: {
            ...status.container_status,
            ...(networks === undefined
              ? {}
              : {
                  network_infos: networks.map(({ labels, ...network }) => ({
                    ...network,
                    ...(labels?.labels === undefined ? {} : { labels: labels.labels }),
                  })),
                }),
          },
        }),
    ...(status.healthy === undefined ? {} : { healthy: status.healthy }),
  };
}

const countedStates = taskStates.filter(
  (state) => !["TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"].includes(state),
);

function counts(tasks: readonly TaskRecord[]): Readonly<Partial<Record<TaskState, number>>> {
  return Object.fromEntries(countedStates.map((state) => [state, tasks.filter((task) => task.state === state).length]));
}
