/** Agents: loss, partition, return, master restart (reference: mesos-behaviour 13.6; the numbers are its). */

import { describe, expect, test } from "bun:test";
import { OperationError } from "../../base/errors.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import { taskOn } from "./testing/fake-scheduler.ts";
import { TestCluster } from "./testing/test-cluster.ts";

const aware = { capabilities: [{ type: "PARTITION_AWARE" }] } as const;

async function running(cluster: TestCluster, info: Partial<FrameworkInfo> = {}) {
  const agent = await cluster.addAgent();
  const scheduler = await cluster.addScheduler(info);
  const [offer] = scheduler.offers;
  if (offer === undefined) throw new Error("no offer");
  scheduler.launch([offer], [taskOn(offer, "t1")], 0);
  scheduler.offers = [];
  await cluster.settle();
  return { agent, scheduler };
}

const record = (cluster: TestCluster, id: string | undefined) => cluster.master.context.registry.agents.get(id ?? "");

describe("partition", () => {
  for (const [info, state] of [
    [aware, "TASK_UNREACHABLE"],
    [{}, "TASK_LOST"],
  ] as const) {
    test(`an agent silent for 5 pings of 15 seconds: FAILURE and ${state} (88)`, async () => {
      await using cluster = await TestCluster.create();
      const { agent, scheduler } = await running(cluster, info);
      agent.answersPings = false;
      await cluster.advance(70_000, 5_000);
      expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
      await cluster.advance(20_000, 5_000);
      expect(scheduler.told("t1")).toEqual(["TASK_RUNNING", `${state} AGENT_REMOVED`]);
      const status = scheduler.updates.at(-1);
      expect(status?.unreachable_time?.nanoseconds).toBeGreaterThan(0);
      expect(status?.uuid).toBeUndefined();
      expect(scheduler.events).toContainEqual({ type: "FAILURE", failure: { agent_id: { value: agent.id ?? "" } } });
      expect(record(cluster, agent.id)?.state).toBe("unreachable");
      expect(agent.isConnected).toBe(false);
      expect(scheduler.offers).toEqual([]);
    });
  }

  test("an agent that has lost its stream keeps its tasks until the pings run out", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.disconnect();
    await cluster.advance(60_000, 5_000);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
    await agent.subscribe(cluster.master);
    await cluster.advance(200_000, 5_000);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  test("a returning agent brings its tasks back as running to a framework that knows partitions (90)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.forget();
    await cluster.advance(90_000, 5_000);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual([
      "TASK_RUNNING",
      "TASK_UNREACHABLE AGENT_REMOVED",
      "TASK_RUNNING AGENT_REREGISTERED",
    ]);
    expect(agent.tasks.get("t1")?.state).toBe("TASK_RUNNING");
    expect(record(cluster, agent.id)?.state).toBe("admitted");
    expect(cluster.master.context.cluster.frameworks.get(scheduler.id ?? "")?.unreachableTasks.size).toBe(0);
  });

  test("a framework that was told TASK_LOST has replaced the task: on return it is killed, nothing runs twice", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    agent.forget();
    await cluster.advance(90_000, 5_000);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING", "TASK_LOST AGENT_REMOVED", "TASK_KILLED"]);
    expect(agent.ended).toEqual(["t1"]);
  });

  test("a task that ended during the partition reports its end (90)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.forget();
    agent.report("t1", "TASK_FINISHED");
    await cluster.advance(90_000, 5_000);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_FINISHED");
    expect(agent.ended).toEqual(["t1"]);
  });

  test("tasks of a framework removed meanwhile are shut down on return (91)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.forget();
    await cluster.advance(90_000, 5_000);
    scheduler.call({ type: "TEARDOWN" });
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(agent.tasks.size).toBe(0);
  });

  test("the id of an unreachable task cannot be used again (43)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.forget();
    await cluster.advance(90_000, 5_000);
    scheduler.offers = [];
    await cluster.addAgent();
    const [offer] = scheduler.offers;
    if (offer === undefined) throw new Error("no offer");
    scheduler.launch([offer], [taskOn(offer, "t1")]);
    await cluster.settle();
    expect(scheduler.updates.at(-1)?.message).toBe("Task reuses the ID of an unreachable task: t1");
  });

  test("without checkpointing a task is lost as soon as the agent is disconnected, and killed on return (100)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, { checkpoint: false });
    agent.disconnect();
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_LOST AGENT_DISCONNECTED");
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(agent.ended).toEqual(["t1"]);
  });

  test("a registry that cannot be written puts the verdict off; nothing is declared that is not durable", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    const { registry } = cluster.master.context;
    const put = registry.putAgent.bind(registry);
    let failures = 0;
    registry.putAgent = () => {
      failures += 1;
      return Promise.reject(new OperationError("STORE_UNAVAILABLE", "the store is down"));
    };
    agent.forget();
    await cluster.advance(120_000, 5_000);
    expect(failures).toBeGreaterThan(1);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
    registry.putAgent = put;
    await cluster.advance(30_000, 5_000);
    expect(scheduler.told("t1").at(-1)).toBe("TASK_UNREACHABLE AGENT_REMOVED");
  });

  test("an agent that answers while the registry is being written is not declared unreachable (89)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    const { registry } = cluster.master.context;
    const put = registry.putAgent.bind(registry);
    const gate = Promise.withResolvers<void>();
    registry.putAgent = async (...given) => {
      await gate.promise;
      await put(...given);
    };
    agent.answersPings = false;
    await cluster.advance(95_000, 5_000);
    cluster.master.agentCall(
      { type: "PONG", agent_id: { value: agent.id ?? "" }, pong: { sequence: 1 } },
      agent.link?.id,
    );
    gate.resolve();
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
    expect(record(cluster, agent.id)?.state).toBe("admitted");
    expect(cluster.master.context.counters.get("slave_unreachable_canceled")).toBe(1);
  });
});

