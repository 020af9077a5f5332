/** `POST /api/v1`: the reading calls of Mesos' operator API, and TEARDOWN (reference: mesos-api 4). JSON only. */

import { z } from "zod";
import { encodeMessage } from "../../protocol/message-json.ts";
import type { Resource } from "../../protocol/resource-info.ts";
import { isTerminal } from "../../protocol/task-status.ts";
import type { Agent, Framework, TaskRecord } from "../cluster.ts";
import type { Master } from "../master.ts";
import { metricsView } from "./metrics-view.ts";
import { sumOf } from "./resource-model.ts";
import { agentPid, isActive, liveTasks, recoveredAgents, rolesView } from "./state-view.ts";
import { buildInfo } from "./version.ts";

export interface OperatorAnswer {
  readonly status: number;
  readonly text: string;
  readonly json: boolean;
}

const operatorCall = z.object({
  type: z.string().optional(),
  teardown: z.object({ framework_id: z.object({ value: z.string() }) }).nullish(),
});

export function operatorCallAnswer(
  master: Master,
  text: string,
  flags: Readonly<Record<string, string>>,
): OperatorAnswer {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return refuse(400, `Failed to parse body into JSON: ${cause instanceof Error ? cause.message : "invalid"}`);
  }
  const parsed = operatorCall.safeParse(json);
  if (!parsed.success)
    return refuse(400, `Failed to convert JSON into Call protobuf: ${z.prettifyError(parsed.error)}`);
  const call = parsed.data;
  if (call.type === "TEARDOWN") return teardown(master, call.teardown?.framework_id.value);
  const body = bodyOf(master, call.type ?? "", flags);
  if (body === undefined) return refuse(501, `Call ${call.type ?? "UNKNOWN"} is not implemented`);
  const key = (call.type ?? "").toLowerCase();
  return { status: 200, text: `{"type":"${call.type}","${key}":${body}}`, json: true };
}

function refuse(status: number, text: string): OperatorAnswer {
  return { status, text, json: false };
}

function teardown(master: Master, id: string | undefined): OperatorAnswer {
  if (id === undefined) return refuse(400, "Failed to validate master::Call: Expecting 'teardown' to be present");
  const framework = master.context.cluster.frameworks.get(id);
  if (framework === undefined) return refuse(400, "No framework found with specified ID");
  master.frameworks.remove(framework, "teardown by an operator");
  return { status: 200, text: "", json: false };
}

function bodyOf(master: Master, type: string, flags: Readonly<Record<string, string>>): string | undefined {
  switch (type) {
    case "GET_HEALTH":
      return '{"healthy":true}';
    case "GET_FLAGS":
      return JSON.stringify({ flags: Object.entries(flags).map(([name, value]) => ({ name, value })) });
    case "GET_VERSION":
      return JSON.stringify({ version_info: buildInfo });
    case "GET_METRICS": {
      const metrics = Object.entries(metricsView(master, master.context.clock));
      return JSON.stringify({ metrics: metrics.map(([name, value]) => ({ name, value })) });
    }
    case "GET_STATE":
      return `{"get_tasks":${tasksBody(master)},"get_executors":{},"get_frameworks":${frameworksBody(master)},"get_agents":${agentsBody(master)}}`;
    case "GET_AGENTS":
      return agentsBody(master);
    case "GET_FRAMEWORKS":
      return frameworksBody(master);
    case "GET_TASKS":
      return tasksBody(master);
    case "GET_EXECUTORS":
    case "GET_OPERATIONS":
      return "{}";
    case "GET_ROLES":
      return JSON.stringify(rolesView(master));
    case "GET_WEIGHTS": {
      const weights = [...master.context.settings.weights].map(([role, weight]) => ({ role, weight }));
      return JSON.stringify({ weight_infos: weights });
    }
    case "GET_MASTER": {
      const seconds = master.startedAtMs / 1_000;
      const { info } = master.context;
      return JSON.stringify({ master_info: info, start_time: seconds, elected_time: seconds });
    }
    default:
      return undefined;
  }
}

function agentsBody(master: Master): string {
  const agents = [...master.context.cluster.agents.values()].map(agentBody);
  const recovered = recoveredAgents(master).map(([, record]) => encodeMessage("AgentInfo", record.info));
  return `{${[listOf("agents", agents), listOf("recovered_agents", recovered)].filter((one) => one !== "").join(",")}}`;
}

