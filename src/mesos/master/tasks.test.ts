/** Status updates, acknowledgements, kills, reconciliation (reference: mesos-behaviour 13.5; the numbers are its). */

import { describe, expect, test } from "bun:test";
import { uuidToBase64 } from "../protocol/base64.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import { formatResources } from "../protocol/resources.ts";
import { taskOn } from "./testing/fake-scheduler.ts";
import { TestCluster } from "./testing/test-cluster.ts";

const aware = { capabilities: [{ type: "PARTITION_AWARE" }] } as const;

async function running(cluster: TestCluster, info: Partial<FrameworkInfo> = {}, acknowledges = true) {
  const agent = await cluster.addAgent();
  const scheduler = await cluster.addScheduler(info);
  scheduler.acknowledges = acknowledges;
  const [offer] = scheduler.offers;
  if (offer === undefined) throw new Error("no offer");
  scheduler.launch([offer], [taskOn(offer, "t1")], 0);
  scheduler.offers = [];
  await cluster.settle();
  const framework = cluster.master.context.cluster.frameworks.get(scheduler.id ?? "");
  if (framework === undefined) throw new Error("no framework");
  return { agent, scheduler, framework };
}

describe("status updates", () => {
  test("an update arrives as the agent wrote it, with uuid and agent id (69)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    expect(scheduler.updates[0]).toMatchObject({
      task_id: { value: "t1" },
      state: "TASK_RUNNING",
      source: "SOURCE_EXECUTOR",
      agent_id: { value: agent.id ?? "" },
    });
    expect(scheduler.updates[0]?.uuid).toHaveLength(24);
  });

  test("what is not acknowledged comes again with the same uuid, and the next one waits for it (70, 71)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, {}, false);
    agent.report("t1", "TASK_FINISHED");
    agent.resend();
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING", "TASK_RUNNING"]);
    const [first, second] = scheduler.updates;
    expect(second?.uuid).toBe(first?.uuid as string);
    if (first !== undefined) scheduler.acknowledge(first);
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_FINISHED");
  });

  test("a task that ended behind an unacknowledged update frees its resources, and stays until its end is acknowledged (73)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler, framework } = await running(cluster, {}, false);
    agent.report("t1", "TASK_FINISHED");
    agent.resend();
    await cluster.advance(1_000);
    expect(formatResources(scheduler.offers.flatMap((offer) => offer.resources ?? []))).toContain("cpus:4");
    expect(framework.tasks.get("t1")?.state).toBe("TASK_FINISHED");
    scheduler.call({ type: "RECONCILE", reconcile: {} });
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_RUNNING RECONCILIATION");
    for (const status of [scheduler.updates[0], undefined]) if (status !== undefined) scheduler.acknowledge(status);
    await cluster.settle();
    const end = scheduler.updates.at(-1);
    expect(end?.state).toBe("TASK_FINISHED");
    expect(framework.completedTasks).toHaveLength(0);
    if (end !== undefined) scheduler.acknowledge(end);
    await cluster.settle();
    expect(framework.completedTasks.map((task) => task.state)).toEqual(["TASK_FINISHED"]);
    expect(agent.ended).toEqual(["t1"]);
  });

  test("a stale or repeated acknowledgement changes nothing in the master (71)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler, framework } = await running(cluster);
    const acknowledge = {
      agent_id: { value: agent.id ?? "" },
      task_id: { value: "t1" },
      uuid: uuidToBase64(cluster.clock.uuid()),
    };
    agent.report("t1", "TASK_FAILED");
    scheduler.acknowledges = false;
    await cluster.settle();
    expect(scheduler.call({ type: "ACKNOWLEDGE", acknowledge }).status).toBe(202);
    await cluster.settle();
    expect(framework.tasks.has("t1")).toBe(true);
    expect(agent.tasks.has("t1")).toBe(true);
    const end = scheduler.updates.at(-1);
    if (end !== undefined) for (let count = 0; count < 2; count++) expect(scheduler.acknowledge(end)?.status).toBe(202);
    await cluster.settle();
    expect(framework.completedTasks).toHaveLength(1);
  });

  test("a uuid that is not 16 bytes is answered 400 (12)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    const acknowledge = { agent_id: { value: agent.id ?? "" }, task_id: { value: "t1" }, uuid: "aGVsbG8=" };
    expect(scheduler.call({ type: "ACKNOWLEDGE", acknowledge })).toEqual({ status: 400, text: "Not a valid UUID" });
  });

  test("a terminal state never changes, whatever comes after (72)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler, framework } = await running(cluster);
    scheduler.acknowledges = false;
    agent.report("t1", "TASK_FAILED");
    await cluster.settle();
    const status = { ...scheduler.updates.at(-1), task_id: { value: "t1" }, state: "TASK_RUNNING" } as const;
    const framework_id = { value: framework.id };
    const agent_id = { value: agent.id ?? "" };
    cluster.master.agentCall(
      { type: "STATUS_UPDATE", agent_id, status_update: { framework_id, status } },
      agent.link?.id,
    );
    expect(framework.tasks.get("t1")?.state).toBe("TASK_FAILED");
  });

  test("an update sent while the scheduler is away arrives when it is back", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler, framework } = await running(cluster);
    scheduler.disconnect();
    agent.report("t1", "TASK_FINISHED");
    await cluster.settle();
    expect(framework.tasks.has("t1")).toBe(true);
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_FINISHED");
    expect(agent.ended).toEqual(["t1"]);
  });

  test("the master keeps one status per distinct state, without data", async () => {
    await using cluster = await TestCluster.create();
    const { agent, framework } = await running(cluster);
    for (const healthy of [false, true]) agent.report("t1", "TASK_RUNNING", { healthy, data: "aGVsbG8K" });
    await cluster.settle();
    const statuses = framework.tasks.get("t1")?.statuses ?? [];
    expect(statuses.map((status) => [status.state, status.healthy, status.data])).toEqual([
      ["TASK_RUNNING", true, undefined],
    ]);
  });

  test("a call with a stream that is not the agent's current one is refused", async () => {
    await using cluster = await TestCluster.create();
    const { agent } = await running(cluster);
    const call = { type: "PONG", agent_id: { value: agent.id ?? "" }, pong: { sequence: 1 } } as const;
    expect(cluster.master.agentCall(call, "old").status).toBe(403);
    expect(cluster.master.agentCall(call, agent.link?.id).status).toBe(202);
  });
});

