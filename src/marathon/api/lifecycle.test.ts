/** Whole lives of apps, through the API, on a fake master: what a user of the old stack does and sees. */

import { expect, test } from "bun:test";
import type { AppId } from "../app/app-id.ts";
import { MarathonLab } from "../testing/marathon-lab.ts";

const check = {
  protocol: "HTTP",
  path: "/",
  port: 80,
  gracePeriodSeconds: 300,
  intervalSeconds: 60,
  timeoutSeconds: 20,
  maxConsecutiveFailures: 3,
};
const seed = {
  id: "my-docker-task",
  cpus: 0.1,
  mem: 64.0,
  container: { type: "DOCKER", docker: { network: "USER", image: "nginx" } },
  ipAddress: { networkName: "my-calico-net" },
  healthChecks: [check],
};
const bare = { id: "web", cmd: "sleep 1000", cpus: 0.1, mem: 32 };

/** The agents report every running task as healthy. */
function reportHealthy(lab: MarathonLab): void {
  for (const { info, state } of lab.master.alive()) {
    if (state === "TASK_RUNNING") lab.master.update(info.task_id.value, "TASK_RUNNING", { healthy: true });
  }
}

function hosts(lab: MarathonLab): readonly string[] {
  return lab.master
    .alive()
    .map(({ agent }) => agent.hostname)
    .sort();
}

test("the seed app: created, healthy, scaled over the hosts, destroyed without a trace (checklist 1, 4, 8, 11, 15, 44)", async () => {
  await using lab = await MarathonLab.open();
  const created = await lab.ask("POST", "/v2/apps", seed);
  expect(created.status).toBe(201);
  expect(created.headers.get("Location")).toBe("http://marathon:8080/v2/apps/my-docker-task");
  const deployment = created.headers.get("Marathon-Deployment-Id");
  expect(created.body).toMatchObject({
    id: "/my-docker-task",
    instances: 1,
    tasksRunning: 0,
    tasksStaged: 0,
    deployments: [{ id: deployment }],
    requirePorts: false,
    networks: [{ mode: "container", name: "my-calico-net" }],
  });
  expect(created.body).not.toHaveProperty("tasks");
  await lab.until("a task runs", () => lab.master.alive().length === 1);
  expect(await lab.app("/my-docker-task")).toMatchObject({
    tasksRunning: 1,
    tasksHealthy: 0,
    deployments: [{ id: deployment }],
  });
  reportHealthy(lab);
  await lab.deployed();
  const [task] = await lab.tasks("/my-docker-task");
  expect(task).toMatchObject({
    appId: "/my-docker-task",
    host: "host1",
    state: "TASK_RUNNING",
    ports: [],
    servicePorts: [10_000],
    slaveId: "agent-host1",
    ipAddresses: [{ ipAddress: "192.168.0.1", protocol: "IPv4" }],
    healthCheckResults: [{ alive: true, consecutiveFailures: 0 }],
  });
  expect(task?.id).toMatch(/^my-docker-task\.instance-[0-9a-f-]{36}\._app\.1$/);

  const scaled = await lab.ask("PUT", "/v2/apps/my-docker-task", { instances: 3 });
  expect(scaled.status).toBe(200);
  expect(Object.keys(scaled.body).sort()).toEqual(["deploymentId", "version"]);
  await lab.until("three tasks", () => lab.master.alive().length === 3);
  expect(hosts(lab)).toEqual(["host1", "host2", "host3"]);
  reportHealthy(lab);
  await lab.deployed();
  expect(await lab.app("/my-docker-task")).toMatchObject({
    instances: 3,
    tasksRunning: 3,
    tasksHealthy: 3,
    tasksUnhealthy: 0,
  });

  await lab.ask("PUT", "/v2/apps/my-docker-task", { instances: 1 });
  await lab.deployed();
  expect(lab.master.alive()).toHaveLength(1);

  expect((await lab.ask("DELETE", "/v2/apps//my-docker-task")).status).toBe(200);
  expect((await lab.ask("GET", "/v2/apps/my-docker-task")).body).toEqual({
    message: "App '/my-docker-task' does not exist",
  });
  await lab.deployed();
  expect(lab.master.alive()).toHaveLength(0);
  expect(lab.master.unacknowledgedCount).toBe(0);
  const { kvs } = await lab.store.list("/margay/marathon/");
  expect(kvs.map(({ key }) => key)).toEqual(["/margay/marathon/framework-id"]);
});

