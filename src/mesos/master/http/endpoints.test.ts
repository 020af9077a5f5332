/** What people and tools read: the unversioned endpoints and the operator API (reference: mesos-behaviour 13.9, mesos-api 6). */

import { describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import { systemClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { taskOn } from "../testing/fake-scheduler.ts";
import { TestCluster } from "../testing/test-cluster.ts";
import { postJson, startTestServer } from "../testing/test-server.ts";
import { serveMaster } from "./master-server.ts";
import { metricsView } from "./metrics-view.ts";
import { operatorCallAnswer } from "./operator-api.ts";
import { frameworksView, rolesView, slavesView, stateView, summaryView, tasksView } from "./state-view.ts";

async function withTask() {
  const cluster = await TestCluster.create();
  const agent = await cluster.addAgent({ resources: "cpus:4;mem:4096;disk(prod):100;ports:[31000-32000]" });
  const scheduler = await cluster.addScheduler({ name: "web", capabilities: [{ type: "PARTITION_AWARE" }] });
  const [offer] = scheduler.offers;
  if (offer === undefined) throw new Error("no offer");
  const labels = { labels: [{ key: "app", value: "web" }] };
  const discovery = { visibility: "CLUSTER", name: "web", ports: { ports: [{ number: 80 }] } } as const;
  const container = {
    type: "DOCKER",
    docker: { image: "nginx", network: "USER" },
    network_infos: [{ name: "calico-net" }],
  } as const;
  scheduler.launch(
    [offer],
    [taskOn(offer, "t1", "cpus:1;mem:64;ports:[31005-31005]", { labels, discovery, container })],
  );
  await cluster.settle();
  const network_infos = [{ name: "calico-net", ip_addresses: [{ ip_address: "192.168.0.1" }], labels }];
  agent.report("t1", "TASK_RUNNING", { healthy: true, container_status: { network_infos } });
  await cluster.settle();
  return { cluster, agent, scheduler, master: cluster.master };
}

/** The same JSON a client would read. */
const read = (value: object) => JSON.parse(JSON.stringify(value));

describe("views", () => {
  test("/state has Mesos' fields for master, slaves, frameworks and tasks (87)", async () => {
    const { cluster, agent, scheduler, master } = await withTask();
    await using _ = cluster;
    const state = read(stateView(master, { cluster: "demo" }));
    expect(state).toMatchObject({
      version: "1.11.0",
      id: master.context.info.id,
      pid: "master@10.0.0.100:5050",
      leader: "master@10.0.0.100:5050",
      activated_slaves: 1,
      unreachable_slaves: 0,
      cluster: "demo",
      orphan_tasks: [],
      unregistered_frameworks: [],
    });
    expect(state.slaves[0]).toMatchObject({
      id: agent.id,
      hostname: "host1",
      port: 5051,
      pid: "slave(1)@10.0.0.1:5051",
      active: true,
      resources: { cpus: 4, gpus: 0, mem: 4096, disk: 100, ports: "[31000-32000]" },
      used_resources: { cpus: 1, mem: 64, disk: 0, ports: "[31005-31005]" },
      reserved_resources: { prod: { disk: 100 } },
      unreserved_resources: { cpus: 4, disk: 0 },
    });
    expect(state.frameworks[0]).toMatchObject({
      id: scheduler.id,
      name: "web",
      active: true,
      recovered: false,
      role: "*",
    });
    expect(state.frameworks[0].tasks[0]).toMatchObject({
      id: "t1",
      framework_id: scheduler.id,
      executor_id: "",
      slave_id: agent.id,
      state: "TASK_RUNNING",
      labels: [{ key: "app", value: "web" }],
      discovery: { visibility: "CLUSTER", name: "web" },
      container: { docker: { image: "nginx" } },
      statuses: [
        {
          state: "TASK_RUNNING",
          healthy: true,
          container_status: {
            network_infos: [{ ip_addresses: [{ ip_address: "192.168.0.1" }], labels: [{ key: "app", value: "web" }] }],
          },
        },
      ],
    });
  });

  test("/slaves filters, /state-summary counts as /state does (103)", async () => {
    const { cluster, agent, scheduler, master } = await withTask();
    await using _ = cluster;
    expect(read(slavesView(master, "other")).slaves).toEqual([]);
    const [slave] = read(slavesView(master, agent.id)).slaves;
    expect(slave.reserved_resources_full.prod[0].name).toBe("disk");
    expect(slave.used_resources_full).toHaveLength(3);
    const summary = read(summaryView(master));
    expect(summary.slaves[0]).toMatchObject({ TASK_RUNNING: 1, TASK_FAILED: 0, framework_ids: [scheduler.id] });
    expect(summary.frameworks[0]).toMatchObject({ TASK_RUNNING: 1, slave_ids: [agent.id] });
  });

  test("/tasks takes limit, offset, order and filters (128)", async () => {
    const { cluster, agent, scheduler, master } = await withTask();
    await using _ = cluster;
    await cluster.advance(6_000);
    const [offer] = scheduler.offers.slice(-1);
    if (offer !== undefined) scheduler.launch([offer], [taskOn(offer, "t2")]);
    await cluster.settle();
    agent.report("t1", "TASK_FAILED");
    await cluster.settle();
    const ids = (query: object) => {
      const all = { limit: 100, offset: 0, order: "des", frameworkId: undefined, taskId: undefined } as const;
      return read(tasksView(master, { ...all, ...query })).tasks.map((task: { id: string }) => task.id);
    };
    expect(ids({})).toEqual(["t2", "t1"]);
    expect(ids({ order: "asc" })).toEqual(["t1", "t2"]);
    expect(ids({ limit: 1, offset: 1 })).toEqual(["t1"]);
    expect(ids({ taskId: "t2" })).toEqual(["t2"]);
    expect(ids({ frameworkId: "other" })).toEqual([]);
    expect(read(frameworksView(master, undefined)).frameworks[0].completed_tasks[0].state).toBe("TASK_FAILED");
  });

  test("/roles shows roles and their ancestors (127)", async () => {
    await using cluster = await TestCluster.create();
    expect(rolesView(cluster.master)).toEqual({ roles: [] });
    const scheduler = await cluster.addScheduler({ role: "a/b" });
    const { roles } = read(rolesView(cluster.master));
    expect(roles.map((role: { name: string }) => role.name)).toEqual(["a", "a/b"]);
    expect(roles[1].frameworks).toEqual([scheduler.id]);
  });

  test("/metrics/snapshot holds numbers only, and those that count what happened (129)", async () => {
    const { cluster, agent, master } = await withTask();
    await using _ = cluster;
    agent.report("t1", "TASK_FAILED");
    await cluster.settle();
    const metrics = metricsView(master, cluster.clock);
    expect(Object.values(metrics).every((value) => Number.isFinite(value))).toBe(true);
    expect(Object.keys(metrics)).toEqual(Object.keys(metrics).toSorted());
    expect(metrics).toMatchObject({
      "master/elected": 1,
      "master/slaves_active": 1,
      "master/frameworks_active": 1,
      "master/tasks_failed": 1,
      "master/tasks_running": 0,
      "master/tasks_lost": 0,
      "master/cpus_total": 4,
      "master/cpus_used": 0,
      "master/mem_total": 4096,
      "master/slave_registrations": 1,
      "master/messages_launch_tasks": 1,
      "master/valid_status_updates": 3,
      "master/task_failed/source_executor": 1,
    });
  });

  test("the operator API answers reading calls under their own name (121)", async () => {
    const { cluster, agent, scheduler, master } = await withTask();
    await using _ = cluster;
    const call = (type: string) =>
      JSON.parse(operatorCallAnswer(master, JSON.stringify({ type }), { port: "5050" }).text);
    expect(call("GET_HEALTH")).toEqual({ type: "GET_HEALTH", get_health: { healthy: true } });
    expect(call("GET_VERSION").get_version.version_info.version).toBe("1.11.0");
    expect(call("GET_FLAGS").get_flags.flags).toEqual([{ name: "port", value: "5050" }]);
    expect(call("GET_AGENTS").get_agents.agents[0]).toMatchObject({
      agent_info: { id: { value: agent.id }, hostname: "host1" },
      active: true,
      pid: "slave(1)@10.0.0.1:5051",
    });
    expect(call("GET_FRAMEWORKS").get_frameworks.frameworks[0]).toMatchObject({
      framework_info: { id: { value: scheduler.id }, name: "web" },
      connected: true,
    });
    const [task] = call("GET_TASKS").get_tasks.tasks;
    expect(task).toMatchObject({
      task_id: { value: "t1" },
      state: "TASK_RUNNING",
      status_update_state: "TASK_RUNNING",
    });
    expect(task.resources[0].allocation_info).toEqual({ role: "*" });
    expect(Object.keys(call("GET_STATE").get_state)).toEqual([
      "get_tasks",
      "get_executors",
      "get_frameworks",
      "get_agents",
    ]);
    expect(call("GET_MASTER").get_master.master_info.id).toBe(master.context.info.id);
    for (const type of ["GET_METRICS", "GET_ROLES", "GET_WEIGHTS", "GET_EXECUTORS"]) expect(call(type).type).toBe(type);
    expect(operatorCallAnswer(master, '{"type":"DRAIN_AGENT"}', {}).status).toBe(501);
    expect(operatorCallAnswer(master, "{", {}).status).toBe(400);
    expect(operatorCallAnswer(master, '{"type":5}', {}).status).toBe(400);
    expect(operatorCallAnswer(master, '{"type":"TEARDOWN","teardown":{"framework_id":{"value":"x"}}}', {}).status).toBe(
      400,
    );
  });
});

describe("the server", () => {
  const paths: readonly [path: string, status: number, type: string | null][] = [
    ["/health", 200, null],
    ["/master/health", 200, null],
    ["/version", 200, "application/json"],
    ["/flags", 200, "application/json"],
    ["/state", 200, "application/json"],
    ["/master/state", 200, "application/json"],
    ["/state.json", 200, "application/json"],
    ["/master/state-summary", 200, "application/json"],
    ["/slaves/", 200, "application/json"],
    ["/slaves/anything/else", 200, "application/json"],
    ["/frameworks", 200, "application/json"],
    ["/tasks/?task_id=x", 200, "application/json"],
    ["/roles", 200, "application/json"],
    ["/metrics/snapshot", 200, "application/json"],
    ["/", 200, "text/html; charset=utf-8"],
    ["/version?jsonp=f", 200, "text/javascript"],
    ["/version?jsonp=alert(1)//", 400, "text/plain; charset=utf-8"],
    ["/redirect", 307, null],
    ["/master/redirect", 307, null],
    ["/redirect/state", 404, "text/plain; charset=utf-8"],
    ["/statex", 404, "text/plain; charset=utf-8"],
    ["/constructor", 404, "text/plain; charset=utf-8"],
    ["/api/v1", 405, "text/plain; charset=utf-8"],
  ];
  test("answers each path with its status and type (131)", async () => {
    await using server = await startTestServer();
    for (const [path, status, type] of paths) {
      const response = await fetch(`${server.url}${path}`, { redirect: "manual" });
      expect([path, response.status, response.headers.get("Content-Type")]).toEqual([path, status, type]);
      if (status === 307) expect(response.headers.get("Location")).toBe("//127.0.0.1:5050");
      await response.arrayBuffer();
    }
    expect((await postJson(`${server.url}/slaves/some-id`, "")).status).toBe(200);
    expect((await postJson(`${server.url}/api/v1`, { type: "GET_HEALTH" })).status).toBe(200);
    expect((await fetch(`${server.url}/teardown`, { method: "POST", body: "frameworkId=nobody" })).status).toBe(400);
  });

  test("/teardown removes the framework", async () => {
    await using server = await startTestServer();
    const subscribe = {
      type: "SUBSCRIBE",
      subscribe: { framework_info: { user: "a", name: "b", failover_timeout: 60 } },
    };
    const stream = await postJson(`${server.url}/api/v1/scheduler`, subscribe);
    const [id] = server.master.context.cluster.frameworks.keys();
    expect((await fetch(`${server.url}/teardown`, { method: "POST", body: `frameworkId=${id}` })).status).toBe(200);
    expect(await stream.text()).toContain("SUBSCRIBED");
    expect([...server.master.context.cluster.completedFrameworks.keys()]).toEqual([id as string]);
  });

  test("until the registry is read, cluster paths answer 503 and the rest as ever (19)", async () => {
    const options = { ip: "127.0.0.1", port: 0, authority: "m:5050", flags: {}, clock: systemClock, log: silentLog };
    await using server = await serveMaster({ ...options, master: () => undefined });
    const url = `http://127.0.0.1:${server.port}`;
    for (const path of ["/state", "/slaves"]) {
      const response = await fetch(url + path);
      expect([response.status, await response.text()]).toEqual([503, "Master has not finished recovery"]);
    }
    expect((await postJson(`${url}/api/v1/scheduler`, {})).status).toBe(503);
    expect((await postJson(`${url}/margay/v1/agent`, {})).status).toBe(503);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await fetch(`${url}/version`)).status).toBe(200);
  });

  test("a port that is taken is an error, not silence", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const options = { ip: "127.0.0.1", port, authority: "m:5050", flags: {}, clock: systemClock, log: silentLog };
    await expect(serveMaster({ ...options, master: () => undefined })).rejects.toThrow();
    await new Promise((resolve) => taken.close(resolve));
  });
});
