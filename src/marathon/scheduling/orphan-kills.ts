/**
 * Kills tasks of ours that no record knows: what comes back after it was given up, or was never recorded. Each kill is sent
 * again until the task is reported as ended, for a kill may be lost with its host or connection.
 */

import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { SchedulerConnection } from "../scheduler/scheduler-connection.ts";

interface Orphan {
  readonly agentId: string | undefined;
  readonly sentMs: number;
}

export class OrphanKills {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #connection: SchedulerConnection;
  readonly #retryMs: number;
  readonly #orphans = new Map<string, Orphan>();

  constructor(options: { clock: Clock; log: Log; connection: SchedulerConnection; retryMs: number }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#connection = options.connection;
    this.#retryMs = options.retryMs;
  }

  get count(): number {
    return this.#orphans.size;
  }

  async kill(taskId: string, agentId: string | undefined): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const known = this.#orphans.get(taskId);
    if (known !== undefined && nowMs < known.sentMs + this.#retryMs) return;
    this.#orphans.set(taskId, { agentId, sentMs: nowMs });
    this.#log.warn({ event: "orphan_killed", task: taskId, agent: agentId });
    try {
      await this.#connection.call({
        type: "KILL",
        kill: { task_id: { value: taskId }, ...(agentId === undefined ? {} : { agent_id: { value: agentId } }) },
      });
    } catch (error) {
      this.#log.warn({ event: "orphan_kill_unsent", task: taskId, error: describeError(error) });
    }
  }

  ended(taskId: string): void {
    this.#orphans.delete(taskId);
  }

  /** Sends what is due again; answers when to come back. */
  async retry(): Promise<number | undefined> {
    const nowMs = this.#clock.nowMs();
    let nextMs: number | undefined;
    for (const [taskId, { agentId, sentMs }] of [...this.#orphans]) {
      if (nowMs >= sentMs + this.#retryMs && this.#connection.connected) await this.kill(taskId, agentId);
      const dueMs = (this.#orphans.get(taskId)?.sentMs ?? nowMs) + this.#retryMs;
      nextMs = Math.min(nextMs ?? dueMs, dueMs);
    }
    return nextMs;
  }
}
