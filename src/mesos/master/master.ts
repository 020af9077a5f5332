/**
 * mesos/master/ brings frameworks and agents together: offers, launches, status updates.
 *
 * - The cluster's state is kept in memory and changed synchronously; only the registry (which agents were admitted, which
 *   frameworks existed) is durable. Whoever is asked after a restart brings the rest: agents their tasks, schedulers theirs.
 * - A task is launched at most once: the id is checked in the same step that sends it.
 * - A status update is the agent's until the framework has acknowledged it; the master never makes up its end.
 * - Nothing here knows HTTP: streams are EventStream, and the endpoints translate.
 * Absent on purpose: quota, weights set at run time, dynamic reservations, persistent volumes, maintenance, task groups,
 * custom executors, authentication, the v0 wire, several masters. Each is refused or missing with a clear text.
 */

import { type Clock, deadline } from "../../base/clock.ts";
import { unreachable } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { TaskScope } from "../../base/task-scope.ts";
import type { Store } from "../../store/store.ts";
import type { AgentCall, AgentEvent, AgentSubscribe } from "../protocol/agent-link.ts";
import { uuidFromBase64 } from "../protocol/base64.ts";
import type { SchedulerCall, Subscribe } from "../protocol/scheduler-call.ts";
import type { MasterInfo, SchedulerEvent } from "../protocol/scheduler-event.ts";
import { type AgentAdmission, AgentLife } from "./agent-life.ts";
import { type Agent, Cluster, type Framework } from "./cluster.ts";
import { Counters } from "./counters.ts";
import type { EventStream } from "./event-stream.ts";
import { FrameworkLife } from "./framework-life.ts";
import { Launching } from "./launching.ts";
import { type MasterContext, type MasterSettings, tellAgent } from "./master-context.ts";
import { Offering } from "./offering.ts";
import { Registry } from "./registry.ts";
import { StatusUpdates } from "./status-updates.ts";

export interface MasterOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly settings: MasterSettings;
  /** Without `id`: a new one is made at each start. */
  readonly info: Omit<MasterInfo, "id">;
}

/** What an HTTP endpoint answers; an empty text for success. */
export interface CallAnswer {
  readonly status: number;
  readonly text: string;
}

/** Mesos' --registry_fetch_timeout. */
const registryFetchTimeoutMs = 60_000;
const accepted: CallAnswer = { status: 202, text: "" };

export class Master implements AsyncDisposable {
  readonly context: MasterContext;
  readonly startedAtMs: number;
  readonly offering: Offering;
  readonly updates: StatusUpdates;
  readonly frameworks: FrameworkLife;
  readonly agents: AgentLife;
  readonly #launching: Launching;
  readonly #scope: TaskScope;
  #recoveryTimer: Disposable | undefined;

  private constructor(options: MasterOptions, signal: AbortSignal | undefined) {
    const { clock, log, store, settings } = options;
    this.startedAtMs = clock.nowMs();
    this.context = {
      clock,
      log,
      settings,
      info: { id: clock.uuid(), ...options.info },
      cluster: new Cluster(),
      registry: new Registry({ store, clock, log }),
      counters: new Counters(),
    };
    this.offering = new Offering(this.context);
    this.updates = new StatusUpdates(this.context);
    this.frameworks = new FrameworkLife(this.context, this.offering);
    this.agents = new AgentLife(this.context, this.frameworks, this.offering, this.updates);
    this.#launching = new Launching(this.context, this.offering, this.updates);
    this.#scope = new TaskScope("master", signal);
  }

  /** Resolves when the registry has been read. */
  static async start(options: MasterOptions, signal?: AbortSignal): Promise<Master> {
    const master = new Master(options, signal);
    await master.context.registry.load(deadline(options.clock, registryFetchTimeoutMs, signal));
    master.frameworks.recoverFromRegistry();
    master.#recoveryTimer = master.agents.watchRecovered();
    master.#scope.run("registry", (stop) => master.context.registry.run(stop));
    master.#scope.run("allocation", (stop) => master.offering.run(stop));
    return master;
  }

