/** The agent beside a Docker whose containers outlive it, and beside a master that takes frameworks and agents away. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { AgentHost, testFramework, until } from "./testing/agent-host.ts";

setDefaultTimeout(120_000);

let host: AgentHost;

beforeAll(async () => {
  host = await AgentHost.create({ dockerFlags: ["--live-restore"] });
  await host.startAgent("--docker_remove_delay=3secs", "--executor_shutdown_grace_period=1secs");
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
});

const sandbox = (id: string) =>
  `${host.workDirectory}/slaves/5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0/frameworks/framework-1/executors/${id}/runs/latest`;

test("dockerd is killed: the task runs on, its output is whole, and it is told nothing", async () => {
  const value = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.02; done; sleep 3600";
  await host.runTask({ id: "outlives", command: { value } });
  await host.untilState("outlives", "TASK_RUNNING");
  await host.stopDocker("SIGKILL");
  await until("the agent waits", async () => host.log("agent").includes("docker-away"));
  await host.startDocker();
  const expected = Array.from({ length: 300 }, (_, index) => `${index}\n`).join("");
  await until("all was copied", async () => readFileSync(`${sandbox("outlives")}/stdout`, "utf8").endsWith("299\n"));
  expect(readFileSync(`${sandbox("outlives")}/stdout`, "utf8")).toBe(expected);
  expect(await host.states("outlives")).toEqual(["TASK_STARTING", "TASK_RUNNING"]);
  await host.kill("outlives");
  await host.untilState("outlives", "TASK_KILLED");
});

test("an ended container is kept for the remove delay, then goes", async () => {
  await until("earlier ones are gone", async () => (await host.containers()).length === 0);
  await host.runTask({ id: "kept", command: { value: "exit 0" } });
  await host.untilState("kept", "TASK_FINISHED");
  expect(await host.containers()).toHaveLength(1);
  await until("it is gone", async () => (await host.containers()).length === 0);
});

test("a task that runs too long is ended at once", async () => {
  await host.runTask({
    id: "too-long",
    command: { value: 'trap "" TERM; while :; do sleep 0.1; done' },
    max_completion_time: { nanoseconds: 5e8 },
  });
  await until("it has failed", async () => (await host.states("too-long")).includes("TASK_FAILED"));
  expect((await host.updates("too-long")).at(-1)).toMatchObject({ reason: "REASON_MAX_COMPLETION_TIME_REACHED" });
  expect(await host.states("too-long")).not.toContain("TASK_KILLING");
});

test("a task id with a colon has its sandbox all the same", async () => {
  await host.runTask({ id: "with:colon", command: { value: "echo here > $MESOS_SANDBOX/file" } });
  await host.untilState("with:colon", "TASK_FINISHED");
  expect(readFileSync(`${sandbox("with:colon")}/file`, "utf8")).toBe("here\n");
});

test("a kill while the image is pulled ends the wait", async () => {
  // 192.0.2.0/24 leads nowhere: without a route the pull fails, so a silent listener stands in for a slow registry.
  const silent = host.spawn(["nc", "-l", "-k", "127.0.0.1", "5999"], "silent");
  await host.runTask({ id: "pulls", container: { type: "DOCKER", docker: { image: "127.0.0.1:5999/slow" } } });
  await until("the pull is under way", async () => host.log("agent").includes("image-pull"));
  await host.kill("pulls");
  const killed = await host.untilState("pulls", "TASK_KILLED");
  expect(killed.reason).toBe("REASON_TASK_KILLED_DURING_LAUNCH");
  expect(await host.states("pulls")).toEqual(["TASK_STARTING", "TASK_KILLED"]);
  silent.kill();
});

test("what the master asks after and is not here is told; what is here is left alone", async () => {
  await host.runTask({ id: "here" });
  await host.untilState("here", "TASK_RUNNING");
  const ask = (id: string) => ({
    framework_id: { value: "framework-1" },
    task_id: { value: id },
    partition_aware: false,
  });
  await host.event({ type: "RECONCILE", reconcile: { tasks: [ask("here"), ask("nowhere")] } });
  const lost = await until("it is told", async () => (await host.states("nowhere")).length > 0).then(() =>
    host.updates("nowhere"),
  );
  expect(lost[0]).toMatchObject({
    state: "TASK_LOST",
    source: "SOURCE_AGENT",
    reason: "REASON_RECONCILIATION",
    message: "Reconciliation: task unknown to the agent",
  });
  expect(await host.states("here")).toEqual(["TASK_STARTING", "TASK_RUNNING"]);
});

test("a framework that is shut down loses its tasks without a word; another's go on", async () => {
  await host.event({
    type: "RUN_TASK",
    run_task: {
      framework: { ...testFramework, id: { value: "framework-2" } },
      task: {
        name: "other",
        task_id: { value: "other" },
        agent_id: { value: "5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0" },
        container: { type: "DOCKER", docker: { image: "margay-busybox", network: "NONE" } },
        command: { value: "exec sleep 3600" },
      },
    },
  });
  await host.untilState("other", "TASK_RUNNING");
  await host.event({ type: "SHUTDOWN_FRAMEWORK", shutdown_framework: { framework_id: { value: "framework-1" } } });
  const running = async () => (await host.engine.containers.list()).length;
  await until("its container is stopped", async () => (await running()) === 1);
  expect(await host.states("here")).toEqual(["TASK_STARTING", "TASK_RUNNING"]);
  await host.cut();
  await until("it subscribes again", async () => {
    const last = (await host.calls()).findLast((call) => call.type === "SUBSCRIBE");
    return last?.subscribe.tasks?.map((one) => one.task.task_id.value).join() === "other";
  });
});

test("an agent that must leave ends its tasks and registers as a new one", async () => {
  await host.event({ type: "SHUTDOWN", shutdown: { message: "marked gone" } });
  await until("all is stopped", async () => (await host.engine.containers.list()).length === 0);
  await until("it registers without its id", async () => {
    const last = (await host.calls()).findLast((call) => call.type === "SUBSCRIBE");
    return last?.subscribe.agent_info.id === undefined && last?.subscribe.tasks?.length === 0;
  });
});
