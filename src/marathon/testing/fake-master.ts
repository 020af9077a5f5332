/**
 * A Mesos master as far as a scheduler sees it, for tests: speaks `POST /api/v1/scheduler` as a Transport, keeps tasks like
 * a real one does, and refuses what a real one refuses (unknown offers, doubled task ids, too many resources, calls without
 * the current stream id). Tasks go to RUNNING by themselves unless told otherwise. Can print its state.
 */

import type { Clock } from "../../base/clock.ts";
import { uuidToBase64 } from "../../mesos/protocol/base64.ts";
import { encodeRecord } from "../../mesos/protocol/recordio.ts";
import type { Resource } from "../../mesos/protocol/resource-info.ts";
import {
  addResources,
  containsResources,
  normalizeResources,
  subtractResources,
  withoutAllocation,
} from "../../mesos/protocol/resources.ts";
import type { SchedulerCall } from "../../mesos/protocol/scheduler-call.ts";
import type { TaskInfo } from "../../mesos/protocol/task-info.ts";
import { isTerminal, type StatusReason, type TaskState, type TaskStatus } from "../../mesos/protocol/task-status.ts";
import type { Attribute } from "../../mesos/protocol/values.ts";
import type { Transport } from "../scheduler/scheduler-connection.ts";

export interface FakeAgent {
  readonly id: string;
  readonly hostname: string;
  readonly resources: readonly Resource[];
  readonly attributes: readonly Attribute[];
  reachable: boolean;
}

export interface FakeTask {
  readonly info: TaskInfo;
  readonly agent: FakeAgent;
  state: TaskState;
  status: TaskStatus;
  address: string;
}

interface Stream {
  readonly id: string;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
}

