/**
 * Takes in what becomes of tasks: a status changes its instance's record, and is acknowledged once that is stored
 * (reference: marathon-behaviour 1.1). Tasks nobody knows are killed: they are left over from an instance given up.
 */

import { describeError } from "../../base/errors.ts";
import type { TaskStatus } from "../../mesos/protocol/task-status.ts";
import { parseTaskId, timestamp } from "../app/app-id.ts";
import type { Engine } from "../engine.ts";
import { conditionOf, type Instance, isTerminalCondition, type NetworkAddress, shownState } from "../plan/instance.ts";
import { put, remove, type TaskFailure } from "../state/records.ts";
import type { OrphanKills } from "./orphan-kills.ts";

export class StatusUpdates {
  readonly #engine: Engine;
  readonly #orphans: OrphanKills;

  constructor(engine: Engine, orphans: OrphanKills) {
    this.#engine = engine;
    this.#orphans = orphans;
  }

  async handle(status: TaskStatus): Promise<void> {
    const { state, metrics, poke } = this.#engine;
    metrics.count(`mesos.task-updates.${status.state.toLowerCase().replaceAll("_", "-")}.counter`);
    await state.exclusive(async () => {
      const instance = state.instanceOfTask(status.task_id.value);
      if (instance === undefined) await this.#unknown(status);
      else await this.#known(instance, status);
    });
    await this.#acknowledge(status);
    poke();
  }

