/** Deployments as /v2/deployments and events print them (reference: marathon 7.2, 8.2). Pure. */

import { type Action, affectedApps, currentActions, type Deployment } from "./deployment.ts";

type Json = Readonly<Record<string, unknown>>;

export function actionsJson(actions: readonly Action[]): readonly Json[] {
  return actions.map(({ action, app }) => ({ action, app }));
}

/** The light form, the only one from 1.8 on: without whole groups in it. */
export function planJson(deployment: Deployment): Json {
  return {
    id: deployment.id,
    version: deployment.version,
    steps: deployment.steps.map(({ actions }) => ({ actions: actionsJson(actions) })),
  };
}

export function deploymentJson(deployment: Deployment, readiness: (app: Action["app"]) => readonly Json[]): Json {
  return {
    ...planJson(deployment),
    affectedApps: affectedApps(deployment),
    affectedPods: [],
    currentActions: currentActions(deployment).map(({ action, app }) => ({
      action,
      app,
      readinessCheckResults: readiness(app),
    })),
    currentStep: deployment.currentStep,
    totalSteps: deployment.steps.length,
  };
}
