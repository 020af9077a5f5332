/** What the page says of an application, derived from the API's numbers. Pure. */

import type { App, QueueEntry, Task } from "./api.ts";

export type AppStatus = "Running" | "Deploying" | "Suspended" | "Waiting" | "Delayed";
export type TaskHealth = "healthy" | "unhealthy" | "unknown";

export interface HealthCounts {
  readonly healthy: number;
  readonly unhealthy: number;
  readonly unknown: number;
  readonly staged: number;
  readonly missing: number;
}

/** Marathon's page: a deployment shows as Deploying unless the launch queue says what it waits for. */
export function statusOf(app: App, queued: QueueEntry | undefined): AppStatus {
  if (queued !== undefined && queued.count > 0) {
    if ((queued.delay?.timeLeftSeconds ?? 0) > 0) return "Delayed";
    if (queued.delay?.overdue === true && (app.tasksStaged ?? 0) === 0) return "Waiting";
  }
  if ((app.deployments ?? []).length > 0) return "Deploying";
  if (app.instances === 0 && (app.tasksRunning ?? 0) === 0) return "Suspended";
  return "Running";
}

/** Why instances are not placed yet, in words, or undefined when nothing waits. */
export function waitReason(queued: QueueEntry | undefined): string | undefined {
  if (queued === undefined || queued.count === 0) return undefined;
  const delaySeconds = queued.delay?.timeLeftSeconds ?? 0;
  if (delaySeconds > 0) return `starts again in ${delaySeconds} s, after it failed`;
  const refused = (queued.processedOffersSummary?.rejectSummaryLastOffers ?? []).filter(({ declined }) => declined > 0);
  if (refused.length === 0) return "waits for an offer from the cluster";
  const worded = refused.map(({ reason, declined, processed }) => `${reason} (${declined} of ${processed} offers)`);
  return `no offer fits: ${worded.join(", ")}`;
}

export function healthCounts(app: App): HealthCounts {
  const healthy = app.tasksHealthy ?? 0;
  const unhealthy = app.tasksUnhealthy ?? 0;
  const running = app.tasksRunning ?? 0;
  const staged = app.tasksStaged ?? 0;
  return {
    healthy,
    unhealthy,
    unknown: Math.max(0, running - healthy - unhealthy),
    staged,
    missing: Math.max(0, app.instances - running - staged),
  };
}

export function taskHealth(task: Task): TaskHealth {
  const results = task.healthCheckResults ?? [];
  if (results.some(({ alive }) => !alive)) return "unhealthy";
  return results.length > 0 ? "healthy" : "unknown";
}

/** TASK_RUNNING reads Running. */
export function taskState(task: Task): string {
  const word = task.state.replace(/^TASK_/, "").toLowerCase();
  return word.charAt(0).toUpperCase() + word.slice(1);
}

export function addressesOf(task: Task): readonly string[] {
  return (task.ipAddresses ?? []).map(({ ipAddress }) => ipAddress);
}

/** In whole units of the largest that fits: "12 s ago", "3 min ago". */
export function agoText(atMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - atMs) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
