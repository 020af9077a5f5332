/**
 * From what is wanted and what is seen to what is to be done next. Pure: no clock, no I/O, no memory; ids and times come in.
 *
 * - Levels, not edges: the same snapshot gives the same steps, so a plan may be made again at any time, also after a crash.
 * - An app whose deployment step has not come is left alone; one that nobody deploys is kept at its number.
 * - Carrying steps out and planning again ends in waiting: every wait names its reason and, if known, its end.
 * Absent on purpose: offers. What is to be launched goes to offer-matching.ts, which knows places, not wishes.
 */

import type { App } from "../app/app.ts";
import type { AppId, InstanceId, TaskId } from "../app/app-id.ts";
import { type AppWork, currentActions, type Deployment, workOn } from "./deployment.ts";
import { type Health, type Instance, isActive, isReady, isUnreachable, type KillReason } from "./instance.ts";
import { chooseVictims } from "./kill-order.ts";
import { rollingMove } from "./rolling-restart.ts";

export interface ClusterSnapshot {
  readonly apps: ReadonlyMap<AppId, App>;
  readonly instances: readonly Instance[];
  readonly deployments: readonly Deployment[];
  /** Absent: nothing known yet. */
  readonly health: ReadonlyMap<InstanceId, Health>;
  /** Instances whose readiness check has not passed yet. */
  readonly unready: ReadonlySet<InstanceId>;
  /** When a kill was last sent, by task. */
  readonly killsSentMs: ReadonlyMap<TaskId, number>;
  /** Apps in back-off. */
  readonly notBeforeMs: ReadonlyMap<AppId, number>;
}

export interface PlannerLimits {
  readonly killRetryMs: number;
  /** No status at all since the launch was sent. */
  readonly launchConfirmTimeoutMs: number;
  /** Staging or starting. */
  readonly launchTimeoutMs: number;
}

export type Step =
  | { readonly kind: "kill"; readonly instance: InstanceId; readonly because: KillReason }
  /** The record goes, whatever became of the task: if it shows up again it is unknown and killed. */
  | {
      readonly kind: "expunge";
      readonly instance: InstanceId;
      readonly because: "unreachable" | "launch-not-confirmed";
    }
  | { readonly kind: "mark-inactive"; readonly instance: InstanceId }
  | { readonly kind: "launch"; readonly app: AppId; readonly count: number }
  | { readonly kind: "advance-deployment"; readonly deployment: string; readonly toStep: number }
  | { readonly kind: "finish-deployment"; readonly deployment: string }
  | { readonly kind: "wait"; readonly because: WaitReason; readonly untilMs: number; readonly app?: AppId };

export type WaitReason = "backoff" | "kill-not-confirmed" | "launch-not-confirmed" | "unreachable";

export function plan(seen: ClusterSnapshot, limits: PlannerLimits, nowMs: number): readonly Step[] {
  const byApp = new Map<AppId, Instance[]>();
  for (const id of seen.apps.keys()) byApp.set(id, []);
  for (const instance of seen.instances) {
    const siblings = byApp.get(instance.appId);
    if (siblings === undefined) byApp.set(instance.appId, [instance]);
    else siblings.push(instance);
  }
  const steps: Step[] = [];
  for (const [id, instances] of byApp) steps.push(...planApp(id, instances, seen, limits, nowMs));
  for (const deployment of seen.deployments) steps.push(...planDeployment(deployment, byApp, seen));
  return steps;
}

