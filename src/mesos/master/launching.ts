/**
 * ACCEPT: offers become tasks (reference: mesos-api 2.2 ACCEPT). The offers of one call must all stand, be distinct, be
 * this framework's, of one agent and one role; otherwise all of them are freed and every task of the call is lost.
 * Each task is judged by itself, on what the tasks before it left over.
 */

import type { Operation } from "../protocol/offer.ts";
import { addResources, type Resources, subtractResources } from "../protocol/resources.ts";
import type { Accept } from "../protocol/scheduler-call.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import type { StatusReason, TaskState } from "../protocol/task-status.ts";
import { type Agent, type Framework, isPartitionAware, newTask, type OfferRecord } from "./cluster.ts";
import { type MasterContext, tellAgent, tellFramework } from "./master-context.ts";
import type { Offering } from "./offering.ts";
import type { StatusUpdates } from "./status-updates.ts";
import { taskProblem } from "./task-validation.ts";

interface Site {
  readonly agent: Agent;
  readonly role: string;
}

export class Launching {
  readonly #context: MasterContext;
  readonly #offering: Offering;
  readonly #updates: StatusUpdates;

  constructor(context: MasterContext, offering: Offering, updates: StatusUpdates) {
    this.#context = context;
    this.#offering = offering;
    this.#updates = updates;
  }

  accept(framework: Framework, accept: Accept): void {
    const { cluster, counters } = this.#context;
    const offerIds = (accept.offer_ids ?? []).map((id) => id.value);
    const operations = accept.operations ?? [];
    if (operations.length === 0) {
      this.#offering.decline(framework, offerIds, accept.filters?.refuse_seconds);
      return;
    }
    counters.add("messages_launch_tasks");
    const offers = offerIds
      .flatMap((id) => cluster.offers.get(id) ?? [])
      .filter((one) => one.frameworkId === framework.id);
    const problem = this.#offersProblem(framework, offerIds);
    const agent = cluster.agents.get(offers[0]?.agentId ?? "");
    const role = offers[0]?.role;
    const pool = offers.reduce<Resources>((sum, offer) => addResources(sum, offer.resources), []);
    this.#offering.discard(new Set(offers));
    if (problem !== undefined || agent === undefined || role === undefined) {
      this.#refuseAll(framework, operations, problem ?? "No offers specified");
      return;
    }
    counters.add("offers_accepted", offers.length);
    let left = pool;
    for (const operation of operations) left = this.#perform(framework, { agent, role }, operation, left);
    this.#offering.refuse(framework, role, agent.id, left, accept.filters?.refuse_seconds);
  }

  #offersProblem(framework: Framework, offerIds: readonly string[]): string | undefined {
    if (offerIds.length === 0) return "No offers specified";
    let first: OfferRecord | undefined;
    const seen = new Set<string>();
    for (const id of offerIds) {
      if (seen.has(id)) return `Duplicate offer ${id} in offer list`;
      seen.add(id);
      const offer = this.#context.cluster.offers.get(id);
      if (offer === undefined) return `Offer ${id} is no longer valid`;
      if (offer.frameworkId !== framework.id) return `Offer ${id} has invalid framework ${offer.frameworkId}`;
      first ??= offer;
      if (offer.agentId !== first.agentId) {
        return `Aggregated offers must belong to one single agent. Offer ${id} uses agent ${offer.agentId} and agent ${first.agentId}`;
      }
      if (offer.role !== first.role) {
        return `Aggregated offers must be allocated to the same role. Offer ${id} uses role '${offer.role}' but another uses role '${first.role}'`;
      }
    }
    return undefined;
  }

  #refuseAll(framework: Framework, operations: readonly Operation[], problem: string): void {
    const state = isPartitionAware(framework) ? "TASK_DROPPED" : "TASK_LOST";
    for (const operation of operations) {
      const tasks = tasksOf(operation);
      const message = `Task launched with invalid offers: ${problem}`;
      for (const task of tasks) this.#refuse(framework, task, state, "REASON_INVALID_OFFERS", message);
      this.#operationError(framework, operation, `Operation attempted with invalid offers: ${problem}`);
    }
  }

  /** Returns what is left over. */
  #perform(framework: Framework, site: Site, operation: Operation, left: Resources): Resources {
    switch (operation.type) {
      case "LAUNCH":
        if (operation.id !== undefined) {
          for (const task of tasksOf(operation)) {
            const message = "The `id` field cannot be set for LAUNCH operations";
            this.#refuse(framework, task, "TASK_ERROR", "REASON_TASK_INVALID", message);
          }
          return left;
        }
        return tasksOf(operation).reduce((rest, task) => this.#launch(framework, site, task, rest), left);
      case "LAUNCH_GROUP":
        for (const task of tasksOf(operation)) {
          const message = "Task groups need the default executor, which the agents of this cluster do not run";
          this.#refuse(framework, task, "TASK_ERROR", "REASON_TASK_GROUP_INVALID", message);
        }
        return left;
      default:
        this.#operationError(framework, operation, `Operation ${operation.type ?? "UNKNOWN"} is not supported`);
        return left;
    }
  }

  #launch(framework: Framework, { agent, role }: Site, task: TaskInfo, left: Resources): Resources {
    const problem = taskProblem(task, {
      agentId: agent.id,
      agentCapabilities: agent.capabilities,
      offered: left,
      role,
      isLive: (id) => framework.tasks.has(id),
      isUnreachable: (id) => framework.unreachableTasks.has(id),
    });
    if (problem !== undefined) {
      this.#refuse(framework, task, "TASK_ERROR", "REASON_TASK_INVALID", problem);
      return left;
    }
    const info: TaskInfo = {
      ...task,
      resources: (task.resources ?? []).map((resource) => ({ ...resource, allocation_info: { role } })),
    };
    const record = newTask(info, { framework, agentId: agent.id, role }, "TASK_STAGING");
    this.#context.cluster.addTask(record);
    this.#context.log.info({
      event: "task_launched",
      frameworkId: framework.id,
      taskId: task.task_id.value,
      agentId: agent.id,
    });
    tellAgent(agent, { type: "RUN_TASK", run_task: { framework: framework.info, task: info } });
    return subtractResources(left, record.resources);
  }

  #refuse(framework: Framework, task: TaskInfo, state: TaskState, reason: StatusReason, message: string): void {
    const taskId = task.task_id.value;
    this.#context.log.info({ event: "task_refused", frameworkId: framework.id, taskId, state, reason, message });
    this.#updates.say(framework, { taskId, agentId: task.agent_id.value, state, reason, message });
  }

  /** Only operations that carry an id are answered. */
  #operationError(framework: Framework, operation: Operation, message: string): void {
    if (operation.type === "LAUNCH" || operation.type === "LAUNCH_GROUP") return;
    this.#context.log.warn({ event: "operation_dropped", frameworkId: framework.id, type: operation.type, message });
    if (operation.id === undefined) return;
    tellFramework(this.#context, framework, {
      type: "UPDATE_OPERATION_STATUS",
      update_operation_status: { status: { operation_id: operation.id, state: "OPERATION_ERROR", message } },
    });
  }
}

function tasksOf(operation: Operation): readonly TaskInfo[] {
  if (operation.type === "LAUNCH") return operation.launch?.task_infos ?? [];
  if (operation.type === "LAUNCH_GROUP") return operation.launch_group?.task_group.tasks ?? [];
  return [];
}