  /** Throws what broke the master. */
  get finished(): Promise<void> {
    return this.#scope.finished;
  }

  /** Ends loops, timers and streams, and tells nobody: to everybody outside this is a crash. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { cluster } = this.context;
    this.#recoveryTimer?.[Symbol.dispose]();
    for (const framework of cluster.frameworks.values()) {
      framework.failoverTimer?.[Symbol.dispose]();
      framework.heartbeatTimer?.[Symbol.dispose]();
      framework.stream?.close();
    }
    for (const agent of cluster.agents.values()) {
      agent.pings.timer?.[Symbol.dispose]();
      agent.stream?.close();
    }
    for (const offer of cluster.offers.values()) offer.timer?.[Symbol.dispose]();
    await this.#scope[Symbol.asyncDispose]();
  }

  /** What is wrong with the ids of a SUBSCRIBE: answered before the stream starts. */
  subscribeProblem(call: Extract<SchedulerCall, { type: "SUBSCRIBE" }>): CallAnswer | undefined {
    const inCall = call.framework_id?.value ?? "";
    const inInfo = call.subscribe.framework_info.id?.value ?? "";
    if (inCall === inInfo) return undefined;
    return {
      status: 400,
      text: `Failed to validate scheduler::Call: 'framework_id' (${inCall}) differs from 'subscribe.framework_info.id' (${inInfo})`,
    };
  }

  subscribeFramework(subscribe: Subscribe, stream: EventStream<SchedulerEvent>): void {
    this.frameworks.subscribe(subscribe, stream);
  }

  frameworkStreamEnded(stream: EventStream<SchedulerEvent>): void {
    this.frameworks.disconnected(stream);
  }

  /** Everything but SUBSCRIBE, with the checks of mesos-api 2.1 in their order. */
  schedulerCall(call: SchedulerCall, streamId: string | undefined): CallAnswer {
    const framework = this.context.cluster.frameworks.get(call.framework_id?.value ?? "");
    if (framework === undefined) return { status: 400, text: "Framework cannot be found" };
    if (framework.stream === undefined) return { status: 403, text: "Framework is not subscribed" };
    if (streamId === undefined)
      return { status: 400, text: "All non-subscribe calls should include the 'Mesos-Stream-Id' header" };
    if (streamId !== framework.stream.id) {
      const text = `The stream ID '${streamId}' included in this request didn't match the stream ID currently associated with framework ID '${framework.id}'`;
      return { status: 400, text };
    }
    this.context.counters.add(`calls/${call.type.toLowerCase()}`);
    return this.#perform(framework, call);
  }

  admitAgent(subscribe: AgentSubscribe, signal?: AbortSignal): Promise<AgentAdmission> {
    return this.agents.admit(subscribe, signal);
  }

  attachAgent(
    admission: Extract<AgentAdmission, { admitted: true }>,
    subscribe: AgentSubscribe,
    stream: EventStream<AgentEvent>,
  ): void {
    this.agents.attach(admission, subscribe, stream);
  }

  agentStreamEnded(stream: EventStream<AgentEvent>): void {
    this.agents.disconnected(stream);
  }

  /** Everything but SUBSCRIBE. */
  agentCall(call: Exclude<AgentCall, { type: "SUBSCRIBE" }>, streamId: string | undefined): CallAnswer {
    const agent = this.context.cluster.agents.get(call.agent_id.value);
    if (agent?.stream === undefined || agent.stream.id !== streamId) {
      return { status: 403, text: "Agent is not subscribed with this stream: subscribe again" };
    }
    switch (call.type) {
      case "STATUS_UPDATE":
        this.updates.fromAgent(agent, call.status_update);
        return accepted;
      case "PONG":
        this.agents.pong(agent, call.pong.sequence);
        return accepted;
      case "MESSAGE":
        this.#messageToFramework(agent, call.message);
        return accepted;
      case "UNREGISTER":
        this.agents.unregister(agent);
        return accepted;
      default:
        return unreachable(call);
    }
  }