function planApp(
  id: AppId,
  instances: readonly Instance[],
  seen: ClusterSnapshot,
  limits: PlannerLimits,
  nowMs: number,
): readonly Step[] {
  const app = seen.apps.get(id);
  const given = instances.map((instance) => givenUp(instance, app, limits, nowMs));
  const steps = given.flatMap((step) => (step === undefined ? [] : [step]));
  // What is given up in this pass is judged in the next one, when it is gone.
  const left = instances.filter((_instance, index) => given[index] === undefined || given[index]?.kind === "wait");
  const move = wantedMove(app, left, workOn(id, seen.deployments), seen);
  for (const victim of move.kills) steps.push({ kind: "kill", instance: victim.id, because: move.because });
  for (const dying of left.filter(({ goal }) => goal === "Decommissioned"))
    steps.push(...killAgain(dying, seen, limits, nowMs));
  if (move.launches > 0) {
    const notBeforeMs = seen.notBeforeMs.get(id) ?? 0;
    if (notBeforeMs > nowMs) steps.push({ kind: "wait", because: "backoff", untilMs: notBeforeMs, app: id });
    else steps.push({ kind: "launch", app: id, count: move.launches });
  }
  return steps;
}

interface Move {
  readonly kills: readonly Instance[];
  readonly because: KillReason;
  readonly launches: number;
}
const nothing: Move = { kills: [], because: "scaled-down", launches: 0 };

function wantedMove(app: App | undefined, instances: readonly Instance[], work: AppWork, seen: ClusterSnapshot): Move {
  const alive = instances.filter(({ goal }) => goal === "Running");
  if (work.kind === "waiting") return nothing;
  if (app === undefined || (work.kind === "acting" && work.action === "StopApplication")) {
    return { kills: alive, because: "app-removed", launches: 0 };
  }
  if (work.kind === "acting" && work.action === "StartApplication") return nothing;
  const restarting = work.kind === "acting" && work.action === "RestartApplication" && app.instances > 0;
  return restarting ? restartMove(app, instances, seen) : scaleMove(app, alive, seen);
}

function scaleMove(app: App, alive: readonly Instance[], seen: ClusterSnapshot): Move {
  const active = alive.filter(isActive);
  const surplus = active.length - app.instances;
  if (surplus <= 0) return { ...nothing, launches: -surplus };
  const ordered = outdatedFirst(app, active, seen, surplus);
  return { kills: ordered, because: "scaled-down", launches: 0 };
}

/** A mixture of versions is left by a cancelled restart only: then the old ones go first. */
function outdatedFirst(
  app: App,
  active: readonly Instance[],
  seen: ClusterSnapshot,
  count: number,
): readonly Instance[] {
  const old = active.filter((instance) => isOutdated(instance, app));
  const current = active.filter((instance) => !isOutdated(instance, app));
  const fromOld = chooseVictims(app, old, (instance) => healthOf(instance, seen), Math.min(count, old.length));
  return [...fromOld, ...chooseVictims(app, current, (instance) => healthOf(instance, seen), count - fromOld.length)];
}

function restartMove(app: App, instances: readonly Instance[], seen: ClusterSnapshot): Move {
  const active = instances.filter(isActive);
  const old = active.filter((instance) => isOutdated(instance, app));
  const fresh = active.filter((instance) => !isOutdated(instance, app));
  const surplus = fresh.length - app.instances;
  if (surplus > 0) {
    return {
      kills: chooseVictims(app, fresh, (one) => healthOf(one, seen), surplus),
      because: "scaled-down",
      launches: 0,
    };
  }
  const move = rollingMove(app.upgradeStrategy, {
    wanted: app.instances,
    oldActive: old.length,
    oldReady: old.filter((instance) => serves(instance, seen)).length,
    newActive: fresh.length,
    newReady: fresh.filter((instance) => serves(instance, seen)).length,
    terminating: instances.filter(({ goal }) => goal === "Decommissioned").length,
  });
  const ordered = chooseVictims(app, old, (instance) => (serves(instance, seen) ? "healthy" : "unhealthy"), move.kill);
  return { kills: ordered, because: "superseded", launches: move.start };
}

export function isOutdated(instance: Instance, app: App): boolean {
  return instance.runSpecVersion < app.replaceBefore;
}

function healthOf(instance: Instance, seen: ClusterSnapshot): Health {
  return seen.health.get(instance.id) ?? "unknown";
}

