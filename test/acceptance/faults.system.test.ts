/**
 * Any part may be killed at any time: containers and enforcement go on, the part finds its state again, no task is doubled,
 * no address lost or doubled. A host that is cut off is replaced, and after healing nothing runs twice.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { addressesOf, Cluster, guideApps, type Task } from "./cluster.ts";
import { fetchWords } from "./connections.ts";
import { eventually } from "./eventually.ts";
import { traces } from "./traces.ts";

const app = { ...guideApps["networks (1.5)"], instances: 3 };
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 3, name: "t-faults" });
  await cluster.createNetwork("my-calico-net");
  await cluster.createNetwork("other-calico-net");
  for (const [name, network] of [
    ["member", "my-calico-net"],
    ["outsider", "other-calico-net"],
  ] as const) {
    await cluster.on("host1", "docker", "run", "-d", "--name", name, "--net", network, "tools", "sleep", "86400");
  }
  await cluster.api("POST", "/v2/apps", app);
  await cluster.healthy("my-docker-task", 3);
}, 240_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

/** A member reaches every task, an outsider none. */
async function enforced(tasks: readonly Task[]): Promise<void> {
  await Promise.all(
    addressesOf(tasks).flatMap((address) => [
      cluster.on("host1", "docker", "exec", "member", ...fetchWords(address, 2)),
      cluster.tried("host1", "docker", "exec", "outsider", ...fetchWords(address, 1)).then((said) => {
        if (said.exitCode === 0) throw new Error(`an outsider reached ${address}`);
      }),
    ]),
  );
}

/** Containers of tasks that run, over all hosts: what really is, whatever the API says. */
async function runningContainers(): Promise<number> {
  const counts = await Promise.all(
    cluster.hosts.map(
      async (host) =>
        (await cluster.on(host, "docker", "ps", "-q", "--filter", "name=^/?mesos-")).split("\n").filter(Boolean).length,
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

for (const [host, service] of [
  ["host1", "store"],
  ["host1", "master"],
  ["host1", "marathon"],
  ["host2", "agent"],
  ["host2", "node"],
  ["host2", "docker"],
] as const)
  test(`${service} is killed: what runs goes on, and afterwards all is as it was`, async () => {
    const before = await cluster.healthy("my-docker-task", 3);
    const restarted = cluster.lab.restart(host, service, "SIGKILL");
    await enforced(before);
    await restarted;
    const after = await cluster.healthy("my-docker-task", 3);
    expect(after.map(({ id }) => id).sort()).toEqual(before.map(({ id }) => id).sort());
    expect([...addressesOf(after)].sort()).toEqual([...addressesOf(before)].sort());
    expect(await runningContainers()).toBe(3);
    await enforced(after);
    expect((await cluster.api("PUT", "/v2/apps/my-docker-task", { instances: 4 })).status).toBe(200);
    const four = await cluster.healthy("my-docker-task", 4);
    expect(new Set(addressesOf(four)).size).toBe(4);
    await cluster.api("PUT", "/v2/apps/my-docker-task", { instances: 3 });
    await cluster.healthy("my-docker-task", 3);
    await eventually("only three containers run", async () => expect(await runningContainers()).toBe(3));
  }, 180_000);

test("a task's container is killed: it is replaced and its address comes free", async () => {
  const before = await cluster.healthy("my-docker-task", 3);
  const victim = before[0] as Task;
  const names = (await cluster.on(victim.host, "docker", "ps", "--format", "{{.Names}}", "--filter", "name=^/?mesos-"))
    .trim()
    .split("\n");
  await cluster.on(victim.host, "docker", "kill", names[0] ?? "");
  await eventually(
    "another task stands for it",
    async () => {
      const now = await cluster.healthy("my-docker-task", 3, 1000);
      expect(now.map(({ id }) => id).sort()).not.toEqual(before.map(({ id }) => id).sort());
      await enforced(now);
    },
    { withinMs: 60_000 },
  );
  await eventually("three containers run", async () => expect(await runningContainers()).toBe(3));
}, 120_000);

test("a host is cut off: its tasks are replaced elsewhere; healed, nothing runs twice", async () => {
  const before = await cluster.healthy("my-docker-task", 3);
  const lost = before.filter(({ host }) => host === "host3").length;
  expect(lost).toBeGreaterThan(0);
  await cluster.lab.cut("host3");
  await eventually(
    "three healthy tasks run on the other hosts",
    async () => {
      const now = (await cluster.tasks("my-docker-task")).filter(
        ({ host, state }) => host !== "host3" && state === "TASK_RUNNING",
      );
      if (now.length !== 3) throw new Error(JSON.stringify(now));
    },
    { withinMs: 90_000 },
  );
  await cluster.lab.heal("host3");
  await eventually(
    "three tasks and three containers in all",
    async () => {
      await enforced(await cluster.healthy("my-docker-task", 3, 1000));
      expect(await runningContainers()).toBe(3);
    },
    { withinMs: 90_000 },
  );
  await eventually("host3 is back", async () => {
    const { slaves } = (await (await cluster.lab.masterApi("/slaves")).json()) as { slaves: { active: boolean }[] };
    expect(slaves.filter(({ active }) => active).length).toBe(3);
  });
}, 240_000);

test("after all that, what is removed leaves nothing behind", async () => {
  await cluster.destroy("my-docker-task");
  for (const name of ["member", "outsider"]) await cluster.on("host1", "docker", "rm", "-f", name);
  for (const name of ["my-calico-net", "other-calico-net"])
    await eventually(`${name} is removed`, () => cluster.on("host2", "docker", "network", "rm", name));
  await eventually("no trace is left", async () => expect(await traces(cluster)).toEqual([]), {
    withinMs: 120_000,
    everyMs: 1000,
  });
}, 180_000);
