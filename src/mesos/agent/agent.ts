/**
 * agent/ runs the tasks a master hands to one host.
 * - What the agent accepted is on disk before anything happens; killed at any instruction, it goes on where it was.
 * - A restart never touches a running container; a master that is away never ends a task.
 * - Every end is told exactly once and kept until it is acknowledged.
 * Absent on purpose: offers, allocation, custom executors, the Mesos containerizer.
 */

import type { Clock } from "../../base/clock.ts";
import { BadInput, describeError, OperationError, unreachable } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { TaskScope } from "../../base/task-scope.ts";
import type { Containerizer } from "../containerizer/containerizer.ts";
import { fetchUris } from "../containerizer/fetcher.ts";
import type { AgentInfo } from "../protocol/agent-info.ts";
import type { AgentEvent, AgentSubscribe, AgentTask, StatusUpdate } from "../protocol/agent-link.ts";
import { type FrameworkInfo, hasCapability } from "../protocol/framework-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { AgentCounters } from "./agent-counters.ts";
import { Checkpoint, type KillRequest } from "./checkpoint.ts";
import { ContainerSweep } from "./container-sweep.ts";
import { MasterLink } from "./master-link.ts";
import { SandboxGc } from "./sandbox-gc.ts";
import { TaskUpdates, type UpdateRecord } from "./status-updates.ts";
import { keyOf, StrayUpdates } from "./stray-updates.ts";
import { TaskRun } from "./task-run.ts";
import { parsePathPart, type RunIds, WorkDirectory } from "./work-directory.ts";

/** Kept in memory for /state, as Mesos does per framework. */
const completedMax = 150;
const idleFrameworksMax = 50;

export interface AgentOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly masters: readonly string[];
  /** Without id: that is the agent's own matter. */
  readonly info: Omit<AgentInfo, "id">;
  readonly ip: string;
  readonly version: string;
  readonly workDirectory: string;
  readonly containerizer: Containerizer;
  readonly removeDelayMs: number;
  readonly killOrphans: boolean;
  readonly graceDefaultMs: number;
  readonly gcDelayMs: number;
  readonly registrationBackoffMs: number;
  readonly frameworksHome: string | undefined;
  /** `equal` (default): a changed agent needs a new id. `additive`, `any`: see reconfiguration.ts. */
  readonly acceptChanged: (before: AgentInfo, now: Omit<AgentInfo, "id">) => string | undefined;
}

export class Agent {
  readonly options: AgentOptions;
  readonly directory: WorkDirectory;
  readonly counters = new AgentCounters();
  readonly startedAtMs: number;
  readonly #checkpoint: Checkpoint;
  readonly #link: MasterLink;
  readonly #strays: StrayUpdates;
  readonly #sweep: ContainerSweep;
  readonly #gc: SandboxGc;
  readonly #runs = new Map<string, TaskRun>();
  readonly #frameworks = new Map<string, FrameworkInfo>();
  readonly #completed: TaskRun[] = [];
  readonly #scope: TaskScope;
  #agentId: string | undefined;
  #registered = false;
  #recovering = true;

