/**
 * Frameworks: subscribing, failing over, being away, being removed (reference: mesos-api 2.2 SUBSCRIBE, 2.4).
 *
 * - The newest subscription wins; the older stream is told `Framework failed over` and ended.
 * - When the stream ends, offers end and the failover timer starts; when that runs out the framework is removed: its
 *   tasks are killed and it may not come back.
 * - A framework that is known from the registry or from agents only is "recovered". It gets at least the agents' time to
 *   come back, so that a restarted master does not kill what has a failover timeout of 0.
 */

import { type FrameworkInfo, frameworkRoles } from "../protocol/framework-info.ts";
import type { Subscribe } from "../protocol/scheduler-call.ts";
import type { SchedulerEvent } from "../protocol/scheduler-event.ts";
import type { Agent, Framework } from "./cluster.ts";
import type { EventStream } from "./event-stream.ts";
import { subscribeProblem } from "./framework-validation.ts";
import { longTimer } from "./long-timer.ts";
import { type MasterContext, tellAgent, tellFramework } from "./master-context.ts";
import type { Offering } from "./offering.ts";

export const heartbeatIntervalMs = 15_000;
/** Removed frameworks are remembered in the registry, so that a returning agent's tasks of them are ended. */
const removedRemembered = 500;

export type UpdateOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly status: 400; readonly message: string };

export class FrameworkLife {
  readonly #context: MasterContext;
  readonly #offering: Offering;
  #nextFramework = 0;

  constructor(context: MasterContext, offering: Offering) {
    this.#context = context;
    this.#offering = offering;
  }

  /** Once at start: what the registry remembers. */
  recoverFromRegistry(): void {
    for (const [id, record] of this.#context.registry.frameworks) {
      if (record.state === "known") this.recover({ ...record.info, id: { value: id } });
    }
  }

  /** A framework that has not subscribed to this master, known by its info. */
  recover(info: FrameworkInfo): Framework | undefined {
    const { cluster, clock, settings } = this.#context;
    const id = info.id?.value;
    if (id === undefined || this.isRemoved(id)) return undefined;
    const known = cluster.frameworks.get(id);
    if (known !== undefined) return known;
    const framework = cluster.addFramework(id, info, clock.nowMs());
    const graceMs = Math.max((info.failover_timeout ?? 0) * 1_000, settings.agentReregisterTimeoutMs);
    framework.failoverTimer = longTimer(clock, graceMs, () => this.remove(framework, "failover timeout"));
    return framework;
  }

  isRemoved(id: string): boolean {
    return (
      this.#context.cluster.completedFrameworks.has(id) ||
      this.#context.registry.frameworks.get(id)?.state === "removed"
    );
  }

