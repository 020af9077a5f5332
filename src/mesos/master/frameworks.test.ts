/** The life of frameworks (reference: mesos-behaviour 13.2; the numbers are its). */

import { describe, expect, test } from "bun:test";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import { scalarOf } from "../protocol/resources.ts";
import type { SchedulerEvent } from "../protocol/scheduler-event.ts";
import { FakeScheduler, taskOn } from "./testing/fake-scheduler.ts";
import { Link } from "./testing/link.ts";
import { TestCluster } from "./testing/test-cluster.ts";

async function withTask(cluster: TestCluster, info: Partial<FrameworkInfo> = {}) {
  const agent = await cluster.addAgent();
  const scheduler = await cluster.addScheduler(info);
  const [offer] = scheduler.offers;
  if (offer === undefined) throw new Error("no offer");
  scheduler.launch([offer], [taskOn(offer, "t1")]);
  await cluster.settle();
  expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  return { agent, scheduler };
}

describe("subscribing", () => {
  test("the first events are SUBSCRIBED with id, interval and master, then HEARTBEAT (8)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler();
    expect(scheduler.types()).toEqual(["SUBSCRIBED", "HEARTBEAT"]);
    const [first] = scheduler.events;
    if (first?.type !== "SUBSCRIBED") throw new Error("not SUBSCRIBED");
    const masterId = cluster.master.context.info.id;
    expect(first.subscribed.framework_id.value).toBe(`${masterId}-0000`);
    expect(first.subscribed.heartbeat_interval_seconds).toBe(15);
    expect(first.subscribed.master_info?.id).toBe(masterId);
  });

  const multiRole = [{ type: "MULTI_ROLE" }] as const;
  const refused: readonly [name: string, info: Partial<FrameworkInfo>, message: string][] = [
    ["an invalid role (13)", { role: "/test/test1" }, "cannot start with a slash"],
    ["the role . (13)", { role: "." }, "cannot include '.'"],
    ["a negative failover timeout (16)", { failover_timeout: -1 }, "failover_timeout"],
    ["a failover timeout that is no number (16)", { failover_timeout: Number.NaN }, "failover_timeout"],
    ["an endless failover timeout (16)", { failover_timeout: Number.POSITIVE_INFINITY }, "failover_timeout"],
    ["roles without MULTI_ROLE (51)", { roles: ["a"] }, "must not be set when the framework is not MULTI_ROLE"],
    ["role with MULTI_ROLE (51)", { role: "a", roles: ["a"], capabilities: multiRole }, "must not be set when"],
    ["a role twice", { roles: ["a", "a"], capabilities: multiRole }, "duplicate"],
    ["an id that is a path", { id: { value: "a/b" } }, "invalid characters"],
    ["offer filters of a foreign role", { offer_filters: { b: {} } }, "not subscribed"],
  ];
  for (const [name, info, message] of refused) {
    test(`${name} is refused by one ERROR event`, async () => {
      await using cluster = await TestCluster.create();
      const scheduler = new FakeScheduler(info);
      if (info.id !== undefined) scheduler.id = info.id.value;
      scheduler.subscribe(cluster.master);
      while (scheduler.pump());
      expect(scheduler.types()).toEqual(["ERROR"]);
      expect(JSON.stringify(scheduler.events)).toContain(message);
      expect(scheduler.isConnected).toBe(false);
      expect(cluster.master.context.cluster.frameworks.size).toBe(0);
    });
  }

  test("roles outside --roles and the user root with --no-root_submissions are refused", async () => {
    await using cluster = await TestCluster.create(["--roles=a,b", "--no-root_submissions"]);
    expect((await cluster.addScheduler({ role: "c" })).types()).toEqual(["ERROR"]);
    expect((await cluster.addScheduler({ user: "root" })).types()).toEqual(["ERROR"]);
    expect((await cluster.addScheduler({ role: "a" })).types()).toEqual(["SUBSCRIBED", "HEARTBEAT"]);
  });

  test("suppressed roles and constraints must be of its own roles", async () => {
    await using cluster = await TestCluster.create();
    const [one, two] = [new FakeScheduler(), new FakeScheduler()];
    one.subscribe(cluster.master, { suppressed_roles: ["x"] });
    two.subscribe(cluster.master, { offer_constraints: { role_constraints: { x: {} } } });
    while (one.pump() || two.pump());
    expect(one.types()).toEqual(["ERROR"]);
    expect(two.types()).toEqual(["ERROR"]);
  });

  test("a heartbeat comes every 15 seconds on an idle stream (31)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler();
    await cluster.advance(60_000);
    expect(scheduler.types().filter((type) => type === "HEARTBEAT")).toHaveLength(5);
  });
});

