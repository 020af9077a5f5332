/**
 * An agent on an in-memory stream that keeps to the link's rules (protocol/agent-link.ts): reliable updates with one
 * under way per task, tasks kept until their end is acknowledged, answers to PING, KILL_TASK, RECONCILE, SHUTDOWN_FRAMEWORK.
 * What it holds survives disconnect and restart, as a checkpointing agent's would.
 */

import type { Clock } from "../../../base/clock.ts";
import type { AgentEvent, AgentSubscribe } from "../../protocol/agent-link.ts";
import { uuidToBase64 } from "../../protocol/base64.ts";
import type { FrameworkInfo } from "../../protocol/framework-info.ts";
import { parseAttributes, parseResources } from "../../protocol/resource-grammar.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import { isTerminal, type TaskState, type TaskStatus } from "../../protocol/task-status.ts";
import type { Master } from "../master.ts";
import { Link } from "./link.ts";

export interface FakeTask {
  readonly framework: FrameworkInfo;
  readonly info: TaskInfo;
  state: TaskState;
  /** Not yet acknowledged, oldest first. */
  pending: TaskStatus[];
  sent: TaskStatus | undefined;
}

export class FakeAgent {
  readonly hostname: string;
  readonly tasks = new Map<string, FakeTask>();
  readonly events: AgentEvent[] = [];
  /** Every start of a task, in order. */
  readonly started: string[] = [];
  /** Every acknowledged end of a task, in order. */
  readonly ended: string[] = [];
  resources: string;
  attributes = "";
  answersPings = true;
  startsTasks = true;
  id: string | undefined;
  readonly #clock: Clock;
  readonly #ip: string;
  #master: Master | undefined;
  #link: Link<AgentEvent> | undefined;
  #links = 0;

  constructor(clock: Clock, options: { hostname: string; ip: string; resources?: string }) {
    this.#clock = clock;
    this.hostname = options.hostname;
    this.#ip = options.ip;
    this.resources = options.resources ?? "cpus:4;mem:4096;ports:[31000-32000]";
  }

  get isConnected(): boolean {
    return this.#link !== undefined;
  }

  get link(): Link<AgentEvent> | undefined {
    return this.#link;
  }

  subscription(): AgentSubscribe {
    const frameworks = new Map(
      [...this.tasks.values()].map((task) => [task.framework.id?.value ?? "", task.framework]),
    );
    return {
      agent_info: {
        hostname: this.hostname,
        port: 5051,
        resources: parseResources(this.resources, "test"),
        attributes: parseAttributes(this.attributes, "test"),
        ...(this.id === undefined ? {} : { id: { value: this.id } }),
      },
      ip: this.#ip,
      version: "1.11.0",
      capabilities: ["MULTI_ROLE", "TASK_RESOURCE_LIMITS"],
      tasks: [...this.tasks.values()].map((task) => ({
        framework_id: { value: task.framework.id?.value ?? "" },
        task: task.info,
        state: task.state,
        latest_status: task.sent,
      })),
      frameworks: [...frameworks.values()],
    };
  }

  async subscribe(master: Master): Promise<void> {
    this.disconnect();
    const body = this.subscription();
    const admission = await master.admitAgent(body);
    const link = new Link<AgentEvent>(`agent-${this.hostname}-${this.#links++}`);
    if (!admission.admitted) return;
    this.#master = master;
    this.#link = link;
    master.attachAgent(admission, body, link);
  }

  /** The stream breaks: unread events are lost, the master notices at once. */
  disconnect(): void {
    const link = this.#link;
    const master = this.#master;
    this.forget();
    if (link !== undefined) master?.agentStreamEnded(link);
  }

  /** The master is gone, or cut off. */
  forget(): void {
    this.#link = undefined;
    this.#master = undefined;
  }

  /** Something happened to a task: told until it is acknowledged. */
  report(taskId: string, state: TaskState, more: Partial<TaskStatus> = {}): void {
    const task = this.tasks.get(taskId);
    if (task === undefined || isTerminal(task.state)) return;
    task.state = state;
    this.#queue(task, { task_id: { value: taskId }, state, source: "SOURCE_EXECUTOR", ...more });
  }

