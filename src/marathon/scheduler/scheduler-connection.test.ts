/** The connection to the master: lost, silent, redirected, taken over; and what Marathon makes of it. */

import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { encodeRecord } from "../../mesos/protocol/recordio.ts";
import { MarathonLab } from "../testing/marathon-lab.ts";
import { SchedulerConnection, type Transport } from "./scheduler-connection.ts";

const app = { id: "web", cmd: "sleep 1000", cpus: 0.1, mem: 32 };

test("a master that goes away: subscribed again with the same id, nothing restarts (failover)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", { ...app, instances: 2 });
  await lab.deployed();
  lab.master.disconnect();
  lab.master.calls.length = 0;
  await lab.until("subscribed again", () => lab.master.connected);
  await lab.clock.advance(1000);
  expect(lab.master.calls[0]).toMatchObject({
    type: "SUBSCRIBE",
    framework_id: { value: "fw-0000" },
    subscribe: { framework_info: { id: { value: "fw-0000" } } },
  });
  const reconciles = lab.master.calls.filter(({ type }) => type === "RECONCILE");
  expect(reconciles).toMatchObject([{ reconcile: { tasks: [{}, {}] } }, { reconcile: { tasks: [] } }]);
  expect(lab.master.tasks.size).toBe(2);
  expect(lab.events.some(({ eventType }) => eventType === "scheduler_reregistered_event")).toBe(true);
});

test("silence for five heartbeats ends the subscription, heartbeats keep it", async () => {
  await using lab = await MarathonLab.open();
  const subscriptions = () => lab.master.calls.filter(({ type }) => type === "SUBSCRIBE").length;
  for (let beat = 0; beat < 10; beat += 1) {
    await lab.clock.advance(15_000);
    lab.master.heartbeat();
  }
  expect(subscriptions()).toBe(1);
  await lab.clock.advance(76_000);
  expect(subscriptions()).toBe(2);
});

test("another Marathon that takes the framework over ends this one", async () => {
  await using lab = await MarathonLab.open();
  const [subscribe] = lab.master.calls;
  await lab.master.transport("http://m/api/v1/scheduler", {
    method: "POST",
    body: JSON.stringify({ ...subscribe, framework_id: { value: "fw-0000" } }),
  });
  const ended = expect(lab.marathon.finished).rejects.toThrow("connection failed");
  await lab.clock.advance(1000);
  await ended;
});

test("a framework that was removed begins anew with the same apps", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", app);
  await lab.deployed();
  for (const task of lab.master.alive()) task.state = "TASK_KILLED";
  lab.master.removedFrameworks.add("fw-0000");
  lab.master.disconnect();
  await lab.until("a new framework runs the app", () => lab.master.alive().length === 1);
  expect(lab.marathon.engine.state.frameworkId).not.toBe("fw-0000");
  expect(await lab.app("/web")).toMatchObject({ tasksRunning: 1 });
});

test("tasks that no record knows are killed until they are gone", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", app);
  await lab.deployed();
  await lab.kill();
  for (const { key } of (await lab.store.list("/margay/marathon/instances/")).kvs) await lab.store.delete(key);
  let lost = true;
  lab.master.failCall = (call) => call.type === "KILL" && lost;
  await lab.start();
  await lab.clock.advance(5000);
  expect(lab.master.alive()).toHaveLength(2);
  lost = false;
  await lab.until("the orphan is gone", () => lab.master.alive().length === 1, 60_000);
  expect(await lab.app("/web")).toMatchObject({ tasksRunning: 1 });
});

test("instances without a framework id stop the start (exit 108 of old)", async () => {
  await using lab = await MarathonLab.open();
  await lab.ask("POST", "/v2/apps", app);
  await lab.deployed();
  await lab.kill();
  await lab.store.delete("/margay/marathon/framework-id");
  await expect(lab.start()).rejects.toThrow("there are instances in the store but no framework id");
});

test("a master that is not the leader sends us to the one that is", async () => {
  const clock = new TestClock();
  const asked: string[] = [];
  const transport: Transport = async (url, init) => {
    asked.push(url);
    if (!String(init.body).includes("SUBSCRIBE")) return new Response(null, { status: 202 });
    if (url.startsWith("http://follower"))
      return new Response("", { status: 307, headers: { Location: "//leader:5050/api/v1/scheduler" } });
    const subscribed = encodeRecord(
      JSON.stringify({ type: "SUBSCRIBED", subscribed: { framework_id: { value: "f" } } }),
    );
    return new Response(new ReadableStream({ start: (controller) => controller.enqueue(subscribed) }), {
      headers: { "Mesos-Stream-Id": "s" },
    });
  };
  const stop = new AbortController();
  const connection = new SchedulerConnection({
    masters: ["http://follower:5050"],
    clock,
    log: silentLog,
    transport,
    heartbeatsMissedMax: 5,
    handlers: {
      framework: () => ({ id: undefined, info: { user: "root", name: "test" } }),
      onSubscribed: async () => undefined,
      onEvent: async () => undefined,
      onDisconnected: () => undefined,
    },
  });
  const running = connection.run(stop.signal);
  await clock.advance(100);
  expect(connection.masterUrl).toBe("http://leader:5050");
  await connection.call({ type: "REVIVE" });
  expect(asked.at(-1)).toBe("http://leader:5050/api/v1/scheduler");
  stop.abort();
  await clock.advance(100);
  await running;
});

test("what the master has said is not kept: a subscription of many events leaves none of them in memory", async () => {
  const clock = new TestClock();
  const stream = new TransformStream<Uint8Array>();
  const said = stream.writable.getWriter();
  const transport: Transport = async () => new Response(stream.readable);
  let heard = 0;
  const stop = new AbortController();
  const connection = new SchedulerConnection({
    masters: ["http://m:5050"],
    clock,
    log: silentLog,
    transport,
    heartbeatsMissedMax: 5,
    handlers: {
      framework: () => ({ id: undefined, info: { user: "root", name: "test" } }),
      onSubscribed: async () => undefined,
      onEvent: async () => void heard++,
      onDisconnected: () => undefined,
    },
  });
  const running = connection.run(stop.signal);
  await clock.advance(100);
  const promisesAfter = async (events: number) => {
    const wanted = heard + events;
    for (let at = 0; at < events; at++) await said.write(encodeRecord(JSON.stringify({ type: "HEARTBEAT" })));
    while (heard < wanted) await clock.advance(0);
    Bun.gc(true);
    return heapStats().objectTypeCounts.Promise ?? 0;
  };
  const first = await promisesAfter(100);
  expect((await promisesAfter(2_000)) - first).toBeLessThan(500);
  stop.abort();
  await clock.advance(100);
  await running;
});
