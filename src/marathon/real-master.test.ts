/** Marathon against the real master over real HTTP, with agents that only pretend to run something. */

import { expect, test } from "bun:test";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { parseMasterFlags } from "../mesos/master/flags.ts";
import { type MasterServer, serveMaster } from "../mesos/master/http/master-server.ts";
import { Master } from "../mesos/master/master.ts";
import { FakeAgent } from "../mesos/master/testing/fake-agent.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { defaultSettings } from "./settings.ts";
import { type Marathon, startMarathon } from "./start-marathon.ts";

const clock = systemClock;
const log = silentLog;

interface Cluster {
  readonly store: Store;
  readonly server: MasterServer;
  readonly agents: readonly FakeAgent[];
}

async function startCluster(stack: AsyncDisposableStack, hosts: number): Promise<Cluster> {
  const store = stack.use(await openSqliteStore({ path: ":memory:", clock }));
  const { settings } = parseMasterFlags(["--work_dir=unused"], {});
  const info = { ip: 0, port: 5050, pid: "master@127.0.0.1:5050", hostname: "127.0.0.1" };
  const master = stack.use(await Master.start({ clock, log, store, settings, info }));
  const server = stack.use(
    await serveMaster({
      ip: "127.0.0.1",
      port: 0,
      authority: "127.0.0.1:5050",
      flags: {},
      master: () => master,
      clock,
      log,
    }),
  );
  const agents = Array.from(
    { length: hosts },
    (_none, index) => new FakeAgent(clock, { hostname: `host${index + 1}`, ip: `10.0.0.${index + 1}` }),
  );
  for (const agent of agents) await agent.subscribe(master);
  return { store, server, agents };
}

function start({ store, server }: Cluster): Promise<Marathon> {
  const settings = { ...defaultSettings, masters: [`http://127.0.0.1:${server.port}`] };
  return startMarathon({ settings, store, clock, log, knownNetworks: async () => undefined });
}

async function until(what: string, cluster: Cluster, holds: () => boolean): Promise<void> {
  const deadlineMs = clock.monotonicMs() + 10_000;
  while (!holds()) {
    if (clock.monotonicMs() > deadlineMs) throw new Error(`not within 10 s: ${what}`);
    for (const agent of cluster.agents) while (agent.pump());
    await clock.sleep(2);
  }
}

const ask = async (marathon: Marathon, method: string, path: string, body?: unknown) => {
  const response = await marathon.fetch(
    new Request(`http://m${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
  );
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

test("with the real master: create, spread, restart of Marathon without a new task, destroy", async () => {
  await using stack = new AsyncDisposableStack();
  const cluster = await startCluster(stack, 3);
  const running = () =>
    cluster.agents.flatMap(({ tasks }) => [...tasks.values()]).filter(({ state }) => state === "TASK_RUNNING");
  let marathon = await start(cluster);
  const created = await ask(marathon, "POST", "/v2/apps", {
    id: "web",
    cmd: "sleep 1000",
    cpus: 0.1,
    mem: 32,
    instances: 3,
  });
  expect(created.status).toBe(201);
  await until("deployed", cluster, () => marathon.engine.state.deployments.size === 0);
  expect(running()).toHaveLength(3);
  expect(cluster.agents.map(({ tasks }) => tasks.size)).toEqual([1, 1, 1]);
  const framework = marathon.engine.state.frameworkId;

  await marathon[Symbol.asyncDispose]();
  marathon = await start(cluster);
  await until("subscribed again", cluster, () => marathon.engine.connection.connected);
  await marathon.settled();
  expect(marathon.engine.state.frameworkId).toBe(framework as string);
  expect((await ask(marathon, "GET", "/v2/apps/web")).body.app).toMatchObject({ tasksRunning: 3 });
  expect(cluster.agents.flatMap(({ started }) => started)).toHaveLength(3);

  expect((await ask(marathon, "DELETE", "/v2/apps/web")).status).toBe(200);
  await until("stopped", cluster, () => marathon.engine.state.deployments.size === 0);
  await until("acknowledged", cluster, () => cluster.agents.every(({ tasks }) => tasks.size === 0));
  await marathon[Symbol.asyncDispose]();
});