describe("registration", () => {
  test("an id is durable before the agent is told it", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    expect(agent.id).toBe(`${cluster.master.context.info.id}-S0`);
    const { kvs } = await cluster.store.list("/margay/mesos/master/agents/");
    expect(kvs.map((kv) => kv.key)).toEqual([`/margay/mesos/master/agents/${agent.id}`]);
  });

  test("an agent that forgot its id ends the one before it at the same address", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    const old = agent.id;
    agent.disconnect();
    Object.assign(agent, { id: undefined });
    agent.tasks.clear();
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(agent.id).not.toBe(old);
    expect(scheduler.told("t1").at(-1)).toBe("TASK_LOST AGENT_REMOVED");
    expect([...cluster.master.context.cluster.agents.keys()]).toEqual([agent.id ?? ""]);
  });

  test("an agent that leaves is removed with its tasks, also for frameworks that know partitions (97)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.unregister();
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_LOST AGENT_REMOVED");
    expect(scheduler.updates.at(-1)?.message).toBe("Agent host1 removed: the agent unregistered");
    expect(record(cluster, agent.id)).toBeUndefined();
  });

  test("a launch that never reached the agent is reported dropped when it is back (102)", async () => {
    for (const [info, state] of [
      [aware, "TASK_DROPPED"],
      [{}, "TASK_LOST"],
    ] as const) {
      await using cluster = await TestCluster.create();
      const agent = await cluster.addAgent();
      const scheduler = await cluster.addScheduler(info);
      const [offer] = scheduler.offers;
      if (offer === undefined) throw new Error("no offer");
      scheduler.launch([offer], [taskOn(offer, "t1")]);
      agent.disconnect();
      await agent.subscribe(cluster.master);
      await cluster.settle();
      expect(scheduler.told("t1")).toEqual([`${state} RECONCILIATION`]);
      expect(agent.started).toEqual([]);
      expect(agent.ended).toEqual(["t1"]);
    }
  });

  test("changed totals are offered as they are now, and drop filters (47)", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const decline = { offer_ids: scheduler.offers.map((offer) => offer.id), filters: { refuse_seconds: 10_000 } };
    scheduler.call({ type: "DECLINE", decline });
    scheduler.offers = [];
    agent.disconnect();
    agent.resources = "cpus:2;mem:1024";
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.offers[0]?.resources?.[0]?.scalar?.value).toBe(2);
  });
});

describe("a restarted master", () => {
  test("agents come back with their tasks; frameworks are told nothing new", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    await cluster.restartMaster();
    expect(cluster.master.agents.isRecovered(agent.id ?? "")).toBe(true);
    scheduler.subscribe(cluster.master);
    await agent.subscribe(cluster.master);
    await cluster.advance(5_000);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
    expect(agent.started).toEqual(["t1"]);
    expect(scheduler.offers[0]?.resources?.[0]?.scalar?.value).toBe(3);
  });

  test("an update acknowledged to the old master's word is accepted by the new one", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    scheduler.acknowledges = false;
    agent.report("t1", "TASK_FINISHED");
    await cluster.settle();
    const end = scheduler.updates.at(-1);
    await cluster.restartMaster();
    await agent.subscribe(cluster.master);
    scheduler.subscribe(cluster.master);
    if (end !== undefined) scheduler.acknowledge(end);
    await cluster.settle();
    expect(agent.ended).toEqual(["t1"]);
    expect(cluster.master.context.cluster.frameworks.get(scheduler.id ?? "")?.tasks.size).toBe(0);
  });

  test("agents that do not come back in time become unreachable (94)", async () => {
    await using cluster = await TestCluster.create(["--agent_reregister_timeout=2mins"]);
    const { agent, scheduler } = await running(cluster, aware);
    await cluster.restartMaster();
    scheduler.subscribe(cluster.master);
    await cluster.advance(119_000, 10_000);
    expect(record(cluster, agent.id)?.state).toBe("admitted");
    await cluster.advance(2_000);
    expect(record(cluster, agent.id)?.state).toBe("unreachable");
    expect(scheduler.types()).toContain("FAILURE");
    const task = { task_id: { value: "t1" }, agent_id: { value: agent.id ?? "" } };
    scheduler.call({ type: "RECONCILE", reconcile: { tasks: [task] } });
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_UNREACHABLE RECONCILIATION");
  });

  test("unreachable agents are still known as such, and may return", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    agent.forget();
    await cluster.advance(90_000, 5_000);
    await cluster.restartMaster();
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(record(cluster, agent.id)?.state).toBe("unreachable");
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_RUNNING AGENT_REREGISTERED");
  });
});
