/**
 * Whether a task may be launched on what was offered: the problem in Mesos' words, or undefined
 * (reference: mesos-api 2.2 ACCEPT, "Task validation list"). Pure.
 */

import type { AgentCapability } from "../protocol/agent-info.ts";
import type { CommandInfo } from "../protocol/command-info.ts";
import type { ContainerInfo } from "../protocol/container-info.ts";
import type { CheckInfo, HealthCheck } from "../protocol/health-check.ts";
import {
  addResources,
  containsResources,
  formatResources,
  normalizeResources,
  type Resources,
  reservationRole,
  resourcesProblem,
  scalarOf,
} from "../protocol/resources.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { idProblem } from "./id-rules.ts";

export interface LaunchContext {
  readonly agentId: string;
  readonly agentCapabilities: readonly AgentCapability[];
  /** What is left of the offers after the tasks before this one. */
  readonly offered: Resources;
  readonly role: string;
  readonly isLive: (taskId: string) => boolean;
  readonly isUnreachable: (taskId: string) => boolean;
}

export function taskProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  return (
    taskIdProblem(task, context) ??
    agentProblem(task, context) ??
    durationsProblem(task) ??
    checkProblem(task.check) ??
    healthCheckProblem(task.health_check) ??
    taskResourcesProblem(task, context) ??
    commandProblem(task) ??
    containerProblem(task.container) ??
    limitsProblem(task, context)
  );
}

function taskIdProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  const id = task.task_id.value;
  const problem = idProblem(id);
  if (problem !== undefined) return `Task ID is invalid: ${problem}`;
  if (context.isLive(id)) return `Task has duplicate ID: ${id}`;
  if (context.isUnreachable(id)) return `Task reuses the ID of an unreachable task: ${id}`;
  return undefined;
}

function agentProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  return task.agent_id.value === context.agentId
    ? undefined
    : `Task uses invalid agent ${task.agent_id.value} while agent ${context.agentId} is expected`;
}

function durationsProblem(task: TaskInfo): string | undefined {
  if ((task.kill_policy?.grace_period?.nanoseconds ?? 0) < 0) {
    return "Task's 'kill_policy.grace_period' must be non-negative";
  }
  if ((task.max_completion_time?.nanoseconds ?? 0) < 0) return "Task's 'max_completion_time' must be non-negative";
  return undefined;
}

function checkProblem(check: CheckInfo | undefined): string | undefined {
  if (check === undefined) return undefined;
  const problem = (() => {
    switch (check.type) {
      case "COMMAND":
        return check.command === undefined
          ? "Expecting 'command' to be set for COMMAND check"
          : commandValueProblem(check.command.command, "COMMAND check");
      case "HTTP":
        if (check.http === undefined) return "Expecting 'http' to be set for HTTP check";
        return pathProblem(check.http.path, "HTTP check");
      case "TCP":
        return check.tcp === undefined ? "Expecting 'tcp' to be set for TCP check" : undefined;
      default:
        return "CheckInfo must specify 'type'";
    }
  })();
  const times = [check.delay_seconds, check.interval_seconds, check.timeout_seconds];
  return prefixed("Task uses invalid check", problem ?? timesProblem(times));
}

function healthCheckProblem(check: HealthCheck | undefined): string | undefined {
  if (check === undefined) return undefined;
  const type = healthCheckType(check);
  const problem = (() => {
    switch (type) {
      case "COMMAND":
        return check.command === undefined
          ? "Expecting 'command' to be set for COMMAND health check"
          : commandValueProblem(check.command, "COMMAND health check");
      case "HTTP":
        if (check.http === undefined) return "Expecting 'http' to be set for HTTP health check";
        if (check.http.scheme !== undefined && check.http.scheme !== "http" && check.http.scheme !== "https") {
          return `Unsupported HTTP health check scheme: '${check.http.scheme}'`;
        }
        return pathProblem(check.http.path, "HTTP health check");
      case "TCP":
        return check.tcp === undefined ? "Expecting 'tcp' to be set for TCP health check" : undefined;
      default:
        return "HealthCheck must specify 'type'";
    }
  })();
  const times = [check.delay_seconds, check.interval_seconds, check.timeout_seconds, check.grace_period_seconds];
  return prefixed("Task uses invalid health check", problem ?? timesProblem(times));
}

/** Old clients leave the type out. */
export function healthCheckType(check: HealthCheck): HealthCheck["type"] {
  if (check.type !== undefined) return check.type;
  if (check.http !== undefined) return "HTTP";
  return check.command === undefined ? undefined : "COMMAND";
}

