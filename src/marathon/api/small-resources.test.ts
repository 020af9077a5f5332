/** Listings and filters, the event stream, who we are, and the rules that hold for every request. */

import { expect, test } from "bun:test";
import { MarathonLab } from "../testing/marathon-lab.ts";

const app = { id: "web", cmd: "sleep 1000", cpus: 0.1, mem: 32 };

async function withApps(): Promise<MarathonLab> {
  const lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", {
    ...app,
    id: "/prod/web",
    labels: { tier: "front", env: "prod" },
    constraints: [["hostname", "UNIQUE"]],
    instances: 2,
  });
  await lab.ask("POST", "/v2/apps", { ...app, id: "/prod/db", cmd: "Postgres", labels: { tier: "back" } });
  await lab.ask("POST", "/v2/apps", { ...app, id: "/test/web", labels: { tier: "front", env: "test" } });
  await lab.deployed();
  return lab;
}

test("apps are found by cmd, id and labels (checklist 16)", async () => {
  await using lab = await withApps();
  const ids = async (query: string) => {
    const { body } = await lab.ask("GET", `/v2/apps?${query}`);
    return (body.apps as { id: string }[]).map(({ id }) => id).sort();
  };
  expect(await ids("")).toEqual(["/prod/db", "/prod/web", "/test/web"]);
  expect(await ids("cmd=postgres")).toEqual(["/prod/db"]);
  expect(await ids("id=PROD")).toEqual(["/prod/db", "/prod/web"]);
  const label = (selector: string) => ids(`label=${encodeURIComponent(selector)}`);
  expect(await label("tier==front")).toEqual(["/prod/web", "/test/web"]);
  expect(await label("tier==front,env!=test")).toEqual(["/prod/web"]);
  expect(await label("env!=test")).toEqual(["/prod/web"]);
  expect(await label("env")).toEqual(["/prod/web", "/test/web"]);
  expect(await label("tier in (back, middle)")).toEqual(["/prod/db"]);
  expect(await label("tier notin (back)")).toEqual(["/prod/web", "/test/web"]);
});

test("embed adds exactly what it names; lists always have counts and deployments (checklist 17)", async () => {
  await using lab = await withApps();
  const keys = async (path: string) => {
    const { body } = await lab.ask("GET", path);
    const one = (body.app ?? (body.apps as unknown[])[0]) as Record<string, unknown>;
    const optional = ["tasks", "tasksRunning", "deployments", "readinessCheckResults", "lastTaskFailure", "taskStats"];
    return optional.filter((key) => key in one);
  };
  expect(await keys("/v2/apps")).toEqual(["tasksRunning", "deployments"]);
  expect(await keys("/v2/apps?embed=apps.tasks")).toEqual(["tasks", "tasksRunning", "deployments"]);
  expect(await keys("/v2/apps/prod/web")).toEqual(["tasks", "tasksRunning", "deployments", "readinessCheckResults"]);
  expect(await keys("/v2/apps/prod/web?embed=app.counts")).toEqual(["tasksRunning"]);
  expect(await keys("/v2/apps/prod/web?embed=app.taskStats")).toEqual(["taskStats"]);
  const { body } = await lab.ask("GET", "/v2/apps/prod/web?embed=app.taskStats");
  expect(body.app).toMatchObject({
    taskStats: { totalSummary: { stats: { counts: { running: 2, staged: 0, healthy: 0, unhealthy: 0 } } } },
  });
});

test("a group is where its apps are (checklist 19)", async () => {
  await using lab = await withApps();
  expect(((await lab.ask("GET", "/v2/apps/prod/*")).body["*"] as { id: string }[]).map(({ id }) => id).sort()).toEqual([
    "/prod/db",
    "/prod/web",
  ]);
  const { body } = await lab.ask("GET", "/v2/groups");
  expect(body).toMatchObject({
    id: "/",
    apps: [],
    pods: [],
    groups: [{ id: "/prod", apps: [{ id: "/prod/web" }, { id: "/prod/db" }] }, { id: "/test" }],
  });
});

test("tasks are listed as JSON and as lines for load balancers (checklist 59, 60, 110)", async () => {
  await using lab = await withApps();
  expect(((await lab.ask("GET", "/v2/tasks")).body.tasks as unknown[]).length).toBe(4);
  expect((await lab.ask("GET", "/v2/tasks?status=staging")).body).toEqual({ tasks: [] });
  const lines = await lab.ask("GET", "/v2/tasks", undefined, { Accept: "text/plain" });
  expect(lines.text.split("\n").find((line) => line.startsWith("prod_db"))).toMatch(
    /^prod_db\t10001\thost\d:31\d{3}\t$/,
  );
  await lab.ask("POST", "/v2/apps", {
    id: "net",
    container: { docker: { image: "i" }, portMappings: [{ containerPort: 80 }] },
    networks: [{ mode: "container", name: "n" }],
  });
  await lab.deployed();
  const own = await lab.ask("GET", "/v2/apps/net/tasks", undefined, { Accept: "text/plain" });
  expect(own.text).toBe("net\t10003\t192.168.0.5:80\t\n");
});

