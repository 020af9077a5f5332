/** Offers and what becomes of them (reference: mesos-behaviour 13.3; the numbers are its). */

import { describe, expect, test } from "bun:test";
import type { Offer } from "../protocol/offer.ts";
import { parseResources } from "../protocol/resource-grammar.ts";
import { formatResources } from "../protocol/resources.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { type FakeScheduler, taskOn } from "./testing/fake-scheduler.ts";
import { TestCluster } from "./testing/test-cluster.ts";

const multiRole = (...roles: string[]) => ({ roles, capabilities: [{ type: "MULTI_ROLE" }] as const });
const aware = { capabilities: [{ type: "PARTITION_AWARE" }] } as const;

function only(scheduler: FakeScheduler): Offer {
  const [offer, ...more] = scheduler.offers;
  if (offer === undefined || more.length > 0) throw new Error(`${scheduler.offers.length} offers`);
  return offer;
}

const shown = (offer: Offer | undefined) => formatResources(offer?.resources ?? []);

describe("offers", () => {
  test("one agent's free resources are one offer with agent, host, url and attributes (33)", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    const scheduler = await cluster.addScheduler(multiRole("prod"));
    const offer = only(scheduler);
    expect(offer.agent_id.value).toBe(agent.id as string);
    expect(offer.hostname).toBe("host1");
    expect(offer.url).toEqual({
      scheme: "http",
      address: { hostname: "host1", ip: "10.0.0.1", port: 5051 },
      path: "/slave(1)",
    });
    expect(offer.allocation_info).toEqual({ role: "prod" });
    expect(offer.resources?.every((one) => one.allocation_info?.role === "prod" && one.role === "*")).toBe(true);
    expect(shown(offer)).toBe("cpus:4; mem:4096; ports:[31000-32000]");
  });

  test("a framework without MULTI_ROLE sees no allocation marks (51)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const offer = only(await cluster.addScheduler({ role: "prod" }));
    expect(JSON.stringify(offer)).not.toContain('allocation_info":{');
  });

  test("reservations are shown as a list to those who know it, as a role to the others", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent({ resources: "cpus(prod):2;mem(prod):512" });
    const old = await cluster.addScheduler({ role: "prod" });
    expect(only(old).resources?.[0]).toMatchObject({ name: "cpus", role: "prod" });
    old.call({ type: "TEARDOWN" });
    const refined = await cluster.addScheduler({ role: "prod", capabilities: [{ type: "RESERVATION_REFINEMENT" }] });
    expect(only(refined).resources?.[0]).toMatchObject({ reservations: [{ type: "STATIC", role: "prod" }] });
    expect(only(refined).resources?.[0]?.role).toBeUndefined();
    refined.launch(refined.offers, [taskOn(only(refined), "t1", "cpus(prod):1")]);
    await cluster.settle();
    expect(refined.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  test("an agent that comes later is offered at once; its end rescinds the offer (50)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler();
    const agent = await cluster.addAgent();
    expect(scheduler.offers).toHaveLength(1);
    agent.disconnect();
    await cluster.settle();
    expect(scheduler.offers).toHaveLength(0);
    expect(scheduler.types()).toContain("RESCIND");
  });

  test("--offer_timeout rescinds what nobody answers, and only that (50)", async () => {
    await using cluster = await TestCluster.create(["--offer_timeout=30secs"]);
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const first = only(scheduler);
    await cluster.advance(30_000);
    expect(scheduler.events).toContainEqual({ type: "RESCIND", rescind: { offer_id: first.id } });
    await cluster.advance(1_000);
    scheduler.launch(scheduler.offers, [taskOn(only(scheduler), "t1", "cpus:4;mem:4096")]);
    const rescinds = () => scheduler.types().filter((type) => type === "RESCIND").length;
    const before = rescinds();
    scheduler.offers = [];
    await cluster.advance(28_000);
    expect(rescinds()).toBe(before);
  });

  test("only hosts on the whitelist are offered (55)", async () => {
    await using cluster = await TestCluster.create(["--whitelist=host2"]);
    await cluster.addAgent();
    await cluster.addAgent();
    expect(only(await cluster.addScheduler()).hostname).toBe("host2");
  });
});

