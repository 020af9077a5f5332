/**
 * Asks the master what it knows of our tasks (reference: mesos-behaviour 1.5): explicitly for the instances on record, again
 * and again until each is answered, and implicitly for all, which shows tasks nobody knows. At each subscription and regularly.
 */

import type { Clock } from "../../base/clock.ts";
import type { Instance } from "../plan/instance.ts";
import type { SchedulerConnection } from "../scheduler/scheduler-connection.ts";

const chunkSize = 500;
const firstRetryMs = 5_000;
const retryMaxMs = 60_000;
/** A launch just sent may not be known to the master yet: its status is on its way. */
const freshLaunchMs = 30_000;

export class Reconciliation {
  readonly #clock: Clock;
  readonly #connection: SchedulerConnection;
  readonly #intervalMs: number;
  readonly #unanswered = new Set<string>();
  #retryMs = firstRetryMs;
  #nextMs = Number.POSITIVE_INFINITY;
  #everyMs = Number.POSITIVE_INFINITY;

  constructor(options: { clock: Clock; connection: SchedulerConnection; intervalMs: number }) {
    this.#clock = options.clock;
    this.#connection = options.connection;
    this.#intervalMs = options.intervalMs;
  }

  /** On subscription, or when a launch's fate is unknown: ask about everything. */
  async start(instances: Iterable<Instance>): Promise<void> {
    this.#retryMs = firstRetryMs;
    const all = [...instances];
    for (const { taskId } of all) this.#unanswered.add(taskId);
    this.#schedule();
    await this.#explicit(all);
    await this.#connection.call({ type: "RECONCILE", reconcile: { tasks: [] } });
  }

  answered(taskId: string): void {
    this.#unanswered.delete(taskId);
  }

  /** Sends what is due; answers when to come back. */
  async tick(instances: Iterable<Instance>): Promise<number> {
    const nowMs = this.#clock.nowMs();
    if (!this.#connection.connected) return Number.POSITIVE_INFINITY;
    if (nowMs >= this.#everyMs) {
      await this.start([...instances].filter((instance) => !isFresh(instance, nowMs)));
    } else if (nowMs >= this.#nextMs) {
      const all = [...instances];
      const known = new Set<string>(all.map(({ taskId }) => taskId));
      for (const taskId of this.#unanswered) if (!known.has(taskId)) this.#unanswered.delete(taskId);
      this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
      this.#schedule();
      await this.#explicit(all.filter(({ taskId }) => this.#unanswered.has(taskId)));
    }
    return Math.min(this.#everyMs, this.#unanswered.size === 0 ? Number.POSITIVE_INFINITY : this.#nextMs);
  }

  #schedule(): void {
    const nowMs = this.#clock.nowMs();
    this.#nextMs = nowMs + this.#retryMs;
    if (this.#retryMs === firstRetryMs) this.#everyMs = nowMs + this.#intervalMs;
  }

  async #explicit(instances: readonly Instance[]): Promise<void> {
    for (let start = 0; start < instances.length; start += chunkSize) {
      const tasks = instances.slice(start, start + chunkSize).map(({ taskId, agentId }) => ({
        task_id: { value: taskId },
        agent_id: { value: agentId },
      }));
      await this.#connection.call({ type: "RECONCILE", reconcile: { tasks } });
    }
  }
}

function isFresh(instance: Instance, nowMs: number): boolean {
  return instance.condition === "Provisioned" && nowMs - instance.stagedAtMs < freshLaunchMs;
}
