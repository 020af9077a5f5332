/** What the page says of an application follows from the API's numbers. */

import { describe, expect, test } from "bun:test";
import { type App, refusalOf } from "./api.ts";
import { agoText, healthCounts, statusOf, taskHealth, waitReason } from "./app-state.ts";
import { parseHash } from "./route.ts";

const app: App = {
  id: "/a",
  cpus: 1,
  mem: 1,
  instances: 3,
  tasksRunning: 2,
  tasksStaged: 0,
  tasksHealthy: 1,
  tasksUnhealthy: 0,
};
const waiting = { app: { id: "/a" }, count: 1, delay: { timeLeftSeconds: 0, overdue: true } };

describe("status", () => {
  test("runs", () => expect(statusOf(app, undefined)).toBe("Running"));
  test("is suspended without instances", () =>
    expect(statusOf({ ...app, instances: 0, tasksRunning: 0 }, undefined)).toBe("Suspended"));
  test("deploys", () => expect(statusOf({ ...app, deployments: [{ id: "d" }] }, undefined)).toBe("Deploying"));
  test("waits for offers, even in a deployment", () =>
    expect(statusOf({ ...app, deployments: [{ id: "d" }] }, waiting)).toBe("Waiting"));
  test("is delayed after failures", () =>
    expect(statusOf(app, { ...waiting, delay: { timeLeftSeconds: 9, overdue: false } })).toBe("Delayed"));
});

test("a wait has a reason in words", () => {
  const rejectSummaryLastOffers = [
    { reason: "InsufficientCpus", declined: 3, processed: 3 },
    { reason: "InsufficientMemory", declined: 0, processed: 3 },
  ];
  expect(waitReason({ ...waiting, processedOffersSummary: { rejectSummaryLastOffers } })).toBe(
    "no offer fits: InsufficientCpus (3 of 3 offers)",
  );
  expect(waitReason(waiting)).toBe("waits for an offer from the cluster");
  expect(waitReason(undefined)).toBeUndefined();
});

test("health counts cover every instance", () => {
  expect(healthCounts(app)).toEqual({ healthy: 1, unhealthy: 0, unknown: 1, staged: 0, missing: 1 });
});

test("the past is told in the largest whole unit", () => {
  const told = [0, 59_999, 60_000, 3_600_000, 86_400_000 * 3].map((agoMs) =>
    agoText(1_000_000_000 - agoMs, 1_000_000_000),
  );
  expect(told).toEqual(["0 s ago", "59 s ago", "1 min ago", "1 h ago", "3 d ago"]);
  expect(agoText(2, 1)).toBe("0 s ago");
});

test("one failing check makes a task unhealthy", () => {
  const task = { id: "t", host: "h", state: "TASK_RUNNING" };
  expect(taskHealth(task)).toBe("unknown");
  expect(taskHealth({ ...task, healthCheckResults: [{ alive: true }] })).toBe("healthy");
  expect(taskHealth({ ...task, healthCheckResults: [{ alive: true }, { alive: false }] })).toBe("unhealthy");
});

test("Marathon's error shapes are read, and so is what is none", () => {
  const refused = refusalOf(
    422,
    '{"message":"Object is not valid","details":[{"path":"/cpus","errors":["got -1, expected 0.0 or more"]}]}',
  );
  expect(refused.fields).toEqual({ "/cpus": ["got -1, expected 0.0 or more"] });
  expect(refusalOf(409, '{"message":"App is locked by one or more deployments."}').locked).toBe(true);
  expect(refusalOf(502, "").message).toBe("The request was refused (status 502).");
});

describe("Marathon's URLs", () => {
  test("an application", () =>
    expect(parseHash("#/apps/%2Fprod%2Fweb?modal=new-app")).toEqual({
      route: { page: "app", appId: "/prod/web" },
      modal: "new-app",
    }));
  test("the start", () => expect(parseHash("")).toEqual({ route: { page: "apps" }, modal: undefined }));
  test("a broken one", () => expect(parseHash("#/apps/%E0%A4%A").route.page).toBe("unknown"));
});