  constructor(options: AgentOptions, signal: AbortSignal) {
    this.options = options;
    const { clock, log } = options;
    this.startedAtMs = clock.nowMs();
    this.directory = new WorkDirectory(options.workDirectory);
    this.#checkpoint = new Checkpoint(this.directory, log);
    this.#scope = new TaskScope("agent", signal);
    this.#strays = new StrayUpdates({ clock, log, send: (update) => this.#send(update) });
    this.#link = new MasterLink({
      clock,
      log,
      masters: options.masters,
      backoffMinMs: options.registrationBackoffMs,
      subscribe: () => this.#subscribe(),
      onEvent: (event) => this.#onEvent(event),
      onDisconnected: () => {
        this.#registered = false;
      },
    });
    this.#sweep = new ContainerSweep({
      clock,
      log,
      containerizer: options.containerizer,
      removeDelayMs: options.removeDelayMs,
      killOrphans: options.killOrphans,
      agentIds: () => this.#checkpoint.agentIds(),
      isLive: (containerId) =>
        [...this.#runs.values()].some((run) => run.ids.containerId === containerId && !run.finished),
    });
    this.#gc = new SandboxGc({ clock, log, directory: this.directory, delayMs: options.gcDelayMs });
  }

  get agentId(): string | undefined {
    return this.#agentId;
  }

  get registered(): boolean {
    return this.#registered;
  }

  get recovering(): boolean {
    return this.#recovering;
  }

  /** Origin of the master in charge, while connected. */
  get master(): string | undefined {
    return this.#link.master;
  }

  get runs(): readonly TaskRun[] {
    return [...this.#runs.values()];
  }

  get completedRuns(): readonly TaskRun[] {
    return this.#completed;
  }

  get frameworks(): ReadonlyMap<string, FrameworkInfo> {
    return this.#frameworks;
  }

  get info(): AgentInfo {
    return { ...this.options.info, ...(this.#agentId === undefined ? {} : { id: { value: this.#agentId } }) };
  }

  /** Recovers, then serves the master until the signal. Containers live on afterwards. */
  async run(): Promise<void> {
    await using scope = this.#scope;
    await this.#recover();
    this.#recovering = false;
    scope.run("containers", (signal) => this.#sweep.run(signal));
    scope.run("sandboxes", (signal) => this.#gc.run(signal));
    scope.run("master", (signal) => this.#link.run(signal));
    try {
      await scope.finished;
    } finally {
      for (const run of this.#runs.values()) run.updates.close();
      this.#strays.close();
    }
  }

  async #recover(): Promise<void> {
    const { log } = this.options;
    const info = await this.#checkpoint.loadAgent();
    if (info?.id === undefined) return;
    const problem = this.options.acceptChanged(info, this.options.info);
    if (problem !== undefined) {
      throw new OperationError("AGENT_CHANGED", `${problem}, but this agent was registered differently before`, {
        remedy: `stop its tasks and remove ${this.directory.latestAgent} to register as a new agent, or give --reconfiguration_policy=any`,
      });
    }
    this.#agentId = info.id.value;
    for (const saved of await this.#checkpoint.loadRuns(this.#agentId)) {
      const frameworkId = saved.ids.frameworkId;
      this.#frameworks.set(frameworkId, saved.framework);
      const run = this.#openRun(saved.ids, saved.task, saved.updates, saved.kill);
      log.info({ event: "task-recovered", task: saved.task.task_id.value, state: run.updates.state });
      this.#start(run);
    }
    this.#forgetIdleFrameworks();
  }

  #subscribe(): AgentSubscribe {
    // Tasks of a framework that was shut down are nobody's any more.
    const told = [...this.#runs.values()].filter((run) => !run.updates.done);
    const tasks = told.map(
      (run): AgentTask => ({
        framework_id: { value: run.ids.frameworkId },
        task: run.task,
        state: run.updates.state,
        ...(run.updates.latestSent === undefined ? {} : { latest_status: run.updates.latestSent }),
      }),
    );
    return {
      agent_info: this.info,
      ip: this.options.ip,
      version: this.options.version,
      capabilities: ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "TASK_RESOURCE_LIMITS"],
      tasks,
      frameworks: [...this.#frameworks.values()].filter((framework) =>
        told.some((run) => run.ids.frameworkId === framework.id?.value),
      ),
    };
  }

  async #onEvent(event: AgentEvent): Promise<void> {
    switch (event.type) {
      case "SUBSCRIBED":
        return await this.#onSubscribed(event.subscribed.agent_id.value);
      case "RUN_TASK":
        return await this.#onRunTask(event.run_task.framework, event.run_task.task);
      case "KILL_TASK": {
        const { framework_id, task_id, kill_policy } = event.kill_task;
        const run = this.#runs.get(keyOf(framework_id.value, task_id.value));
        if (run !== undefined) return await run.kill("framework", kill_policy);
        const framework = this.#frameworks.get(framework_id.value);
        const partitionAware = framework !== undefined && hasCapability(framework, "PARTITION_AWARE");
        const task = { frameworkId: framework_id.value, taskId: task_id.value, partitionAware };
        const content = { reason: "REASON_EXECUTOR_TERMINATED", message: "Cannot find executor" } as const;
        return await this.#strays.reportUnknown(task, this.#agentId ?? "", content);
      }
      case "ACKNOWLEDGE": {
        const { framework_id, task_id, uuid } = event.acknowledge;
        const run = this.#runs.get(keyOf(framework_id.value, task_id.value));
        if (run !== undefined) return await run.updates.acknowledge(uuid);
        return await this.#strays.acknowledge(framework_id.value, task_id.value, uuid);
      }
      case "RECONCILE":
        return await this.#onReconcile(event.reconcile.tasks);
      case "SHUTDOWN_FRAMEWORK":
        return await this.#discard((run) => run.ids.frameworkId === event.shutdown_framework.framework_id.value);
      case "SHUTDOWN_EXECUTOR": {
        const { framework_id, executor_id } = event.shutdown_executor;
        for (const run of this.#runs.values()) {
          if (run.ids.frameworkId !== framework_id.value || run.ids.executorId !== executor_id.value) continue;
          await run.kill("shutdown");
        }
        return;
      }
      case "UPDATE_FRAMEWORK": {
        const { framework } = event.update_framework;
        if (framework.id === undefined || !this.#frameworks.has(framework.id.value)) return;
        this.#frameworks.set(framework.id.value, framework);
        // Its scheduler is back: what was forwarded while it was away reached nobody.
        for (const run of this.#runs.values()) if (run.ids.frameworkId === framework.id.value) run.updates.resend();
        return await this.#checkpoint.saveFramework(this.#agentId ?? "", { ...framework, id: framework.id });
      }
      case "SHUTDOWN":
        return await this.#onShutdown(event.shutdown.message);
      case "MESSAGE": // Docker tasks have no executor that could take it
      case "PING":
      case "ERROR":
        return;
      default:
        return unreachable(event);
    }
  }

  async #onSubscribed(agentId: string): Promise<void> {
    const { log } = this.options;
    parsePathPart(agentId, "agent_id");
    if (this.#agentId !== undefined && this.#agentId !== agentId) {
      log.warn({ event: "agent-id-changed", before: this.#agentId, now: agentId });
      await this.#discard(() => true);
    }
    this.#agentId = agentId;
    await this.#checkpoint.saveAgent({ ...this.options.info, id: { value: agentId } });
    this.#registered = true;
    log.info({ event: "registered", agentId, master: this.#link.master, tasks: this.#runs.size });
    for (const run of this.#runs.values()) run.updates.resend();
    this.#strays.resend();
    this.#sweep.poke();
  }

  async #onRunTask(framework: FrameworkInfo, task: TaskInfo): Promise<void> {
    const { log, clock } = this.options;
    const agentId = this.#agentId;
    const frameworkId = framework.id?.value;
    if (agentId === undefined || frameworkId === undefined) return;
    const taskId = task.task_id.value;
    if (this.#runs.has(keyOf(frameworkId, taskId))) return;
    const partitionAware = hasCapability(framework, "PARTITION_AWARE");
    const stray = { frameworkId, taskId, partitionAware };
    try {
      parsePathPart(frameworkId, "framework.id");
      parsePathPart(taskId, "task.task_id");
      if (task.agent_id.value !== agentId) throw new BadInput("task.agent_id", "is another agent", agentId);
      const executor = { agentId, frameworkId, executorId: taskId };
      if (await this.#checkpoint.hasRun(executor)) {
        log.info({ event: "task-known", task: taskId });
        return;
      }
      const ids: RunIds = { ...executor, containerId: clock.uuid() };
      this.#frameworks.set(frameworkId, framework);
      await this.#checkpoint.saveFramework(agentId, { ...framework, id: { value: frameworkId } });
      await this.#checkpoint.saveRun(ids, task);
      log.info({ event: "task-accepted", task: taskId, framework: frameworkId, container: ids.containerId });
      this.#start(this.#openRun(ids, task, [], undefined));
    } catch (cause) {
      const reason = cause instanceof BadInput ? "REASON_TASK_INVALID" : "REASON_GC_ERROR";
      log.error({ event: "task-not-accepted", task: taskId, error: describeError(cause) });
      await this.#strays.reportUnknown(stray, agentId, { reason, message: describeError(cause) });
    }
  }

  async #onReconcile(
    tasks: readonly { framework_id: { value: string }; task_id: { value: string }; partition_aware: boolean }[],
  ): Promise<void> {
    for (const { framework_id, task_id, partition_aware: partitionAware } of tasks) {
      if (this.#runs.has(keyOf(framework_id.value, task_id.value))) continue;
      const task = { frameworkId: framework_id.value, taskId: task_id.value, partitionAware };
      await this.#strays.reportUnknown(task, this.#agentId ?? "", {
        reason: "REASON_RECONCILIATION",
        message: "Reconciliation: task unknown to the agent",
      });
    }
  }

  /** Ends tasks nobody waits for: their updates go nowhere. */
  async #discard(concerns: (run: TaskRun) => boolean): Promise<void> {
    for (const run of [...this.#runs.values()].filter(concerns)) {
      this.#strays.forget(run.ids.frameworkId);
      run.updates.close();
      await run.kill("shutdown");
      await this.#settle(run);
    }
  }

  async #onShutdown(message: string): Promise<void> {
    this.options.log.warn({ event: "agent-shut-down", message });
    await this.#discard(() => true);
    await this.#checkpoint.forgetAgent();
    this.#agentId = undefined;
    this.#registered = false;
    throw new OperationError("AGENT_SHUT_DOWN", `the master asked this agent to leave: ${message}`, {
      retry: "backoff",
    });
  }

  #openRun(ids: RunIds, task: TaskInfo, records: readonly UpdateRecord[], kill: KillRequest | undefined): TaskRun {
    const { clock, log, containerizer, ip, graceDefaultMs, frameworksHome } = this.options;
    const journal = this.#checkpoint.openUpdates(ids, task.task_id.value);
    const updates = new TaskUpdates({
      frameworkId: ids.frameworkId,
      clock,
      log,
      journal,
      records,
      send: (update) => this.#send(update),
      onDone: () => {
        this.#scope.run("settle", () => this.#settle(run));
      },
    });
    const run: TaskRun = new TaskRun({
      ids,
      task,
      updates,
      containerizer,
      clock,
      log,
      agentIp: ip,
      graceDefaultMs,
      kill,
      framework: () => this.#frameworks.get(ids.frameworkId) ?? { user: "", name: "" },
      sandboxDirectory: this.directory.sandbox(ids),
      runDirectory: this.directory.run(ids),
      prepare: (launch, signal) => fetchUris({ launch, frameworksHome, clock, log }, signal),
      saveKill: (request) => this.#checkpoint.saveKill(ids, request),
    });
    this.#runs.set(keyOf(ids.frameworkId, task.task_id.value), run);
    return run;
  }

  #start(run: TaskRun): void {
    this.#scope.run(`task ${run.task.task_id.value}`, async (signal) => {
      await run.run(signal);
      this.counters.ended(run.updates.state);
      this.#sweep.poke();
      await this.#settle(run);
    });
  }

  /** When a run has ended and all was told: forget it, but remember that it was here. */
  async #settle(run: TaskRun): Promise<void> {
    const key = keyOf(run.ids.frameworkId, run.task.task_id.value);
    if (!run.finished || !run.updates.done || this.#runs.get(key) !== run) return;
    await this.#checkpoint.complete(run.ids);
    run.updates.close();
    this.#runs.delete(key);
    this.#completed.push(run);
    if (this.#completed.length > completedMax) this.#completed.shift();
    this.#forgetIdleFrameworks();
  }

  /** Frameworks without tasks are kept for /state, the oldest go first. */
  #forgetIdleFrameworks(): void {
    const used = new Set([...this.#runs.values()].map((run) => run.ids.frameworkId));
    const idle = [...this.#frameworks.keys()].filter((frameworkId) => !used.has(frameworkId));
    for (const frameworkId of idle.slice(0, Math.max(0, idle.length - idleFrameworksMax))) {
      this.#frameworks.delete(frameworkId);
    }
  }

  #send(update: StatusUpdate): void {
    const agentId = this.#agentId;
    if (agentId === undefined || !this.#registered) return;
    // A failure is no matter: the update goes out again by its own timer or after the next registration.
    void this.#link.send({ type: "STATUS_UPDATE", agent_id: { value: agentId }, status_update: update });
  }
}
