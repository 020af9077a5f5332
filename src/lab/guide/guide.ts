/**
 * Walks through the main job on a lab, as the usage guide for Docker tasks does: a network, its rules, an application,
 * more instances of it, and who can reach them. Every command is printed as a user would type it, with its answer.
 */

import { systemClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { runCommand } from "../command.ts";
import type { Lab } from "../lab.ts";
import { table } from "../lab-table.ts";

export const networkName = "my-calico-net";
export const otherNetworkName = "other-calico-net";
export const appId = "my-docker-task";

export interface TaskPlace {
  readonly id: string;
  readonly host: string;
  readonly address: string;
  readonly state: string;
  readonly healthy: boolean;
}

const app = {
  id: appId,
  cpus: 0.1,
  mem: 64.0,
  container: { type: "DOCKER", docker: { network: "USER", image: "nginx" } },
  ipAddress: { networkName },
  healthChecks: [
    {
      protocol: "HTTP",
      path: "/",
      port: 80,
      gracePeriodSeconds: 300,
      intervalSeconds: 60,
      timeoutSeconds: 20,
      maxConsecutiveFailures: 3,
    },
  ],
};

const healthyWithinMs = 120_000;

export class Guide {
  readonly lab: Lab;
  readonly #print: (text: string) => void;
  readonly #signal: AbortSignal;

  constructor(lab: Lab, print: (text: string) => void, signal: AbortSignal) {
    this.lab = lab;
    this.#print = print;
    this.#signal = signal;
  }

  say(line: string): void {
    this.#print(`${line}\n`);
  }

  step(title: string): void {
    this.say(`\n== ${title}`);
  }

  /** Shows a command on a host and its answer; throws when it fails. */
  async onHost(host: string, words: readonly string[]): Promise<string> {
    return this.#shown(`margay lab exec ${host} ${words.map(quotedForReading).join(" ")}`, () =>
      this.lab.exec(host, words, { signal: this.#signal, timeoutMs: 60_000 }),
    );
  }

  /** Shows a request to the API and its answer. */
  async curl(words: readonly string[]): Promise<string> {
    return this.#shown(`curl ${words.map(quotedForReading).join(" ")}`, () =>
      // The machine may have a proxy set; the lab's ports are its own.
      runCommand(["curl", "-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "60", ...words], {
        signal: this.#signal,
      }),
    );
  }

  get apiUrl(): string {
    const port = this.lab.state.forwards.find(({ name }) => name === "api")?.port;
    return `http://127.0.0.1:${port}`;
  }

  /** From an empty lab to three healthy instances on as many hosts. */
  async run(instances: number): Promise<readonly TaskPlace[]> {
    const [first] = this.lab.plan.hosts;
    if (first === undefined) throw new OperationError("LAB_NO_HOST", "the lab has no host");
    this.step("Create a network for the containers");
    await this.onHost(first.name, [
      ...["docker", "network", "create", "--driver=calico", "--ipam-driver=calico", networkName],
    ]);
    this.step("Look at its rules: only its own members may reach its members");
    await this.#until(`the profile of ${networkName} is in the store`, 10_000, async () => {
      const words = ["calicoctl", "profile", networkName, "rule", "show"];
      const { exitCode, stdout, stderr } = await this.lab.exec(first.name, words);
      return exitCode === 0 ? { done: true } : { done: false, seen: (stderr || stdout).trim() };
    });
    await this.onHost(first.name, ["calicoctl", "profile", networkName, "rule", "show"]);

    this.step("Post an application");
    const json = ["-H", "Content-Type: application/json"];
    await this.curl(["-X", "POST", ...json, `${this.apiUrl}/v2/apps`, "-d", JSON.stringify(app)]);
    await this.#untilHealthy(1);

    this.step(`Scale it to ${instances} instances`);
    await this.curl(["-X", "PUT", ...json, `${this.apiUrl}/v2/apps/${appId}`, "-d", JSON.stringify({ instances })]);
    await this.#untilHealthy(instances);
    return this.tasks();
  }

  async tasks(): Promise<readonly TaskPlace[]> {
    const response = await this.lab.api(`/v2/apps/${appId}/tasks`, { signal: this.#signal });
    const { tasks } = (await response.json()) as { tasks: readonly Record<string, unknown>[] };
    return tasks.map(taskPlace).sort((one, other) => (one.host < other.host ? -1 : 1));
  }

  showTasks(tasks: readonly TaskPlace[]): void {
    const rows = tasks.map((task) => [
      task.id,
      task.host,
      task.address,
      task.state,
      task.healthy ? "healthy" : "not yet",
    ]);
    this.#print(`\n${table(["TASK", "HOST", "ADDRESS", "STATE", "HEALTH"], rows)}`);
  }

  /** Shown as commands, run as they are shown. */
  async #shown(
    line: string,
    run: () => Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>,
  ): Promise<string> {
    this.say(`$ ${line}`);
    const { exitCode, stdout, stderr } = await run();
    const text = `${stdout}${stderr}`.trimEnd();
    if (text !== "") this.say(text);
    if (exitCode !== 0)
      throw new OperationError("GUIDE_COMMAND_FAILED", `this command ended with ${exitCode}: ${line}`);
    return stdout;
  }

  async #untilHealthy(count: number): Promise<void> {
    await this.#until(`${count} of ${count} healthy`, healthyWithinMs, async () => {
      const response = await this.lab.api(`/v2/apps/${appId}`, { signal: this.#signal });
      const body = (await response.json()) as { app?: Record<string, number | readonly unknown[]> };
      const { tasksStaged, tasksRunning, tasksHealthy, deployments } = body.app ?? {};
      const deploying = Array.isArray(deployments) && deployments.length > 0;
      const seen = `staged ${tasksStaged}, running ${tasksRunning}, healthy ${tasksHealthy} of ${count}`;
      return { done: tasksHealthy === count && !deploying, seen };
    });
  }

  /** Prints what is seen whenever it changes; the deadline's error says what was seen last. */
  async #until(
    what: string,
    withinMs: number,
    look: () => Promise<{ readonly done: boolean; readonly seen?: string }>,
  ): Promise<void> {
    const startedMs = systemClock.monotonicMs();
    let last = "";
    for (;;) {
      this.#signal.throwIfAborted();
      const { done, seen } = await look();
      const seconds = ((systemClock.monotonicMs() - startedMs) / 1000).toFixed(1);
      if (seen !== undefined && seen !== last) this.say(`   ${seconds.padStart(5)} s  ${seen}`);
      last = seen ?? last;
      if (done) return;
      if (systemClock.monotonicMs() - startedMs > withinMs) {
        throw new OperationError("GUIDE_WAIT", `not reached within ${withinMs / 1000} s: ${what}; last seen: ${last}`);
      }
      await systemClock.sleep(100, this.#signal);
    }
  }
}

function taskPlace(task: Record<string, unknown>): TaskPlace {
  const addresses = task.ipAddresses as readonly { ipAddress?: string }[] | undefined;
  const results = task.healthCheckResults as readonly { alive?: boolean }[] | undefined;
  return {
    id: String(task.id),
    host: String(task.host),
    address: addresses?.[0]?.ipAddress ?? "",
    state: String(task.state),
    healthy: results?.length !== undefined && results.length > 0 && results.every((result) => result.alive === true),
  };
}

/** For people to copy: quotes only where a shell needs them. */
export function quotedForReading(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