test("who we are: ping, info, leader, metrics (checklist 86, 88, 89)", async () => {
  await using lab = await MarathonLab.open();
  expect((await lab.ask("GET", "/ping")).text).toBe("pong");
  expect((await lab.ask("GET", "/ping", undefined, { Accept: "application/json" })).text).toBe('"pong"');
  const { body } = await lab.ask("GET", "/v2/info");
  expect(body).toMatchObject({
    name: "marathon",
    version: expect.stringMatching(/^1\.11\./),
    elected: true,
    leader: "localhost:8080",
    frameworkId: "fw-0000",
    marathon_config: { master: "http://127.0.0.1:5050", features: [] },
  });
  expect((await lab.ask("GET", "/v2/leader")).body).toEqual({ leader: "localhost:8080" });
  expect((await lab.ask("GET", "/metrics")).body).toMatchObject({
    gauges: { "marathon.apps.active.gauge": { value: 0 } },
    counters: {},
    meters: {},
    timers: {},
  });
  expect((await lab.ask("GET", "/metrics/prometheus")).text).toContain("marathon_apps_active_gauge 0");
  const root = await lab.ask("GET", "/");
  expect([root.status, root.headers.get("Location")]).toEqual([302, "http://marathon:8080/ui/"]);
  expect(root.headers.get("X-Marathon-Leader")).toBe("http://localhost:8080");
  expect(root.headers.get("X-Frame-Options")).toBe("DENY");
});

test("events arrive as frames, filtered, with a sign of life every 10 s (checklist 82, 84)", async () => {
  await using lab = await MarathonLab.open();
  const response = await lab.marathon.fetch(
    new Request("http://m/v2/events?event_type=event_stream_attached&event_type=deployment_success"),
    "10.0.0.9",
  );
  expect(response.headers.get("Content-Type")).toBe("text/event-stream;charset=UTF-8");
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  const next = async () => new TextDecoder().decode((await reader.read()).value);
  expect(await next()).toMatch(/^event: event_stream_attached\r\ndata: \{"remoteAddress":"10\.0\.0\.9",.*\}\r\n\r\n$/);
  await lab.ask("POST", "/v2/apps", app);
  await lab.deployed();
  expect(await next()).toMatch(/^event: deployment_success\r\n/);
  await lab.clock.advance(10_000);
  expect(await next()).toBe("\r\n");
  await reader.cancel();
  expect(lab.events.at(-1)?.eventType).toBe("event_stream_detached");
  const refused = await lab.ask("GET", "/v2/events", undefined, { Accept: "application/json" });
  expect(refused.status).toBe(405);
});

test("a client that does not read is cut off, the others are not (checklist 84)", async () => {
  await using lab = await MarathonLab.open({ settings: { eventsOutstandingMax: 5 } });
  const slow = await lab.marathon.fetch(new Request("http://m/v2/events"));
  for (let number = 0; number < 10; number += 1) lab.marathon.engine.bus.publish("test_event", { number });
  const text = await slow.text();
  expect(text.match(/event: /g)).toHaveLength(5);
  expect(lab.events.filter(({ eventType }) => eventType === "test_event")).toHaveLength(10);
});

test("credentials are asked for everywhere but at /ping (checklist 90)", async () => {
  await using lab = await MarathonLab.open({ settings: { httpCredentials: "me:secret" } });
  const without = await lab.ask("GET", "/v2/apps");
  expect([without.status, without.headers.get("WWW-Authenticate")]).toEqual([401, 'Basic realm="Mesosphere"']);
  const header = (text: string) => ({ Authorization: `Basic ${Buffer.from(text).toString("base64")}` });
  expect((await lab.ask("GET", "/v2/apps", undefined, header("me:wrong!"))).status).toBe(401);
  expect((await lab.ask("GET", "/v2/apps", undefined, header("me:secret"))).status).toBe(200);
  expect((await lab.ask("GET", "/ping")).status).toBe(200);
});

test("missing content headers are fine, gzip only if asked, CORS for reads when configured (checklist 91)", async () => {
  await using lab = await MarathonLab.open({ settings: { corsOrigins: ["http://ui"] } });
  await lab.ask("POST", "/v2/apps", { ...app, labels: { long: "x".repeat(2000) } });
  expect((await lab.ask("GET", "/v2/apps")).headers.get("Content-Encoding")).toBeNull();
  const zipped = await lab.marathon.fetch(new Request("http://m/v2/apps", { headers: { "Accept-Encoding": "gzip" } }));
  const plain = Bun.gunzipSync(new Uint8Array(await zipped.arrayBuffer()));
  expect(JSON.parse(new TextDecoder().decode(plain))).toHaveProperty("apps");
  const cors = await lab.ask("OPTIONS", "/v2/apps", undefined, {
    Origin: "http://ui",
    "Access-Control-Request-Headers": "X-A",
  });
  expect(cors.status).toBe(200);
  expect(cors.headers.get("Access-Control-Allow-Origin")).toBe("http://ui");
  expect(cors.headers.get("Access-Control-Allow-Methods")).toBe("GET, HEAD, OPTIONS");
  expect(
    (await lab.ask("GET", "/v2/apps", undefined, { Origin: "http://evil" })).headers.get("Access-Control-Allow-Origin"),
  ).toBeNull();
});

test("double slashes and a trailing one are the same path (checklist 109)", async () => {
  await using lab = await withApps();
  for (const path of [
    "/v2/apps//prod/web",
    "/v2/apps/prod/web/",
    "/v2/apps//prod/web/tasks",
    "/v2/apps/%2Fprod%2Fweb/versions",
  ]) {
    expect((await lab.ask("GET", path)).status).toBe(200);
  }
});

test("PUT creates what is not there, and replaces when told so (checklist 6, 7)", async () => {
  await using lab = await MarathonLab.open();
  const created = await lab.ask("PUT", "/v2/apps/web", { cmd: "x", mem: 64 });
  expect([created.status, created.headers.get("Location")]).toEqual([201, "http://marathon:8080/v2/apps/web"]);
  await lab.deployed();
  expect((await lab.ask("PUT", "/v2/apps/web?partialUpdate=false", { cmd: "y" })).status).toBe(200);
  await lab.deployed();
  expect(await lab.app("/web")).toMatchObject({ cmd: "y", mem: 128 });
});
