/**
 * What became of tasks, on its way: from agents to frameworks, acknowledgements back, and the master's own word
 * (reference: mesos-behaviour 1.2 to 1.5).
 *
 * - Updates of an agent are the agent's to repeat; the master forwards each one it gets and keeps only the newest.
 * - A terminal task leaves the active set when the framework acknowledges the update that said so.
 * - The master's own updates have no uuid and are sent once.
 */

import type { StatusUpdate } from "../protocol/agent-link.ts";
import { uuidFromBase64 } from "../protocol/base64.ts";
import type { Acknowledge, Kill, ReconcileTask } from "../protocol/scheduler-call.ts";
import { isTerminal, type StatusReason, type TaskState, type TaskStatus } from "../protocol/task-status.ts";
import { type Agent, type Framework, isPartitionAware, type TaskRecord } from "./cluster.ts";
import { type MasterContext, tellAgent, tellFramework } from "./master-context.ts";

export interface MasterWord {
  readonly taskId: string;
  readonly agentId?: string | undefined;
  readonly state: TaskState;
  readonly reason: StatusReason;
  readonly message: string;
  readonly unreachableSinceMs?: number | undefined;
  /** Status to take container, health and executor from. */
  readonly latest?: TaskStatus | undefined;
}

export class StatusUpdates {
  readonly #context: MasterContext;

  constructor(context: MasterContext) {
    this.#context = context;
  }