function agentBody(agent: Agent): string {
  const parts = [
    `"agent_info":${encodeMessage("AgentInfo", agent.info)}`,
    `"active":${isActive(agent)}`,
    '"deactivated":false',
    `"version":${JSON.stringify(agent.version)}`,
    `"pid":${JSON.stringify(agentPid(agent))}`,
    `"registered_time":${time(agent.registeredAtMs)}`,
    ...(agent.reregisteredAtMs === undefined ? [] : [`"reregistered_time":${time(agent.reregisteredAtMs)}`]),
    resources("total_resources", agent.total),
    resources("allocated_resources", allocated(liveTasks(agent))),
    resources("offered_resources", allocated(agent.offers)),
    listOf(
      "capabilities",
      agent.capabilities.map((type) => JSON.stringify({ type })),
    ),
  ];
  return `{${parts.filter((part) => part !== "").join(",")}}`;
}

function frameworksBody(master: Master): string {
  const { cluster } = master.context;
  const live = [...cluster.frameworks.values()].map((framework) => frameworkBody(master, framework));
  const completed = [...cluster.completedFrameworks.values()].map((framework) => frameworkBody(master, framework));
  return `{${[listOf("frameworks", live), listOf("completed_frameworks", completed)].filter((one) => one !== "").join(",")}}`;
}

function frameworkBody(master: Master, framework: Framework): string {
  const connected = framework.stream !== undefined;
  const offers = [...framework.offers].map((offer) =>
    encodeMessage("Offer", master.offering.describe(framework, offer)),
  );
  const parts = [
    `"framework_info":${encodeMessage("FrameworkInfo", framework.info)}`,
    `"active":${connected}`,
    `"connected":${connected}`,
    `"recovered":${framework.recovered}`,
    `"registered_time":${time(framework.registeredAtMs)}`,
    `"reregistered_time":${time(framework.reregisteredAtMs ?? framework.registeredAtMs)}`,
    `"unregistered_time":${time(framework.unregisteredAtMs ?? 0)}`,
    listOf("offers", offers),
    resources(
      "allocated_resources",
      allocated([...framework.tasks.values()].filter((task) => !isTerminal(task.state))),
    ),
    resources("offered_resources", allocated(framework.offers)),
  ];
  return `{${parts.filter((part) => part !== "").join(",")}}`;
}

function tasksBody(master: Master): string {
  const { cluster } = master.context;
  const frameworks = [...cluster.frameworks.values(), ...cluster.completedFrameworks.values()];
  const lists = [
    listOf("tasks", frameworks.flatMap((one) => [...one.tasks.values()]).map(taskBody)),
    listOf("unreachable_tasks", frameworks.flatMap((one) => [...one.unreachableTasks.values()]).map(taskBody)),
    listOf("completed_tasks", frameworks.flatMap((one) => one.completedTasks).map(taskBody)),
  ];
  return `{${lists.filter((one) => one !== "").join(",")}}`;
}

function taskBody(task: TaskRecord): string {
  const { info } = task;
  return encodeMessage("Task", {
    name: info.name,
    task_id: info.task_id,
    framework_id: { value: task.frameworkId },
    agent_id: { value: task.agentId },
    state: task.state,
    resources: info.resources,
    statuses: task.statuses,
    status_update_state: task.forwarded?.state,
    status_update_uuid: task.forwarded?.uuid,
    labels: info.labels,
    discovery: info.discovery,
    container: info.container,
    health_check: info.health_check,
    kill_policy: info.kill_policy,
    user: task.user,
    limits: info.limits,
  });
}

function allocated(
  parts: Iterable<{ readonly resources: readonly Resource[]; readonly role: string }>,
): readonly Resource[] {
  const byRole = Map.groupBy(parts, (part) => part.role);
  return [...byRole].flatMap(([role, held]) => sumOf(held).map((one) => ({ ...one, allocation_info: { role } })));
}

function resources(name: string, list: readonly Resource[]): string {
  return listOf(
    name,
    list.map((resource) => encodeMessage("Resource", { ...resource, role: resource.role ?? "*" })),
  );
}

/** Empty lists are left out of v1 JSON. */
function listOf(name: string, entries: readonly string[]): string {
  return entries.length === 0 ? "" : `"${name}":[${entries.join(",")}]`;
}

function time(ms: number): string {
  return `{"nanoseconds":${Math.round(ms) * 1_000_000}}`;
}