describe("declining", () => {
  test("a decline without seconds holds the offer back for 5, then it comes again (45)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    scheduler.call({ type: "DECLINE", decline: { offer_ids: [only(scheduler).id, { value: "unknown" }] } });
    scheduler.offers = [];
    await cluster.advance(4_900, 100);
    expect(scheduler.offers).toHaveLength(0);
    await cluster.advance(1_200, 100);
    expect(scheduler.offers).toHaveLength(1);
  });

  test("0 seconds: offered again in the next run (45); a tiny filter lives until the next run (46)", async () => {
    await using cluster = await TestCluster.create(["--allocation_interval=10secs"]);
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const decline = (refuse_seconds: number) => {
      scheduler.call({ type: "DECLINE", decline: { offer_ids: [only(scheduler).id], filters: { refuse_seconds } } });
      scheduler.offers = [];
    };
    await cluster.advance(9_000);
    decline(0);
    await cluster.advance(1_000);
    expect(scheduler.offers).toHaveLength(1);
    await cluster.advance(9_000);
    decline(0.001);
    await cluster.advance(1_000);
    expect(scheduler.offers).toHaveLength(0);
    await cluster.advance(10_000);
    expect(scheduler.offers).toHaveLength(1);
  });

  test("ACCEPT without operations is a decline with its filter (44)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    scheduler.call({ type: "ACCEPT", accept: { offer_ids: [only(scheduler).id], filters: { refuse_seconds: 60 } } });
    scheduler.offers = [];
    await cluster.advance(59_000, 1_000);
    expect(scheduler.offers).toHaveLength(0);
    await cluster.advance(3_000, 1_000);
    expect(scheduler.offers).toHaveLength(1);
  });

  test("a larger offer of the same agent passes the filter (47), and REVIVE clears it at once (48)", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    scheduler.launch([only(scheduler)], [taskOn(only(scheduler), "t1", "cpus:1")], 1_000);
    scheduler.offers = [];
    await cluster.advance(10_000);
    expect(scheduler.offers).toHaveLength(0);
    agent.report("t1", "TASK_FINISHED");
    await cluster.advance(1_000);
    expect(shown(only(scheduler))).toStartWith("cpus:4;");
    scheduler.call({
      type: "DECLINE",
      decline: { offer_ids: [only(scheduler).id], filters: { refuse_seconds: 1_000 } },
    });
    scheduler.offers = [];
    await cluster.advance(5_000);
    expect(scheduler.offers).toHaveLength(0);
    scheduler.call({ type: "REVIVE" });
    await cluster.settle();
    expect(scheduler.offers).toHaveLength(1);
  });

  test("SUPPRESS stops offers, also of new agents and of one role only; REVIVE brings them back (48, 49)", async () => {
    await using cluster = await TestCluster.create();
    const scheduler = await cluster.addScheduler(multiRole("a", "b"));
    scheduler.call({ type: "SUPPRESS", suppress: { roles: ["a"] } });
    await cluster.addAgent();
    expect(only(scheduler).allocation_info?.role).toBe("b");
    scheduler.call({ type: "SUPPRESS" });
    await cluster.addAgent();
    expect(scheduler.offers).toHaveLength(1);
    scheduler.call({ type: "REVIVE", revive: { roles: ["a", "unknown"] } });
    await cluster.settle();
    expect(scheduler.offers).toHaveLength(1);
    scheduler.call({ type: "REVIVE", revive: { roles: ["a"] } });
    await cluster.settle();
    expect(scheduler.offers.map((offer) => offer.allocation_info?.role)).toEqual(["b", "a"]);
    scheduler.subscribe(cluster.master, { suppressed_roles: ["a", "b"] });
    await cluster.advance(5_000);
    expect(scheduler.offers).toHaveLength(0);
  });
});

