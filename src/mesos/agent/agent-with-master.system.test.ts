/** Agent and master together, with a framework on the v1 scheduler API: both may be killed, nothing is lost or doubled. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { TaskStatus } from "../protocol/task-status.ts";
import { AgentHost, until } from "./testing/agent-host.ts";

setDefaultTimeout(120_000);

let host: AgentHost;
let master: Bun.Subprocess | undefined;

const sourceRoot = join(import.meta.dir, "../../..");
const masterUrl = "http://127.0.0.1:5060";

async function startMaster(): Promise<void> {
  master = host.spawn(
    [
      ...[process.execPath, join(sourceRoot, "src/main.ts"), "master", "--ip=127.0.0.1", "--port=5060"],
      ...[`--work_dir=${host.folder}/master`, "--allocation_interval=200ms", "--agent_ping_timeout=1secs"],
    ],
    "real-master",
  );
  await until("the master answers", async () => (await host.fetch(`${masterUrl}/health`)).status === 200);
}

const control = (path: string, body?: unknown) =>
  fetch(`http://control${path}`, {
    unix: join(host.folder, "scheduler.sock"),
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  } as BunFetchRequestInit);

async function updatesOf(id: string): Promise<readonly TaskStatus[]> {
  const all = (await (await control("/updates")).json()) as TaskStatus[];
  const seen = new Map(all.filter((one) => one.task_id.value === id).map((one) => [one.uuid, one]));
  return [...seen.values()];
}

const untilLatest = (id: string, state: string) =>
  until(`${id} is in ${state}`, async () => (await updatesOf(id)).at(-1)?.state === state).catch(
    async (cause: unknown) => {
      throw new Error(
        `${String(cause)} ${JSON.stringify(await updatesOf(id))}\n${host.log("agent")}\n${host.log("real-master")}`,
      );
    },
  );

const launch = (id: string, value: string) =>
  control("/launch", {
    name: id,
    task_id: { value: id },
    resources: [
      { name: "cpus", type: "SCALAR", scalar: { value: 0.1 } },
      { name: "mem", type: "SCALAR", scalar: { value: 32 } },
    ],
    container: { type: "DOCKER", docker: { image: "margay-busybox", network: "BRIDGE" } },
    command: { value },
  });

beforeAll(async () => {
  host = await AgentHost.create();
  await startMaster();
  await host.startAgent(
    `--master=${masterUrl}`,
    "--docker_remove_delay=0secs",
    "--executor_shutdown_grace_period=1secs",
  );
  host.spawn(
    [
      process.execPath,
      join(import.meta.dir, "testing/test-scheduler.ts"),
      join(host.folder, "scheduler.sock"),
      masterUrl,
    ],
    "scheduler",
  );
  await until("the framework answers", async () => (await control("/updates")).ok);
});

afterAll(async () => {
  master?.kill("SIGKILL");
  await host?.[Symbol.asyncDispose]();
});

test("a task is offered, launched, shown with its address, and finishes", async () => {
  await launch("first", "exit 0");
  await untilLatest("first", "TASK_FINISHED");
  expect((await updatesOf("first")).map((one) => one.state)).toEqual([
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_FINISHED",
  ]);
});

test("master and agent are killed, together and apart: the task runs on and is killed when asked", async () => {
  await launch("long", "exec sleep 3600");
  await untilLatest("long", "TASK_RUNNING");
  const containers = await host.containers();

  master?.kill("SIGKILL");
  await master?.exited;
  await startMaster();
  const registered = async () => JSON.parse((await host.fetch(`${masterUrl}/state`)).body).activated_slaves === 1;
  await until("the agent is back", registered);

  await host.killAgent("SIGKILL");
  await host.startAgent();
  await until("the agent is back", registered);

  master?.kill("SIGKILL");
  await host.killAgent("SIGKILL");
  await startMaster();
  await host.startAgent();
  await until("the agent is back", registered);

  expect(await host.containers()).toEqual(containers);
  await launch("later", "exit 4");
  await untilLatest("later", "TASK_FAILED");
  expect((await updatesOf("later")).at(-1)?.message).toBe("Container exited with status 4");
  await control("/kill", { value: "long" });
  await untilLatest("long", "TASK_KILLED");
  await until("nothing is left", async () => (await host.containers()).length === 0);
});
