/**
 * Carries plans out: one pass at a time asks the planner what is next, does it, and comes back when something changed or a
 * wait is over. All knowledge of what should happen is in plan/; here is the doing, each step stored before it is sent.
 */

import { describeError } from "../../base/errors.ts";
import type { AppId, TaskId } from "../app/app-id.ts";
import type { Engine } from "../engine.ts";
import { currentActions } from "../plan/deployment.ts";
import { actionsJson, planJson } from "../plan/deployment-json.ts";
import type { Health, Instance, KillReason } from "../plan/instance.ts";
import { type ClusterSnapshot, plan, type Step } from "../plan/planner.ts";
import { put, remove } from "../state/records.ts";
import type { Launcher } from "./launcher.ts";
import type { OrphanKills } from "./orphan-kills.ts";
import type { Reconciliation } from "./reconciliation.ts";
import type { StatusUpdates } from "./status-updates.ts";

/** Steps follow from steps (a finished step starts the next); more rounds than this in one pass would be a loop. */
const roundsMax = 50;

type Executors = { [Kind in Step["kind"]]: (step: Extract<Step, { kind: Kind }>) => Promise<void> };

export class Conductor {
  readonly #engine: Engine;
  readonly #launcher: Launcher;
  readonly #orphans: OrphanKills;
  readonly #reconciliation: Reconciliation;
  readonly #updates: StatusUpdates;
  readonly #killsSentMs = new Map<TaskId, number>();
  #timer: Disposable | undefined;

  constructor(
    engine: Engine,
    parts: { launcher: Launcher; orphans: OrphanKills; reconciliation: Reconciliation; updates: StatusUpdates },
  ) {
    this.#engine = engine;
    this.#launcher = parts.launcher;
    this.#orphans = parts.orphans;
    this.#reconciliation = parts.reconciliation;
    this.#updates = parts.updates;
  }

  /** A new connection: what was sent over the old one may be lost. */
  connectionChanged(): void {
    this.#killsSentMs.clear();
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
  }

