/**
 * The cluster as the master knows it: frameworks, agents, tasks, offers, and the few steps that change them together.
 *
 * - A task is in its framework's `tasks` and its agent's `tasks` from launch until its terminal update is acknowledged.
 * - What a task or an offer holds is in the ledger exactly while the task is not terminal, or the offer stands.
 * - An offer belongs to a connected framework and a connected agent; when either goes, it goes first.
 * Everything here is synchronous; who is told what is decided in the files that use it.
 */

import { invariant } from "../../base/errors.ts";
import type { AgentCapability, AgentInfo } from "../protocol/agent-info.ts";
import type { AgentEvent } from "../protocol/agent-link.ts";
import { type FrameworkInfo, hasCapability } from "../protocol/framework-info.ts";
import { normalizeResources, type Resources } from "../protocol/resources.ts";
import type { OfferConstraints } from "../protocol/scheduler-call.ts";
import type { SchedulerEvent } from "../protocol/scheduler-event.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { isTerminal, type TaskState, type TaskStatus } from "../protocol/task-status.ts";
import type { EventStream } from "./event-stream.ts";
import { OfferFilters } from "./offer-filters.ts";
import { ResourceLedger } from "./resource-ledger.ts";

export interface TaskRecord {
  readonly info: TaskInfo;
  readonly frameworkId: string;
  readonly agentId: string;
  readonly role: string;
  /** Normal form: what it holds while it is not terminal. */
  readonly resources: Resources;
  readonly user: string;
  /** Newest state known; may be ahead of what was forwarded. */
  state: TaskState;
  /** One per distinct consecutive state, newest last, without `data`. */
  statuses: readonly TaskStatus[];
  /** State and uuid of the update last forwarded to the framework. */
  forwarded: { readonly state: TaskState; readonly uuid: string | undefined } | undefined;
}

export interface OfferRecord {
  readonly id: string;
  readonly frameworkId: string;
  readonly agentId: string;
  readonly role: string;
  readonly resources: Resources;
  timer: Disposable | undefined;
}

export interface Framework {
  readonly id: string;
  info: FrameworkInfo;
  stream: EventStream<SchedulerEvent> | undefined;
  /** Known from the registry or from agents only, and not subscribed since. */
  recovered: boolean;
  readonly registeredAtMs: number;
  reregisteredAtMs: number | undefined;
  unregisteredAtMs: number | undefined;
  suppressedRoles: ReadonlySet<string>;
  offerConstraints: OfferConstraints | undefined;
  readonly filters: OfferFilters;
  /** By role: offers made so far. */
  readonly grants: Map<string, number>;
  readonly tasks: Map<string, TaskRecord>;
  readonly unreachableTasks: Map<string, TaskRecord>;
  readonly completedTasks: TaskRecord[];
  readonly offers: Set<OfferRecord>;
  failoverTimer: Disposable | undefined;
  heartbeatTimer: Disposable | undefined;
}

export interface Agent {
  readonly id: string;
  info: AgentInfo;
  ip: string;
  version: string;
  capabilities: readonly AgentCapability[];
  total: Resources;
  stream: EventStream<AgentEvent> | undefined;
  readonly registeredAtMs: number;
  reregisteredAtMs: number | undefined;
  readonly tasks: Set<TaskRecord>;
  readonly offers: Set<OfferRecord>;
  /** Kills asked for while it could not be told, or not yet answered: repeated when it comes back. */
  readonly kills: Map<TaskRecord, AgentEvent>;
  pings: { sequence: number; missed: number; timer: Disposable | undefined };
}

export const historyLimits = { completedFrameworks: 50, completedTasks: 1_000, unreachableTasks: 1_000 } as const;
export type HistoryLimits = { readonly [Name in keyof typeof historyLimits]: number };

export class Cluster {
  readonly frameworks = new Map<string, Framework>();
  /** Oldest first. */
  readonly completedFrameworks = new Map<string, Framework>();
  readonly agents = new Map<string, Agent>();
  /** By `ip:port`: one address, one agent. */
  readonly #agentAt = new Map<string, Agent>();
  readonly offers = new Map<string, OfferRecord>();
  readonly ledger = new ResourceLedger();
  readonly #limits: HistoryLimits;

  constructor(limits: HistoryLimits = historyLimits) {
    this.#limits = limits;
  }

  addFramework(id: string, info: FrameworkInfo, nowMs: number): Framework {
    invariant(!this.frameworks.has(id), `framework ${id} is known once`);
    const framework: Framework = {
      id,
      info: { ...info, id: { value: id } },
      stream: undefined,
      recovered: true,
      registeredAtMs: nowMs,
      reregisteredAtMs: undefined,
      unregisteredAtMs: undefined,
      suppressedRoles: new Set(),
      offerConstraints: undefined,
      filters: new OfferFilters(),
      grants: new Map(),
      tasks: new Map(),
      unreachableTasks: new Map(),
      completedTasks: [],
      offers: new Set(),
      failoverTimer: undefined,
      heartbeatTimer: undefined,
    };
    this.frameworks.set(id, framework);
    return framework;
  }

