/**
 * A deployment is the way from what apps were to what they shall be, in steps (reference: marathon-behaviour 2.1, 2.2):
 * stop what is gone, start what is new, then scale or restart layer by layer of the dependencies. Pure.
 */

import { type App, isUpgrade } from "../app/app.ts";
import type { AppId, Timestamp } from "../app/app-id.ts";

export type ActionKind = "StartApplication" | "StopApplication" | "ScaleApplication" | "RestartApplication";

export interface Action {
  readonly action: ActionKind;
  readonly app: AppId;
}
export interface DeploymentStep {
  readonly actions: readonly Action[];
}
export interface Deployment {
  readonly id: string;
  readonly version: Timestamp;
  readonly steps: readonly DeploymentStep[];
  /** 0 before the first step, then the number of the one under way. */
  readonly currentStep: number;
  /** What each affected app was before; null if it did not exist. For roll-back. */
  readonly original: Readonly<Record<AppId, App | null>>;
}

export type Apps = ReadonlyMap<AppId, App>;

export function deploymentSteps(
  original: Apps,
  target: Apps,
  /** Apps whose instances must be replaced although the definition did not change in this deployment. */
  restarts: ReadonlySet<AppId>,
): readonly DeploymentStep[] {
  const stops = [...original.keys()].filter((id) => !target.has(id));
  const starts = [...target.keys()].filter((id) => !original.has(id));
  const layers = dependencyLayers(target);
  const layered = layers.map((layer) => layer.flatMap((app) => actionFor(original.get(app.id), app, restarts)));
  return [
    stops.map((app): Action => ({ action: "StopApplication", app })),
    starts.map((app): Action => ({ action: "StartApplication", app })),
    ...layered,
  ].flatMap((actions) => (actions.length === 0 ? [] : [{ actions }]));
}

function actionFor(before: App | undefined, app: App, restarts: ReadonlySet<AppId>): readonly Action[] {
  const scale: Action = { action: "ScaleApplication", app: app.id };
  if (before === undefined) return [scale];
  const replaced = isUpgrade(before, app) || before.replaceBefore !== app.replaceBefore || restarts.has(app.id);
  if (replaced && app.instances > 0) return [{ action: "RestartApplication", app: app.id }];
  return before.instances === app.instances && !replaced ? [] : [scale];
}

/** Apps by length of their longest dependency path; dependencies on unknown apps do not count. */
function dependencyLayers(apps: Apps): readonly (readonly App[])[] {
  const depths = new Map<AppId, number>();
  const layers: App[][] = [];
  for (const app of apps.values()) {
    const depth = depthOf(app, apps, depths, new Set());
    layers[depth] = [...(layers[depth] ?? []), app];
  }
  return Array.from(layers, (layer) => layer ?? []);
}

function depthOf(app: App, apps: Apps, depths: Map<AppId, number>, path: Set<AppId>): number {
  const known = depths.get(app.id);
  if (known !== undefined) return known;
  path.add(app.id);
  let depth = 0;
  for (const id of app.dependencies) {
    const dependency = apps.get(id);
    if (dependency !== undefined && !path.has(id)) depth = Math.max(depth, 1 + depthOf(dependency, apps, depths, path));
  }
  path.delete(app.id);
  depths.set(app.id, depth);
  return depth;
}

export function hasDependencyCycle(apps: Apps): boolean {
  const done = new Set<AppId>();
  const visit = (id: AppId, path: ReadonlySet<AppId>): boolean => {
    if (path.has(id)) return true;
    const app = apps.get(id);
    if (app === undefined || done.has(id)) return false;
    const deeper = new Set([...path, id]);
    if (app.dependencies.some((dependency) => visit(dependency, deeper))) return true;
    done.add(id);
    return false;
  };
  return [...apps.keys()].some((id) => visit(id, new Set()));
}

export function affectedApps(deployment: Pick<Deployment, "steps" | "original">): readonly AppId[] {
  const ids = deployment.steps.flatMap(({ actions }) => actions.map(({ app }) => app));
  return [...new Set([...(Object.keys(deployment.original) as AppId[]), ...ids])].sort();
}

/** What the deployment is doing now. */
export function currentActions(deployment: Deployment): readonly Action[] {
  return deployment.steps[deployment.currentStep - 1]?.actions ?? [];
}

/** Acting: its step is under way. Waiting: its step has not come, so hands off. Free: no deployment is about it. */
export type AppWork =
  | { readonly kind: "free" }
  | { readonly kind: "waiting" }
  | { readonly kind: "acting"; readonly action: ActionKind };

export function workOn(app: AppId, deployments: readonly Deployment[]): AppWork {
  for (const deployment of deployments) {
    const now = currentActions(deployment).find((action) => action.app === app);
    if (now !== undefined) return { kind: "acting", action: now.action };
    const later = deployment.steps.slice(deployment.currentStep);
    if (later.some(({ actions }) => actions.some((action) => action.app === app))) return { kind: "waiting" };
  }
  return { kind: "free" };
}
