/**
 * Agents: admission, pings, loss, return (reference: mesos-behaviour 2).
 *
 * - The registry is written before an agent is told its id, and before its tasks are declared unreachable.
 * - An agent that has lost its stream keeps its tasks until pings have gone unanswered for long enough; offers of it end
 *   at once. Tasks of frameworks without checkpointing are lost at once.
 * - When an agent comes, its list of tasks is compared with the master's (agent-tasks.ts).
 */

import { describeError } from "../../base/errors.ts";
import type { AgentEvent, AgentSubscribe } from "../protocol/agent-link.ts";
import { equalResources, normalizeResources } from "../protocol/resources.ts";
import { isTerminal, type StatusReason, type TaskState } from "../protocol/task-status.ts";
import { type AgentOrigin, AgentTasks } from "./agent-tasks.ts";
import { type Agent, type Framework, isPartitionAware, type TaskRecord } from "./cluster.ts";
import type { EventStream } from "./event-stream.ts";
import type { FrameworkLife } from "./framework-life.ts";
import { longTimer } from "./long-timer.ts";
import { type MasterContext, tellAgent, tellFramework } from "./master-context.ts";
import type { Offering } from "./offering.ts";
import type { StatusUpdates } from "./status-updates.ts";

export type AgentAdmission =
  | { readonly admitted: true; readonly id: string; readonly cameFrom: AgentOrigin }
  | { readonly admitted: false; readonly message: string };

const unreachableKeptMs = 14 * 24 * 3_600_000;
const unreachableKept = 102_400;

export class AgentLife {
  readonly #context: MasterContext;
  readonly #tasks: AgentTasks;
  readonly #offering: Offering;
  readonly #updates: StatusUpdates;
  /** Agents whose "unreachable" is being written to the registry. */
  readonly #condemned = new Set<Agent>();
  #nextAgent = 0;

  constructor(context: MasterContext, frameworks: FrameworkLife, offering: Offering, updates: StatusUpdates) {
    this.#context = context;
    this.#tasks = new AgentTasks(context, frameworks, updates);
    this.#offering = offering;
    this.#updates = updates;
  }

  /** Once at start: agents of the registry have this long to come back. */
  watchRecovered(): Disposable {
    const { clock, settings } = this.#context;
    this.#forgetOldUnreachable();
    return longTimer(clock, settings.agentReregisterTimeoutMs, () => this.#giveUpRecovered());
  }

  isRecovered(id: string): boolean {
    return this.#context.registry.agents.get(id)?.state === "admitted" && !this.#context.cluster.agents.has(id);
  }

  /** First half of a subscription: decides on the id and makes it durable. Throws if the registry cannot be written. */
  async admit(subscribe: AgentSubscribe, signal?: AbortSignal): Promise<AgentAdmission> {
    const { cluster, clock, registry } = this.#context;
    const asked = subscribe.agent_info.id?.value;
    if (asked !== undefined && registry.agents.get(asked)?.state === "gone") {
      return { admitted: false, message: `Agent ${asked} has been marked gone` };
    }
    if (asked !== undefined && cluster.agents.has(asked)) return { admitted: true, id: asked, cameFrom: "registered" };
    const id = asked ?? `${this.#context.info.id}-S${this.#nextAgent++}`;
    const cameFrom = asked === undefined ? "new" : this.isRecovered(asked) ? "recovered" : "away";
    const info = { ...subscribe.agent_info, id: { value: id } };
    await registry.putAgent(id, { state: "admitted", sinceMs: clock.nowMs(), info }, signal);
    return { admitted: true, id, cameFrom };
  }

  /** Second half, in one go with opening the stream. */
  attach(
    admission: Extract<AgentAdmission, { admitted: true }>,
    subscribe: AgentSubscribe,
    stream: EventStream<AgentEvent>,
  ): void {
    const { cluster, clock, counters, log, settings } = this.#context;
    const { id } = admission;
    this.#endSameAddress(id, subscribe);
    const known = cluster.agents.get(id);
    const { cameFrom } = admission.cameFrom === "registered" && known === undefined ? this.#readmit(id) : admission;
    counters.add(cameFrom === "new" ? "slave_registrations" : "slave_reregistrations");
    const agent = known ?? this.#newAgent(id, subscribe);
    if (known !== undefined) this.#replaceStream(known);
    cluster.setAgentInfo(agent, subscribe.ip, subscribe.agent_info);
    agent.version = subscribe.version;
    agent.capabilities = subscribe.capabilities ?? [];
    if (cameFrom !== "new") agent.reregisteredAtMs = clock.nowMs();
    this.#setTotal(agent, subscribe);
    agent.stream = stream;
    log.info({ event: "agent_subscribed", agentId: id, hostname: agent.info.hostname, cameFrom });
    tellAgent(agent, {
      type: "SUBSCRIBED",
      subscribed: {
        agent_id: { value: id },
        master_id: this.#context.info.id,
        ping_interval_seconds: settings.agentPingTimeoutMs / 1_000,
        ping_timeout_seconds: (settings.agentPingTimeoutMs * settings.agentPingTimeoutsMax) / 1_000,
      },
    });
    for (const kill of agent.kills.values()) tellAgent(agent, kill);
    this.#tasks.compare(agent, subscribe, cameFrom);
    this.#ping(agent);
    this.#offering.allocate([agent]);
  }

  /** The stream has ended. Of no interest if a newer one has taken over. */
  disconnected(stream: EventStream<AgentEvent>): void {
    const agent = [...this.#context.cluster.agents.values()].find((one) => one.stream === stream);
    if (agent === undefined) return;
    this.#context.log.info({ event: "agent_disconnected", agentId: agent.id, hostname: agent.info.hostname });
    agent.stream = undefined;
    this.#offering.rescind(agent.offers);
    for (const task of [...agent.tasks]) {
      const framework = this.#context.cluster.frameworks.get(task.frameworkId);
      if (framework === undefined || (framework.info.checkpoint ?? false)) continue;
      this.#lose(framework, task, {
        state: "TASK_LOST",
        reason: "REASON_AGENT_DISCONNECTED",
        message: `Agent ${agent.info.hostname} disconnected`,
      });
    }
  }

