/**
 * From the resources and limits of a task to Docker's limits (reference/docker.md 6.2 rows 2 to 6). Pure.
 * mem is in MiB; shares are relative weights, so that a quota is only set when asked for.
 */

import type { Resource } from "../../protocol/resource-info.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import type { HostConfig } from "./create-body.ts";

const mebibyte = 1024 * 1024;
const memoryMinBytes = 32 * mebibyte;
const cpuPeriodUs = 100_000;

export type LimitFields = Pick<
  HostConfig,
  "CpuShares" | "CpuQuota" | "CpuPeriod" | "Memory" | "MemoryReservation" | "OomScoreAdj"
>;

export function containerResources(task: TaskInfo): readonly Resource[] {
  return [...(task.resources ?? []), ...(task.executor?.resources ?? [])];
}

export function scalarOf(resources: readonly Resource[], name: string): number | undefined {
  const found = resources.filter((one) => one.name === name && one.scalar !== undefined);
  if (found.length === 0) return undefined;
  return found.reduce((sum, one) => sum + (one.scalar?.value ?? 0), 0);
}

/** True when the port lies in one of the task's `ports` ranges. */
export function includesPort(resources: readonly Resource[], port: number): boolean {
  return resources.some(
    (one) =>
      one.name === "ports" && (one.ranges?.range ?? []).some((range) => range.begin <= port && port <= range.end),
  );
}

/** JSON has no infinity: Mesos writes the word. */
function limitOf(task: TaskInfo, name: string): number | undefined {
  const value: unknown = task.limits?.[name]?.value;
  if (value === undefined) return undefined;
  return Number(value);
}

export function dockerLimits(
  task: TaskInfo,
  host: { readonly memoryBytes: number; readonly cfsEnabled: boolean },
): LimitFields {
  const resources = containerResources(task);
  const fields: LimitFields = {};

  const cpus = scalarOf(resources, "cpus");
  if (cpus !== undefined) fields.CpuShares = Math.max(Math.trunc(1024 * cpus), 2);
  const cpuLimit = limitOf(task, "cpus") ?? (host.cfsEnabled ? cpus : undefined);
  if (cpuLimit !== undefined && Number.isFinite(cpuLimit)) {
    fields.CpuPeriod = cpuPeriodUs;
    fields.CpuQuota = Math.max(Math.trunc(cpuPeriodUs * cpuLimit), 1_000);
  }

  const requested = scalarOf(resources, "mem");
  const requestedBytes = requested === undefined ? undefined : Math.trunc(requested * mebibyte);
  const memoryLimit = limitOf(task, "mem");
  if (memoryLimit === undefined) {
    if (requestedBytes !== undefined) fields.Memory = Math.max(requestedBytes, memoryMinBytes);
    return fields;
  }
  if (requestedBytes !== undefined) fields.MemoryReservation = Math.max(requestedBytes, memoryMinBytes);
  if (Number.isFinite(memoryLimit)) fields.Memory = Math.max(Math.trunc(memoryLimit * mebibyte), memoryMinBytes);
  if (requested !== undefined && memoryLimit > requested && host.memoryBytes > 0) {
    fields.OomScoreAdj = 1000 - Math.trunc((1000 * requested * mebibyte) / host.memoryBytes);
  }
  return fields;
}
