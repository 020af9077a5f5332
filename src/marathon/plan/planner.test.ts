/** The planner as tables of given and steps, and as properties on random clusters. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { App } from "../app/app.ts";
import { createdApp, specFrom } from "../app/app-change.ts";
import { type AppId, type InstanceId, instanceIdFor, type TaskId, taskIdFor, timestamp } from "../app/app-id.ts";
import { readAppDocument } from "../app/app-input.ts";
import { defaultSettings } from "../settings.ts";
import { type ActionKind, type Deployment, deploymentSteps, hasDependencyCycle } from "./deployment.ts";
import type { Condition, Health, Instance } from "./instance.ts";
import { type ClusterSnapshot, plan, type Step } from "./planner.ts";
import { rollingMove } from "./rolling-restart.ts";

const nowMs = 1_780_000_000_000;
const appId = "/web" as AppId;
const limits = defaultSettings.limits;
const oldVersion = timestamp(nowMs - 2_000_000);
const newVersion = timestamp(nowMs - 1_000_000);

function appOf(document: Record<string, unknown>, id = appId): App {
  const rules = { rules: defaultSettings.rules, usedServicePorts: new Set<number>() };
  return createdApp(
    id,
    specFrom(id, readAppDocument({ cmd: "x", ...document }), undefined, undefined, rules),
    newVersion,
  );
}

/** `a:healthy b:old,unhealthy@host2 c:staging d:killing`: name, then marks. Later letters are younger. */
function instancesOf(text: string): { instances: Instance[]; health: Map<InstanceId, Health> } {
  const health = new Map<InstanceId, Health>();
  const instances = text
    .split(" ")
    .filter(Boolean)
    .map((word): Instance => {
      const [name = "", marks = "", host = "host1"] = word.split(/[:@]/);
      const has = (mark: string) => marks.split(",").includes(mark);
      const id = instanceIdFor(appId, name);
      const conditions: readonly [string, Condition][] = [
        ["staging", "Staging"],
        ["provisioned", "Provisioned"],
        ["lost", "Unreachable"],
        ["inactive", "UnreachableInactive"],
      ];
      const condition = conditions.find(([mark]) => has(mark))?.[1] ?? "Running";
      if (condition === "Running")
        health.set(id, has("unhealthy") ? "unhealthy" : has("unknown") ? "unknown" : "healthy");
      const ageMs = 100_000 - (name.codePointAt(0) ?? 0) * 10;
      return {
        id,
        appId,
        taskId: taskIdFor(id),
        runSpecVersion: has("old") ? oldVersion : newVersion,
        goal: has("killing") ? "Decommissioned" : "Running",
        ...(has("killing") ? { killReason: "scaled-down" as const } : {}),
        condition,
        state: "TASK_RUNNING",
        agentId: `agent-${host}`,
        hostname: host,
        attributes: { hostname: host },
        role: "*",
        hostPorts: [],
        ports: [],
        networkAddresses: [],
        stagedAtMs: nowMs - ageMs,
        startedAtMs: nowMs - ageMs,
        ...(condition.startsWith("Unreachable") ? { unreachableSinceMs: nowMs - 30_000 } : {}),
      };
    });
  return { instances, health };
}

interface Case {
  readonly app?: Record<string, unknown> | undefined;
  readonly instances: string;
  readonly action?: ActionKind | "later";
  readonly delayed?: boolean;
  readonly killsSent?: boolean;
}

function check({ app, instances: text, action, delayed, killsSent }: Case): string {
  const { instances, health } = instancesOf(text);
  const deployment: Deployment | undefined =
    action === undefined
      ? undefined
      : {
          id: "d",
          version: newVersion,
          steps: [
            {
              actions: [
                {
                  action: action === "later" ? "StartApplication" : action,
                  app: action === "later" ? ("/other" as AppId) : appId,
                },
              ],
            },
            ...(action === "later" ? [{ actions: [{ action: "ScaleApplication" as const, app: appId }] }] : []),
          ],
          currentStep: action === "later" ? 1 : 1,
          original: {},
        };
  const seen: ClusterSnapshot = {
    apps: app === undefined ? new Map() : new Map([[appId, appOf(app)]]),
    instances,
    deployments: deployment === undefined ? [] : [deployment],
    health,
    unready: new Set(),
    killsSentMs: new Map(killsSent ? instances.map(({ taskId }): [TaskId, number] => [taskId, nowMs - 1000]) : []),
    notBeforeMs: new Map(delayed ? [[appId, nowMs + 5000]] : []),
  };
  return plan(seen, limits, nowMs).map(show).filter(Boolean).join("; ");
}

