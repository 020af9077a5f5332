/** What the API shows of apps: the definition with counts, tasks, deployments, as `embed` asks (reference: marathon 3.1). */

import type { App } from "../app/app.ts";
import type { AppId } from "../app/app-id.ts";
import { appJson, type Json } from "../app/app-json.ts";
import type { Engine } from "../engine.ts";
import { affectedApps } from "../plan/deployment.ts";
import type { Instance } from "../plan/instance.ts";
import { countsJson, type SeenInstance, taskJson, taskStatsJson } from "./task-json.ts";

export type Embed = "tasks" | "counts" | "deployments" | "readiness" | "lastTaskFailure" | "taskStats";
const embeds: readonly Embed[] = ["tasks", "counts", "deployments", "readiness", "lastTaskFailure", "taskStats"];

/** Prefixes say where in a group's answer; here they all mean the same. Unknown values are ignored, as ever. */
export function parseEmbeds(values: readonly string[]): ReadonlySet<Embed> {
  const wanted = new Set<Embed>();
  for (const value of values) {
    const name = value.replace(/^(group\.)?apps?\./, "");
    if (name === "failures") wanted.add("lastTaskFailure").add("tasks").add("deployments");
    if (name === "tasks") wanted.add("deployments");
    const embed = embeds.find((one) => one === name || (one === "taskStats" && name === "tasksStats"));
    if (embed !== undefined) wanted.add(embed);
  }
  return wanted;
}

export const singleEmbeds: ReadonlySet<Embed> = new Set<Embed>([
  "tasks",
  "counts",
  "deployments",
  "readiness",
  "lastTaskFailure",
]);

export class AppView {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  apps(apps: readonly App[], embed: ReadonlySet<Embed>): readonly Json[] {
    const { state } = this.#engine;
    const byApp = Map.groupBy(state.instances.values(), ({ appId }) => appId);
    const deployments = this.#deploymentsByApp();
    return apps.map((app) => this.#info(app, byApp.get(app.id) ?? [], deployments.get(app.id) ?? [], embed));
  }

  app(app: App, embed: ReadonlySet<Embed>): Json {
    return this.#info(app, this.#engine.state.instancesOf(app.id), this.#deploymentsByApp().get(app.id) ?? [], embed);
  }

  task(instance: Instance): Json {
    return taskJson(this.see(instance), this.#engine.state.apps.get(instance.appId));
  }

  see(instance: Instance): SeenInstance {
    const { health, state } = this.#engine;
    return {
      instance,
      health: health.health(instance),
      results: health.results.of(instance.id),
      hasChecks: (state.definitionOf(instance)?.healthChecks.length ?? 0) > 0,
    };
  }

  readiness(id: AppId): readonly Json[] {
    const { health, state } = this.#engine;
    const check = state.apps.get(id)?.readinessChecks[0];
    if (check === undefined) return [];
    return state
      .instancesOf(id)
      .filter(({ condition }) => condition === "Running")
      .map((instance) => ({ name: check.name, taskId: instance.taskId, ready: health.ready(instance) }));
  }

  #info(app: App, instances: readonly Instance[], deployments: readonly string[], embed: ReadonlySet<Embed>): Json {
    const { state, clock } = this.#engine;
    const seen = instances.map((instance) => this.see(instance));
    const failure = state.failures.get(app.id);
    return {
      ...appJson(app),
      ...(embed.has("counts") ? countsJson(seen) : {}),
      ...(embed.has("deployments") ? { deployments: deployments.map((id) => ({ id })) } : {}),
      ...(embed.has("readiness") ? { readinessCheckResults: this.readiness(app.id) } : {}),
      ...(embed.has("tasks") ? { tasks: seen.map((one) => taskJson(one, app)) } : {}),
      ...(embed.has("lastTaskFailure") && failure !== undefined ? { lastTaskFailure: failure } : {}),
      ...(embed.has("taskStats") ? { taskStats: taskStatsJson(app, seen, clock.nowMs()) } : {}),
    };
  }

  #deploymentsByApp(): ReadonlyMap<AppId, readonly string[]> {
    const byApp = new Map<AppId, string[]>();
    for (const deployment of this.#engine.state.deployments.values()) {
      for (const app of affectedApps(deployment)) byApp.set(app, [...(byApp.get(app) ?? []), deployment.id]);
    }
    return byApp;
  }
}
