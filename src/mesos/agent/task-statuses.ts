/**
 * What is told of a task in each situation: state, message, reason, addresses (reference/docker.md 6.5,
 * mesos-behaviour.md 1.2, 6.5). Pure.
 */

import type { ContainerReport } from "../containerizer/containerizer.ts";
import type { ContainerStatus, NetworkInfo } from "../protocol/container-info.ts";
import type { Resource } from "../protocol/resource-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import type { TaskStatus } from "../protocol/task-status.ts";
import type { KillRequest } from "./checkpoint.ts";

/** Everything but ids and time, which the run adds. */
export type StatusContent = Omit<TaskStatus, "task_id" | "agent_id" | "executor_id" | "timestamp" | "uuid">;

/**
 * The requested NetworkInfo with the container's addresses in place of the requested ones. On the host's network, and when
 * there is none at all, it is the agent's address.
 */
export function containerStatus(
  task: TaskInfo,
  containerId: string,
  agentIp: string,
  report: ContainerReport | undefined,
): ContainerStatus {
  const id = { container_id: { value: containerId } };
  const agentNetwork: NetworkInfo = {
    ip_addresses: [{ protocol: agentIp.includes(":") ? "IPv6" : "IPv4", ip_address: agentIp }],
  };
  if (report === undefined) {
    // Before the container runs its address is not known; the agent's would be a lie on a network of its own.
    return ownNetwork(task) ? id : { ...id, network_infos: [agentNetwork] };
  }
  const pid = report.pid > 0 ? { executor_pid: report.pid } : {};
  if (report.hostNetwork) return { ...id, ...pid, network_infos: [agentNetwork] };
  const requested = task.container?.network_infos?.[0];
  if (report.addresses.length === 0 && requested === undefined) return { ...id, ...pid };
  const { ip_addresses: _requested, ...rest } = requested ?? {};
  return { ...id, ...pid, network_infos: [{ ...rest, ip_addresses: report.addresses }] };
}

function ownNetwork(task: TaskInfo): boolean {
  const docker = task.container?.docker;
  if (docker === undefined) return (task.container?.network_infos?.length ?? 0) > 0;
  const named = docker.parameters?.some((one) => /^(--)?net(work)?$/.test(one.key) && one.value !== "host") ?? false;
  return named || (docker.network ?? "HOST") !== "HOST";
}

/** What the end of a container means for its task. */
export function endStatus(
  task: TaskInfo,
  report: ContainerReport | undefined,
  kill: KillRequest | undefined,
): StatusContent {
  if (report === undefined) {
    const message = "Container is gone: it was removed by somebody else";
    if (kill !== undefined && kill.cause !== "max-completion") return killed(kill, message);
    return { state: "TASK_FAILED", source: "SOURCE_EXECUTOR", message };
  }
  const exited = `Container exited with status ${report.exitCode}`;
  if (kill?.cause === "max-completion") {
    return {
      state: "TASK_FAILED",
      source: "SOURCE_EXECUTOR",
      reason: "REASON_MAX_COMPLETION_TIME_REACHED",
      message: exited,
    };
  }
  if (kill !== undefined) return killed(kill, exited);
  if (report.outOfMemory) {
    const memory = (task.resources ?? []).filter((one) => one.name === "mem");
    return {
      state: "TASK_FAILED",
      source: "SOURCE_EXECUTOR",
      reason: "REASON_CONTAINER_LIMITATION_MEMORY",
      message: `${exited}: out of memory${limitText(memory)}`,
      limitation: { resources: memory },
    };
  }
  if (report.exitCode === 0) return { state: "TASK_FINISHED", source: "SOURCE_EXECUTOR", message: exited };
  const message = report.error === "" ? exited : `${exited}: ${report.error}`;
  return { state: "TASK_FAILED", source: "SOURCE_EXECUTOR", message };
}

function killed(kill: KillRequest, message: string): StatusContent {
  return {
    state: "TASK_KILLED",
    source: "SOURCE_EXECUTOR",
    message,
    ...(kill.cause === "health" ? { healthy: false } : {}),
  };
}

function limitText(memory: readonly Resource[]): string {
  const megabytes = memory.reduce((sum, one) => sum + (one.scalar?.value ?? 0), 0);
  return megabytes > 0 ? ` (limit ${Math.max(32, megabytes)} MB)` : "";
}

/** Why this agent cannot run the task at all. */
export function refusalOf(task: TaskInfo): StatusContent | undefined {
  if (task.executor !== undefined) {
    const message = "This agent runs no custom executors: give the task a command";
    return { state: "TASK_ERROR", source: "SOURCE_AGENT", reason: "REASON_TASK_INVALID", message };
  }
  if (task.container?.type === "DOCKER" && task.container.docker !== undefined) return undefined;
  return {
    state: "TASK_FAILED",
    source: "SOURCE_AGENT",
    reason: "REASON_EXECUTOR_TERMINATED",
    message: "Abnormal executor termination: unknown container: this agent runs containers of type DOCKER only",
  };
}