export class FakeMaster {
  readonly agents = new Map<string, FakeAgent>();
  readonly tasks = new Map<string, FakeTask>();
  readonly calls: SchedulerCall[] = [];
  /** What a launched task does by itself. */
  launchStates: readonly TaskState[] = ["TASK_STARTING", "TASK_RUNNING"];
  /** Asked before a call is taken; true refuses it, "after" takes it and then breaks the connection. */
  failCall: (call: SchedulerCall) => boolean | "after" = () => false;
  frameworkId = "fw-0000";
  removedFrameworks = new Set<string>();
  readonly #clock: Clock;
  readonly #offers = new Map<string, { readonly agent: FakeAgent; readonly resources: readonly Resource[] }>();
  readonly #unacknowledged = new Map<string, TaskStatus>();
  readonly #refusedUntil = new Map<string, number>();
  #stream: Stream | undefined;
  #suppressed = false;
  #nextId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  addAgent(hostname: string, cpus = 4, mem = 4096, attributes: readonly Attribute[] = []): FakeAgent {
    const agent: FakeAgent = {
      id: `agent-${hostname}`,
      hostname,
      attributes,
      reachable: true,
      resources: [
        { name: "cpus", type: "SCALAR", scalar: { value: cpus } },
        { name: "mem", type: "SCALAR", scalar: { value: mem } },
        { name: "disk", type: "SCALAR", scalar: { value: 10_000 } },
        { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 32_000 }] } },
      ],
    };
    this.agents.set(agent.id, agent);
    this.offer();
    return agent;
  }

  /** Tasks that run or may run, as lines: `app host state`. */
  print(): string {
    const lines = [...this.tasks.values()]
      .filter(({ state }) => !isTerminal(state))
      .map(({ info, agent, state }) => `${info.name} ${agent.hostname} ${state}`);
    return lines.sort().join("\n");
  }

  alive(): readonly FakeTask[] {
    return [...this.tasks.values()].filter(({ state }) => !isTerminal(state));
  }

  readonly transport: Transport = async (url, init) => {
    if (!url.endsWith("/api/v1/scheduler")) return new Response("", { status: 404 });
    const call = JSON.parse(String(init.body)) as SchedulerCall;
    const failure = this.failCall(call);
    if (failure === true) throw new TypeError("fetch failed");
    this.calls.push(call);
    if (call.type === "SUBSCRIBE") return this.#subscribe(call, init.signal ?? undefined);
    const headers = new Headers(init.headers);
    if (this.#stream === undefined) return new Response("Framework is not subscribed", { status: 403 });
    if (headers.get("Mesos-Stream-Id") !== this.#stream.id)
      return new Response("The stream ID didn't match", { status: 400 });
    this.#take(call);
    if (failure === "after") throw new TypeError("the connection broke after the call");
    return new Response(null, { status: 202 });
  };

  /** Ends the stream, as a master that dies does. Tasks live on. */
  disconnect(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#offers.clear();
    try {
      stream?.controller.close();
    } catch {
      // The scheduler has gone first.
    }
  }

  heartbeat(): void {
    this.#send({ type: "HEARTBEAT" });
  }

  update(taskId: string, state: TaskState, more: Partial<TaskStatus> = {}): void {
    const task = this.tasks.get(taskId);
    if (task === undefined || isTerminal(task.state)) return;
    task.state = state;
    task.status = {
      task_id: { value: taskId },
      agent_id: { value: task.agent.id },
      state,
      source: "SOURCE_EXECUTOR",
      uuid: uuidToBase64(this.#clock.uuid()),
      timestamp: this.#clock.nowMs() / 1000,
      container_status: { network_infos: [{ ip_addresses: [{ protocol: "IPv4", ip_address: task.address }] }] },
      ...more,
    };
    if (!task.agent.reachable) return;
    this.#unacknowledged.set(task.status.uuid ?? "", task.status);
    this.#send({ type: "UPDATE", update: { status: task.status } });
    if (isTerminal(state)) this.offer();
  }

  /** The agents send again what was not acknowledged. */
  resend(): void {
    for (const status of this.#unacknowledged.values()) this.#send({ type: "UPDATE", update: { status } });
  }

  get unacknowledgedCount(): number {
    return this.#unacknowledged.size;
  }

  /** The host is gone from the network; the master says so after its time-out. */
  cut(hostname: string): void {
    for (const agent of this.agents.values()) if (agent.hostname === hostname) agent.reachable = false;
    for (const task of this.alive()) {
      if (task.agent.hostname === hostname) this.#masterStatus(task, "TASK_UNREACHABLE", "REASON_AGENT_REMOVED");
    }
  }

  heal(hostname: string): void {
    for (const agent of this.agents.values()) if (agent.hostname === hostname) agent.reachable = true;
    for (const task of this.alive()) {
      if (task.agent.hostname === hostname) this.#masterStatus(task, task.state, "REASON_AGENT_REREGISTERED");
    }
    this.offer();
  }

  /** Offers everything free, as one event. */
  offer(): void {
    if (this.#suppressed || this.#stream === undefined) return;
    const offers = [];
    for (const agent of this.agents.values()) {
      if (!agent.reachable || (this.#refusedUntil.get(agent.id) ?? 0) > this.#clock.nowMs()) continue;
      if ([...this.#offers.values()].some((offer) => offer.agent === agent)) continue;
      const resources = this.#free(agent);
      if (resources.length === 0) continue;
      const id = `offer-${this.#nextId++}`;
      this.#offers.set(id, { agent, resources });
      offers.push({
        id: { value: id },
        framework_id: { value: this.frameworkId },
        agent_id: { value: agent.id },
        hostname: agent.hostname,
        attributes: agent.attributes,
        allocation_info: { role: "*" },
        resources: resources.map((resource) => ({ ...resource, allocation_info: { role: "*" } })),
      });
    }
    if (offers.length > 0) this.#send({ type: "OFFERS", offers: { offers } });
  }

  #free(agent: FakeAgent): readonly Resource[] {
    let free = normalizeResources(agent.resources);
    for (const task of this.alive()) {
      if (task.agent === agent) free = subtractResources(free, (task.info.resources ?? []).map(withoutAllocation));
    }
    return free;
  }

  #subscribe(call: Extract<SchedulerCall, { type: "SUBSCRIBE" }>, signal: AbortSignal | undefined): Response {
    const asked = call.framework_id?.value;
    const removed = asked !== undefined && this.removedFrameworks.has(asked);
    if (asked === undefined) this.frameworkId = `fw-${String(this.#nextId++).padStart(4, "0")}`;
    else if (!removed) this.frameworkId = asked;
    this.#send({ type: "ERROR", error: { message: "Framework failed over" } });
    this.disconnect();
    const id = `stream-${this.#nextId++}`;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        if (removed) {
          controller.enqueue(
            encodeRecord(JSON.stringify({ type: "ERROR", error: { message: "Framework has been removed" } })),
          );
          controller.close();
          return;
        }
        const stream: Stream = { id, controller };
        this.#stream = stream;
        this.#suppressed = false;
        this.#refusedUntil.clear();
        signal?.addEventListener("abort", () => {
          if (this.#stream === stream) this.#stream = undefined;
          try {
            controller.error(signal.reason);
          } catch {
            // Closed from our side before.
          }
        });
        this.#send({
          type: "SUBSCRIBED",
          subscribed: { framework_id: { value: this.frameworkId }, heartbeat_interval_seconds: 15 },
        });
        this.#send({ type: "HEARTBEAT" });
        this.offer();
      },
    });
    return new Response(body, { status: 200, headers: { "Mesos-Stream-Id": id } });
  }

  #take(call: SchedulerCall): void {
    switch (call.type) {
      case "ACCEPT":
        this.#accept(call);
        break;
      case "DECLINE":
        for (const { value } of call.decline.offer_ids ?? []) {
          const offer = this.#offers.get(value);
          this.#offers.delete(value);
          if (offer === undefined) continue;
          this.#refusedUntil.set(
            offer.agent.id,
            this.#clock.nowMs() + 1000 * (call.decline.filters?.refuse_seconds ?? 5),
          );
        }
        break;
      case "REVIVE":
        this.#suppressed = false;
        this.#refusedUntil.clear();
        this.offer();
        break;
      case "SUPPRESS":
        this.#suppressed = true;
        break;
      case "KILL": {
        const task = this.tasks.get(call.kill.task_id.value);
        if (task === undefined || isTerminal(task.state)) this.#reconcile(call.kill.task_id.value);
        else if (task.agent.reachable) this.update(task.info.task_id.value, "TASK_KILLED");
        break;
      }
      case "ACKNOWLEDGE":
        this.#unacknowledged.delete(call.acknowledge.uuid);
        break;
      case "RECONCILE": {
        const tasks = call.reconcile.tasks ?? [];
        if (tasks.length === 0) {
          for (const task of this.alive())
            if (task.agent.reachable) this.#masterStatus(task, task.state, "REASON_RECONCILIATION");
        }
        for (const { task_id } of tasks) this.#reconcile(task_id.value);
        break;
      }
      default:
        break;
    }
  }

  #reconcile(taskId: string): void {
    const task = this.tasks.get(taskId);
    if (task !== undefined && !isTerminal(task.state)) {
      this.#masterStatus(task, task.agent.reachable ? task.state : "TASK_UNREACHABLE", "REASON_RECONCILIATION");
      return;
    }
    const state: TaskState = task === undefined ? "TASK_UNKNOWN" : "TASK_GONE";
    const status: TaskStatus = {
      task_id: { value: taskId },
      state,
      source: "SOURCE_MASTER",
      reason: "REASON_RECONCILIATION",
    };
    this.#send({ type: "UPDATE", update: { status } });
  }

  #masterStatus(task: FakeTask, state: TaskState, reason: StatusReason): void {
    const { uuid: _uuid, ...status } = task.status;
    this.#send({ type: "UPDATE", update: { status: { ...status, state, source: "SOURCE_MASTER", reason } } });
  }

  #accept(call: Extract<SchedulerCall, { type: "ACCEPT" }>): void {
    const infos = (call.accept.operations ?? []).flatMap((operation) => operation.launch?.task_infos ?? []);
    const offers = (call.accept.offer_ids ?? []).map(({ value }) => this.#offers.get(value));
    for (const { value } of call.accept.offer_ids ?? []) this.#offers.delete(value);
    const offer = offers[0];
    for (const info of infos) {
      const taskId = info.task_id.value;
      if (this.tasks.has(taskId)) throw new Error(`task id ${taskId} is used twice`);
      const problem = offer === undefined ? "REASON_INVALID_OFFERS" : this.#launchProblem(info, offer.agent);
      if (offer === undefined || problem !== undefined) {
        const state: TaskState = problem === "REASON_INVALID_OFFERS" ? "TASK_DROPPED" : "TASK_ERROR";
        const status: TaskStatus = {
          task_id: info.task_id,
          state,
          source: "SOURCE_MASTER",
          reason: problem ?? "REASON_TASK_INVALID",
        };
        this.#send({ type: "UPDATE", update: { status } });
        continue;
      }
      const number = this.tasks.size + 1;
      const address = `192.168.${number >> 8}.${number & 255}`;
      const status: TaskStatus = { task_id: info.task_id, agent_id: info.agent_id, state: "TASK_STAGING" };
      this.tasks.set(taskId, { info, agent: offer.agent, state: "TASK_STAGING", status, address });
      for (const state of this.launchStates) this.update(taskId, state);
    }
    this.offer();
  }

  #launchProblem(info: TaskInfo, agent: FakeAgent): StatusReason | undefined {
    const wanted = addResources([], (info.resources ?? []).map(withoutAllocation));
    if (wanted.length === 0 || !containsResources(this.#free(agent), wanted)) return "REASON_TASK_INVALID";
    const mappings = info.container?.docker?.port_mappings ?? [];
    if (mappings.length > 0 && info.container?.docker?.network === "HOST") return "REASON_TASK_INVALID";
    return agent.reachable ? undefined : "REASON_INVALID_OFFERS";
  }

  #send(event: unknown): void {
    this.#stream?.controller.enqueue(encodeRecord(JSON.stringify(event)));
  }
}