  /** Sends again what was not acknowledged, as a retry timer would. */
  resend(): void {
    for (const task of this.tasks.values()) this.#sendHead(task);
  }

  /** Reads one event; false if there is none. */
  pump(): boolean {
    const link = this.#link;
    const event = link?.inbox.shift();
    if (link === undefined || event === undefined) {
      if (link?.closed) this.disconnect();
      return false;
    }
    this.events.push(event);
    this.#handle(event);
    return true;
  }

  #handle(event: AgentEvent): void {
    switch (event.type) {
      case "SUBSCRIBED":
        this.id = event.subscribed.agent_id.value;
        this.resend();
        return;
      case "PING":
        if (this.answersPings) this.#call({ type: "PONG", pong: { sequence: event.ping.sequence } });
        return;
      case "RUN_TASK":
        this.#run(event.run_task.framework, event.run_task.task);
        return;
      case "KILL_TASK":
        this.report(event.kill_task.task_id.value, "TASK_KILLED");
        return;
      case "ACKNOWLEDGE":
        this.#acknowledged(event.acknowledge.task_id.value, event.acknowledge.uuid);
        return;
      case "RECONCILE":
        for (const asked of event.reconcile.tasks) this.#answerFor(asked);
        return;
      case "SHUTDOWN_FRAMEWORK":
        for (const [id, task] of this.tasks) {
          if (task.framework.id?.value === event.shutdown_framework.framework_id.value) this.tasks.delete(id);
        }
        return;
      case "UPDATE_FRAMEWORK":
        this.resend();
        return;
      default:
        return;
    }
  }

  #run(framework: FrameworkInfo, info: TaskInfo): void {
    const id = info.task_id.value;
    if (this.tasks.has(id)) return;
    this.started.push(id);
    this.tasks.set(id, { framework, info, state: "TASK_STAGING", pending: [], sent: undefined });
    if (this.startsTasks) this.report(id, "TASK_RUNNING");
  }

  #acknowledged(taskId: string, uuid: string): void {
    const task = this.tasks.get(taskId);
    const head = task?.pending[0];
    if (task === undefined || head?.uuid !== uuid) return;
    task.pending = task.pending.slice(1);
    if (isTerminal(head.state)) {
      this.ended.push(taskId);
      this.tasks.delete(taskId);
    } else {
      this.#sendHead(task);
    }
  }

  #answerFor(asked: Extract<AgentEvent, { type: "RECONCILE" }>["reconcile"]["tasks"][number]): void {
    const id = asked.task_id.value;
    if (this.tasks.has(id)) return;
    const state = asked.partition_aware ? "TASK_DROPPED" : "TASK_LOST";
    const task: FakeTask = {
      framework: { user: "nobody", name: "test", id: asked.framework_id },
      info: { name: id, task_id: asked.task_id, agent_id: { value: this.id ?? "" } },
      state,
      pending: [],
      sent: undefined,
    };
    this.tasks.set(id, task);
    this.#queue(task, { task_id: asked.task_id, state, source: "SOURCE_AGENT", reason: "REASON_RECONCILIATION" });
  }

  #queue(task: FakeTask, status: TaskStatus): void {
    task.pending.push({
      ...status,
      agent_id: { value: this.id ?? "" },
      timestamp: this.#clock.nowMs() / 1_000,
      uuid: uuidToBase64(this.#clock.uuid()),
    });
    if (task.pending.length === 1) this.#sendHead(task);
  }

  #sendHead(task: FakeTask): void {
    const status = task.pending[0];
    if (status === undefined || this.#link === undefined) return;
    task.sent = status;
    const framework_id = { value: task.framework.id?.value ?? "" };
    this.#call({ type: "STATUS_UPDATE", status_update: { framework_id, status, latest_state: task.state } });
  }

  #call(
    body:
      | { type: "PONG"; pong: { sequence: number } }
      | {
          type: "STATUS_UPDATE";
          status_update: { framework_id: { value: string }; status: TaskStatus; latest_state: TaskState };
        }
      | { type: "UNREGISTER" },
  ): void {
    this.#master?.agentCall({ ...body, agent_id: { value: this.id ?? "" } }, this.#link?.id);
  }

  unregister(): void {
    this.#call({ type: "UNREGISTER" });
  }
}