  pong(agent: Agent, sequence: number): void {
    if (sequence > agent.pings.sequence) return;
    agent.pings.missed = 0;
  }

  /** The agent itself says that it leaves for good. */
  unregister(agent: Agent): void {
    this.#context.counters.add("messages_unregister_slave");
    this.#context.counters.add("slave_removals/reason_unregistered");
    this.remove(agent, "the agent unregistered");
  }

  /** Its tasks are lost to everybody, also to frameworks that know partitions. */
  remove(agent: Agent, because: string): void {
    const { cluster, counters, log, registry } = this.#context;
    log.info({ event: "agent_removed", agentId: agent.id, hostname: agent.info.hostname, because });
    counters.add("slave_removals");
    this.#loseAll(agent, () => ({
      state: "TASK_LOST",
      reason: "REASON_AGENT_REMOVED",
      message: `Agent ${agent.info.hostname} removed: ${because}`,
    }));
    this.#detach(agent);
    cluster.removeAgent(agent);
    registry.removeAgentSoon(agent.id);
    this.#tellOfLoss(agent.id);
  }

  /** It was declared unreachable between the two halves of its subscription. */
  #readmit(id: string): { readonly cameFrom: "away" } {
    const { clock, registry } = this.#context;
    const record = registry.agents.get(id);
    if (record !== undefined) registry.putAgentSoon(id, { ...record, state: "admitted", sinceMs: clock.nowMs() });
    return { cameFrom: "away" };
  }

  #newAgent(id: string, subscribe: AgentSubscribe): Agent {
    const agent: Agent = {
      id,
      info: subscribe.agent_info,
      ip: subscribe.ip,
      version: subscribe.version,
      capabilities: [],
      total: normalizeResources(subscribe.agent_info.resources ?? []),
      stream: undefined,
      registeredAtMs: this.#context.clock.nowMs(),
      reregisteredAtMs: undefined,
      tasks: new Set(),
      offers: new Set(),
      kills: new Map(),
      pings: { sequence: 0, missed: 0, timer: undefined },
    };
    this.#context.cluster.addAgent(agent);
    return agent;
  }

  /** Whoever registers at an address anew has ended the one before. */
  #endSameAddress(id: string, subscribe: AgentSubscribe): void {
    const other = this.#context.cluster.agentAt(subscribe.ip, subscribe.agent_info);
    if (other === undefined || other.id === id) return;
    this.#context.counters.add("slave_removals/reason_registered");
    this.remove(other, "a new agent registered at the same address");
  }

  #replaceStream(agent: Agent): void {
    const old = agent.stream;
    agent.stream = undefined;
    agent.pings.timer?.[Symbol.dispose]();
    agent.pings.missed = 0;
    this.#offering.rescind(agent.offers);
    old?.close();
  }

  #setTotal(agent: Agent, subscribe: AgentSubscribe): void {
    const total = normalizeResources(subscribe.agent_info.resources ?? []);
    if (equalResources(agent.total, total)) return;
    agent.total = total;
    this.#context.cluster.ledger.setTotal(agent.id, total);
    for (const framework of this.#context.cluster.frameworks.values()) framework.filters.clearAgent(agent.id);
  }

  /** One step: send a ping, count it as missed until the pong comes, and give up after too many. */
  #ping(agent: Agent): void {
    const { clock, settings } = this.#context;
    if (agent.pings.missed >= settings.agentPingTimeoutsMax) {
      this.#condemn(agent);
    } else {
      agent.pings.missed += 1;
      agent.pings.sequence += 1;
      tellAgent(agent, { type: "PING", ping: { sequence: agent.pings.sequence } });
    }
    agent.pings.timer = clock.timer(settings.agentPingTimeoutMs, () => this.#ping(agent));
  }

  /** If the registry cannot be written, the next ping tries again. */
  #condemn(agent: Agent): void {
    if (this.#condemned.has(agent)) return;
    this.#condemned.add(agent);
    this.#context.counters.add("slave_unreachable_scheduled");
    // Every outcome is handled inside.
    void this.#declareUnreachable(agent).finally(() => this.#condemned.delete(agent));
  }

  async #declareUnreachable(agent: Agent): Promise<void> {
    const { clock, cluster, counters, log, registry, settings } = this.#context;
    const sinceMs = clock.nowMs();
    const info = { ...agent.info, id: { value: agent.id } };
    try {
      await registry.putAgent(agent.id, { state: "unreachable", sinceMs, info });
    } catch (cause) {
      log.warn({ event: "registry_write_failed", agentId: agent.id, error: describeError(cause) });
      return;
    }
    if (cluster.agents.get(agent.id) !== agent) return;
    if (agent.pings.missed < settings.agentPingTimeoutsMax) {
      // It answered, or came back, while the registry was being written.
      counters.add("slave_unreachable_canceled");
      registry.putAgentSoon(agent.id, { state: "admitted", sinceMs, info });
      return;
    }
    counters.add("slave_unreachable_completed");
    counters.add("slave_removals");
    counters.add("slave_removals/reason_unhealthy");
    log.warn({ event: "agent_unreachable", agentId: agent.id, hostname: agent.info.hostname, tasks: agent.tasks.size });
    this.#loseAll(agent, (framework) => ({
      state: isPartitionAware(framework) ? "TASK_UNREACHABLE" : "TASK_LOST",
      reason: "REASON_AGENT_REMOVED",
      message: `Agent ${agent.info.hostname} is unreachable: health check timed out`,
      unreachableSinceMs: sinceMs,
      keep: "unreachable",
    }));
    this.#detach(agent);
    cluster.removeAgent(agent);
    this.#tellOfLoss(agent.id);
  }

  #giveUpRecovered(): void {
    const { clock, counters, registry } = this.#context;
    for (const [id, record] of [...registry.agents]) {
      if (!this.isRecovered(id)) continue;
      counters.add("recovery_slave_removals");
      registry.putAgentSoon(id, { ...record, state: "unreachable", sinceMs: clock.nowMs() });
      this.#tellOfLoss(id);
    }
  }

  #forgetOldUnreachable(): void {
    const { clock, registry } = this.#context;
    const unreachable = [...registry.agents].filter(([, record]) => record.state === "unreachable");
    unreachable.sort(([, a], [, b]) => b.sinceMs - a.sinceMs);
    for (const [index, [id, record]] of unreachable.entries()) {
      const isOld = clock.nowMs() - record.sinceMs > unreachableKeptMs;
      if (isOld || index >= unreachableKept) registry.removeAgentSoon(id);
    }
  }

  #detach(agent: Agent): void {
    const { stream } = agent;
    agent.stream = undefined;
    this.#offering.rescind(agent.offers);
    stream?.close();
  }

  #loseAll(agent: Agent, word: (framework: Framework) => Loss): void {
    for (const task of [...agent.tasks]) {
      const framework = this.#context.cluster.frameworks.get(task.frameworkId);
      if (framework !== undefined) this.#lose(framework, task, word(framework));
    }
  }

  #lose(framework: Framework, task: TaskRecord, loss: Loss): void {
    const { cluster } = this.#context;
    const { keep, ...word } = loss;
    // Told its end already, only not acknowledged yet: losing it now would contradict the agent.
    const endIsTold = task.forwarded !== undefined && isTerminal(task.forwarded.state);
    cluster.setTaskState(task, loss.state);
    cluster.retireTask(task, endIsTold ? "completed" : (keep ?? "completed"));
    if (endIsTold) return;
    this.#updates.say(framework, {
      ...word,
      taskId: task.info.task_id.value,
      agentId: task.agentId,
      latest: task.statuses.at(-1),
    });
  }

  #tellOfLoss(agentId: string): void {
    for (const framework of this.#context.cluster.frameworks.values()) {
      tellFramework(this.#context, framework, { type: "FAILURE", failure: { agent_id: { value: agentId } } });
    }
  }
}

interface Loss {
  readonly state: TaskState;
  readonly reason: StatusReason;
  readonly message: string;
  readonly unreachableSinceMs?: number;
  readonly keep?: "unreachable";
}
