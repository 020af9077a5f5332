/** What is told when a container ended, and which address is shown (reference/docker.md 6.5, mesos-behaviour.md 6.5). */

import { describe, expect, test } from "bun:test";
import type { ContainerReport } from "../containerizer/containerizer.ts";
import type { ContainerInfo } from "../protocol/container-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import type { KillRequest } from "./checkpoint.ts";
import { containerStatus, endStatus, refusalOf } from "./task-statuses.ts";

const report = (change: Partial<ContainerReport> = {}): ContainerReport => ({
  phase: "exited",
  inspection: "[]",
  addresses: [],
  hostNetwork: false,
  pid: 0,
  startedAtMs: 1,
  finishedAtMs: 2,
  exitCode: 0,
  outOfMemory: false,
  error: "",
  ...change,
});
const task = (container: Partial<ContainerInfo> = {}): TaskInfo => ({
  name: "t",
  task_id: { value: "t" },
  agent_id: { value: "a" },
  resources: [{ name: "mem", type: "SCALAR", scalar: { value: 64 } }],
  command: { shell: false },
  container: { type: "DOCKER", docker: { image: "nginx" }, ...container },
});
const kill = (cause: KillRequest["cause"]): KillRequest => ({ cause, graceMs: 0, atMs: 0 });

describe("the end of a container", () => {
  const rows: readonly [string, ContainerReport | undefined, KillRequest | undefined, Record<string, unknown>][] = [
    ["exit 0", report(), undefined, { state: "TASK_FINISHED", message: "Container exited with status 0" }],
    ["exit 3", report({ exitCode: 3 }), undefined, { state: "TASK_FAILED", message: "Container exited with status 3" }],
    [
      "SIGKILL",
      report({ exitCode: 137 }),
      undefined,
      { state: "TASK_FAILED", message: "Container exited with status 137" },
    ],
    [
      "killed with exit 0",
      report(),
      kill("framework"),
      { state: "TASK_KILLED", message: "Container exited with status 0" },
    ],
    ["killed for its health", report({ exitCode: 137 }), kill("health"), { state: "TASK_KILLED", healthy: false }],
    [
      "too long",
      report({ exitCode: 137 }),
      kill("max-completion"),
      { state: "TASK_FAILED", reason: "REASON_MAX_COMPLETION_TIME_REACHED" },
    ],
    [
      "out of memory",
      report({ exitCode: 137, outOfMemory: true }),
      undefined,
      {
        state: "TASK_FAILED",
        reason: "REASON_CONTAINER_LIMITATION_MEMORY",
        message: "Container exited with status 137: out of memory (limit 64 MB)",
      },
    ],
    ["removed by somebody", undefined, undefined, { state: "TASK_FAILED" }],
    ["removed while killed", undefined, kill("framework"), { state: "TASK_KILLED" }],
  ];
  for (const [name, ended, request, expected] of rows) {
    test(name, () => expect(endStatus(task(), ended, request)).toMatchObject(expected));
  }
});

describe("the address shown", () => {
  const own = report({ phase: "running", pid: 7, addresses: [{ protocol: "IPv4", ip_address: "192.168.3.7" }] });
  const shown = (one: TaskInfo, seen: ContainerReport | undefined) =>
    containerStatus(one, "c", "10.0.0.5", seen).network_infos;
  test("the container's, with the request's name and labels and without its wishes", () => {
    const request = { name: "my-net", ip_addresses: [{}], labels: { labels: [{ key: "a", value: "b" }] } };
    expect(shown(task({ network_infos: [request] }), own)).toEqual([
      { name: "my-net", labels: request.labels, ip_addresses: [{ protocol: "IPv4", ip_address: "192.168.3.7" }] },
    ]);
  });
  test("the container's, when a net parameter named the network", () => {
    const docker = { image: "nginx", parameters: [{ key: "net", value: "my-net" }] };
    expect(shown(task({ docker }), own)).toEqual([{ ip_addresses: [{ protocol: "IPv4", ip_address: "192.168.3.7" }] }]);
    expect(shown(task({ docker }), undefined)).toBeUndefined();
  });
  test("the agent's on the host's network, also before the start", () => {
    const agent = [{ ip_addresses: [{ protocol: "IPv4", ip_address: "10.0.0.5" }] }];
    expect(shown(task(), report({ hostNetwork: true }))).toEqual(agent as never);
    expect(shown(task(), undefined)).toEqual(agent as never);
  });
});

test("what this agent cannot run is refused with the reason", () => {
  expect(refusalOf(task())).toBeUndefined();
  expect(refusalOf({ ...task(), container: undefined })).toMatchObject({
    state: "TASK_FAILED",
    reason: "REASON_EXECUTOR_TERMINATED",
  });
  expect(refusalOf({ ...task(), executor: { executor_id: { value: "e" } } })).toMatchObject({ state: "TASK_ERROR" });
});