  /** Refusals go into the stream, as Mesos does: 200, one ERROR event, end. */
  subscribe(subscribe: Subscribe, stream: EventStream<SchedulerEvent>): void {
    const { cluster, clock, counters, log, settings } = this.#context;
    const info = subscribe.framework_info;
    const askedId = info.id?.value === "" ? undefined : info.id?.value;
    counters.add(askedId === undefined ? "messages_register_framework" : "messages_reregister_framework");
    const known = askedId === undefined ? undefined : cluster.frameworks.get(askedId);
    const problem =
      subscribeProblem(subscribe, settings) ??
      (askedId !== undefined && this.isRemoved(askedId) ? "Framework has been removed" : undefined) ??
      (known !== undefined && known.info.principal !== info.principal
        ? "Changing framework's principal is not allowed."
        : undefined);
    if (problem !== undefined) {
      log.info({ event: "framework_refused", frameworkId: askedId, framework: info.name, because: problem });
      stream.send({ type: "ERROR", error: { message: problem } });
      stream.close();
      return;
    }
    const id = askedId ?? this.#newId();
    const framework = known ?? cluster.addFramework(id, info, clock.nowMs());
    if (known !== undefined) this.#takeOver(framework);
    framework.info = {
      ...info,
      id: { value: id },
      user: known?.info.user ?? info.user,
      checkpoint: known === undefined ? info.checkpoint : known.info.checkpoint,
    };
    framework.suppressedRoles = new Set(subscribe.suppressed_roles ?? []);
    framework.offerConstraints = subscribe.offer_constraints;
    framework.recovered = false;
    framework.stream = stream;
    this.#remember(framework);
    log.info({ event: "framework_subscribed", frameworkId: id, framework: info.name, again: known !== undefined });
    tellFramework(this.#context, framework, {
      type: "SUBSCRIBED",
      subscribed: {
        framework_id: { value: id },
        heartbeat_interval_seconds: heartbeatIntervalMs / 1_000,
        master_info: this.#context.info,
      },
    });
    this.#heartbeat(framework);
    this.#tellAgents(framework);
    this.#offering.allocate();
  }

  /** Whole replacement of the info, by the framework itself. */
  update(framework: Framework, update: Subscribe): UpdateOutcome {
    const problem = this.#updateProblem(framework, update);
    if (problem !== undefined) return { ok: false, status: 400, message: problem };
    const before = new Set(frameworkRoles(framework.info));
    framework.info = { ...update.framework_info, id: { value: framework.id } };
    const roles = frameworkRoles(framework.info);
    const suppressed = new Set(update.suppressed_roles ?? []);
    this.#offering.rescind([...framework.offers].filter((offer) => !roles.includes(offer.role)));
    this.#offering.unsuppress(
      framework,
      [...framework.suppressedRoles].filter((role) => !suppressed.has(role)),
    );
    for (const role of before) if (!roles.includes(role)) framework.filters.clearRole(role);
    framework.suppressedRoles = suppressed;
    framework.offerConstraints = update.offer_constraints;
    this.#remember(framework);
    this.#tellAgents(framework);
    this.#offering.allocate();
    return { ok: true };
  }

  /** The stream has ended. Of no interest if a newer one has taken over. */
  disconnected(stream: EventStream<SchedulerEvent>): void {
    const { cluster, clock, log } = this.#context;
    const framework = [...cluster.frameworks.values()].find((one) => one.stream === stream);
    if (framework === undefined) return;
    log.info({ event: "framework_disconnected", frameworkId: framework.id });
    this.#silence(framework);
    const timeoutMs = (framework.info.failover_timeout ?? 0) * 1_000;
    if (timeoutMs === 0) this.remove(framework, "disconnected with a failover timeout of 0");
    else framework.failoverTimer = longTimer(clock, timeoutMs, () => this.remove(framework, "failover timeout"));
  }

  /** TEARDOWN, or failover timeout. Tasks are recorded as killed; no update is sent. */
  remove(framework: Framework, because: string): void {
    const { cluster, clock, counters, log, registry } = this.#context;
    log.info({ event: "framework_removed", frameworkId: framework.id, because, tasks: framework.tasks.size });
    const { stream } = framework;
    const agentIds = new Set<string>();
    this.#silence(framework);
    for (const task of [...framework.tasks.values()]) {
      agentIds.add(task.agentId);
      cluster.setTaskState(task, "TASK_KILLED");
      cluster.retireTask(task, "completed");
      counters.add("tasks_killed");
    }
    stream?.close();
    framework.failoverTimer?.[Symbol.dispose]();
    cluster.completeFramework(framework, clock.nowMs());
    registry.putFrameworkSoon(framework.id, { state: "removed", sinceMs: clock.nowMs(), info: framework.info });
    this.#forgetOldest();
    for (const id of agentIds) {
      const agent = cluster.agents.get(id);
      if (agent !== undefined) this.shutdownOn(agent, framework.id);
    }
  }

  shutdownOn(agent: Agent, frameworkId: string): void {
    tellAgent(agent, { type: "SHUTDOWN_FRAMEWORK", shutdown_framework: { framework_id: { value: frameworkId } } });
  }

  #takeOver(framework: Framework): void {
    framework.reregisteredAtMs = this.#context.clock.nowMs();
    framework.failoverTimer?.[Symbol.dispose]();
    framework.failoverTimer = undefined;
    const old = framework.stream;
    if (old !== undefined)
      tellFramework(this.#context, framework, { type: "ERROR", error: { message: "Framework failed over" } });
    this.#silence(framework);
    old?.close();
  }

  /** No stream, no offers, no heartbeat. */
  #silence(framework: Framework): void {
    this.#offering.discard(framework.offers);
    framework.stream = undefined;
    framework.heartbeatTimer?.[Symbol.dispose]();
    framework.heartbeatTimer = undefined;
  }

  #heartbeat(framework: Framework): void {
    tellFramework(this.#context, framework, { type: "HEARTBEAT" });
    framework.heartbeatTimer = this.#context.clock.timer(heartbeatIntervalMs, () => this.#heartbeat(framework));
  }

  /** Agents learn the new info, and send again at once what was not acknowledged. */
  #tellAgents(framework: Framework): void {
    const agentIds = new Set([...framework.tasks.values()].map((task) => task.agentId));
    for (const id of agentIds) {
      const agent = this.#context.cluster.agents.get(id);
      if (agent !== undefined) {
        tellAgent(agent, { type: "UPDATE_FRAMEWORK", update_framework: { framework: framework.info } });
      }
    }
  }

  #updateProblem(framework: Framework, update: Subscribe): string | undefined {
    const info = update.framework_info;
    if (info.id?.value !== framework.id)
      return "'update_framework.framework_info.id' must be the same as 'framework_id'";
    if (info.principal !== framework.info.principal) return "Changing framework's principal is not allowed.";
    if (info.user !== framework.info.user) return "Updating 'FrameworkInfo.user' is unsupported";
    if ((info.checkpoint ?? false) !== (framework.info.checkpoint ?? false)) {
      return "Updating 'FrameworkInfo.checkpoint' is unsupported";
    }
    return subscribeProblem(update, this.#context.settings);
  }

  #remember(framework: Framework): void {
    const { id, info, registeredAtMs } = framework;
    this.#context.registry.putFrameworkSoon(id, { state: "known", sinceMs: registeredAtMs, info });
  }

  #forgetOldest(): void {
    const { registry } = this.#context;
    const removed = [...registry.frameworks].filter(([, record]) => record.state === "removed");
    const excess = removed.length - removedRemembered;
    if (excess <= 0) return;
    for (const [id] of removed.sort(([, a], [, b]) => a.sinceMs - b.sinceMs).slice(0, excess)) {
      registry.removeFrameworkSoon(id);
    }
  }

  #newId(): string {
    return `${this.#context.info.id}-${String(this.#nextFramework++).padStart(4, "0")}`;
  }
}