  /** The master's own word about a task. Counts it; returns what was sent. */
  say(framework: Framework, word: MasterWord): TaskStatus {
    const { latest } = word;
    const status: TaskStatus = {
      task_id: { value: word.taskId },
      state: word.state,
      message: word.message,
      source: "SOURCE_MASTER",
      reason: word.reason,
      agent_id: word.agentId === undefined ? undefined : { value: word.agentId },
      executor_id: latest?.executor_id,
      timestamp: this.#context.clock.nowMs() / 1_000,
      healthy: latest?.healthy,
      check_status: latest?.check_status,
      labels: latest?.labels,
      container_status: latest?.container_status,
      unreachable_time:
        word.unreachableSinceMs === undefined ? undefined : { nanoseconds: word.unreachableSinceMs * 1_000_000 },
    };
    if (word.reason !== "REASON_RECONCILIATION") this.#count(status);
    tellFramework(this.#context, framework, { type: "UPDATE", update: { status } });
    return status;
  }

  fromAgent(agent: Agent, update: StatusUpdate): void {
    const { cluster, counters, log, registry } = this.#context;
    counters.add("messages_status_update");
    const frameworkId = update.framework_id.value;
    const framework = cluster.frameworks.get(frameworkId);
    const { status } = update;
    if (framework === undefined || status.uuid === undefined || uuidFromBase64(status.uuid) === undefined) {
      counters.add("invalid_status_updates");
      log.warn({ event: "status_update_refused", frameworkId, taskId: status.task_id.value, agentId: agent.id });
      const removed =
        cluster.completedFrameworks.has(frameworkId) || registry.frameworks.get(frameworkId)?.state === "removed";
      // Nobody will ever acknowledge it.
      if (removed)
        tellAgent(agent, { type: "SHUTDOWN_FRAMEWORK", shutdown_framework: { framework_id: { value: frameworkId } } });
      return;
    }
    counters.add("valid_status_updates");
    const known = framework.tasks.get(status.task_id.value);
    const task = known?.agentId === agent.id ? known : undefined;
    const complete: TaskStatus = { ...status, agent_id: { value: agent.id } };
    if (task !== undefined) {
      const wasTerminal = isTerminal(task.state);
      cluster.setTaskState(task, update.latest_state ?? status.state);
      if (!wasTerminal && isTerminal(task.state)) this.#count({ ...complete, state: task.state });
      cluster.recordStatus(task, complete);
      task.forwarded = { state: status.state, uuid: status.uuid };
      if (isTerminal(task.state)) agent.kills.delete(task);
    }
    tellFramework(this.#context, framework, { type: "UPDATE", update: { status: complete } });
  }

  /** The uuid was checked at the door. */
  acknowledge(framework: Framework, acknowledge: Acknowledge): void {
    const { cluster, counters, log } = this.#context;
    const agent = cluster.agents.get(acknowledge.agent_id.value);
    const taskId = acknowledge.task_id.value;
    const known = framework.tasks.get(taskId);
    const task = known !== undefined && known.agentId === agent?.id ? known : undefined;
    if (agent?.stream === undefined || (task !== undefined && task.forwarded === undefined)) {
      counters.add("invalid_status_update_acknowledgements");
      log.warn({
        event: "acknowledgement_dropped",
        frameworkId: framework.id,
        taskId,
        agentId: acknowledge.agent_id.value,
      });
      return;
    }
    counters.add("valid_status_update_acknowledgements");
    if (task?.forwarded?.uuid === acknowledge.uuid && isTerminal(task.forwarded.state)) {
      cluster.setTaskState(task, task.forwarded.state);
      cluster.retireTask(task, "completed");
    }
    tellAgent(agent, {
      type: "ACKNOWLEDGE",
      acknowledge: { framework_id: { value: framework.id }, task_id: acknowledge.task_id, uuid: acknowledge.uuid },
    });
  }

  kill(framework: Framework, kill: Kill): void {
    const { cluster, log } = this.#context;
    const task = framework.tasks.get(kill.task_id.value);
    if (task === undefined) {
      this.reconcile(framework, [{ task_id: kill.task_id, agent_id: kill.agent_id }]);
      return;
    }
    if (kill.agent_id !== undefined && kill.agent_id.value !== task.agentId) {
      log.warn({ event: "kill_ignored", taskId: kill.task_id.value, because: "the task is on another agent" });
      return;
    }
    const agent = cluster.agents.get(task.agentId);
    if (agent !== undefined) this.order(agent, task, kill.kill_policy);
  }

  /** Tells the agent to kill a task, and again whenever it comes back with the task alive. */
  order(agent: Agent, task: TaskRecord, policy?: Kill["kill_policy"]): void {
    const event = {
      type: "KILL_TASK",
      kill_task: {
        framework_id: { value: task.frameworkId },
        task_id: task.info.task_id,
        ...(policy === undefined ? {} : { kill_policy: policy }),
      },
    } as const;
    if (!isTerminal(task.state)) agent.kills.set(task, event);
    tellAgent(agent, event);
  }

  /** No tasks: every task held for the framework. */
  reconcile(framework: Framework, tasks: readonly ReconcileTask[] | undefined): void {
    if (tasks === undefined || tasks.length === 0) {
      for (const task of framework.tasks.values()) this.#sayLatest(framework, task);
      return;
    }
    for (const { task_id, agent_id } of tasks) {
      const task = framework.tasks.get(task_id.value);
      if (task !== undefined) this.#sayLatest(framework, task);
      else this.#sayUnknown(framework, task_id.value, agent_id?.value);
    }
  }

  #sayLatest(framework: Framework, task: TaskRecord): void {
    this.say(framework, {
      taskId: task.info.task_id.value,
      agentId: task.agentId,
      state: task.forwarded?.state ?? task.state,
      reason: "REASON_RECONCILIATION",
      message: "Reconciliation: Latest task state",
      latest: task.statuses.at(-1),
    });
  }

  /** The table of mesos-behaviour 1.5, in its order. */
  #sayUnknown(framework: Framework, taskId: string, agentId: string | undefined): void {
    const { cluster, registry } = this.#context;
    const aware = isPartitionAware(framework);
    const say = (state: TaskState, message: string, unreachableSinceMs?: number) => {
      this.say(framework, {
        taskId,
        agentId,
        state: aware ? state : "TASK_LOST",
        reason: "REASON_RECONCILIATION",
        message: `Reconciliation: ${message}`,
        unreachableSinceMs,
      });
    };
    const unreachable = framework.unreachableTasks.get(taskId);
    const record = agentId === undefined ? undefined : registry.agents.get(agentId);
    const isRecovered = ([id, known]: [string, { readonly state: string }]) =>
      known.state === "admitted" && !cluster.agents.has(id);
    if (agentId === undefined && unreachable === undefined) {
      if ([...registry.agents].some(isRecovered)) return;
    } else if (agentId !== undefined && record !== undefined && isRecovered([agentId, record])) {
      return;
    }
    if (agentId !== undefined && cluster.agents.has(agentId)) {
      say("TASK_GONE", "Task is unknown to the agent");
    } else if (record?.state === "unreachable" || unreachable !== undefined) {
      const sinceMs = record?.sinceMs ?? registry.agents.get(unreachable?.agentId ?? "")?.sinceMs;
      say("TASK_UNREACHABLE", "Task is unreachable", sinceMs);
    } else if (record?.state === "gone") {
      say("TASK_GONE_BY_OPERATOR", "Task is gone");
    } else {
      say("TASK_UNKNOWN", "Task is unknown");
    }
  }

  #count(status: TaskStatus): void {
    const { counters } = this.#context;
    const state = status.state.toLowerCase();
    const source = (status.source ?? "SOURCE_EXECUTOR").toLowerCase();
    const reason = status.reason?.toLowerCase();
    if (isTerminal(status.state)) counters.add(state.replace(/^task_/, "tasks_"));
    counters.add(`${state}/${source}${reason === undefined ? "" : `/${reason}`}`);
  }
}