  async pass(): Promise<void> {
    const { clock, state, health } = this.#engine;
    let wakeMs = Number.POSITIVE_INFINITY;
    await state.exclusive(async () => {
      let steps: readonly Step[] = [];
      for (let round = 0; round < roundsMax; round += 1) {
        steps = plan(this.#snapshot(), this.#engine.settings.limits, clock.nowMs());
        const doable = steps.filter((step) => step.kind !== "wait" && step.kind !== "launch");
        if (doable.length === 0) break;
        for (const step of doable) await this.#execute(step);
      }
      health.sync(state.instances);
      for (const task of this.#killsSentMs.keys()) {
        if (state.instanceOfTask(task) === undefined) this.#killsSentMs.delete(task);
      }
      const waits = steps.filter((step) => step.kind === "wait");
      for (const { untilMs } of waits) wakeMs = Math.min(wakeMs, untilMs);
      const launches = steps.filter((step) => step.kind === "launch");
      wakeMs = Math.min(wakeMs, await this.#launcher.place(launches, waits));
    });
    wakeMs = Math.min(wakeMs, (await this.#orphans.retry()) ?? wakeMs);
    wakeMs = Math.min(wakeMs, await this.#reconciliation.tick(state.instances.values()));
    this.#wakeAt(wakeMs);
  }

  #wakeAt(wakeMs: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (wakeMs === Number.POSITIVE_INFINITY) return;
    const { clock, poke } = this.#engine;
    this.#timer = clock.timer(Math.max(1, wakeMs - clock.nowMs()), poke);
  }

  #snapshot(): ClusterSnapshot {
    const { clock, state, health, delays } = this.#engine;
    const instances = [...state.instances.values()];
    const nowMs = clock.nowMs();
    return {
      apps: state.apps,
      instances,
      deployments: [...state.deployments.values()],
      health: new Map(instances.map((instance): [Instance["id"], Health] => [instance.id, health.health(instance)])),
      unready: new Set(instances.filter((instance) => !health.ready(instance)).map(({ id }) => id)),
      killsSentMs: this.#killsSentMs,
      notBeforeMs: new Map(
        [...state.apps.values()].map((app): [AppId, number] => [app.id, delays.notBeforeMs(app, nowMs)]),
      ),
    };
  }

  async #execute(step: Step): Promise<void> {
    const execute = this.#executors[step.kind] as (step: Step) => Promise<void>;
    await execute(step);
  }

  readonly #executors: Executors = {
    kill: async ({ instance, because }) => this.kill(instance, because),
    expunge: async ({ instance: id, because }) => {
      const { state, delays, log, clock } = this.#engine;
      const instance = state.instances.get(id);
      if (instance === undefined) return;
      await state.commit([remove.instance(id)], () => state.dropInstance(instance));
      log.warn({ event: "instance_expunged", instance: id, because });
      const app = state.apps.get(instance.appId);
      if (app !== undefined && because === "launch-not-confirmed") delays.failed(app, clock.nowMs());
      this.#updates.publishInstance({
        ...instance,
        condition: because === "unreachable" ? "UnreachableInactive" : "Dropped",
      });
      // The master keeps kills for agents that are away, and sends them when they return.
      await this.#sendKill(instance);
    },
    "mark-inactive": async ({ instance: id }) => {
      const { state } = this.#engine;
      const instance = state.instances.get(id);
      if (instance === undefined) return;
      const next: Instance = { ...instance, condition: "UnreachableInactive" };
      await state.commit([put.instance(next)], () => state.setInstance(next));
      this.#updates.publishInstance(next);
    },
    "advance-deployment": async ({ deployment: id, toStep }) => {
      const { state, delays, bus } = this.#engine;
      const deployment = state.deployments.get(id);
      if (deployment === undefined) return;
      const next = { ...deployment, currentStep: toStep };
      await state.commit([put.deployment(next)], () => state.deployments.set(id, next));
      this.#stepSucceeded(deployment);
      bus.publish("deployment_info", {
        plan: planJson(next),
        currentStep: { actions: actionsJson(currentActions(next)) },
      });
      for (const { action, app } of currentActions(next)) {
        if (action === "RestartApplication") delays.reset(app);
        this.#publishChecks(action, app);
      }
    },
    "finish-deployment": async ({ deployment: id }) => {
      const { state, bus, metrics } = this.#engine;
      const deployment = state.deployments.get(id);
      if (deployment === undefined) return;
      await state.commit([remove.deployment(id)], () => state.deployments.delete(id));
      this.#stepSucceeded(deployment);
      metrics.count("deployments.counter");
      bus.publish("deployment_success", { id, plan: planJson(deployment) });
    },
    // Placed by the launcher, all together: a choice of hosts needs to see all of them.
    launch: async () => undefined,
    wait: async () => undefined,
  };

  /** Marks the instance as given up, then asks for its end. Only within exclusive(). */
  async kill(id: Instance["id"], because: KillReason): Promise<void> {
    const { state, clock, log } = this.#engine;
    const instance = state.instances.get(id);
    if (instance === undefined) return;
    if (instance.goal === "Running") {
      const next: Instance = { ...instance, goal: "Decommissioned", killReason: because };
      await state.commit([put.instance(next)], () => state.setInstance(next));
      log.info({ event: "instance_killed", instance: id, because });
    }
    this.#killsSentMs.set(instance.taskId, clock.nowMs());
    await this.#sendKill(instance);
  }

  async #sendKill(instance: Instance): Promise<void> {
    const { connection, log } = this.#engine;
    if (!connection.connected) return; // sent again once there is a connection
    try {
      await connection.call({
        type: "KILL",
        kill: { task_id: { value: instance.taskId }, agent_id: { value: instance.agentId } },
      });
    } catch (error) {
      log.warn({ event: "kill_unsent", task: instance.taskId, error: describeError(error) });
    }
  }

  #stepSucceeded(deployment: Parameters<typeof planJson>[0]): void {
    if (deployment.currentStep === 0) return;
    const { bus } = this.#engine;
    const actions = currentActions(deployment);
    for (const { action, app } of actions)
      if (action === "StopApplication") bus.publish("app_terminated_event", { appId: app });
    bus.publish("deployment_step_success", {
      plan: planJson(deployment),
      currentStep: { actions: actionsJson(actions) },
    });
  }

  #publishChecks(action: string, id: AppId): void {
    const { bus, state } = this.#engine;
    const app = state.apps.get(id);
    if (action === "StopApplication") bus.publish("remove_health_check_event", { appId: id });
    if (app === undefined || (action !== "StartApplication" && action !== "RestartApplication")) return;
    for (const healthCheck of app.healthChecks) {
      bus.publish("add_health_check_event", { appId: id, version: app.version, healthCheck });
    }
  }
}