  async #acknowledge(status: TaskStatus): Promise<void> {
    const { uuid, agent_id, task_id } = status;
    if (uuid === undefined || agent_id === undefined) return;
    const { connection, log } = this.#engine;
    try {
      await connection.call({ type: "ACKNOWLEDGE", acknowledge: { agent_id, task_id, uuid } });
    } catch (error) {
      // It is stored; the agent says it again until it hears from us.
      log.warn({ event: "acknowledge_unsent", task: task_id.value, error: describeError(error) });
    }
  }

  async #unknown(status: TaskStatus): Promise<void> {
    const { bus } = this.#engine;
    const condition = conditionOf(status.state, status.reason);
    const taskId = status.task_id.value;
    const parts = parseTaskId(taskId);
    if (isTerminalCondition(condition)) {
      this.#orphans.ended(taskId);
      bus.publish("unknown_instance_terminated_event", {
        instanceId: parts?.instance ?? taskId,
        runSpecId: parts?.app ?? "/",
        condition,
      });
      return;
    }
    // Nothing can be killed where nobody can be reached; when it comes back it says so.
    if (condition !== "Unreachable") await this.#orphans.kill(taskId, status.agent_id?.value);
  }

  async #known(instance: Instance, status: TaskStatus): Promise<void> {
    const condition = conditionOf(status.state, status.reason);
    if (isTerminalCondition(condition)) return this.#ended(instance, status);
    const { clock, state, health } = this.#engine;
    const nowMs = clock.nowMs();
    // Reconciliation may be late: STAGING says nothing about a task that was seen running.
    const stale =
      status.state === "TASK_STAGING" && instance.condition !== "Provisioned" && instance.condition !== "Unreachable";
    if (stale) return;
    const addresses = addressesOf(status);
    const inactive = condition === "Unreachable" && instance.condition === "UnreachableInactive";
    const { unreachableSinceMs: _since, ...reachable } = instance;
    const next: Instance = {
      ...reachable,
      condition: inactive ? "UnreachableInactive" : condition,
      state: shownState(status.state, condition),
      networkAddresses: addresses.length > 0 ? addresses : instance.networkAddresses,
      ...(condition === "Running" ? { startedAtMs: instance.startedAtMs ?? nowMs } : {}),
      ...(condition === "Unreachable"
        ? { unreachableSinceMs: instance.unreachableSinceMs ?? unreachableTime(status, nowMs) }
        : {}),
    };
    const changed = JSON.stringify(next) !== JSON.stringify(instance);
    if (changed) await state.commit([put.instance(next)], () => state.setInstance(next));
    if (instance.state !== next.state || addresses.length !== instance.networkAddresses.length)
      this.#publishStatus(next, status);
    if (instance.condition !== next.condition) this.publishInstance(next);
    health.sync(state.instances);
    if (status.healthy !== undefined && condition === "Running") health.reported(next, status.healthy, status.message);
  }

  async #ended(instance: Instance, status: TaskStatus): Promise<void> {
    const { clock, state, health, delays } = this.#engine;
    const nowMs = clock.nowMs();
    const condition = conditionOf(status.state, status.reason);
    const app = state.apps.get(instance.appId);
    const ended: Instance = { ...instance, condition, state: shownState(status.state, condition) };
    const unexpected =
      instance.goal === "Running" || instance.killReason === "unhealthy" || instance.killReason === "launch-overdue";
    const failure = unexpected && app !== undefined ? failureOf(ended, status, nowMs) : undefined;
    const operations = [remove.instance(instance.id), ...(failure === undefined ? [] : [put.failure(failure)])];
    await state.commit(operations, () => {
      state.dropInstance(instance);
      if (failure !== undefined) state.failures.set(instance.appId, failure);
    });
    if (app !== undefined && unexpected && instance.killReason !== "killed-by-user" && !isStaleOffer(status)) {
      delays.failed(app, nowMs);
    }
    this.#publishStatus(ended, status);
    this.publishInstance(ended);
    if (status.healthy === false && instance.goal === "Running") {
      this.publishUnhealthyKill(instance, status.message ?? "killed by its agent after failed health checks");
    }
    health.sync(state.instances);
  }

  publishInstance(instance: Instance): void {
    this.#engine.bus.publish("instance_changed_event", {
      instanceId: instance.id,
      condition: instance.condition,
      runSpecId: instance.appId,
      agentId: instance.agentId,
      host: instance.hostname,
      runSpecVersion: instance.runSpecVersion,
    });
  }

  publishUnhealthyKill(instance: Instance, reason: string): void {
    this.#engine.bus.publish("unhealthy_instance_kill_event", {
      appId: instance.appId,
      taskId: instance.taskId,
      instanceId: instance.id,
      version: instance.runSpecVersion,
      reason,
      host: instance.hostname,
      slaveId: instance.agentId,
    });
  }

  #publishStatus(instance: Instance, status: TaskStatus): void {
    this.#engine.bus.publish("status_update_event", {
      slaveId: instance.agentId,
      taskId: instance.taskId,
      taskStatus: instance.state,
      message: status.message ?? "",
      appId: instance.appId,
      host: instance.hostname,
      ipAddresses: instance.networkAddresses,
      ports: instance.hostPorts,
      version: instance.runSpecVersion,
    });
  }
}

/** The launch raced with the offer's end: nobody's fault, so no back-off. */
function isStaleOffer(status: TaskStatus): boolean {
  return status.reason === "REASON_INVALID_OFFERS";
}

function unreachableTime(status: TaskStatus, nowMs: number): number {
  const nanoseconds = status.unreachable_time?.nanoseconds;
  return nanoseconds === undefined ? nowMs : Math.min(nowMs, Math.round(nanoseconds / 1e6));
}

function failureOf(instance: Instance, status: TaskStatus, nowMs: number): TaskFailure {
  return {
    appId: instance.appId,
    host: instance.hostname,
    message: status.message ?? "",
    state: instance.state,
    taskId: instance.taskId,
    timestamp: timestamp(nowMs),
    version: instance.runSpecVersion,
    slaveId: instance.agentId,
  };
}

/** All networks' addresses in order, the first one being the primary. */
function addressesOf(status: TaskStatus): readonly NetworkAddress[] {
  const infos = status.container_status?.network_infos ?? [];
  return infos.flatMap(({ ip_addresses }) =>
    (ip_addresses ?? []).flatMap(({ ip_address, protocol }): NetworkAddress[] =>
      ip_address === undefined || ip_address === ""
        ? []
        : [{ ipAddress: ip_address, protocol: protocol ?? (ip_address.includes(":") ? "IPv6" : "IPv4") }],
    ),
  );
}