test("with nothing to launch offers are declined and suppressed, with something they are revived", async () => {
  await using lab = await MarathonLab.open();
  const types = () => lab.master.calls.map(({ type }) => type);
  expect(types().filter((type) => type === "SUPPRESS")).toHaveLength(1);
  expect(types()).toContain("DECLINE");
  lab.master.calls.length = 0;
  await lab.ask("POST", "/v2/apps", bare);
  await lab.deployed();
  expect(types().filter((type) => ["REVIVE", "ACCEPT", "SUPPRESS"].includes(type))).toEqual([
    "REVIVE",
    "ACCEPT",
    "SUPPRESS",
  ]);
});

test("events of a normal deployment come in Marathon's order (checklist 83)", async () => {
  await using lab = await MarathonLab.open();
  lab.events.length = 0;
  await lab.ask("POST", "/v2/apps", seed);
  await lab.until("a task runs", () => lab.master.alive().length === 1);
  await lab.clock.advance(100);
  reportHealthy(lab);
  await lab.deployed();
  const seen = lab.events.map((event) =>
    [event.eventType, event.taskStatus ?? event.condition].filter(Boolean).join(" "),
  );
  expect(seen.filter((line) => line !== "api_post_event")).toEqual([
    "group_change_success",
    "deployment_info",
    "add_health_check_event",
    "deployment_step_success",
    "deployment_info",
    "instance_changed_event Provisioned",
    "status_update_event TASK_STARTING",
    "instance_changed_event Starting",
    "status_update_event TASK_RUNNING",
    "instance_changed_event Running",
    "health_status_changed_event",
    "instance_health_changed_event",
    "deployment_step_success",
    "deployment_success",
  ]);
  for (const event of lab.events) expect(event.timestamp).toMatch(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/);
  expect(lab.events.find(({ eventType }) => eventType === "deployment_success")?.plan).not.toHaveProperty("original");
});

test("a change of cmd replaces every task, new ones first; old versions stay retrievable (checklist 9, 10)", async () => {
  await using lab = await MarathonLab.open();
  const created = await lab.ask("POST", "/v2/apps", { ...bare, instances: 2 });
  await lab.deployed();
  const before = lab.master.alive().map(({ info }) => info.task_id.value);
  await lab.ask("PUT", "/v2/apps/web", { cmd: "sleep 2000" });
  await lab.deployed();
  const after = lab.master.alive().map(({ info }) => info.task_id.value);
  expect(after).toHaveLength(2);
  expect(after.some((id) => before.includes(id))).toBe(false);
  const versions = (await lab.ask("GET", "/v2/apps/web/versions")).body.versions as string[];
  expect(versions).toHaveLength(2);
  expect(versions[1]).toBe(created.body.version as string);
  expect((await lab.ask("GET", `/v2/apps/web/versions/${versions[1]}`)).body).toMatchObject({ cmd: "sleep 1000" });
  await lab.ask("PUT", "/v2/apps/web", { version: versions[1] });
  await lab.deployed();
  expect(await lab.app("/web")).toMatchObject({ cmd: "sleep 1000", tasksRunning: 2 });
});

test("of an app's versions the newest fifty stay, in the store too", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, instances: 0 });
  for (let at = 0; at < 60; at += 1) {
    await lab.ask("PUT", "/v2/apps/web", { labels: { at: String(at) } });
    await lab.deployed();
  }
  const versions = (await lab.ask("GET", "/v2/apps/web/versions")).body.versions as string[];
  expect(versions).toHaveLength(50);
  expect((await lab.ask("GET", `/v2/apps/web/versions/${versions[0]}`)).body).toMatchObject({ labels: { at: "59" } });
  expect((await lab.ask("GET", `/v2/apps/web/versions/${versions[49]}`)).body).toMatchObject({ labels: { at: "10" } });
  expect((await lab.store.list("/margay/marathon/app-versions/")).kvs).toHaveLength(50);
});

test("an identical PUT restarts nothing and is a deployment that is done (checklist 5)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", bare);
  await lab.deployed();
  const before = lab.master.alive().map(({ info }) => info.task_id.value);
  expect((await lab.ask("PUT", "/v2/apps/web", bare)).status).toBe(200);
  await lab.clock.advance(1000);
  expect(lab.master.alive().map(({ info }) => info.task_id.value)).toEqual(before);
  expect((await lab.ask("GET", "/v2/deployments")).body).toEqual([] as never);
});