function show(step: Step): string {
  const name = (id: string) => id.split("-").at(-1) ?? id;
  switch (step.kind) {
    case "kill":
      return `kill ${name(step.instance)} (${step.because})`;
    case "expunge":
      return `expunge ${name(step.instance)} (${step.because})`;
    case "mark-inactive":
      return `inactive ${name(step.instance)}`;
    case "launch":
      return `launch ${step.count}`;
    case "advance-deployment":
      return `step ${step.toStep}`;
    case "finish-deployment":
      return "finish";
    case "wait":
      return step.because === "launch-not-confirmed" ? "" : `wait ${(step.untilMs - nowMs) / 1000} s (${step.because})`;
  }
}

const cases: readonly [name: string, given: Case, steps: string][] = [
  ["missing instances are launched", { app: { instances: 3 }, instances: "a:healthy" }, "launch 2"],
  ["launches wait for the back-off", { app: {}, instances: "", delayed: true }, "wait 5 s (backoff)"],
  [
    "scale down kills the youngest first",
    { app: { instances: 1 }, instances: "a b c" },
    "kill c (scaled-down); kill b (scaled-down)",
  ],
  [
    "or the oldest, if told so",
    { app: { instances: 1, killSelection: "OLDEST_FIRST" }, instances: "a b c" },
    "kill a (scaled-down); kill b (scaled-down)",
  ],
  ["staging ones go before running ones", { app: { instances: 1 }, instances: "a:staging b" }, "kill a (scaled-down)"],
  [
    "unhealthy ones go before healthy ones",
    { app: { instances: 1 }, instances: "a:unhealthy b" },
    "kill a (scaled-down)",
  ],
  [
    "unreachable ones go first",
    { app: { instances: 1, unreachableStrategy: "disabled" }, instances: "a:lost b" },
    "kill a (scaled-down)",
  ],
  ["outdated ones go before current ones", { app: { instances: 1 }, instances: "a:old b" }, "kill a (scaled-down)"],
  [
    "GROUP_BY keeps the rest even (checklist 95)",
    {
      app: { instances: 2, constraints: [["hostname", "GROUP_BY"]] },
      instances: "a:healthy@host1 b:healthy@host1 c:healthy@host2",
    },
    "kill b (scaled-down)",
  ],
  ["nothing to do is nothing", { app: { instances: 1 }, instances: "a" }, ""],
  [
    "an app that is gone loses its instances",
    { instances: "a b:staging" },
    "kill a (app-removed); kill b (app-removed)",
  ],
  ["kills are sent again", { app: { instances: 0 }, instances: "a:killing" }, "kill a (scaled-down)"],
  [
    "but not at once",
    { app: { instances: 0 }, instances: "a:killing", killsSent: true },
    "wait 9 s (kill-not-confirmed)",
  ],
  [
    "an instance to be killed is not counted",
    { app: { instances: 1 }, instances: "a:killing", killsSent: true },
    "wait 9 s (kill-not-confirmed); launch 1",
  ],
  [
    "unreachable: given up at once by default (checklist 97)",
    { app: { instances: 1 }, instances: "a:lost" },
    "expunge a (unreachable); launch 1",
  ],
  [
    "unreachable: replaced after the inactive time",
    {
      app: { instances: 1, unreachableStrategy: { inactiveAfterSeconds: 10, expungeAfterSeconds: 60 } },
      instances: "a:lost",
    },
    "inactive a; launch 1",
  ],
  [
    "unreachable: not before",
    {
      app: { instances: 1, unreachableStrategy: { inactiveAfterSeconds: 40, expungeAfterSeconds: 60 } },
      instances: "a:lost",
    },
    "wait 10 s (unreachable)",
  ],
  [
    "unreachable: inactive ones do not count, and go in time",
    {
      app: { instances: 1, unreachableStrategy: { inactiveAfterSeconds: 10, expungeAfterSeconds: 60 } },
      instances: "a:inactive",
    },
    "wait 30 s (unreachable); launch 1",
  ],
  [
    "unreachable: disabled waits for ever",
    { app: { instances: 1, unreachableStrategy: "disabled" }, instances: "a:lost" },
    "",
  ],
  ["an instance that came back is surplus", { app: { instances: 1 }, instances: "a b" }, "kill b (scaled-down)"],
  [
    "an app whose step has not come is left alone",
    { app: { instances: 3 }, instances: "a:old", action: "later" },
    "step 2",
  ],
  ["start does nothing and is done", { app: { instances: 1 }, instances: "", action: "StartApplication" }, "finish"],
  [
    "a scale is done when all run and are healthy",
    { app: { instances: 1 }, instances: "a", action: "ScaleApplication" },
    "finish",
  ],
  ["and not before (checklist 46)", { app: { instances: 1 }, instances: "a:unknown", action: "ScaleApplication" }, ""],
  [
    "nor while one is still ending",
    { app: { instances: 1 }, instances: "a b:killing", action: "ScaleApplication", killsSent: true },
    "wait 9 s (kill-not-confirmed)",
  ],
  ["a stop is done when nothing is left", { instances: "", action: "StopApplication" }, "finish"],
  [
    "upgrade launches before it kills (5, 1, 1)",
    { app: { instances: 2 }, instances: "a:old b:old", action: "RestartApplication" },
    "launch 2",
  ],
  [
    "upgrade kills one per newcomer",
    { app: { instances: 2 }, instances: "a:old b:old c", action: "RestartApplication" },
    "kill b (superseded); launch 1",
  ],
  [
    "upgrade kills unhealthy old ones first",
    { app: { instances: 2 }, instances: "a:old,unhealthy b:old c d:unknown", action: "RestartApplication" },
    "",
  ],
  [
    "upgrade is done when only new ones are left",
    { app: { instances: 2 }, instances: "a b", action: "RestartApplication" },
    "finish",
  ],
  [
    "upgrade without room takes one extra",
    {
      app: { instances: 3, upgradeStrategy: { minimumHealthCapacity: 1, maximumOverCapacity: 0 } },
      instances: "a:old b:old c:old",
      action: "RestartApplication",
    },
    "launch 1",
  ],
  [
    "upgrade of a single instance app kills first",
    {
      app: { instances: 1, upgradeStrategy: { minimumHealthCapacity: 0, maximumOverCapacity: 0 } },
      instances: "a:old",
      action: "RestartApplication",
    },
    "kill a (superseded)",
  ],
  [
    "upgrade with fewer instances kills the surplus at the start",
    { app: { instances: 1 }, instances: "a:old b:old c:old d:old", action: "RestartApplication" },
    "kill d (superseded); kill c (superseded); kill b (superseded)",
  ],
];
for (const [name, given, steps] of cases) test(`plan: ${name}`, () => expect(check(given)).toBe(steps));

