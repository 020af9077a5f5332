/**
 * Every change of apps goes through here (reference: marathon-behaviour 2.1): it is computed on the present state, checked
 * against deployments under way, and written together with its own deployment in one transaction, before anybody is told.
 */

import type { Operation } from "../store/store.ts";
import { type App, portsOf } from "./app/app.ts";
import type { ChangeContext } from "./app/app-change.ts";
import type { AppId, InstanceId, Timestamp } from "./app/app-id.ts";
import type { Engine } from "./engine.ts";
import { affectedApps, type Deployment, deploymentSteps, hasDependencyCycle } from "./plan/deployment.ts";
import { planJson } from "./plan/deployment-json.ts";
import type { Instance } from "./plan/instance.ts";
import { locked, notValid, tooManyDeployments, unprocessable } from "./refusal.ts";
import { put, remove } from "./state/records.ts";

export interface DeploymentResult {
  readonly version: Timestamp;
  readonly deploymentId: string;
}

export interface ChangeOptions {
  readonly force: boolean;
  /** Apps whose instances are all to be replaced. */
  readonly restarts?: readonly AppId[];
  /** Instances to be killed along with the change, before any other. */
  readonly kills?: readonly InstanceId[];
}

/** Computes what apps shall be, out of what they are. Throws a Refusal to change nothing. */
export type AppsChange = (apps: Map<AppId, App>, now: Timestamp) => void;

/** An app takes two to three operations, and a transaction holds some hundred. */
const changedAppsMax = 30;

export class DeploymentService {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  change(change: AppsChange, options: ChangeOptions): Promise<DeploymentResult> {
    const { state, poke } = this.#engine;
    return state.exclusive(async () => {
      const result = await this.#deploy(change, options);
      poke();
      return result;
    });
  }

