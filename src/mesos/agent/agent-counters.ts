/** What /metrics/snapshot counts since the agent's start. */

import type { TaskState } from "../protocol/task-status.ts";

export class AgentCounters {
  readonly #ended = new Map<TaskState, number>();

  get total(): number {
    return [...this.#ended.values()].reduce((sum, count) => sum + count, 0);
  }

  ended(state: TaskState): void {
    this.#ended.set(state, this.count(state) + 1);
  }

  count(state: TaskState): number {
    return this.#ended.get(state) ?? 0;
  }
}