function commandValueProblem(command: CommandInfo, what: string): string | undefined {
  if (command.value !== undefined && command.value !== "") return undefined;
  return (command.shell ?? true)
    ? `Shell command is not specified for ${what}`
    : `Executable path is not specified for ${what}`;
}

function pathProblem(path: string | undefined, what: string): string | undefined {
  return path === undefined || path.startsWith("/") ? undefined : `The path '${path}' of ${what} must start with '/'`;
}

function timesProblem(seconds: readonly (number | undefined)[]): string | undefined {
  return seconds.every((one) => one === undefined || one >= 0) ? undefined : "Expecting times to be non-negative";
}

function prefixed(prefix: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${prefix}: ${problem}`;
}

function taskResourcesProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  const resources = task.resources ?? [];
  const problem = resourcesProblem(resources);
  if (problem !== undefined) return `Task uses invalid resources: ${problem}`;
  // Zero amounts are dropped, not refused: clients send gpus:0.
  const normal = normalizeResources(resources);
  if (resources.length === 0) return "Task uses no resources";
  const otherRole = resources.find((one) => (one.allocation_info?.role ?? context.role) !== context.role);
  if (otherRole !== undefined) {
    return `Task uses resources allocated to role '${otherRole.allocation_info?.role}' while the offer is for '${context.role}'`;
  }
  const foreign = normal.find((one) => {
    const reserved = reservationRole(one);
    return reserved !== "*" && reserved !== context.role && !context.role.startsWith(`${reserved}/`);
  });
  if (foreign !== undefined) return `Task uses resources reserved for role '${reservationRole(foreign)}'`;
  const revocable = new Set(normal.filter((one) => one.revocable !== undefined).map((one) => one.name));
  const mixed = normal.find((one) => one.revocable === undefined && revocable.has(one.name));
  if (mixed !== undefined) return `Task uses both revocable and non-revocable '${mixed.name}'`;
  return containsResources(context.offered, normal)
    ? undefined
    : `Task uses more resources ${formatResources(normal)} than available ${formatResources(context.offered)}`;
}

function commandProblem(task: TaskInfo): string | undefined {
  if ((task.command === undefined) === (task.executor === undefined)) {
    return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present";
  }
  if (task.executor !== undefined) {
    // Margay's agents have no executor API yet; a task that could never start is refused here, where it can be explained.
    return "Task uses an executor, which the agents of this cluster do not run: use CommandInfo";
  }
  for (const variable of task.command?.environment?.variables ?? []) {
    const problem = variableProblem(variable);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function variableProblem(
  variable: NonNullable<NonNullable<CommandInfo["environment"]>["variables"]>[number],
): string | undefined {
  switch (variable.type ?? "VALUE") {
    case "VALUE":
      if (variable.value === undefined)
        return `Environment variable '${variable.name}' of type 'VALUE' must have a value set`;
      return variable.secret === undefined
        ? undefined
        : `Environment variable '${variable.name}' of type 'VALUE' must not have a secret set`;
    case "SECRET":
      if (variable.secret === undefined)
        return `Environment variable '${variable.name}' of type 'SECRET' must have a secret set`;
      return variable.value === undefined
        ? undefined
        : `Environment variable '${variable.name}' of type 'SECRET' must not have a value set`;
    default:
      return "Environment variable of type 'UNKNOWN' is not allowed";
  }
}

function containerProblem(container: ContainerInfo | undefined): string | undefined {
  if (container === undefined) return undefined;
  for (const volume of container.volumes ?? []) {
    const sources = [volume.host_path, volume.image, volume.source].filter((one) => one !== undefined);
    if (sources.length > 1) return "Only one of 'host_path', 'image' or 'source' of a volume can be set";
  }
  if (container.type !== "DOCKER") return undefined;
  if (container.docker === undefined) return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo";
  if ((container.docker.parameters ?? []).some((parameter) => parameter.key === "name")) {
    return "Parameter in DockerInfo must not be 'name'";
  }
  return undefined;
}

function limitsProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  const limits = Object.entries(task.limits ?? {});
  if (limits.length === 0) return undefined;
  if (!context.agentCapabilities.includes("TASK_RESOURCE_LIMITS")) {
    return "Task has resource limits, but the agent does not support TASK_RESOURCE_LIMITS";
  }
  const requested = addResources([], task.resources ?? []);
  for (const [name, { value }] of limits) {
    if (name !== "cpus" && name !== "mem")
      return `Task has invalid resource limits: only cpus and mem have limits, not ${name}`;
    if (!(value >= scalarOf(requested, name))) return `Task's limit for '${name}' (${value}) is below its request`;
  }
  return undefined;
}
