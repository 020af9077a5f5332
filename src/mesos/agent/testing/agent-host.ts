/**
 * A host for system tests: a network namespace, a real dockerd in a mount namespace of its own, a fake master and the
 * agent as a process that can be killed. Everything lies in one temporary folder, and disposing leaves nothing behind.
 */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { DockerEngine } from "../../../plugins/docker/engine/docker-engine.ts";
import type { AgentCall, AgentEvent, StatusUpdate } from "../../protocol/agent-link.ts";
import type { FrameworkInfo } from "../../protocol/framework-info.ts";
import type { KillPolicy, TaskInfo } from "../../protocol/task-info.ts";
import type { TaskState, TaskStatus } from "../../protocol/task-status.ts";

const sourceRoot = join(import.meta.dir, "../../../..");
const readyWithinMs = 30_000;

export const testFramework: FrameworkInfo = {
  id: { value: "framework-1" },
  name: "test",
  user: "root",
  checkpoint: true,
  capabilities: [{ type: "TASK_KILLING_STATE" }, { type: "PARTITION_AWARE" }],
};

export class AgentHost implements AsyncDisposable {
  readonly folder: string;
  readonly engine: DockerEngine;
  readonly #namespace: string;
  readonly #dockerFlags: readonly string[];
  #dockerd: Bun.Subprocess | undefined;
  #master: Bun.Subprocess | undefined;
  #agent: Bun.Subprocess | undefined;
  #agentFlags: readonly string[] = [];

  private constructor(options: { readonly dockerFlags?: readonly string[] }) {
    this.folder = mkdtempSync(join(tmpdir(), "margay-agent-"));
    this.#namespace = `margay-agent-${process.pid}-${this.folder.slice(-6)}`;
    this.#dockerFlags = options.dockerFlags ?? [];
    this.engine = new DockerEngine({ clock: systemClock, host: `unix://${this.folder}/docker.sock` });
  }