  /** What validation has to know of the other apps. */
  contextFor(
    id: AppId,
    apps: ReadonlyMap<AppId, App>,
    known: ReadonlySet<string> | undefined,
    path = "",
  ): ChangeContext {
    const used = new Set<number>();
    for (const app of apps.values()) {
      if (app.id !== id) for (const { servicePort } of portsOf(app)) used.add(servicePort);
    }
    return { rules: this.#engine.settings.rules, usedServicePorts: used, knownNetworks: known, path };
  }

  /** Undoes what the deployment changed, and only that: later changes of other apps stay. */
  async rollBack(deployment: Deployment): Promise<DeploymentResult> {
    const restore: AppsChange = (apps, now) => {
      for (const [id, before] of Object.entries(deployment.original) as [AppId, App | null][]) {
        if (before === null) apps.delete(id);
        else
          apps.set(id, {
            ...before,
            version: now,
            versionInfo: { lastScalingAt: now, lastConfigChangeAt: now },
            replaceBefore: now,
          });
      }
    };
    return this.change(restore, { force: true });
  }

  /** Forgets the deployment; apps and instances stay as they are. */
  async cancel(deployment: Deployment): Promise<void> {
    const { state, poke } = this.#engine;
    await state.exclusive(async () => {
      await state.commit([remove.deployment(deployment.id)], () => state.deployments.delete(deployment.id));
      this.#publishCancelled(deployment, "cancelled by the user");
      poke();
    });
  }

  async #deploy(change: AppsChange, options: ChangeOptions): Promise<DeploymentResult> {
    const { state, bus, settings, clock, delays } = this.#engine;
    const version = state.nextVersion();
    const target = new Map(state.apps);
    change(target, version);
    if (hasDependencyCycle(target)) {
      throw notValid([{ path: "/", errors: ["Dependency graph has cyclic dependencies."] }]);
    }
    const kills = (options.kills ?? []).flatMap((id) => state.instances.get(id) ?? []);
    const touched = new Set([
      ...changedApps(state.apps, target),
      ...(options.restarts ?? []),
      ...kills.map(({ appId }) => appId),
    ]);
    if (touched.size > changedAppsMax) throw unprocessable(`At most ${changedAppsMax} apps can be changed at once.`);
    const conflicting = [...state.deployments.values()].filter((one) =>
      affectedApps(one).some((id) => touched.has(id)),
    );
    if (conflicting.length > 0 && !options.force) throw locked(conflicting.map(({ id }) => id));
    if (state.deployments.size - conflicting.length >= settings.deploymentsMax)
      throw tooManyDeployments(settings.deploymentsMax);
    const restarts = this.#restarts(target, touched, conflicting, options.restarts ?? []);
    const original = Object.fromEntries([...touched].map((id) => [id, state.apps.get(id) ?? null]));
    const steps = deploymentSteps(state.apps, target, restarts);
    const deployment: Deployment = { id: clock.uuid(), version, steps, currentStep: 0, original };
    await state.commit(this.#operations(target, touched, conflicting, deployment, kills), () => {
      for (const id of touched) {
        const app = target.get(id);
        if (app === undefined) {
          state.dropApp(id);
          delays.reset(id);
        } else if (app !== state.apps.get(id)) {
          state.dropVersion(id, state.oldVersion(id, settings.versionsMax));
          state.setApp(app);
        }
      }
      for (const { id } of conflicting) state.deployments.delete(id);
      if (steps.length > 0) state.deployments.set(deployment.id, deployment);
      for (const instance of kills) state.setInstance(givenUp(instance));
    });
    for (const one of conflicting) this.#publishCancelled(one, "superseded by another deployment");
    for (const id of options.restarts ?? []) delays.reset(id);
    bus.publish("group_change_success", { groupId: "/", version });
    if (steps.length === 0) bus.publish("deployment_success", { id: deployment.id, plan: planJson(deployment) });
    return { version, deploymentId: deployment.id };
  }

  /** Restarts asked for, and those that a superseded deployment did not finish. */
  #restarts(
    target: ReadonlyMap<AppId, App>,
    touched: ReadonlySet<AppId>,
    conflicting: readonly Deployment[],
    asked: readonly AppId[],
  ): ReadonlySet<AppId> {
    const { state } = this.#engine;
    const unfinished = conflicting.flatMap(({ steps, currentStep }) =>
      steps
        .slice(Math.max(0, currentStep - 1))
        .flatMap(({ actions }) =>
          actions.filter(({ action }) => action === "RestartApplication").map(({ app }) => app),
        ),
    );
    // An app that is created anew while its former instances are still there has to be rid of them.
    const recreated = [...touched].filter((id) => !state.apps.has(id) && state.instancesOf(id).length > 0);
    return new Set([...asked, ...unfinished, ...recreated].filter((id) => target.has(id)));
  }

  #operations(
    target: ReadonlyMap<AppId, App>,
    touched: ReadonlySet<AppId>,
    conflicting: readonly Deployment[],
    deployment: Deployment,
    kills: readonly Instance[],
  ): readonly Operation[] {
    const { state, settings } = this.#engine;
    const operations: Operation[] = [];
    for (const id of touched) {
      const app = target.get(id);
      if (app === undefined) operations.push(...(state.apps.has(id) ? remove.app(id) : []));
      else if (app !== state.apps.get(id)) {
        const old = state.oldVersion(id, settings.versionsMax);
        operations.push(put.app(app), put.version(app), ...(old === undefined ? [] : [remove.version(id, old)]));
      }
    }
    operations.push(...conflicting.map(({ id }) => remove.deployment(id)));
    operations.push(...kills.map((instance) => put.instance(givenUp(instance))));
    if (deployment.steps.length > 0) operations.push(put.deployment(deployment));
    return operations;
  }

  #publishCancelled(deployment: Deployment, reason: string): void {
    this.#engine.metrics.count("deployments.dismissed.counter");
    this.#engine.bus.publish("deployment_failed", { id: deployment.id, plan: planJson(deployment), reason });
  }
}

function changedApps(before: ReadonlyMap<AppId, App>, after: ReadonlyMap<AppId, App>): readonly AppId[] {
  const ids = new Set([...before.keys(), ...after.keys()]);
  return [...ids].filter((id) => before.get(id) !== after.get(id));
}

function givenUp(instance: Instance): Instance {
  return { ...instance, goal: "Decommissioned", killReason: instance.killReason ?? "killed-by-user" };
}