test("a launch that nobody confirms is given up, one that stages for too long is killed", () => {
  const { instances, health } = instancesOf("a:provisioned b:staging");
  const aged = instances.map((instance) => ({ ...instance, stagedAtMs: nowMs - 400_000 }));
  const seen: ClusterSnapshot = {
    apps: new Map([[appId, appOf({ instances: 2 })]]),
    instances: aged,
    deployments: [],
    health,
    unready: new Set(),
    killsSentMs: new Map(),
    notBeforeMs: new Map(),
  };
  expect(plan(seen, limits, nowMs).map(show)).toEqual([
    "expunge a (launch-not-confirmed)",
    "kill b (launch-overdue)",
    "launch 2",
  ]);
});

describe("rolling restart, run to its end (checklist 69, 76)", () => {
  const tables: readonly [n: number, min: number, over: number][] = [
    [5, 1, 1],
    [3, 1, 0],
    [4, 0.5, 0],
    [10, 0.5, 0.1],
    [3, 0.5, 0.1],
    [3, 1, 0.34],
    [1, 1, 1],
    [1, 0, 0],
    [2, 0, 0],
  ];
  for (const [n, min, over] of tables) {
    test(`n=${n} minimumHealthCapacity=${min} maximumOverCapacity=${over}`, () => {
      const strategy = { minimumHealthCapacity: min, maximumOverCapacity: over };
      const readyMin = Math.ceil(n * min - 1e-9);
      const activeMax = Math.max(Math.floor(n * (1 + over) + 1e-9), readyMin + 1);
      let old = n;
      let fresh = 0;
      let ready = 0;
      let terminating = 0;
      for (let round = 0; round < 100 && (old > 0 || ready < n || terminating > 0); round += 1) {
        const state = { wanted: n, oldActive: old, oldReady: old, newActive: fresh, newReady: ready, terminating };
        const { kill, start } = rollingMove(strategy, state);
        expect(old - kill + ready).toBeGreaterThanOrEqual(Math.min(readyMin, n));
        old -= kill;
        terminating += kill;
        fresh += start;
        expect(old + fresh + terminating).toBeLessThanOrEqual(Math.max(activeMax, n));
        if (round % 2 === 0) terminating = 0;
        else ready = fresh;
      }
      expect({ old, ready, terminating }).toEqual({ old: 0, ready: n, terminating: 0 });
    });
  }
});

