/**
 * Reliable updates for tasks this agent does not have: the master asked after one, or wants one killed. Kept in memory
 * only: after a restart the master asks again.
 */

import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { StatusUpdate } from "../protocol/agent-link.ts";
import { uuidToBase64 } from "../protocol/base64.ts";
import type { TaskStatus } from "../protocol/task-status.ts";
import { TaskUpdates } from "./status-updates.ts";

export interface StrayTask {
  readonly frameworkId: string;
  readonly taskId: string;
  readonly partitionAware: boolean;
}

const straysMax = 10_000;

export class StrayUpdates {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #send: (update: StatusUpdate) => void;
  readonly #strays = new Map<string, TaskUpdates>();

  constructor(options: { readonly clock: Clock; readonly log: Log; readonly send: (update: StatusUpdate) => void }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#send = options.send;
  }

  /** The task never was here, or is not any more. */
  async reportUnknown(
    task: StrayTask,
    agentId: string,
    content: Pick<TaskStatus, "message" | "reason">,
  ): Promise<void> {
    const key = keyOf(task.frameworkId, task.taskId);
    if (this.#strays.has(key) || this.#strays.size >= straysMax) return;
    const updates = new TaskUpdates({
      frameworkId: task.frameworkId,
      clock: this.#clock,
      log: this.#log,
      journal: { append: () => Promise.resolve(), replace: () => Promise.resolve(), close: () => Promise.resolve() },
      send: this.#send,
      onDone: () => this.#strays.delete(key),
    });
    this.#strays.set(key, updates);
    await updates.report({
      task_id: { value: task.taskId },
      agent_id: { value: agentId },
      state: task.partitionAware ? "TASK_DROPPED" : "TASK_LOST",
      source: "SOURCE_AGENT",
      timestamp: this.#clock.nowMs() / 1_000,
      uuid: uuidToBase64(this.#clock.uuid()),
      ...content,
    });
  }

  async acknowledge(frameworkId: string, taskId: string, uuid: string): Promise<void> {
    await this.#strays.get(keyOf(frameworkId, taskId))?.acknowledge(uuid);
  }

  resend(): void {
    for (const updates of this.#strays.values()) updates.resend();
  }

  forget(frameworkId: string): void {
    for (const [key, updates] of this.#strays) {
      if (!key.startsWith(`${frameworkId}/`)) continue;
      updates.close();
      this.#strays.delete(key);
    }
  }

  close(): void {
    for (const updates of this.#strays.values()) updates.close();
    this.#strays.clear();
  }
}

/** Ids hold no slash. */
export function keyOf(frameworkId: string, taskId: string): string {
  return `${frameworkId}/${taskId}`;
}