  /** The fake master listens on 5050; the agent is told so unless a flag says otherwise. */
  static async create(options: { readonly dockerFlags?: readonly string[] } = {}): Promise<AgentHost> {
    const host = new AgentHost(options);
    try {
      run("ip", "netns", "add", host.#namespace);
      run("ip", "-n", host.#namespace, "link", "set", "lo", "up");
      await host.startDocker();
      await host.#importImage();
      host.#master = host.spawn(
        [process.execPath, join(import.meta.dir, "fake-master.ts"), host.#control, "5050"],
        "master",
      );
      await until("the fake master answers", async () => (await host.calls()).length === 0);
      return host;
    } catch (cause) {
      await host[Symbol.asyncDispose]();
      throw cause;
    }
  }

  get workDirectory(): string {
    return join(this.folder, "work");
  }

  async startDocker(): Promise<void> {
    for (const left of ["docker.pid", "exec/containerd/containerd.pid"])
      rmSync(join(this.folder, left), { force: true });
    const words = [
      "dockerd",
      `--host=unix://${this.folder}/docker.sock`,
      `--data-root=${this.folder}/docker`,
      `--exec-root=${this.folder}/exec`,
      `--pidfile=${this.folder}/docker.pid`,
      "--log-level=warn",
      "--exec-opt=native.cgroupdriver=cgroupfs",
      `--cgroup-parent=/${this.#namespace}`,
      ...this.#dockerFlags,
    ];
    // dockerd raises a machine-wide kernel setting unless it cannot.
    const prepare =
      "mount --make-rprivate / && mount --bind /proc/sys/kernel /proc/sys/kernel && mount -o remount,bind,ro /proc/sys/kernel";
    this.#dockerd = this.spawn(["unshare", "-m", "sh", "-c", `${prepare} && exec "$@"`, "sh", ...words], "dockerd");
    await until("dockerd answers", async () => (await this.engine.info()).ServerVersion !== "");
  }

  /** SIGTERM, as an operator's restart; "SIGKILL" as a crash. */
  async stopDocker(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#dockerd?.kill(signal);
    await this.#dockerd?.exited;
  }

  /** The flags stay for the next start. */
  async startAgent(...flags: readonly string[]): Promise<void> {
    if (flags.length > 0) this.#agentFlags = flags;
    const other = this.#agentFlags.some((flag) => flag.startsWith("--master="));
    const before = (await this.calls()).filter((call) => call.type === "SUBSCRIBE").length;
    this.#agent = this.spawn(
      [
        ...[process.execPath, join(sourceRoot, "src/main.ts"), "agent", "--master=http://127.0.0.1:5050"],
        ...["--ip=127.0.0.1", "--port=5051", `--work_dir=${this.workDirectory}`, "--hostname=host1"],
        ...["--resources=cpus:4;mem:1024;disk:1000", `--docker_socket=${this.folder}/docker.sock`],
        ...["--registration_backoff_factor=100ms", ...this.#agentFlags],
      ],
      "agent",
    );
    await until("the agent subscribes", async () => {
      if (this.#agent?.exitCode != null) throw new Error(`the agent ended: ${this.log("agent")}`);
      if (other) return (await this.fetch("http://127.0.0.1:5051/health")).status === 200;
      return (await this.calls()).filter((call) => call.type === "SUBSCRIBE").length > before;
    });
  }

  async killAgent(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<number | null> {
    this.#agent?.kill(signal);
    await this.#agent?.exited;
    return this.#agent?.exitCode ?? null;
  }

  log(name: string): string {
    return readFileSync(join(this.folder, `${name}.log`), "utf8").slice(-3_000);
  }

  async calls(): Promise<readonly AgentCall[]> {
    return (await (await this.#ask("/seen")).json()) as AgentCall[];
  }

  async event(event: AgentEvent): Promise<void> {
    await this.#ask("/event", { method: "POST", body: JSON.stringify(event) });
  }

  async acknowledge(on: boolean): Promise<void> {
    await this.#ask("/acknowledge", { method: "POST", body: String(on) });
  }

  async cut(): Promise<void> {
    await this.#ask("/cut", { method: "POST" });
  }

  /** A request made inside the host's network. */
  async fetch(url: string): Promise<{ readonly status: number; readonly body: string }> {
    return (await (await this.#ask(`/fetch?url=${encodeURIComponent(url)}`)).json()) as {
      status: number;
      body: string;
    };
  }

  async runTask(task: Partial<TaskInfo> & { readonly id: string }): Promise<void> {
    const { id, ...rest } = task;
    const agentId = (await this.calls()).findLast((call) => call.type === "SUBSCRIBE")?.subscribe.agent_info.id;
    await this.event({
      type: "RUN_TASK",
      run_task: {
        framework: testFramework,
        task: {
          name: id,
          task_id: { value: id },
          agent_id: agentId ?? { value: "5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0" },
          resources: [
            { name: "cpus", type: "SCALAR", scalar: { value: 0.1 } },
            { name: "mem", type: "SCALAR", scalar: { value: 32 } },
          ],
          container: { type: "DOCKER", docker: { image: "margay-busybox", network: "BRIDGE" } },
          command: { value: "exec sleep 3600" },
          ...rest,
        },
      },
    });
  }

  async kill(id: string, policy?: KillPolicy): Promise<void> {
    await this.event({
      type: "KILL_TASK",
      kill_task: { framework_id: { value: "framework-1" }, task_id: { value: id }, kill_policy: policy },
    });
  }

  /** Updates of a task in the order they came, repeats left out. */
  async updates(id: string): Promise<readonly TaskStatus[]> {
    const seen = new Map<string, TaskStatus>();
    for (const call of await this.calls()) {
      if (call.type !== "STATUS_UPDATE") continue;
      const { status }: StatusUpdate = call.status_update;
      if (status.task_id.value === id && !seen.has(status.uuid ?? "")) seen.set(status.uuid ?? "", status);
    }
    return [...seen.values()];
  }

  async states(id: string): Promise<readonly TaskState[]> {
    return (await this.updates(id)).map((status) => status.state);
  }

  /** The newest update in that state. */
  async untilState(id: string, state: TaskState): Promise<TaskStatus> {
    let found: TaskStatus | undefined;
    await until(`task ${id} is in ${state}`, async () => {
      const updates = await this.updates(id);
      found = updates.findLast((status) => status.state === state);
      if (found === undefined && updates.some((status) => /FAILED|ERROR|LOST/.test(status.state))) {
        throw new Error(`task ${id} failed: ${JSON.stringify(updates.at(-1))}\n${this.log("agent")}`);
      }
      return found !== undefined;
    }).catch((cause: unknown) => {
      throw new Error(`${String(cause)}\n${this.log("agent")}`, { cause });
    });
    if (found === undefined) throw new Error("unreachable");
    return found;
  }

  async containers(): Promise<readonly string[]> {
    return (await this.engine.containers.list({ all: true })).map((one) => one.Names[0]?.replace("/", "") ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killAgent();
    this.#master?.kill();
    await this.#master?.exited;
    if (this.#dockerd?.exitCode === null) {
      for (const container of await this.engine.containers.list({ all: true }).catch(() => [])) {
        await this.engine.containers.remove(container.Id, { force: true, volumes: true }).catch(() => undefined);
      }
      await this.stopDocker();
    }
    // What a killed daemon left running in this network namespace is ours too.
    for (const pid of tryRun("ip", "netns", "pids", this.#namespace).split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // gone already
      }
    }
    tryRun("ip", "netns", "del", this.#namespace);
    await until("the folder can be removed", async () => {
      rmSync(this.folder, { recursive: true, force: true });
      return !existsSync(this.folder);
    });
    for (const controller of readdirSync("/sys/fs/cgroup")) {
      tryRun("rmdir", `/sys/fs/cgroup/${controller}/${this.#namespace}`);
    }
  }

  get #control(): string {
    return join(this.folder, "control.sock");
  }

  #ask(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://control${path}`, { ...init, unix: this.#control } as BunFetchRequestInit);
  }

  /** A program inside the host's network; its output goes to NAME.log. Ended with the host. */
  spawn(words: readonly string[], name: string): Bun.Subprocess {
    const log = Bun.file(join(this.folder, `${name}.log`));
    if (!existsSync(join(this.folder, `${name}.log`))) writeFileSync(join(this.folder, `${name}.log`), "");
    return Bun.spawn(
      ["sh", "-c", `exec "$@" >>"$0" 2>&1`, log.name ?? "", "nsenter", `--net=/run/netns/${this.#namespace}`, ...words],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
        env: process.env,
      },
    );
  }

  /** busybox and its links, as one layer. */
  async #importImage(): Promise<void> {
    const root = join(this.folder, "image");
    for (const name of ["bin", "tmp", "etc", "www"]) mkdirSync(join(root, name), { recursive: true });
    copyFileSync("/bin/busybox", join(root, "bin/busybox"));
    for (const name of [
      "sh",
      "sleep",
      "echo",
      "cat",
      "true",
      "false",
      "httpd",
      "nc",
      "seq",
      "yes",
      "head",
      "dd",
      "kill",
      "ln",
      "rm",
      "printf",
      "test",
      "env",
      "hostname",
    ]) {
      symlinkSync("busybox", join(root, "bin", name));
    }
    writeFileSync(join(root, "www/index.html"), "hello\n");
    writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
    run("tar", "-C", root, "-cf", join(this.folder, "image.tar"), ".");
    run(
      "docker",
      "-H",
      `unix://${this.folder}/docker.sock`,
      "import",
      join(this.folder, "image.tar"),
      "margay-busybox:latest",
    );
  }
}

/** Asks again until it is so; fails after a minute. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + readyWithinMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      if (await isSo()) return;
      last = undefined;
    } catch (cause) {
      last = cause;
      if (cause instanceof Error && /failed:|ended:/.test(cause.message)) throw cause;
    }
    await Bun.sleep(50);
  }
  throw new Error(`waited in vain until ${what}`, { cause: last });
}

function run(...words: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...words]);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

function tryRun(...words: readonly string[]): string {
  return Bun.spawnSync([...words], { stderr: "ignore" }).stdout.toString();
}
