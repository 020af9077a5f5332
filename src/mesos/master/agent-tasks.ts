/**
 * A returning agent's list of tasks and the master's own, compared: what only the agent has is adopted, what only the
 * master has is asked after (RECONCILE), what belongs to a removed framework is shut down, what was declared lost to a
 * framework that does not know partitions is killed, because that framework has replaced it, and what was unreachable
 * and did not come back is gone.
 */

import type { AgentSubscribe, AgentTask } from "../protocol/agent-link.ts";
import { isTerminal } from "../protocol/task-status.ts";
import { type Agent, type Framework, isPartitionAware, newTask, type TaskRecord } from "./cluster.ts";
import type { FrameworkLife } from "./framework-life.ts";
import { type MasterContext, tellAgent } from "./master-context.ts";
import type { StatusUpdates } from "./status-updates.ts";

/** How the master knew an agent when it subscribed; "away" is unreachable, or not known at all. */
export type AgentOrigin = "new" | "registered" | "recovered" | "away";

export class AgentTasks {
  readonly #context: MasterContext;
  readonly #frameworks: FrameworkLife;
  readonly #updates: StatusUpdates;

  constructor(context: MasterContext, frameworks: FrameworkLife, updates: StatusUpdates) {
    this.#context = context;
    this.#frameworks = frameworks;
    this.#updates = updates;
  }

  compare(agent: Agent, subscribe: AgentSubscribe, cameFrom: AgentOrigin): void {
    const infos = new Map((subscribe.frameworks ?? []).map((info) => [info.id?.value, info]));
    const listed = new Set<TaskRecord>();
    const shutDown = new Set<string>();
    for (const theirs of subscribe.tasks ?? []) {
      const frameworkId = theirs.framework_id.value;
      if (this.#frameworks.isRemoved(frameworkId)) {
        shutDown.add(frameworkId);
        continue;
      }
      const info = infos.get(frameworkId);
      const framework =
        this.#context.cluster.frameworks.get(frameworkId) ??
        (info === undefined ? undefined : this.#frameworks.recover(info));
      if (framework === undefined) {
        this.#context.log.error({ event: "task_of_unknown_framework", agentId: agent.id, frameworkId });
        continue;
      }
      const task = this.#adopt(agent, framework, theirs, cameFrom === "away");
      if (task !== undefined) listed.add(task);
    }
    for (const frameworkId of shutDown) this.#frameworks.shutdownOn(agent, frameworkId);
    this.#askAfter(
      agent,
      [...agent.tasks].filter((task) => !listed.has(task)),
    );
    if (cameFrom === "away") this.#concludeUnreachable(agent);
  }

  #adopt(agent: Agent, framework: Framework, theirs: AgentTask, wasAway: boolean): TaskRecord | undefined {
    const { cluster, log } = this.#context;
    const id = theirs.task.task_id.value;
    const known = framework.tasks.get(id);
    if (known?.agentId === agent.id) {
      cluster.setTaskState(known, theirs.state);
      if (isTerminal(known.state)) agent.kills.delete(known);
      return known;
    }
    if (known !== undefined) {
      // The id was given to another task meanwhile: this one must not run beside it.
      log.warn({ event: "task_twice", taskId: id, agents: [known.agentId, agent.id] });
      tellAgent(agent, {
        type: "KILL_TASK",
        kill_task: { framework_id: { value: framework.id }, task_id: { value: id } },
      });
      return undefined;
    }
    const wasDeclaredLost =
      (framework.unreachableTasks.get(id)?.state ?? framework.completedTasks.findLast(hasId(id))?.state) ===
      "TASK_LOST";
    const role = theirs.task.resources?.find((one) => one.allocation_info?.role !== undefined)?.allocation_info?.role;
    const task = newTask(
      theirs.task,
      { framework, agentId: agent.id, role: role ?? framework.info.role ?? "*" },
      theirs.state,
    );
    if (theirs.latest_status !== undefined) {
      cluster.recordStatus(task, theirs.latest_status);
      task.forwarded = { state: theirs.latest_status.state, uuid: theirs.latest_status.uuid };
    }
    cluster.addTask(task);
    if (isTerminal(task.state)) return task;
    if (wasDeclaredLost) {
      log.info({ event: "task_killed_on_return", taskId: id, agentId: agent.id });
      this.#updates.order(agent, task);
    } else if (wasAway) {
      this.#updates.say(framework, {
        taskId: id,
        agentId: agent.id,
        state: theirs.state,
        reason: "REASON_AGENT_REREGISTERED",
        message: "Unreachable agent re-reregistered",
        latest: theirs.latest_status,
      });
    }
    return task;
  }

  #askAfter(agent: Agent, tasks: readonly TaskRecord[]): void {
    if (tasks.length === 0) return;
    tellAgent(agent, {
      type: "RECONCILE",
      reconcile: {
        tasks: tasks.map((task) => {
          const framework = this.#context.cluster.frameworks.get(task.frameworkId);
          return {
            framework_id: { value: task.frameworkId },
            task_id: task.info.task_id,
            partition_aware: framework !== undefined && isPartitionAware(framework),
          };
        }),
      },
    });
  }

  /** What was unreachable there and did not come back with it is gone; whoever was told LOST knows enough. */
  #concludeUnreachable(agent: Agent): void {
    for (const framework of this.#context.cluster.frameworks.values()) {
      for (const task of [...framework.unreachableTasks.values()].filter((one) => one.agentId === agent.id)) {
        const wasOpen = !isTerminal(task.state);
        this.#context.cluster.concludeUnreachable(framework, task);
        if (!wasOpen) continue;
        this.#updates.say(framework, {
          taskId: task.info.task_id.value,
          agentId: agent.id,
          state: "TASK_GONE",
          reason: "REASON_RECONCILIATION",
          message: "Reconciliation: Task is unknown to the agent",
        });
      }
    }
  }
}

function hasId(id: string): (task: TaskRecord) => boolean {
  return (task) => task.info.task_id.value === id;
}