test("deployment steps: stop, start, then layers of dependencies; unchanged apps are absent (checklist 75)", () => {
  const app = (id: string, more: Record<string, unknown> = {}) => appOf(more, id as AppId);
  const map = (...apps: App[]) => new Map(apps.map((one) => [one.id, one]));
  const before = map(app("/gone"), app("/same"), app("/scaled"), app("/zero"));
  const after = map(
    app("/same"),
    { ...app("/scaled"), instances: 4 },
    { ...app("/zero"), cmd: "y", instances: 0 },
    app("/web", { dependencies: ["/db"] }),
    app("/db"),
  );
  const steps = deploymentSteps(before, after, new Set(["/same" as AppId])).map(({ actions }) =>
    actions.map(({ action, app: id }) => `${action} ${id}`).join(", "),
  );
  expect(steps).toEqual([
    "StopApplication /gone",
    "StartApplication /web, StartApplication /db",
    "RestartApplication /same, ScaleApplication /scaled, ScaleApplication /zero, ScaleApplication /db",
    "ScaleApplication /web",
  ]);
  expect(deploymentSteps(before, before, new Set())).toEqual([]);
});

test("cycles of dependencies are found", () => {
  const app = (id: string, dependencies: string[]) => appOf({ dependencies }, id as AppId);
  const map = (...apps: App[]) => new Map(apps.map((one) => [one.id, one]));
  expect(hasDependencyCycle(map(app("/a", ["/b"]), app("/b", ["/c"]), app("/c", ["/a"])))).toBe(true);
  expect(hasDependencyCycle(map(app("/a", ["/b", "/c"]), app("/b", ["/c"]), app("/c", ["/nowhere"])))).toBe(false);
});

const marks = fc.constantFrom(
  "healthy",
  "unhealthy",
  "unknown",
  "staging",
  "provisioned",
  "lost",
  "inactive",
  "killing",
  "old",
  "old,unhealthy",
);
const word = fc.tuple(marks, fc.integer({ min: 1, max: 3 }));
const cluster = fc.record({
  words: fc.array(word, { maxLength: 12 }),
  wanted: fc.integer({ min: 0, max: 8 }),
  action: fc.constantFrom<ActionKind | undefined>("ScaleApplication", "RestartApplication", undefined),
  min: fc.double({ min: 0, max: 1, noNaN: true }),
  over: fc.double({ min: 0, max: 1, noNaN: true }),
});

test("property: on any cluster, kills are of what exists, once each, and carrying plans out ends with what is wanted", () => {
  fc.assert(
    fc.property(cluster, ({ words, wanted, action, min, over }) => {
      const text = words
        .map(([mark, host], index) => `${String.fromCodePoint(97 + index)}:${mark}@host${host}`)
        .join(" ");
      let { instances } = instancesOf(text);
      const { health } = instancesOf(text);
      const app = appOf({
        instances: wanted,
        upgradeStrategy: { minimumHealthCapacity: min, maximumOverCapacity: over },
      });
      let deployments: Deployment[] =
        action === undefined
          ? []
          : [
              {
                id: "d",
                version: newVersion,
                steps: [{ actions: [{ action, app: appId }] }],
                currentStep: 1,
                original: {},
              },
            ];
      let number = 0;
      for (let round = 0; round < 200; round += 1) {
        const seen: ClusterSnapshot = {
          apps: new Map([[appId, app]]),
          instances,
          deployments,
          health,
          unready: new Set(),
          killsSentMs: new Map(),
          notBeforeMs: new Map(),
        };
        const steps = plan(seen, limits, nowMs);
        expect(plan(seen, limits, nowMs)).toEqual(steps);
        const doable = steps.filter(({ kind }) => kind !== "wait");
        const coming = instances.some(
          ({ id, condition }) =>
            ["Staging", "Provisioned"].includes(condition) || (condition === "Running" && health.get(id) !== "healthy"),
        );
        if (doable.length === 0 && !coming) break;
        const killed = steps.flatMap((step) =>
          step.kind === "kill" || step.kind === "expunge" ? [step.instance] : [],
        );
        expect(new Set(killed).size).toBe(killed.length);
        for (const id of killed) expect(instances.some((instance) => instance.id === id)).toBe(true);
        instances = instances.filter(({ id }) => !killed.includes(id));
        for (const step of steps) {
          if (step.kind === "finish-deployment") deployments = [];
          if (step.kind !== "launch") continue;
          for (let launch = 0; launch < step.count; launch += 1) {
            const made = instancesOf(`n${number++}:healthy`);
            instances = [...instances, ...made.instances];
            for (const [id, state] of made.health) health.set(id, state);
          }
        }
        // What runs becomes healthy, what is launched comes up.
        instances = instances.map((instance) =>
          instance.goal === "Running" && !instance.condition.startsWith("Unreachable")
            ? { ...instance, condition: "Running" }
            : instance,
        );
        for (const { id } of instances) health.set(id, "healthy");
      }
      expect(instances.filter(({ goal }) => goal === "Running")).toHaveLength(wanted);
      for (const instance of instances) health.set(instance.id, "healthy");
      if (action === "RestartApplication" && wanted > 0) {
        expect(instances.every(({ runSpecVersion }) => runSpecVersion >= app.replaceBefore)).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});