describe("failing over", () => {
  test("a scheduler that comes back in time keeps its id and its tasks, and is told nothing about them (21)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster);
    const { id } = scheduler;
    scheduler.disconnect();
    await cluster.advance(3_000_000, 60_000);
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.id).toBe(id as string);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
    expect([...agent.tasks.keys()]).toEqual(["t1"]);
  });

  test("a second subscription ends the first with an ERROR; the new stream has another id and gets the offers (10, 24)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const oldLink = scheduler.link;
    const link = new Link<SchedulerEvent>("another");
    cluster.master.subscribeFramework(
      { framework_info: { ...scheduler.info, id: { value: scheduler.id ?? "" } } },
      link,
    );
    expect(oldLink?.inbox).toEqual([{ type: "ERROR", error: { message: "Framework failed over" } }]);
    expect(oldLink?.closed).toBe(true);
    // The old connection's end must not harm the new one.
    if (oldLink !== undefined) cluster.master.frameworkStreamEnded(oldLink);
    expect(link.inbox.map((event) => event.type)).toEqual(["SUBSCRIBED", "HEARTBEAT", "OFFERS"]);
    expect(cluster.master.context.cluster.offers.size).toBe(1);
    expect(scheduler.call({ type: "REVIVE" }, oldLink?.id).status).toBe(400);
  });

  test("without a failover timeout the framework is removed when its stream ends, its tasks are killed (22)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster, { failover_timeout: 0 });
    scheduler.disconnect();
    await cluster.settle();
    expect(agent.tasks.size).toBe(0);
    const [completed] = cluster.master.context.cluster.completedFrameworks.values();
    expect(completed?.completedTasks.map((task) => task.state)).toEqual(["TASK_KILLED"]);
  });

  test("after the timeout the id is refused: Framework has been removed (23)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster, { failover_timeout: 60 });
    scheduler.disconnect();
    await cluster.advance(59_000);
    expect(agent.tasks.size).toBe(1);
    await cluster.advance(2_000);
    expect(agent.tasks.size).toBe(0);
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.events.at(-1)).toEqual({ type: "ERROR", error: { message: "Framework has been removed" } });
  });

  test("a failover timeout of years is not cut short by the runtime's timers", async () => {
    await using cluster = await TestCluster.create(["--allocation_interval=1weeks"]);
    const scheduler = await cluster.addScheduler({ failover_timeout: 3 * 365 * 86_400 });
    scheduler.disconnect();
    await cluster.clock.advance(26 * 86_400_000);
    expect(cluster.master.context.cluster.frameworks.size).toBe(1);
  });

  test("changing the principal is refused, the stream that lives stays (25)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler({ principal: "a" });
    const other = new FakeScheduler({ principal: "b" });
    other.id = scheduler.id;
    other.subscribe(cluster.master);
    while (other.pump());
    expect(other.events).toEqual([
      { type: "ERROR", error: { message: "Changing framework's principal is not allowed." } },
    ]);
    expect(scheduler.call({ type: "REVIVE" }).status).toBe(202);
  });

  test("name and timeout take the new value on return, user and checkpoint keep the old one (25, 26)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler({ name: "old", user: "alice", checkpoint: true });
    const again = new FakeScheduler({ name: "new", user: "bob", checkpoint: false, failover_timeout: 7 });
    again.id = scheduler.id;
    again.subscribe(cluster.master);
    const info = cluster.master.context.cluster.frameworks.get(scheduler.id ?? "")?.info;
    expect([info?.name, info?.user, info?.checkpoint, info?.failover_timeout]).toEqual(["new", "alice", true, 7]);
  });
});