test("restart changes every task id, and does not wait for a back-off (checklist 12, 13)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, backoffSeconds: 100 });
  await lab.deployed();
  const [before] = lab.master.alive();
  lab.master.update(before?.info.task_id.value ?? "", "TASK_FAILED", { message: "exit 1" });
  await lab.clock.advance(500);
  expect(lab.master.alive()).toHaveLength(0);
  const queue = (await lab.ask("GET", "/v2/queue")).body.queue as Record<string, unknown>[];
  expect(queue[0]).toMatchObject({ count: 1, delay: { overdue: false, timeLeftSeconds: 100 } });
  expect((await lab.ask("POST", "/v2/apps/web/restart", { force: false })).status).toBe(200);
  await lab.deployed();
  expect(lab.master.alive()).toHaveLength(1);
});

test("a failing app is tried again with growing delays, and tells why (checklist 18, 80, 81)", async () => {
  await using lab = await MarathonLab.open();
  lab.master.launchStates = ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"];
  await lab.ask("POST", "/v2/apps", { ...bare, backoffSeconds: 1, backoffFactor: 2, maxLaunchDelaySeconds: 8 });
  const launchesMs: number[] = [];
  const startMs = lab.clock.nowMs();
  for (let known = 0; lab.clock.nowMs() < startMs + 40_000; ) {
    if (lab.master.tasks.size > known) launchesMs.push(lab.clock.nowMs());
    known = lab.master.tasks.size;
    await lab.clock.advance(50);
  }
  const gaps = launchesMs.slice(1).map((ms, index) => Math.round((ms - (launchesMs[index] ?? 0)) / 1000));
  expect(gaps.slice(0, 5)).toEqual([1, 2, 4, 8, 8]);
  const { body } = await lab.ask("GET", "/v2/apps/web?embed=app.lastTaskFailure");
  expect(body.app).toMatchObject({
    lastTaskFailure: { state: "TASK_FAILED", host: expect.stringMatching(/^host/), appId: "/web" },
  });
  expect((await lab.ask("DELETE", "/v2/queue/web/delay")).status).toBe(204);
  const count = lab.master.tasks.size;
  await lab.clock.advance(500);
  expect(lab.master.tasks.size).toBe(count + 1);
  expect((await lab.ask("DELETE", "/v2/queue/other/delay")).body).toEqual({
    message: "Application /other not found in tasks queue.",
  });
});

test("more than any host has waits in the queue, with a reason a person can read (checklist 79)", async () => {
  await using lab = await MarathonLab.open();
  expect((await lab.ask("POST", "/v2/apps", { ...bare, cpus: 1000 })).status).toBe(201);
  await lab.clock.advance(1000);
  const queue = (await lab.ask("GET", "/v2/queue?embed=lastUnusedOffers")).body.queue as Record<string, unknown>[];
  expect(queue[0]).toMatchObject({
    count: 1,
    delay: { overdue: true, timeLeftSeconds: 0 },
    reason: "An instance needs 1000 cpus; the most that a host offers is 4.",
  });
  const summary = queue[0]?.processedOffersSummary as { rejectSummaryLastOffers: unknown[] };
  expect(summary.rejectSummaryLastOffers).toContainEqual({ reason: "InsufficientCpus", declined: 3, processed: 3 });
  expect(queue[0]?.lastUnusedOffers).toHaveLength(3);
  await lab.ask("PUT", "/v2/apps/web?force=true", { cpus: 1 });
  await lab.deployed();
  expect((await lab.ask("GET", "/v2/queue")).body).toEqual({ queue: [] });
});

test("a killed task is replaced; with scale it is not (checklist 56, 57)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, instances: 2 });
  await lab.deployed();
  const [first] = await lab.tasks("/web");
  const killed = await lab.ask("DELETE", `/v2/apps/web/tasks/${first?.id}`);
  expect(killed.body.task).toMatchObject({ id: first?.id });
  await lab.until("replaced", () => lab.master.tasks.size === 3 && lab.master.alive().length === 2);
  const [second] = await lab.tasks("/web");
  const scaled = await lab.ask("POST", "/v2/tasks/delete?scale=true", { ids: [second?.id] });
  expect(scaled.body).toHaveProperty("deploymentId");
  await lab.deployed();
  expect(await lab.app("/web")).toMatchObject({ instances: 1, tasksRunning: 1 });
  expect((await lab.tasks("/web")).map(({ id }) => id)).not.toContain(second?.id);
  const all = await lab.ask("DELETE", "/v2/apps/web/tasks?host=nowhere");
  expect(all.body).toEqual({ tasks: [] });
});

