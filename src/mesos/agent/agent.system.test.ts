/** The agent with a real Docker: tasks run, end and are killed; it is killed itself and finds everything again. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { AgentHost, until } from "./testing/agent-host.ts";

setDefaultTimeout(120_000);

let host: AgentHost;

beforeAll(async () => {
  host = await AgentHost.create();
  await host.startAgent("--docker_remove_delay=0secs", "--executor_shutdown_grace_period=1secs");
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
});

describe("a task's life", () => {
  test("runs with its address, environment and sandbox, and finishes", async () => {
    await host.runTask({
      id: "life",
      command: {
        value: 'echo out; echo err >&2; echo "$GREETING $MESOS_SANDBOX" > $MESOS_SANDBOX/file; exit 0',
        environment: { variables: [{ name: "GREETING", value: "hello" }] },
      },
    });
    const finished = await host.untilState("life", "TASK_FINISHED");
    expect(finished.message).toBe("Container exited with status 0");
    expect(await host.states("life")).toEqual(["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]);
    const running = (await host.updates("life"))[1];
    const inspection: unknown = JSON.parse(Buffer.from(running?.data ?? "", "base64").toString());
    expect(inspection).toMatchObject([{ Config: { Image: "margay-busybox" }, HostConfig: { Memory: 33554432 } }]);
    const runs = `${host.workDirectory}/slaves/5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0/frameworks/framework-1/executors/life/runs/latest`;
    expect(readFileSync(`${runs}/stdout`, "utf8")).toBe("out\n");
    expect(readFileSync(`${runs}/stderr`, "utf8")).toBe("err\n");
    expect(readFileSync(`${runs}/file`, "utf8")).toBe("hello /mnt/mesos/sandbox\n");
    await until("the container is removed", async () => (await host.containers()).length === 0);
  });

  test("a running task shows its container's address", async () => {
    await host.runTask({ id: "address" });
    const running = await host.untilState("address", "TASK_RUNNING");
    expect(running.container_status?.network_infos?.[0]?.ip_addresses?.[0]?.ip_address).toMatch(/^172\./);
    await host.kill("address", { grace_period: { nanoseconds: 0 } });
    const killed = await host.untilState("address", "TASK_KILLED");
    expect(killed.message).toBe("Container exited with status 137");
    expect(await host.states("address")).toEqual(["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]);
  });

  const ends: readonly [string, string, string][] = [
    ["exit 3", "TASK_FAILED", "Container exited with status 3"],
    [
      "head -c 100m /dev/zero | tail -c 90m | cat > /dev/null; dd if=/dev/zero of=/dev/null bs=200M count=1",
      "TASK_FAILED",
      "out of memory",
    ],
  ];
  for (const [value, state, message] of ends) {
    test(`${value.slice(0, 12)} ends as ${message}`, async () => {
      const id = `end-${message.replaceAll(/\W/g, "-")}`;
      await host.runTask({ id, command: { value } });
      await until(`${id} ended`, async () => (await host.states(id)).some((one) => one === state));
      expect((await host.updates(id)).at(-1)?.message).toContain(message);
    });
  }

  test("a container that somebody else kills is told to have failed", async () => {
    await host.runTask({ id: "shot" });
    await host.untilState("shot", "TASK_RUNNING");
    await host.engine.containers.kill((await host.containers())[0] ?? "", { killSignal: "SIGKILL" });
    await until("its end is told", async () => (await host.states("shot")).includes("TASK_FAILED"));
    expect((await host.updates("shot")).at(-1)?.message).toBe("Container exited with status 137");
  });

  test("a container that somebody else removes is told to have failed", async () => {
    await host.runTask({ id: "removed" });
    await host.untilState("removed", "TASK_RUNNING");
    await host.engine.containers.remove((await host.containers())[0] ?? "", { force: true });
    await until("its end is told", async () => (await host.states("removed")).includes("TASK_FAILED"));
  });

  const refusals: readonly [string, Parameters<AgentHost["runTask"]>[0], string][] = [
    [
      "program not found",
      { id: "no-program", command: { shell: false, value: "/bin/missing" } },
      "Container exited with status 127",
    ],
    [
      "program not executable",
      { id: "not-executable", command: { shell: false, value: "/etc/passwd" } },
      "Container exited with status 126",
    ],
    [
      "unknown network",
      {
        id: "no-network",
        container: {
          type: "DOCKER",
          docker: { image: "margay-busybox", parameters: [{ key: "net", value: "no-such-net" }] },
        },
      },
      "no-such-net not found",
    ],
    [
      "unknown parameter",
      {
        id: "bad-parameter",
        container: {
          type: "DOCKER",
          docker: { image: "margay-busybox", parameters: [{ key: "colour", value: "red" }] },
        },
      },
      'Failed to create docker run options: Unknown docker parameter "colour"',
    ],
    [
      "image that cannot be pulled",
      { id: "no-image", container: { type: "DOCKER", docker: { image: "127.0.0.1:9/none" } } },
      "Failed to pull image '127.0.0.1:9/none'",
    ],
  ];
  for (const [name, task, message] of refusals) {
    test(`${name}: the reason is told and nothing is left`, async () => {
      await host.runTask(task);
      await until(`${task.id} failed`, async () => (await host.states(task.id)).includes("TASK_FAILED"));
      expect((await host.updates(task.id)).at(-1)?.message).toContain(message);
      await until("the container is removed", async () => (await host.containers()).length === 0);
    });
  }

  test("a kill waits for the grace, and TASK_KILLED comes even for exit 0", async () => {
    await host.runTask({ id: "grace", command: { value: 'trap "exit 0" TERM; while :; do sleep 0.1; done' } });
    await host.untilState("grace", "TASK_RUNNING");
    await host.kill("grace", { grace_period: { nanoseconds: 30e9 } });
    expect((await host.untilState("grace", "TASK_KILLED")).message).toBe("Container exited with status 0");
  });

  test("a stubborn task is killed when the grace is over, sooner by a second kill", async () => {
    await host.runTask({ id: "stubborn", command: { value: 'trap "" TERM; while :; do sleep 0.1; done' } });
    await host.untilState("stubborn", "TASK_RUNNING");
    await host.kill("stubborn", { grace_period: { nanoseconds: 3600e9 } });
    await host.untilState("stubborn", "TASK_KILLING");
    await host.kill("stubborn", { grace_period: { nanoseconds: 1e9 } });
    expect((await host.untilState("stubborn", "TASK_KILLED")).message).toBe("Container exited with status 137");
  });

  test("an unknown task that is to be killed, or asked after, is told to be gone", async () => {
    await host.kill("never-was");
    expect((await host.untilState("never-was", "TASK_DROPPED")).reason).toBe("REASON_EXECUTOR_TERMINATED");
  });
});

describe("health", () => {
  const web = { value: "exec httpd -f -p 8080 -h /www" };
  test("an HTTP check against the container's address tells healthy, and kills after failures", async () => {
    await host.runTask({
      id: "web",
      command: web,
      health_check: {
        type: "HTTP",
        http: { port: 8080, path: "/index.html" },
        delay_seconds: 0,
        interval_seconds: 0.2,
      },
    });
    await until("web is healthy", async () => (await host.updates("web")).at(-1)?.healthy === true);
    await host.runTask({
      id: "sick",
      command: web,
      health_check: {
        ...{ type: "HTTP", http: { port: 8080, path: "/missing" }, delay_seconds: 0, interval_seconds: 0.1 },
        ...{ grace_period_seconds: 0, consecutive_failures: 2 },
      },
    });
    const killed = await host.untilState("sick", "TASK_KILLED");
    expect(killed.healthy).toBe(false);
    const updates = await host.updates("sick");
    expect(updates.map((one) => one.state)).toEqual([
      "TASK_STARTING",
      "TASK_RUNNING",
      "TASK_RUNNING",
      "TASK_RUNNING",
      "TASK_KILLING",
      "TASK_KILLED",
    ]);
    expect(updates[2]).toMatchObject({ healthy: false, reason: "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED" });
    await host.kill("web");
    await host.untilState("web", "TASK_KILLED");
  });
  test("a command inside the container", async () => {
    await host.runTask({
      id: "command",
      command: { value: "exec sleep 3600" },
      health_check: { type: "COMMAND", command: { value: "test -d $MESOS_SANDBOX" }, delay_seconds: 0 },
    });
    await until("it is healthy", async () => (await host.updates("command")).at(-1)?.healthy === true);
    await host.kill("command", { grace_period: { nanoseconds: 0 } });
    await host.untilState("command", "TASK_KILLED");
  });
});

describe("the agent is killed", () => {
  const sandbox = (id: string) =>
    `${host.workDirectory}/slaves/5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0/frameworks/framework-1/executors/${id}/runs/latest`;

  test("a running task keeps its container and its output; one that ended meanwhile is told once", async () => {
    await host.runTask({
      id: "stays",
      command: { value: "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.02; done; sleep 3600" },
    });
    await host.runTask({ id: "ends", command: { value: "sleep 3; echo last words; exit 7" } });
    await host.untilState("stays", "TASK_RUNNING");
    await host.untilState("ends", "TASK_RUNNING");
    const before = await host.containers();
    await host.killAgent("SIGKILL");
    await until("the task has ended", async () => {
      const left = await host.engine.containers.list({ all: true, filters: { status: ["exited"] } });
      return left.length === 1;
    });
    await host.startAgent();
    expect((await host.updates("ends")).at(-1)?.state).not.toBe("TASK_KILLED");
    await until("its end is told", async () => (await host.states("ends")).includes("TASK_FAILED"));
    expect((await host.updates("ends")).at(-1)?.message).toBe("Container exited with status 7");
    expect(readFileSync(`${sandbox("ends")}/stdout`, "utf8")).toBe("last words\n");
    expect((await host.containers()).filter((name) => !before.includes(name))).toEqual([]);
    // Killed twice more while it copies.
    for (let round = 0; round < 2; round += 1) {
      await host.killAgent("SIGKILL");
      await host.startAgent();
    }
    const expected = Array.from({ length: 400 }, (_, index) => `${index}\n`).join("");
    await until("all was copied", async () => readFileSync(`${sandbox("stays")}/stdout`, "utf8").endsWith("399\n"));
    expect(readFileSync(`${sandbox("stays")}/stdout`, "utf8")).toBe(expected);
    expect(await host.states("stays")).toEqual(["TASK_STARTING", "TASK_RUNNING"]);
    await host.kill("stays", { grace_period: { nanoseconds: 0 } });
    await host.untilState("stays", "TASK_KILLED");
  });

  test("a kill that was under way goes on", async () => {
    await host.runTask({ id: "dying", command: { value: 'trap "" TERM; while :; do sleep 0.1; done' } });
    await host.untilState("dying", "TASK_RUNNING");
    await host.kill("dying", { grace_period: { nanoseconds: 4e9 } });
    await host.untilState("dying", "TASK_KILLING");
    await host.killAgent("SIGKILL");
    await host.startAgent();
    await host.untilState("dying", "TASK_KILLED");
    expect(await host.states("dying")).toEqual(["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]);
  });

  test("own leftovers are removed, others are not touched", async () => {
    const labels = (containerId: string, agent: string) => ({
      "org.margay.agent": agent,
      "org.margay.container": containerId,
    });
    const own = "11111111-1111-4111-8111-111111111111";
    const other = "22222222-2222-4222-8222-222222222222";
    const create = (name: string, Labels: Record<string, string>) =>
      host.engine.containers.create({ Image: "margay-busybox", Cmd: ["sleep", "3600"], Labels }, { name });
    await create(`mesos-${own}`, labels(own, "5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0"));
    await create(`mesos-${other}`, labels(other, "another-agent"));
    await create("somebody", {});
    await host.engine.containers.start(`mesos-${own}`);
    await host.killAgent("SIGTERM");
    await host.startAgent();
    await until("the own one is gone", async () => !(await host.containers()).includes(`mesos-${own}`));
    expect([...(await host.containers())].sort()).toEqual([`mesos-${other}`, "somebody"].sort());
    for (const name of [`mesos-${other}`, "somebody"]) await host.engine.containers.remove(name, { force: true });
  });

  test("unacknowledged updates are sent again, and a task is run once", async () => {
    await host.acknowledge(false);
    await host.runTask({ id: "quiet", command: { value: "exit 0" } });
    await host.untilState("quiet", "TASK_STARTING");
    await host.killAgent("SIGKILL");
    await host.startAgent();
    expect(await host.states("quiet")).toEqual(["TASK_STARTING"]);
    const subscribe = (await host.calls()).findLast((call) => call.type === "SUBSCRIBE");
    expect(subscribe?.subscribe.tasks?.map((one) => one.task.task_id.value)).toEqual(["quiet"]);
    await host.acknowledge(true);
    await host.cut();
    await host.untilState("quiet", "TASK_FINISHED");
    await host.runTask({ id: "quiet" });
    await host.runTask({ id: "after-quiet", command: { value: "exit 0" } });
    await host.untilState("after-quiet", "TASK_FINISHED");
    expect(await host.states("quiet")).toEqual(["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]);
  });
});

describe("HTTP", () => {
  const base = "http://127.0.0.1:5051";
  test("answers in Mesos' shapes, with the old names too", async () => {
    await host.runTask({ id: "shown", command: { value: "echo hello; exec sleep 3600" } });
    await host.untilState("shown", "TASK_RUNNING");
    for (const path of ["/health", "/version", "/slave(1)/health"])
      expect((await host.fetch(base + path)).status).toBe(200);
    const state = JSON.parse((await host.fetch(`${base}/slave(1)/state.json`)).body);
    expect(state).toMatchObject({
      hostname: "host1",
      resources: { cpus: 4, mem: 1024, disk: 1000, ports: "[31000-32000]" },
      frameworks: [
        { id: "framework-1", executors: [{ id: "shown", tasks: [{ id: "shown", state: "TASK_RUNNING" }] }] },
      ],
    });
    const directory: string = state.frameworks[0].executors[0].directory;
    const read = `${base}/files/read?path=${encodeURIComponent(`${directory}/stdout`)}`;
    await until(
      "output is there",
      async () => JSON.parse((await host.fetch(`${read}&offset=0`)).body).data === "hello\n",
    );
    expect(JSON.parse((await host.fetch(read)).body)).toEqual({ offset: 6, data: "" });
    const listed = JSON.parse((await host.fetch(`${base}/files/browse?path=${encodeURIComponent(directory)}`)).body);
    expect(listed.map((one: { path: string }) => one.path)).toEqual([`${directory}/stderr`, `${directory}/stdout`]);
    const virtual = "/frameworks/framework-1/executors/shown/runs/latest/stdout";
    expect((await host.fetch(`${base}/files/download?path=${virtual}`)).body).toBe("hello\n");
    expect(JSON.parse((await host.fetch(`${base}/metrics/snapshot`)).body)).toMatchObject({
      "slave/registered": 1,
      "slave/tasks_running": 1,
      "slave/cpus_used": 0.1,
    });
    expect(JSON.parse((await host.fetch(`${base}/containers`)).body)).toMatchObject([{ executor_id: "shown" }]);
  });

  test("nothing outside a sandbox can be read, whatever a task puts there", async () => {
    const trap =
      "ln -s /etc/shadow $MESOS_SANDBOX/shadow; ln -s / $MESOS_SANDBOX/root; rm -f $MESOS_SANDBOX/stdout; ln -s /etc/passwd $MESOS_SANDBOX/passwd; exec sleep 3600";
    await host.runTask({ id: "trap", command: { value: trap } });
    await host.untilState("trap", "TASK_RUNNING");
    const directory = "/frameworks/framework-1/executors/trap/runs/latest";
    await until("the trap is set", async () =>
      (await host.fetch(`${base}/files/browse?path=${directory}`)).body.includes("passwd"),
    );
    for (const path of [
      "shadow",
      "root/etc/shadow",
      "root",
      "../../../../../../../meta/slaves/latest/slave.info",
      "passwd",
    ]) {
      const answer = await host.fetch(`${base}/files/read?path=${encodeURIComponent(`${directory}/${path}`)}&offset=0`);
      expect([path, answer.status]).toEqual([path, 404]);
    }
    for (const path of [
      "/etc/passwd",
      `${host.workDirectory}/meta/slaves/latest/slave.info`,
      "/frameworks/../../etc/passwd",
    ]) {
      expect((await host.fetch(`${base}/files/read?path=${encodeURIComponent(path)}&offset=0`)).status).toBe(404);
    }
    expect((await host.fetch(`${base}/files/read?path=${directory}`)).status).toBe(400);
    expect((await host.fetch(`${base}/files/read`)).body).toBe("Expecting 'path=value' in query.\n");
    for (const id of ["trap", "shown"]) {
      await host.kill(id, { grace_period: { nanoseconds: 0 } });
      await host.untilState(id, "TASK_KILLED");
    }
  });
});

describe("dockerd is restarted", () => {
  test("tasks whose containers died with it are told to have failed, and new ones run", async () => {
    await host.runTask({ id: "with-docker" });
    await host.untilState("with-docker", "TASK_RUNNING");
    await host.stopDocker("SIGTERM");
    await host.runTask({ id: "waits", command: { value: "exit 0" } });
    await until("the agent waits", async () => host.log("agent").includes("docker-away"));
    expect(await host.states("with-docker")).toEqual(["TASK_STARTING", "TASK_RUNNING"]);
    await host.startDocker();
    await until("its end is told", async () => (await host.states("with-docker")).includes("TASK_FAILED"));
    expect((await host.updates("with-docker")).at(-1)?.message).toMatch(/^Container exited with status (137|143)/);
    await host.untilState("waits", "TASK_FINISHED");
    await until("nothing is left", async () => (await host.containers()).length === 0);
  });
});

test("nothing is left running but what belongs to tasks, and the agent ends with 0 on SIGTERM", async () => {
  expect(await host.killAgent("SIGTERM")).toBe(0);
  expect(existsSync(`${host.workDirectory}/meta/slaves/latest/slave.info`)).toBe(true);
});