  /** Its tasks and offers must be gone. */
  completeFramework(framework: Framework, nowMs: number): void {
    invariant(framework.tasks.size === 0 && framework.offers.size === 0, `framework ${framework.id} holds nothing`);
    framework.unregisteredAtMs = nowMs;
    framework.unreachableTasks.clear();
    this.frameworks.delete(framework.id);
    this.completedFrameworks.set(framework.id, framework);
    trimOldest(this.completedFrameworks, this.#limits.completedFrameworks);
  }

  addTask(task: TaskRecord): void {
    const { framework, agent } = this.#ownersOf(task);
    const id = task.info.task_id.value;
    invariant(!framework.tasks.has(id), `task ${id} of framework ${framework.id} is known once`);
    framework.tasks.set(id, task);
    framework.unreachableTasks.delete(id);
    agent.tasks.add(task);
    if (!isTerminal(task.state)) this.ledger.hold(task);
  }

  /** Once terminal, a task's state never changes again. */
  setTaskState(task: TaskRecord, state: TaskState): void {
    if (task.state === state || isTerminal(task.state)) return;
    task.state = state;
    if (isTerminal(state)) this.ledger.release(task);
  }

  recordStatus(task: TaskRecord, status: TaskStatus): void {
    const { data: _dropped, ...kept } = status;
    const last = task.statuses.at(-1);
    task.statuses = [...(last?.state === status.state ? task.statuses.slice(0, -1) : task.statuses), kept];
  }

  /** Takes a task out of the active set and remembers it as completed, or as unreachable. */
  retireTask(task: TaskRecord, as: "completed" | "unreachable"): void {
    const { framework, agent } = this.#ownersOf(task);
    const id = task.info.task_id.value;
    invariant(framework.tasks.get(id) === task, `task ${id} is retired once`);
    if (!isTerminal(task.state)) this.ledger.release(task);
    framework.tasks.delete(id);
    agent.tasks.delete(task);
    agent.kills.delete(task);
    if (as === "unreachable") {
      framework.unreachableTasks.set(id, task);
      trimOldest(framework.unreachableTasks, this.#limits.unreachableTasks);
      return;
    }
    this.#complete(framework, task);
  }

  /** An unreachable task that its agent came back without: it is no more. */
  concludeUnreachable(framework: Framework, task: TaskRecord): void {
    invariant(framework.unreachableTasks.delete(task.info.task_id.value), "the task was unreachable");
    if (!isTerminal(task.state)) task.state = "TASK_GONE";
    this.#complete(framework, task);
  }

  #complete(framework: Framework, task: TaskRecord): void {
    framework.completedTasks.push(task);
    if (framework.completedTasks.length > this.#limits.completedTasks) framework.completedTasks.shift();
  }

  addOffer(offer: OfferRecord): void {
    const { framework, agent } = this.#ownersOf(offer);
    invariant(
      framework.stream !== undefined && agent.stream !== undefined,
      "an offer is between two connected parties",
    );
    this.ledger.hold(offer);
    this.offers.set(offer.id, offer);
    framework.offers.add(offer);
    agent.offers.add(offer);
    framework.grants.set(offer.role, (framework.grants.get(offer.role) ?? 0) + 1);
  }

  removeOffer(offer: OfferRecord): void {
    const { framework, agent } = this.#ownersOf(offer);
    invariant(this.offers.delete(offer.id), `offer ${offer.id} stands`);
    offer.timer?.[Symbol.dispose]();
    this.ledger.release(offer);
    framework.offers.delete(offer);
    agent.offers.delete(offer);
  }

  addAgent(agent: Agent): void {
    invariant(!this.agents.has(agent.id), `agent ${agent.id} is known once`);
    this.agents.set(agent.id, agent);
    this.#agentAt.set(addressOf(agent.ip, agent.info), agent);
    this.ledger.addAgent(agent.id, agent.total);
  }

  agentAt(ip: string, info: AgentInfo): Agent | undefined {
    return this.#agentAt.get(addressOf(ip, info));
  }

  /** Whoever was at the new address must be gone. */
  setAgentInfo(agent: Agent, ip: string, info: AgentInfo): void {
    this.#agentAt.delete(addressOf(agent.ip, agent.info));
    agent.ip = ip;
    agent.info = { ...info, id: { value: agent.id } };
    this.#agentAt.set(addressOf(ip, info), agent);
  }

  /** Its tasks and offers must be gone. */
  removeAgent(agent: Agent): void {
    invariant(agent.tasks.size === 0 && agent.offers.size === 0, `agent ${agent.id} holds nothing`);
    agent.pings.timer?.[Symbol.dispose]();
    this.agents.delete(agent.id);
    this.#agentAt.delete(addressOf(agent.ip, agent.info));
    this.ledger.removeAgent(agent.id);
  }

  #ownersOf(thing: { readonly frameworkId: string; readonly agentId: string }): { framework: Framework; agent: Agent } {
    const framework = this.frameworks.get(thing.frameworkId);
    const agent = this.agents.get(thing.agentId);
    invariant(framework !== undefined && agent !== undefined, "tasks and offers have a framework and an agent");
    return { framework, agent };
  }
}

export function newTask(
  info: TaskInfo,
  owner: { readonly framework: Framework; readonly agentId: string; readonly role: string },
  state: TaskState,
): TaskRecord {
  return {
    info,
    frameworkId: owner.framework.id,
    agentId: owner.agentId,
    role: owner.role,
    resources: normalizeResources(info.resources ?? []),
    user: info.command?.user ?? owner.framework.info.user,
    state,
    statuses: [],
    forwarded: undefined,
  };
}

export function isPartitionAware(framework: Framework): boolean {
  return hasCapability(framework.info, "PARTITION_AWARE");
}

function addressOf(ip: string, info: AgentInfo): string {
  return `${ip}:${info.port ?? 5051}`;
}

function trimOldest<Key, Value>(map: Map<Key, Value>, sizeMax: number): void {
  for (const key of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(key);
  }
}