test("an app under deployment is locked; force supersedes (checklist 27, 70)", async () => {
  await using lab = await MarathonLab.open();
  lab.master.launchStates = [];
  await lab.ask("POST", "/v2/apps", bare);
  const [deployment] = (await lab.ask("GET", "/v2/deployments")).body as unknown as { id: string }[];
  const refused = await lab.ask("PUT", "/v2/apps/web", { instances: 2 });
  expect(refused.status).toBe(409);
  expect(refused.body).toEqual({
    message:
      "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.",
    deployments: [{ id: deployment?.id ?? "" }],
  });
  expect(await lab.app("/web")).toMatchObject({ instances: 1 });
  expect((await lab.ask("PUT", "/v2/apps/web?force=true", { instances: 2 })).status).toBe(200);
  const now = (await lab.ask("GET", "/v2/deployments")).body as unknown as { id: string }[];
  expect(now.map(({ id }) => id)).not.toContain(deployment?.id ?? "");
  expect((await lab.ask("DELETE", "/v2/apps/web?force=false")).status).toBe(409);
  expect((await lab.ask("DELETE", "/v2/apps/web")).status).toBe(200);
});

test("a forced change in the middle of an upgrade still gets rid of the old version", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, instances: 2 });
  await lab.deployed();
  const old = lab.master.alive().map(({ info }) => info.task_id.value);
  lab.master.launchStates = ["TASK_STARTING"];
  await lab.ask("PUT", "/v2/apps/web", { cmd: "new" });
  await lab.clock.advance(500);
  lab.master.launchStates = ["TASK_STARTING", "TASK_RUNNING"];
  await lab.ask("PUT", "/v2/apps/web?force=true", { instances: 3 });
  for (const { info, state } of lab.master.alive())
    if (state === "TASK_STARTING") lab.master.update(info.task_id.value, "TASK_RUNNING");
  await lab.deployed();
  expect(
    lab.master
      .alive()
      .map(({ info }) => info.task_id.value)
      .filter((id) => old.includes(id)),
  ).toEqual([]);
  expect(lab.master.alive()).toHaveLength(3);
});

test("cancelling a deployment: roll-back restores, force leaves things (checklist 72, 73, 74)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", bare);
  await lab.deployed();
  lab.master.launchStates = [];
  await lab.ask("PUT", "/v2/apps/web", { cmd: "broken" });
  const [deployment] = (await lab.ask("GET", "/v2/deployments")).body as unknown as Record<string, unknown>[];
  expect(deployment).toMatchObject({
    affectedApps: ["/web"],
    affectedPods: [],
    currentStep: 1,
    totalSteps: 1,
    steps: [{ actions: [{ action: "RestartApplication", app: "/web" }] }],
  });
  lab.master.launchStates = ["TASK_RUNNING"];
  expect((await lab.ask("DELETE", `/v2/deployments/${deployment?.id}`)).body).toHaveProperty("deploymentId");
  await lab.clock.advance(1000);
  for (const { info, state } of lab.master.alive())
    if (state === "TASK_STAGING") lab.master.update(info.task_id.value, "TASK_RUNNING");
  await lab.deployed();
  expect(await lab.app("/web")).toMatchObject({ cmd: "sleep 1000", tasksRunning: 1 });
  lab.master.launchStates = [];
  const scaled = await lab.ask("PUT", "/v2/apps/web", { instances: 2 });
  const forced = await lab.ask("DELETE", `/v2/deployments/${scaled.body.deploymentId}?force=true`);
  expect([forced.status, forced.text]).toEqual([202, ""]);
  expect((await lab.ask("DELETE", "/v2/deployments/nothing")).body).toEqual({
    message: "DeploymentPlan nothing does not exist",
  });
  const born = await lab.ask("POST", "/v2/apps", { ...bare, id: "short-lived" });
  await lab.ask("DELETE", `/v2/deployments/${(born.body.deployments as { id: string }[])[0]?.id}`);
  expect((await lab.ask("GET", "/v2/apps/short-lived")).status).toBe(404);
});

test("apps start in the order of their dependencies (checklist 20, 68)", async () => {
  await using lab = await MarathonLab.open();
  lab.master.launchStates = ["TASK_STARTING"];
  await lab.ask("PUT", "/v2/apps", [
    { ...bare, id: "web", dependencies: ["/db"] },
    { ...bare, id: "db" },
  ]);
  await lab.clock.advance(1000);
  expect(lab.master.print()).toMatch(/^db host\d TASK_STARTING$/);
  for (const { info } of lab.master.alive()) lab.master.update(info.task_id.value, "TASK_RUNNING");
  await lab.until("the dependent starts", () => lab.master.alive().length === 2);
  expect(lab.master.print()).toContain("web ");
});

