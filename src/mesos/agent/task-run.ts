/**
 * One task from acceptance to its end. `run` is the same for a new task and for one found after a restart: it looks at
 * what was told already and at what the containerizer sees, and goes on from there.
 * A task's end is told once, and only after its container runs no more.
 */

import { Backoff } from "../../base/backoff.ts";
import { type Clock, deadline } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { TaskScope } from "../../base/task-scope.ts";
import {
  type Containerizer,
  type ContainerLaunch,
  type ContainerReport,
  LaunchFailed,
} from "../containerizer/containerizer.ts";
import { checkHealth } from "../containerizer/health/health-checker.ts";
import { encodeBase64, uuidToBase64 } from "../protocol/base64.ts";
import { type FrameworkInfo, hasCapability } from "../protocol/framework-info.ts";
import type { KillPolicy, TaskInfo } from "../protocol/task-info.ts";
import type { TaskStatus } from "../protocol/task-status.ts";
import type { KillRequest } from "./checkpoint.ts";
import type { TaskUpdates } from "./status-updates.ts";
import { containerStatus, endStatus, refusalOf, type StatusContent } from "./task-statuses.ts";
import type { RunIds } from "./work-directory.ts";

/** How long the end of a task waits for the rest of its output. */
const outputWaitMs = 10_000;

export interface TaskRunOptions {
  readonly ids: RunIds;
  readonly task: TaskInfo;
  /** As known now: capabilities may change. */
  readonly framework: () => FrameworkInfo;
  readonly updates: TaskUpdates;
  readonly containerizer: Containerizer;
  readonly clock: Clock;
  readonly log: Log;
  readonly agentIp: string;
  readonly sandboxDirectory: string;
  readonly runDirectory: string;
  /** `--executor_shutdown_grace_period`. */
  readonly graceDefaultMs: number;
  /** Makes the sandbox ready: files that the command asks for. Safe to repeat. Throws LaunchFailed. */
  readonly prepare: (launch: ContainerLaunch, signal: AbortSignal) => Promise<void>;
  readonly saveKill: (kill: KillRequest) => Promise<void>;
  readonly kill?: KillRequest | undefined;
}

export class TaskRun {
  readonly ids: RunIds;
  readonly task: TaskInfo;
  readonly updates: TaskUpdates;
  readonly #options: TaskRunOptions;
  readonly #launching = new AbortController();
  #report: ContainerReport | undefined;
  #kill: KillRequest | undefined;
  #live: TaskScope | undefined;
  #stopping: AbortController | undefined;
  #checking: AbortController | undefined;
  #finished = false;
  #signal: AbortSignal = AbortSignal.abort();

  constructor(options: TaskRunOptions) {
    this.#options = options;
    this.ids = options.ids;
    this.task = options.task;
    this.updates = options.updates;
    this.#kill = options.kill;
    if (options.kill !== undefined) this.#launching.abort();
  }

  /** The container as last seen. */
  get report(): ContainerReport | undefined {
    return this.#report;
  }

  get framework(): FrameworkInfo {
    return this.#options.framework();
  }

  get sandboxDirectory(): string {
    return this.#options.sandboxDirectory;
  }