describe("reconciliation", () => {
  test("explicit: a known task is answered with its latest state, without uuid (74, 77)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    const network_infos = [{ name: "calico-net", ip_addresses: [{ ip_address: "192.168.0.1" }] }];
    agent.report("t1", "TASK_RUNNING", { healthy: true, container_status: { network_infos } });
    await cluster.settle();
    scheduler.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: { value: "t1" } }] } });
    await cluster.settle();
    expect(scheduler.updates.at(-1)).toMatchObject({
      state: "TASK_RUNNING",
      source: "SOURCE_MASTER",
      reason: "REASON_RECONCILIATION",
      message: "Reconciliation: Latest task state",
      healthy: true,
      container_status: { network_infos },
    });
    expect(scheduler.updates.at(-1)?.uuid).toBeUndefined();
  });

  const unknown: readonly [
    name: string,
    agentId: string | undefined,
    aware: string,
    unaware: string,
    message: string,
  ][] = [
    ["on a registered agent", "registered", "TASK_GONE", "TASK_LOST", "Task is unknown to the agent"],
    ["on an unreachable agent", "unreachable", "TASK_UNREACHABLE", "TASK_LOST", "Task is unreachable"],
    ["on an unknown agent", "nowhere", "TASK_UNKNOWN", "TASK_LOST", "Task is unknown"],
    ["without agent", undefined, "TASK_UNKNOWN", "TASK_LOST", "Task is unknown"],
  ];
  for (const [name, where, awareState, unawareState, message] of unknown) {
    for (const [info, state] of [
      [aware, awareState],
      [{}, unawareState],
    ] as const) {
      test(`explicit: an unknown task ${name} is ${state} (74, 78)`, async () => {
        await using cluster = await TestCluster.create();
        const { agent, scheduler } = await running(cluster, info);
        const other = await cluster.addAgent();
        other.forget();
        await cluster.advance(95_000, 5_000);
        const agentId = where === "registered" ? agent.id : where === "unreachable" ? other.id : where;
        const task = {
          task_id: { value: "nobody" },
          ...(agentId === undefined ? {} : { agent_id: { value: agentId } }),
        };
        scheduler.call({ type: "RECONCILE", reconcile: { tasks: [task] } });
        scheduler.call({ type: "KILL", kill: task });
        await cluster.settle();
        expect(scheduler.told("nobody")).toEqual([`${state} RECONCILIATION`, `${state} RECONCILIATION`]);
        expect(scheduler.updates.at(-1)?.message).toBe(`Reconciliation: ${message}`);
        expect(scheduler.updates.at(-1)?.unreachable_time !== undefined).toBe(where === "unreachable");
      });
    }
  }

  test("while an agent of the registry is not back there is no answer (75, 78)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster, aware);
    await cluster.restartMaster();
    scheduler.subscribe(cluster.master);
    await cluster.settle();
    const before = scheduler.updates.length;
    const agent_id = { value: agent.id ?? "" };
    scheduler.call({
      type: "RECONCILE",
      reconcile: { tasks: [{ task_id: { value: "t1" }, agent_id }, { task_id: { value: "x" } }] },
    });
    scheduler.call({ type: "KILL", kill: { task_id: { value: "t1" } } });
    await cluster.settle();
    expect(scheduler.updates).toHaveLength(before);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    scheduler.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: { value: "t1" }, agent_id }] } });
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_RUNNING RECONCILIATION");
  });

  test("implicit: one answer per task held, nothing for what was acknowledged (76)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    scheduler.call({ type: "RECONCILE", reconcile: { tasks: [] } });
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING", "TASK_RUNNING RECONCILIATION"]);
    agent.report("t1", "TASK_FINISHED");
    await cluster.settle();
    scheduler.call({ type: "RECONCILE", reconcile: {} });
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_FINISHED");
  });
});

