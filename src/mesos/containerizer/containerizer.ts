/**
 * containerizer/ brings one task's container to life and watches it, whatever makes the containers.
 * - Every call is safe to repeat: after a crash the same launch continues where the last one stopped, and never starts a
 *   second container for the same container id.
 * - "Not there" and "could not ask" are different answers: while the engine cannot be reached, calls wait (with a log line
 *   that says so) until the signal ends them; they never report a task's end.
 * Absent on purpose: status updates, agents, masters, schedules.
 */

import type { IPAddress } from "../protocol/container-info.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import type { StatusReason } from "../protocol/task-status.ts";

/** What is kept of a task on disk before anything is asked of an engine. */
export interface ContainerLaunch {
  readonly containerId: string;
  readonly agentId: string;
  readonly framework: FrameworkInfo;
  readonly frameworkId: string;
  readonly task: TaskInfo;
  readonly sandboxDirectory: string;
  /** Directory of the agent's own notes on this run. */
  readonly runDirectory: string;
}

export interface ContainerReport {
  readonly phase: "created" | "running" | "exited";
  /** What inspection of the engine said, for TASK_RUNNING's data; a JSON array. */
  readonly inspection: string;
  /** Empty on the host's network. */
  readonly addresses: readonly IPAddress[];
  /** True when the container shares the host's network namespace. */
  readonly hostNetwork: boolean;
  readonly pid: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  readonly error: string;
}

/** Why a container did not come to life; shown to the user. */
export class LaunchFailed extends Error {
  override readonly name = "LaunchFailed";
  readonly reason: StatusReason | undefined;

  constructor(message: string, options: { reason?: StatusReason; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = options.reason;
  }
}

export interface CommandOutcome {
  readonly exitCode: number;
  readonly output: string;
}

export interface Containerizer {
  /** Resolves when the container's program has been started (it may have ended already). Throws LaunchFailed. */
  launch(launch: ContainerLaunch, signal: AbortSignal): Promise<ContainerReport>;
  /** Undefined: there is no such container. */
  observe(containerId: string, signal: AbortSignal): Promise<ContainerReport | undefined>;
  /** Resolves when the container runs no more; undefined when it is gone altogether. */
  ended(containerId: string, signal: AbortSignal): Promise<ContainerReport | undefined>;
  /** Copies the container's output to the sandbox until the container ended and all was copied. */
  copyOutput(launch: ContainerLaunch, signal: AbortSignal): Promise<void>;
  /** Returns when the container has stopped; graceMs is the time between SIGTERM and SIGKILL. */
  stop(containerId: string, graceMs: number, signal: AbortSignal): Promise<void>;
  /** Stops at once if need be, and removes. Gone already is done. */
  remove(containerId: string, signal: AbortSignal): Promise<void>;
  /** Runs inside the container; the signal gives the time. */
  run(containerId: string, argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome>;
  /** Every container of this agent, running or not, by container id. */
  listOwn(agentId: string, signal: AbortSignal): Promise<ReadonlyMap<string, { readonly running: boolean }>>;
}