function serves(instance: Instance, seen: ClusterSnapshot): boolean {
  return isReady(instance, healthOf(instance, seen), !seen.unready.has(instance.id));
}

/** Launches nobody confirmed, tasks nobody can reach: what the passing of time alone decides. */
function givenUp(instance: Instance, app: App | undefined, limits: PlannerLimits, nowMs: number): Step | undefined {
  if (isUnreachable(instance)) return unreachableStep(instance, app, nowMs);
  if (instance.goal === "Decommissioned") return undefined;
  if (instance.condition === "Provisioned") {
    const untilMs = instance.stagedAtMs + limits.launchConfirmTimeoutMs;
    if (nowMs >= untilMs) return { kind: "expunge", instance: instance.id, because: "launch-not-confirmed" };
    return { kind: "wait", because: "launch-not-confirmed", untilMs };
  }
  if (instance.condition === "Staging" || instance.condition === "Starting") {
    const untilMs = instance.stagedAtMs + limits.launchTimeoutMs;
    if (nowMs >= untilMs) return { kind: "kill", instance: instance.id, because: "launch-overdue" };
    return { kind: "wait", because: "launch-not-confirmed", untilMs };
  }
  return undefined;
}

function unreachableStep(instance: Instance, app: App | undefined, nowMs: number): Step | undefined {
  const strategy = app?.unreachableStrategy ?? { inactiveAfterSeconds: 0, expungeAfterSeconds: 0 };
  const expunge: Step = { kind: "expunge", instance: instance.id, because: "unreachable" };
  // Nobody wants it any more: there is nothing to wait for, and whatever comes back unknown is killed.
  if (instance.goal === "Decommissioned") return expunge;
  if (strategy === "disabled") return undefined;
  const sinceMs = instance.unreachableSinceMs ?? nowMs;
  const expungeAtMs = sinceMs + strategy.expungeAfterSeconds * 1000;
  const inactiveAtMs = sinceMs + strategy.inactiveAfterSeconds * 1000;
  if (nowMs >= expungeAtMs) return expunge;
  if (nowMs < inactiveAtMs) return { kind: "wait", because: "unreachable", untilMs: inactiveAtMs };
  if (instance.condition === "Unreachable") return { kind: "mark-inactive", instance: instance.id };
  return { kind: "wait", because: "unreachable", untilMs: expungeAtMs };
}

function killAgain(instance: Instance, seen: ClusterSnapshot, limits: PlannerLimits, nowMs: number): readonly Step[] {
  if (isUnreachable(instance)) return [];
  const sentMs = seen.killsSentMs.get(instance.taskId);
  const untilMs = (sentMs ?? Number.NEGATIVE_INFINITY) + limits.killRetryMs;
  if (nowMs < untilMs) return [{ kind: "wait", because: "kill-not-confirmed", untilMs }];
  return [{ kind: "kill", instance: instance.id, because: instance.killReason ?? "scaled-down" }];
}

function planDeployment(
  deployment: Deployment,
  byApp: ReadonlyMap<AppId, readonly Instance[]>,
  seen: ClusterSnapshot,
): readonly Step[] {
  const actions = currentActions(deployment);
  const done = actions.every(({ app, action }) => {
    const instances = byApp.get(app) ?? [];
    const target = seen.apps.get(app);
    if (action === "StartApplication") return true;
    if (action === "StopApplication" || target === undefined) return instances.length === 0;
    const current = action === "ScaleApplication" || instances.every((instance) => !isOutdated(instance, target));
    return current && instances.length === target.instances && instances.every((instance) => serves(instance, seen));
  });
  if (!done) return [];
  const toStep = deployment.currentStep + 1;
  if (toStep > deployment.steps.length) return [{ kind: "finish-deployment", deployment: deployment.id }];
  return [{ kind: "advance-deployment", deployment: deployment.id, toStep }];
}