test("an unreachable host's tasks are replaced, and nothing runs twice when it returns (checklist 97)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, instances: 3 });
  await lab.deployed();
  expect(hosts(lab)).toEqual(["host1", "host2", "host3"]);
  lab.master.cut("host2");
  await lab.until("replaced elsewhere", () => lab.master.alive().filter(({ agent }) => agent.reachable).length === 3);
  await lab.clock.advance(60_000);
  expect(lab.master.alive()).toHaveLength(4);
  lab.master.heal("host2");
  await lab.until("the former task is gone", () => lab.master.alive().length === 3);
  expect(await lab.app("/web")).toMatchObject({ tasksRunning: 3 });
});

test("with a later expunge time the returning task stays and the surplus goes (checklist 97)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", {
    ...bare,
    unreachableStrategy: { inactiveAfterSeconds: 5, expungeAfterSeconds: 500 },
  });
  await lab.deployed();
  const [host] = hosts(lab);
  lab.master.cut(host ?? "");
  await lab.clock.advance(4_000);
  expect(await lab.tasks("/web")).toMatchObject([{ state: "TASK_UNREACHABLE" }]);
  await lab.until("replaced", () => lab.master.alive().length === 2);
  lab.master.heal(host ?? "");
  await lab.until("one is left", () => lab.master.alive().length === 1);
  expect(await lab.tasks("/web")).toMatchObject([{ state: "TASK_RUNNING" }]);
});

test("an agent gone for good: replaced at once (checklist 98)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...bare, unreachableStrategy: "disabled", backoffSeconds: 0 });
  await lab.deployed();
  const [task] = lab.master.alive();
  lab.master.update(task?.info.task_id.value ?? "", "TASK_GONE_BY_OPERATOR");
  await lab.until("replaced", () => lab.master.alive().length === 1);
});

test("what the agent reports as unhealthy shows, and ends in a replacement when it is killed (checklist 50)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", seed);
  await lab.until("a task runs", () => lab.master.alive().length === 1);
  reportHealthy(lab);
  await lab.deployed();
  const taskId = lab.master.alive()[0]?.info.task_id.value ?? "";
  lab.master.update(taskId, "TASK_RUNNING", { healthy: false, message: "connection refused" });
  await lab.clock.advance(100);
  expect(await lab.app("/my-docker-task")).toMatchObject({
    tasksUnhealthy: 1,
    tasks: [{ healthCheckResults: [{ alive: false, consecutiveFailures: 1, lastFailureCause: "connection refused" }] }],
  });
  lab.master.update(taskId, "TASK_FAILED", { healthy: false, message: "killed after failed health checks" });
  await lab.until("replaced", () => lab.master.alive().length === 1);
  expect(lab.events.some(({ eventType }) => eventType === "unhealthy_instance_kill_event")).toBe(true);
});

test("an agent that does not kill what is unhealthy for too long is helped", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", {
    ...seed,
    healthChecks: [{ ...check, intervalSeconds: 1, timeoutSeconds: 1, maxConsecutiveFailures: 2 }],
  });
  await lab.until("a task runs", () => lab.master.alive().length === 1);
  const taskId = lab.master.alive()[0]?.info.task_id.value ?? "";
  lab.master.update(taskId, "TASK_RUNNING", { healthy: false });
  await lab.until("killed", () => lab.master.tasks.get(taskId)?.state === "TASK_KILLED", 60_000);
  await lab.until("replaced", () => lab.master.alive().length === 1);
});

test("Marathon-side checks begin at once, and kill after maxConsecutiveFailures (checklist 47, 50, 51)", async () => {
  let healthy = true;
  const targets: unknown[] = [];
  await using lab = await MarathonLab.open({
    probe: async (target) => {
      targets.push(target);
      return healthy ? { healthy } : { healthy, cause: "status 500" };
    },
  });
  await lab.ask("POST", "/v2/apps", {
    ...bare,
    ports: [0],
    healthChecks: [{ ...check, port: null, portIndex: 0, intervalSeconds: 10 }],
  });
  await lab.deployed(1500);
  const port = (await lab.tasks("/web"))[0]?.ports as number[];
  expect(targets[0]).toEqual({ kind: "http", url: `http://host1:${port[0]}/`, ignoreHttp1xx: false });
  expect(await lab.app("/web")).toMatchObject({ tasksHealthy: 1 });
  healthy = false;
  const before = lab.master.tasks.size;
  await lab.until("killed and replaced", () => lab.master.tasks.size > before, 60_000);
  expect(lab.events.filter(({ eventType }) => eventType === "failed_health_check_event")).toHaveLength(3);
  expect(lab.events.find(({ eventType }) => eventType === "unhealthy_instance_kill_event")).toMatchObject({
    reason: "status 500",
    appId: "/web",
  });
});

