/**
 * Reliable status updates of one task (reference/mesos-behaviour.md 1.3): written down first, sent one at a time, again
 * after 10 s, 20 s, 40 s ... at most 10 min until the framework acknowledged exactly that update, then the next.
 * Nothing follows a terminal update.
 */

import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { StatusUpdate } from "../protocol/agent-link.ts";
import { isTerminal, type TaskState, type TaskStatus } from "../protocol/task-status.ts";

const resendMinMs = 10_000;
const resendMaxMs = 600_000;
/** A task that is unhealthy for days is told of each failure: its journal is written anew after this many records. */
const journalRecordsMax = 1_000;

/** What is written per task, in order. */
export type UpdateRecord =
  | { readonly type: "UPDATE"; readonly status: TaskStatus }
  | { readonly type: "ACK"; readonly uuid: string };

export interface UpdateJournal {
  append(record: UpdateRecord): Promise<void>;
  /** All records at once, in place of what was written before. */
  replace(records: readonly UpdateRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface TaskUpdatesOptions {
  readonly frameworkId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: UpdateJournal;
  /** Hands an update to the master; failure is not told: it is sent again later. */
  readonly send: (update: StatusUpdate) => void;
  /** Records read back after a restart. */
  readonly records?: readonly UpdateRecord[];
  /** Called once, when the terminal update was acknowledged. */
  readonly onDone: () => void;
}

export class TaskUpdates {
  readonly #options: TaskUpdatesOptions;
  readonly #pending: TaskStatus[] = [];
  /** Newest status of each state, oldest first: what /state shows. */
  readonly #history: TaskStatus[] = [];
  #latest: TaskStatus | undefined;
  #latestSent: TaskStatus | undefined;
  #timer: Disposable | undefined;
  #resendMs = resendMinMs;
  #order: Promise<void> = Promise.resolve();
  #closed = false;
  #recorded = 0;

  constructor(options: TaskUpdatesOptions) {
    this.#options = options;
    this.#recorded = options.records?.length ?? 0;
    for (const record of options.records ?? []) {
      if (record.type === "UPDATE") this.#take(record.status);
      else this.#drop(record.uuid);
    }
  }

  get latest(): TaskStatus | undefined {
    return this.#latest;
  }

  get state(): TaskState {
    return this.#latest?.state ?? "TASK_STAGING";
  }

  /** Newest status that was sent at least once. */
  get latestSent(): TaskStatus | undefined {
    return this.#latestSent;
  }

  get history(): readonly TaskStatus[] {
    return this.#history;
  }

  get terminal(): boolean {
    return this.#latest !== undefined && isTerminal(this.#latest.state);
  }

  /** True when there is nothing left to be told. */
  get done(): boolean {
    return this.#closed || (this.terminal && this.#pending.length === 0);
  }

  has(state: TaskState): boolean {
    return this.#history.some((status) => status.state === state);
  }

  /** Resolves when the update cannot be lost any more. A status after a terminal one is dropped. */
  report(status: TaskStatus): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#closed || this.terminal) return;
      await this.#write({ type: "UPDATE", status });
      this.#take(status);
      if (this.#pending.length === 1) this.#sendHead();
    });
  }

  /** An acknowledgement of anything but the update under way is ignored. */
  acknowledge(uuid: string): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#pending[0]?.uuid !== uuid) return;
      await this.#write({ type: "ACK", uuid });
      this.#drop(uuid);
      this.#stopTimer();
      this.#resendMs = resendMinMs;
      if (this.#pending.length > 0) this.#sendHead();
      else if (this.terminal) this.#options.onDone();
    });
  }

  /** After a (re)registration: the update under way goes out at once. */
  resend(): void {
    this.#stopTimer();
    this.#resendMs = resendMinMs;
    if (this.#pending.length > 0 && !this.#closed) this.#sendHead();
  }

  /** Nobody will acknowledge any more (framework removed), or the agent stops. */
  close(): void {
    this.#closed = true;
    this.#stopTimer();
    void this.#inOrder(() => this.#options.journal.close());
  }

  async #write(record: UpdateRecord): Promise<void> {
    const { journal } = this.#options;
    if (this.#recorded >= journalRecordsMax) {
      // What was told already is kept per state; it reads back to the same state as the long form.
      const told = this.#history.filter((status) => !this.#pending.some((one) => one.uuid === status.uuid));
      const records: UpdateRecord[] = [];
      for (const status of told) records.push({ type: "UPDATE", status }, { type: "ACK", uuid: status.uuid ?? "" });
      for (const status of this.#pending) records.push({ type: "UPDATE", status });
      await journal.replace(records);
      this.#recorded = records.length;
    }
    await journal.append(record);
    this.#recorded += 1;
  }

  #take(status: TaskStatus): void {
    const last = this.#pending.at(-1);
    // Of health results that wait behind another update only the newest matters: a framework that is away must not make
    // the queue grow. Reading the records back makes the same choice.
    const replaces = this.#pending.length > 1 && last !== undefined && isHealthResult(last) && isHealthResult(status);
    if (replaces) this.#pending.pop();
    this.#pending.push(status);
    this.#latest = status;
    // `data` is large (an inspection) and only travels; the history keeps the rest.
    const { data: _data, ...kept } = status;
    if (this.#history.at(-1)?.state === status.state) this.#history.pop();
    this.#history.push(kept);
  }

  #drop(uuid: string): void {
    if (this.#pending[0]?.uuid !== uuid) return;
    this.#latestSent = this.#pending.shift();
  }

  #sendHead(): void {
    const status = this.#pending[0];
    if (status === undefined) return;
    this.#latestSent = status;
    this.#options.send({
      framework_id: { value: this.#options.frameworkId },
      status,
      ...(this.#latest === undefined ? {} : { latest_state: this.#latest.state }),
    });
    this.#timer = this.#options.clock.timer(this.#resendMs, () => {
      this.#resendMs = Math.min(this.#resendMs * 2, resendMaxMs);
      if (!this.#closed) this.#sendHead();
    });
  }

  #stopTimer(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#order.then(work);
    this.#order = done.catch((cause) => {
      this.#options.log.error({ event: "status-update-not-kept", error: describeError(cause) });
    });
    return done;
  }
}

function isHealthResult(status: TaskStatus): boolean {
  return status.state === "TASK_RUNNING" && status.reason === "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED";
}