describe("accepting", () => {
  test("two offers of one agent may carry one task (34)", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const first = only(scheduler);
    scheduler.launch([first], [taskOn(first, "t1", "cpus:3")], 0);
    scheduler.offers = [];
    await cluster.advance(1_000);
    agent.report("t1", "TASK_FINISHED");
    await cluster.advance(1_000);
    expect(scheduler.offers.map(shown)).toEqual(["cpus:1; mem:4096; ports:[31000-32000]", "cpus:3"]);
    scheduler.launch(scheduler.offers, [taskOn(first, "t2", "cpus:4;mem:64")]);
    await cluster.settle();
    expect(scheduler.told("t2")).toEqual(["TASK_RUNNING"]);
  });

  const invalid: readonly [name: string, offers: (scheduler: FakeScheduler) => readonly Offer[], message: string][] = [
    ["offers of two agents", (scheduler) => scheduler.offers, "one single agent"],
    ["one offer twice", ({ offers }) => offers.slice(0, 1).concat(offers.slice(0, 1)), "Duplicate offer"],
    ["no offer", () => [], "No offers specified"],
    [
      "an offer that does not stand",
      ({ offers }) => offers.map((offer) => ({ ...offer, id: { value: "gone" } })),
      "Offer gone is no longer valid",
    ],
  ];
  for (const [name, offers, message] of invalid) {
    for (const [state, info] of [
      ["TASK_LOST", {}],
      ["TASK_DROPPED", aware],
    ] as const) {
      test(`a launch on ${name} is ${state} with INVALID_OFFERS, nothing runs, resources come back (35, 36)`, async () => {
        await using cluster = await TestCluster.create();
        const agents = [await cluster.addAgent(), await cluster.addAgent()];
        const scheduler = await cluster.addScheduler(info);
        const [offer] = scheduler.offers;
        if (offer === undefined) throw new Error("no offer");
        const given = offers(scheduler);
        expect(scheduler.launch(given, [taskOn(offer, "t1")]).status).toBe(202);
        await cluster.settle();
        expect(scheduler.told("t1")).toEqual([`${state} INVALID_OFFERS`]);
        expect(scheduler.updates[0]?.message).toContain(`Task launched with invalid offers: `);
        expect(scheduler.updates[0]?.message).toContain(message);
        expect(scheduler.updates[0]?.uuid).toBeUndefined();
        expect(agents.flatMap((agent) => agent.started)).toEqual([]);
        const standing = scheduler.offers.length - new Set(given.filter((one) => one.id.value !== "gone")).size;
        scheduler.offers = [];
        await cluster.advance(1_000);
        expect(scheduler.offers).toHaveLength(2 - standing);
      });
    }
  }

  test("offers of two roles cannot be mixed (35)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent({ resources: "cpus(a):2;mem(a):64;cpus(b):2;mem(b):64" });
    const scheduler = await cluster.addScheduler(multiRole("a", "b"));
    expect(scheduler.offers).toHaveLength(2);
    const [offer] = scheduler.offers;
    if (offer === undefined) throw new Error("no offer");
    scheduler.launch(scheduler.offers, [taskOn(offer, "t1", "cpus(a):1")]);
    await cluster.settle();
    expect(scheduler.updates[0]?.message).toContain("same role");
  });

  test("an offer of another framework is no offer", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const owner = await cluster.addScheduler();
    const thief = await cluster.addScheduler({ name: "thief" });
    thief.launch([only(owner)], [taskOn(only(owner), "t1")]);
    await cluster.settle();
    expect(thief.told("t1")).toEqual(["TASK_LOST INVALID_OFFERS"]);
    owner.launch([only(owner)], [taskOn(only(owner), "t1")]);
    await cluster.settle();
    expect(owner.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  test("each task is judged by itself on what the ones before it left; the rest is filtered", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const offer = only(scheduler);
    scheduler.launch(
      [offer],
      [taskOn(offer, "t1", "cpus:3"), taskOn(offer, "t2", "cpus:2"), taskOn(offer, "t3", "cpus:1")],
    );
    scheduler.offers = [];
    await cluster.settle();
    expect(["t1", "t2", "t3"].map((id) => scheduler.told(id)[0])).toEqual([
      "TASK_RUNNING",
      "TASK_ERROR TASK_INVALID",
      "TASK_RUNNING",
    ]);
    expect(scheduler.updates.find((status) => status.state === "TASK_ERROR")?.message).toBe(
      "Task uses more resources cpus:2 than available cpus:1; mem:4096; ports:[31000-32000]",
    );
    await cluster.advance(4_000);
    expect(scheduler.offers).toHaveLength(0);
  });

  const docker = { type: "DOCKER", docker: { image: "nginx" } } as const;
  const wrong: readonly [name: string, task: Partial<TaskInfo>, message: string][] = [
    ["more than offered (39)", { resources: parseResources("cpus:99", "") }, "more resources"],
    ["no resources (40)", { resources: [] }, "Task uses no resources"],
    ["a slash in the id (41)", { task_id: { value: "a/b" } }, "invalid characters"],
    ["the id .. (41)", { task_id: { value: ".." } }, "disallowed"],
    ["a control character in the id (41)", { task_id: { value: "a\n" } }, "invalid characters"],
    ["an id of 256 characters (41)", { task_id: { value: "x".repeat(256) } }, "greater than 255"],
    ["an empty id (41)", { task_id: { value: "" } }, "must not be empty"],
    ["neither command nor executor (42)", { command: undefined }, "at least one (but not both)"],
    ["command and executor (42)", { executor: { executor_id: { value: "e" } } }, "at least one (but not both)"],
    ["another agent's id", { agent_id: { value: "other" } }, "invalid agent"],
    ["limits other than cpus and mem (43)", { limits: { disk: { value: 1 } } }, "only cpus and mem"],
    ["a limit below the request (43)", { limits: { cpus: { value: 0.5 } } }, "below its request"],
    ["a negative kill grace (43)", { kill_policy: { grace_period: { nanoseconds: -1 } } }, "kill_policy"],
    ["DOCKER without docker (43)", { container: { type: "DOCKER" } }, "'docker' is not set"],
    [
      "the Docker parameter name (43)",
      { container: { ...docker, docker: { image: "x", parameters: [{ key: "name", value: "x" }] } } },
      "must not be 'name'",
    ],
    ["a health check without kind", { health_check: { delay_seconds: 1 } }, "must specify 'type'"],
    ["a health check path without slash", { health_check: { http: { port: 80, path: "x" } } }, "must start with '/'"],
    ["a health check of type HTTP without http", { health_check: { type: "HTTP" } }, "Expecting 'http'"],
    [
      "a shell check without command",
      { health_check: { type: "COMMAND", command: {} } },
      "Shell command is not specified",
    ],
    ["a negative check time", { health_check: { http: { port: 80 }, timeout_seconds: -1 } }, "non-negative"],
    [
      "a variable without value",
      { command: { value: "x", environment: { variables: [{ name: "A" }] } } },
      "must have a value set",
    ],
    [
      "a volume of two kinds",
      { container: { ...docker, volumes: [{ mode: "RW", container_path: "/a", host_path: "/b", source: {} }] } },
      "Only one of",
    ],
    ["resources of another role", { resources: parseResources("cpus(secret):1", "") }, "reserved for role 'secret'"],
  ];
  for (const [name, task, message] of wrong) {
    test(`${name}: TASK_ERROR, nothing runs, the offer comes back`, async () => {
      await using cluster = await TestCluster.create();
      const agent = await cluster.addAgent();
      const scheduler = await cluster.addScheduler();
      const offer = only(scheduler);
      scheduler.launch([offer], [taskOn(offer, "t1", "cpus:1;mem:64", task)], 0);
      scheduler.offers = [];
      await cluster.settle();
      expect(scheduler.updates).toHaveLength(1);
      expect(scheduler.updates[0]).toMatchObject({
        state: "TASK_ERROR",
        source: "SOURCE_MASTER",
        reason: "REASON_TASK_INVALID",
      });
      expect(scheduler.updates[0]?.message).toContain(message);
      expect(agent.started).toEqual([]);
      await cluster.advance(1_000);
      expect(shown(only(scheduler))).toBe(shown(offer));
    });
  }

  test("a live id cannot be used again, a finished one can (41)", async () => {
    await using cluster = await TestCluster.create();
    const agent = await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const launch = async () => {
      const offer = only(scheduler);
      scheduler.offers = [];
      scheduler.launch([offer], [taskOn(offer, "t1")], 0);
      await cluster.advance(1_000);
    };
    await launch();
    await launch();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING", "TASK_ERROR TASK_INVALID"]);
    agent.report("t1", "TASK_FINISHED");
    await cluster.settle();
    await launch();
    expect(agent.started).toEqual(["t1", "t1"]);
  });

  test("tiny amounts run (40), zero gpus are dropped", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const offer = only(scheduler);
    const tiny = { name: "cpus", type: "SCALAR", scalar: { value: 0.00001 } } as const;
    const gpus = { name: "gpus", type: "SCALAR", scalar: { value: 0 } } as const;
    scheduler.launch(
      [offer],
      [taskOn(offer, "t1", "mem:1", { resources: [tiny, gpus, ...parseResources("mem:1", "")] })],
    );
    await cluster.settle();
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  });

  test("groups and other operations are answered, not ignored, and the later ones are tried (38)", async () => {
    await using cluster = await TestCluster.create();
    await cluster.addAgent();
    const scheduler = await cluster.addScheduler();
    const offer = only(scheduler);
    scheduler.call({
      type: "ACCEPT",
      accept: {
        offer_ids: [offer.id],
        operations: [
          { type: "RESERVE", id: { value: "op1" }, reserve: { resources: [] } },
          {
            type: "LAUNCH_GROUP",
            launch_group: { executor: { executor_id: { value: "e" } }, task_group: { tasks: [taskOn(offer, "g1")] } },
          },
          { type: "LAUNCH", id: { value: "op2" }, launch: { task_infos: [taskOn(offer, "t0")] } },
          { type: "LAUNCH", launch: { task_infos: [taskOn(offer, "t1")] } },
        ],
      },
    });
    await cluster.settle();
    expect(scheduler.events).toContainEqual({
      type: "UPDATE_OPERATION_STATUS",
      update_operation_status: {
        status: {
          operation_id: { value: "op1" },
          state: "OPERATION_ERROR",
          message: "Operation RESERVE is not supported",
        },
      },
    });
    expect(scheduler.told("g1")).toEqual(["TASK_ERROR TASK_GROUP_INVALID"]);
    expect(scheduler.told("t0")).toEqual(["TASK_ERROR TASK_INVALID"]);
    expect(scheduler.told("t1")).toEqual(["TASK_RUNNING"]);
  });
});