describe("killing", () => {
  test("a kill reaches the agent with its policy, and is repeated when asked again", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    agent.events.length = 0;
    agent.startsTasks = false;
    const kill_policy = { grace_period: { nanoseconds: 5 } };
    scheduler.call({ type: "KILL", kill: { task_id: { value: "t1" }, kill_policy } });
    await cluster.settle();
    expect(agent.events[0]).toMatchObject({ type: "KILL_TASK", kill_task: { task_id: { value: "t1" }, kill_policy } });
    expect(scheduler.told("t1").at(-1)).toBe("TASK_KILLED");
  });

  test("a kill that names another agent is ignored", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    scheduler.call({ type: "KILL", kill: { task_id: { value: "t1" }, agent_id: { value: "other" } } });
    await cluster.settle();
    expect(agent.tasks.get("t1")?.state).toBe("TASK_RUNNING");
  });

  test("a kill asked for while the agent is away is carried out when it is back", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler } = await running(cluster);
    agent.disconnect();
    scheduler.call({ type: "KILL", kill: { task_id: { value: "t1" } } });
    await cluster.advance(10_000);
    await agent.subscribe(cluster.master);
    await cluster.settle();
    expect(scheduler.told("t1").at(-1)).toBe("TASK_KILLED");
    expect(agent.ended).toEqual(["t1"]);
  });

  test("MESSAGE goes to the agent and back unchanged; to nobody it is dropped (85)", async () => {
    await using cluster = await TestCluster.create();
    const { agent, scheduler, framework } = await running(cluster);
    const agent_id = { value: agent.id ?? "" };
    const message = { agent_id, executor_id: { value: "e" }, data: "aGVsbG8K" };
    expect(scheduler.call({ type: "MESSAGE", message }).status).toBe(202);
    expect(scheduler.call({ type: "MESSAGE", message: { ...message, agent_id: { value: "x" } } }).status).toBe(202);
    await cluster.settle();
    const framework_id = { value: framework.id };
    expect(agent.events.at(-1)).toEqual({
      type: "MESSAGE",
      message: { framework_id, executor_id: { value: "e" }, data: "aGVsbG8K" },
    });
    const back = { framework_id, executor_id: { value: "e" }, data: "AAECAw==" };
    cluster.master.agentCall({ type: "MESSAGE", agent_id, message: back }, agent.link?.id);
    await cluster.settle();
    expect(scheduler.events.at(-1)).toEqual({
      type: "MESSAGE",
      message: { agent_id, executor_id: { value: "e" }, data: "AAECAw==" },
    });
  });
});