  #perform(framework: Framework, call: SchedulerCall): CallAnswer {
    const { counters, cluster } = this.context;
    switch (call.type) {
      case "TEARDOWN":
        counters.add("messages_unregister_framework");
        this.frameworks.remove(framework, "teardown");
        return accepted;
      case "ACCEPT":
        this.#launching.accept(framework, call.accept);
        return accepted;
      case "DECLINE": {
        counters.add("messages_decline_offers");
        const ids = (call.decline.offer_ids ?? []).map((id) => id.value);
        this.offering.decline(framework, ids, call.decline.filters?.refuse_seconds);
        return accepted;
      }
      case "REVIVE":
        counters.add("messages_revive_offers");
        this.offering.revive(framework, call.revive?.roles);
        return accepted;
      case "SUPPRESS":
        counters.add("messages_suppress_offers");
        this.offering.suppress(framework, call.suppress?.roles);
        return accepted;
      case "KILL":
        counters.add("messages_kill_task");
        this.updates.kill(framework, call.kill);
        return accepted;
      case "ACKNOWLEDGE":
        counters.add("messages_status_update_acknowledgement");
        if (uuidFromBase64(call.acknowledge.uuid) === undefined) return { status: 400, text: "Not a valid UUID" };
        this.updates.acknowledge(framework, call.acknowledge);
        return accepted;
      case "RECONCILE":
        counters.add("messages_reconcile_tasks");
        this.updates.reconcile(framework, call.reconcile.tasks);
        return accepted;
      case "MESSAGE": {
        const { agent_id, executor_id, data } = call.message;
        const agent = cluster.agents.get(agent_id.value);
        counters.add("messages_framework_to_executor");
        counters.add(
          agent === undefined ? "invalid_framework_to_executor_messages" : "valid_framework_to_executor_messages",
        );
        if (agent !== undefined) {
          tellAgent(agent, { type: "MESSAGE", message: { framework_id: { value: framework.id }, executor_id, data } });
        }
        return accepted;
      }
      case "SHUTDOWN": {
        const { agent_id, executor_id } = call.shutdown;
        const agent = cluster.agents.get(agent_id.value);
        if (agent !== undefined) {
          const shutdown_executor = { framework_id: { value: framework.id }, executor_id };
          tellAgent(agent, { type: "SHUTDOWN_EXECUTOR", shutdown_executor });
        }
        return accepted;
      }
      case "UPDATE_FRAMEWORK": {
        const outcome = this.frameworks.update(framework, call.update_framework);
        return outcome.ok ? { status: 200, text: "" } : { status: outcome.status, text: outcome.message };
      }
      case "RECONCILE_OPERATIONS":
        // No operation is ever started here (see the head), so each one asked after is unknown.
        for (const { operation_id } of call.reconcile_operations.operations ?? []) {
          const status = { operation_id, state: "OPERATION_UNKNOWN" };
          framework.stream?.send({ type: "UPDATE_OPERATION_STATUS", update_operation_status: { status } });
        }
        return accepted;
      case "REQUEST":
        counters.add("messages_resource_request");
        return accepted;
      case "ACCEPT_INVERSE_OFFERS":
      case "DECLINE_INVERSE_OFFERS":
      case "ACKNOWLEDGE_OPERATION_STATUS":
        return accepted;
      case "SUBSCRIBE":
        return { status: 400, text: "Failed to validate scheduler::Call: SUBSCRIBE opens a stream" };
      default:
        return unreachable(call);
    }
  }

  #messageToFramework(agent: Agent, message: Extract<AgentCall, { type: "MESSAGE" }>["message"]): void {
    const { cluster, counters } = this.context;
    const framework = cluster.frameworks.get(message.framework_id.value);
    counters.add("messages_executor_to_framework");
    counters.add(`${framework === undefined ? "invalid" : "valid"}_executor_to_framework_messages`);
    framework?.stream?.send({
      type: "MESSAGE",
      message: { agent_id: { value: agent.id }, executor_id: message.executor_id, data: message.data },
    });
  }
}