describe("calls", () => {
  test("TEARDOWN kills the tasks, ends the stream, and gives the resources to others (11, 30)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster);
    const other = await cluster.addScheduler({ name: "other" });
    expect(scheduler.call({ type: "TEARDOWN" }).status).toBe(202);
    await cluster.settle();
    expect(scheduler.isConnected).toBe(false);
    expect(agent.tasks.size).toBe(0);
    await cluster.advance(1_000);
    expect(
      scalarOf(
        other.offers.flatMap((offer) => offer.resources ?? []),
        "cpus",
      ),
    ).toBe(4);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  const wrong: readonly [
    name: string,
    prepare: (scheduler: FakeScheduler) => void,
    stream: string | undefined,
    status: number,
  ][] = [
    ["an unknown framework (20)", (scheduler) => Object.assign(scheduler, { id: "nobody" }), "x", 400],
    ["no stream id (11)", () => undefined, undefined, 400],
    ["another stream id (11)", () => undefined, "x", 400],
  ];
  for (const [name, prepare, stream, status] of wrong) {
    test(`a call with ${name} is answered ${status} and does nothing`, async () => {
      await using cluster = await TestCluster.create();
      const scheduler = await cluster.addScheduler();
      const { id } = scheduler;
      prepare(scheduler);
      const framework_id = { value: scheduler.id ?? "" };
      expect(cluster.master.schedulerCall({ type: "TEARDOWN", framework_id }, stream).status).toBe(status);
      expect(cluster.master.context.cluster.frameworks.has(id ?? "")).toBe(true);
    });
  }

  test("a call after the stream has closed is answered 403 (20)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler();
    const streamId = scheduler.link?.id;
    scheduler.disconnect();
    const framework_id = { value: scheduler.id ?? "" };
    expect(cluster.master.schedulerCall({ type: "TEARDOWN", framework_id }, streamId)).toEqual({
      status: 403,
      text: "Framework is not subscribed",
    });
  });

  test("UPDATE_FRAMEWORK changes what may change and refuses the rest (26, 27, 28, 29)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const info: FrameworkInfo = {
      user: "nobody",
      name: "test",
      checkpoint: true,
      failover_timeout: 3_600,
      roles: ["a"],
      capabilities: [{ type: "MULTI_ROLE" }],
    };
    const scheduler = await cluster.addScheduler(info);
    const own = { ...info, id: { value: scheduler.id ?? "" } };
    const update = (framework_info: FrameworkInfo, more = {}) =>
      scheduler.call({ type: "UPDATE_FRAMEWORK", update_framework: { framework_info, ...more } }).status;
    expect(update({ ...own, user: "root" })).toBe(400);
    expect(update({ ...own, checkpoint: false })).toBe(400);
    expect(update({ ...own, principal: "x" })).toBe(400);
    expect(update({ ...own, id: { value: "x" } })).toBe(400);
    expect(update(own, { offer_constraints: { role_constraints: { z: {} } } })).toBe(400);
    expect(scheduler.offers).toHaveLength(1);
    expect(update({ ...own, roles: ["b"] })).toBe(200);
    await cluster.settle();
    expect(scheduler.types()).toContain("RESCIND");
    expect(scheduler.offers.map((offer) => offer.allocation_info?.role)).toEqual(["b"]);
  });
});

describe("a restarted master", () => {
  test("shows the framework as recovered until it is back under its id; its tasks come with the agents (101)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster, { failover_timeout: 0 });
    await cluster.settle();
    await cluster.restartMaster();
    const framework = () => cluster.master.context.cluster.frameworks.get(scheduler.id ?? "");
    expect(framework()?.recovered).toBe(true);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect([...(framework()?.tasks.keys() ?? [])]).toEqual(["t1"]);
    await cluster.advance(60_000);
    expect([...agent.tasks.keys()]).toEqual(["t1"]);
    const { id } = scheduler;
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.id).toBe(id as string);
    expect(framework()?.recovered).toBe(false);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  test("still refuses a framework that was removed before, and ends what an agent brings of it (91)", async () => {
    await using cluster = await TestCluster.create();
    const { scheduler, agent } = await withTask(cluster);
    agent.disconnect();
    scheduler.call({ type: "TEARDOWN" });
    await cluster.settle();
    await cluster.restartMaster();
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(agent.tasks.size).toBe(0);
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.events.at(-1)).toEqual({ type: "ERROR", error: { message: "Framework has been removed" } });
  });

  test("accepts an id it does not know and rebuilds the framework from its info", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = new FakeScheduler();
    scheduler.id = "from-another-life-0007";
    cluster.schedulers.push(scheduler);
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.id).toBe("from-another-life-0007");
  });
});