  /** Nothing runs any more for this task. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Resolves when the container has ended and the end is written down. Rejects only when stopped by the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    this.#signal = signal;
    if (!this.updates.terminal) {
      let end: StatusContent;
      try {
        end = await this.#untilEnd(signal);
      } catch (cause) {
        signal.throwIfAborted();
        log.error({ event: "task-run-failed", task: this.task.task_id.value, error: describeError(cause) });
        end = {
          state: "TASK_FAILED",
          source: "SOURCE_AGENT",
          reason: "REASON_EXECUTOR_TERMINATED",
          message: describeError(cause),
        };
        await this.#options.containerizer.remove(this.ids.containerId, signal);
      }
      await this.#tell({ ...this.#addresses(end), ...end });
      log.info({ event: "task-ended", task: this.task.task_id.value, state: end.state, message: end.message });
    } else {
      // Told before the restart: only make sure that it is true.
      await this.#options.containerizer.stop(this.ids.containerId, 0, signal);
    }
    this.#finished = true;
  }

  /** Asks for the end. Resolves when the wish is written down; a later wish replaces the grace of an earlier one. */
  async kill(cause: KillRequest["cause"], override?: KillPolicy): Promise<void> {
    if (this.updates.terminal || this.#finished) return;
    const graceMs = cause === "max-completion" ? 0 : this.#graceMs(override);
    this.#kill = { cause: this.#kill?.cause ?? cause, graceMs, atMs: this.#options.clock.nowMs() };
    await this.#options.saveKill(this.#kill);
    this.#launching.abort();
    if (this.#live !== undefined) await this.#stop(this.#live);
  }

  #graceMs(override: KillPolicy | undefined): number {
    const nanoseconds = override?.grace_period?.nanoseconds ?? this.task.kill_policy?.grace_period?.nanoseconds;
    return nanoseconds === undefined ? this.#options.graceDefaultMs : Math.max(0, nanoseconds / 1e6);
  }

  async #untilEnd(signal: AbortSignal): Promise<StatusContent> {
    const refusal = refusalOf(this.task);
    if (refusal !== undefined) return refusal;
    const launched = await this.#launch(signal);
    if ("state" in launched) return launched;
    this.#report = launched.report;
    if (this.#report !== undefined && this.#kill === undefined && !this.updates.has("TASK_RUNNING")) {
      await this.#tell({
        state: "TASK_RUNNING",
        source: "SOURCE_EXECUTOR",
        data: encodeBase64(this.#report.inspection),
        ...this.#addresses(),
      });
    }
    if (this.#report === undefined) return endStatus(this.task, undefined, this.#kill);
    const ended = await this.#watch(this.#report, signal);
    return endStatus(this.task, ended, this.#kill);
  }

  async #launch(signal: AbortSignal): Promise<StatusContent | { readonly report: ContainerReport | undefined }> {
    const { containerizer } = this.#options;
    if (this.updates.has("TASK_RUNNING") || this.updates.has("TASK_KILLING")) {
      return { report: await containerizer.observe(this.ids.containerId, signal) };
    }
    if (!this.updates.has("TASK_STARTING")) {
      await this.#tell({ state: "TASK_STARTING", source: "SOURCE_EXECUTOR", ...this.#addresses() });
    }
    const launch = this.#containerLaunch();
    const launching = AbortSignal.any([signal, this.#launching.signal]);
    try {
      launching.throwIfAborted();
      const present = await containerizer.observe(this.ids.containerId, launching);
      if (present === undefined) await this.#options.prepare(launch, launching);
      return { report: await containerizer.launch(launch, launching) };
    } catch (cause) {
      signal.throwIfAborted();
      if (this.#kill !== undefined && launching.aborted) {
        await containerizer.remove(this.ids.containerId, signal);
        return {
          state: "TASK_KILLED",
          source: "SOURCE_AGENT",
          reason: "REASON_TASK_KILLED_DURING_LAUNCH",
          message: "Container destroyed before it was started",
        };
      }
      if (!(cause instanceof LaunchFailed)) throw cause;
      const reason = cause.reason === undefined ? {} : { reason: cause.reason };
      const source = cause.reason === undefined ? "SOURCE_EXECUTOR" : "SOURCE_AGENT";
      return { state: "TASK_FAILED", source, ...reason, message: cause.message };
    }
  }

  /** Output, health, time limit and kills, until the container has ended. */
  async #watch(report: ContainerReport, signal: AbortSignal): Promise<ContainerReport | undefined> {
    const { containerizer, clock, log } = this.#options;
    const copying = containerizer.copyOutput(this.#containerLaunch(), signal).catch((cause: unknown) => {
      if (signal.aborted) return;
      log.error({ event: "container-output-lost", container: this.ids.containerId, error: describeError(cause) });
    });
    let ended: ContainerReport | undefined;
    {
      await using scope = new TaskScope(`task ${this.task.task_id.value}`, signal);
      this.#live = scope;
      try {
        if (this.#kill !== undefined) await this.#stop(scope);
        else this.#startChecks(scope, report);
        ended = await containerizer.ended(this.ids.containerId, signal);
      } finally {
        this.#live = undefined;
      }
    }
    await Promise.race([
      copying,
      clock.sleep(outputWaitMs, deadline(clock, outputWaitMs * 2, signal)).catch(() => undefined),
    ]);
    return ended;
  }

  #startChecks(scope: TaskScope, report: ContainerReport): void {
    const { clock, log, containerizer } = this.#options;
    const limit = this.task.max_completion_time?.nanoseconds;
    if (limit !== undefined) {
      this.#attend(scope, "time limit", async (signal) => {
        await clock.sleep(Math.max(0, report.startedAtMs + limit / 1e6 - clock.nowMs()), signal);
        await this.kill("max-completion");
      });
    }
    const check = this.task.health_check;
    if (check === undefined) return;
    const checking = new AbortController();
    this.#checking = checking;
    this.#attend(scope, "health check", async (signal) => {
      const both = AbortSignal.any([signal, checking.signal]);
      const target = { containerId: this.ids.containerId, report, containerizer };
      const onChange = async (event: { healthy: boolean; failures: number; detail: string; kill: boolean }) => {
        log.info({ event: "task-health", task: this.task.task_id.value, ...event });
        if (both.aborted) return;
        await this.#tell({
          state: "TASK_RUNNING",
          source: "SOURCE_EXECUTOR",
          reason: "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
          healthy: event.healthy,
          ...(event.healthy ? {} : { message: `Health check failed: ${event.detail}` }),
          ...this.#addresses(),
        });
        if (event.kill) await this.kill("health");
      };
      try {
        await checkHealth({ clock, log, check, target, healthyBefore: this.updates.latest?.healthy, onChange }, both);
      } catch (cause) {
        // Checks pause while the task is being killed.
        if (!checking.signal.aborted) throw cause;
      }
    });
  }

  async #stop(scope: TaskScope): Promise<void> {
    const kill = this.#kill;
    if (kill === undefined) return;
    this.#checking?.abort();
    const wanted = kill.cause !== "max-completion" && hasCapability(this.framework, "TASK_KILLING_STATE");
    if (wanted && !this.updates.has("TASK_KILLING") && this.updates.has("TASK_RUNNING")) {
      const unhealthy = kill.cause === "health" ? { healthy: false } : {};
      await this.#tell({ state: "TASK_KILLING", source: "SOURCE_EXECUTOR", ...unhealthy, ...this.#addresses() });
    }
    this.#stopping?.abort();
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#attend(scope, "stop", async (signal) => {
      const both = AbortSignal.any([signal, stopping.signal]);
      try {
        await this.#options.containerizer.stop(this.ids.containerId, kill.graceMs, both);
      } catch (cause) {
        // Replaced by a newer kill, which stops it in its own way.
        if (!stopping.signal.aborted) throw cause;
      }
    });
  }

  /** A failure of one (the disk is full) neither ends the others nor is the last word: it is tried again. */
  #attend(scope: TaskScope, name: string, work: (signal: AbortSignal) => Promise<void>): void {
    const { clock, log } = this.#options;
    const backoff = new Backoff({ clock, minMs: 1_000, maxMs: 30_000 });
    scope.run(name, async (signal) => {
      for (;;) {
        try {
          return await work(signal);
        } catch (cause) {
          signal.throwIfAborted();
          log.error({
            event: "task-run-trouble",
            work: name,
            task: this.task.task_id.value,
            error: describeError(cause),
          });
        }
        await backoff.wait(signal);
      }
    });
  }

  #containerLaunch(): ContainerLaunch {
    return {
      containerId: this.ids.containerId,
      agentId: this.ids.agentId,
      framework: this.framework,
      frameworkId: this.ids.frameworkId,
      task: this.task,
      sandboxDirectory: this.#options.sandboxDirectory,
      runDirectory: this.#options.runDirectory,
    };
  }

  #addresses(end?: StatusContent): Pick<StatusContent, "container_status"> {
    // What never started has no address to tell of.
    if (end !== undefined && this.#report === undefined) return {};
    return { container_status: containerStatus(this.task, this.ids.containerId, this.#options.agentIp, this.#report) };
  }

  async #tell(content: StatusContent): Promise<void> {
    const { clock, log } = this.#options;
    const healthy = content.healthy ?? this.updates.latest?.healthy;
    const status: TaskStatus = {
      task_id: this.task.task_id,
      agent_id: { value: this.ids.agentId },
      executor_id: { value: this.ids.executorId },
      timestamp: clock.nowMs() / 1_000,
      uuid: uuidToBase64(clock.uuid()),
      ...content,
      ...(healthy === undefined ? {} : { healthy }),
    };
    const backoff = new Backoff({ clock, minMs: 1_000, maxMs: 30_000 });
    for (;;) {
      try {
        return await this.updates.report(status);
      } catch (cause) {
        // What cannot be written down is not told, and nothing is decided by it: a full disk must not end a task.
        log.error({ event: "status-not-kept", task: this.task.task_id.value, error: describeError(cause) });
        await backoff.wait(this.#signal);
      }
    }
  }
}