test("maxConsecutiveFailures 0 never kills; failures in the grace period do not count (checklist 50, 51)", async () => {
  await using lab = await MarathonLab.open({ probe: async () => ({ healthy: false, cause: "no" }) });
  await lab.ask("POST", "/v2/apps", {
    ...bare,
    ports: [0],
    healthChecks: [
      { ...check, port: null, portIndex: 0, intervalSeconds: 5, gracePeriodSeconds: 60, maxConsecutiveFailures: 0 },
    ],
  });
  await lab.until("a task runs", () => lab.master.alive().length === 1);
  await lab.clock.advance(50_000);
  expect(await lab.app("/web")).toMatchObject({ tasksUnhealthy: 0, tasksHealthy: 0 });
  await lab.clock.advance(60_000);
  expect(await lab.app("/web")).toMatchObject({ tasksUnhealthy: 1 });
  expect(lab.master.tasks.size).toBe(1);
});

test("an app is not recreated over its dying former self", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", bare);
  await lab.deployed();
  await lab.ask("DELETE", "/v2/apps/web");
  await lab.ask("POST", "/v2/apps?force=true", { ...bare, cmd: "other" });
  await lab.deployed();
  expect(lab.master.alive().map(({ info }) => info.command?.value)).toEqual(["other"]);
  expect(lab.marathon.engine.state.instancesOf("/web" as AppId)).toHaveLength(1);
});

test("a readiness check holds the roll-out until it passes (checklist 53)", async () => {
  let ready = true;
  await using lab = await MarathonLab.open({
    probe: async () => (ready ? { healthy: true } : { healthy: false, cause: "warming" }),
  });
  const readinessChecks = [{ name: "warm", portName: "http", path: "/ready", intervalSeconds: 5, timeoutSeconds: 1 }];
  await lab.ask("POST", "/v2/apps", { ...bare, portDefinitions: [{ port: 0, name: "http" }], readinessChecks });
  await lab.deployed();
  const [old] = lab.master.alive();
  ready = false;
  await lab.ask("PUT", "/v2/apps/web", { cmd: "new" });
  await lab.until("the new task runs", () => lab.master.alive().length === 2);
  await lab.clock.advance(20_000);
  expect(lab.master.alive()).toHaveLength(2);
  const fresh = lab.master.alive().find((task) => task !== old)?.info.task_id.value;
  const results = (await lab.ask("GET", "/v2/apps/web?embed=app.readiness")).body.app as Record<string, unknown>;
  expect(results.readinessCheckResults).toContainEqual({ name: "warm", taskId: fresh, ready: false });
  const [deployment] = (await lab.ask("GET", "/v2/deployments")).body as unknown as Record<string, unknown>[];
  expect(deployment?.currentActions).toMatchObject([{ action: "RestartApplication", readinessCheckResults: [{}, {}] }]);
  ready = true;
  await lab.deployed();
  expect(lab.master.alive().map(({ info }) => info.task_id.value)).toEqual([fresh ?? ""]);
});

test("a rolling restart never has fewer healthy instances than promised (checklist 69)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", {
    ...bare,
    instances: 4,
    upgradeStrategy: { minimumHealthCapacity: 0.5, maximumOverCapacity: 0 },
  });
  await lab.deployed();
  await lab.ask("PUT", "/v2/apps/web", { cmd: "new" });
  let least = 4;
  let most = 0;
  while (lab.marathon.engine.state.deployments.size > 0) {
    least = Math.min(least, lab.master.alive().filter(({ state }) => state === "TASK_RUNNING").length);
    most = Math.max(most, lab.master.alive().length);
    await lab.clock.advance(10);
  }
  expect(least).toBeGreaterThanOrEqual(2);
  expect(most).toBeLessThanOrEqual(4);
  expect(lab.master.alive()).toHaveLength(4);
});
