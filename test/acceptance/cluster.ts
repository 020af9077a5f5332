/**
 * A lab as acceptance tests use it: the commands that a user of the old stack types, through `lab exec`, and the
 * Marathon API on the machine's loopback. Connections are real ones, made by containers.
 */

import { expect } from "bun:test";
import { demoImages } from "../../src/lab/images/demo-images.ts";
import { Lab, type LabOptions } from "../../src/lab/lab.ts";
import { eventually } from "./eventually.ts";

export interface Said {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Task {
  readonly id: string;
  readonly host: string;
  readonly state: string;
  readonly ipAddresses?: readonly { readonly ipAddress: string }[];
  readonly healthCheckResults?: readonly { readonly alive: boolean }[];
}

/** The two bodies of the usage guide, and the form of Marathon 1.5. */
const healthChecks = [
  {
    protocol: "HTTP",
    path: "/",
    port: 80,
    gracePeriodSeconds: 300,
    intervalSeconds: 60,
    timeoutSeconds: 20,
    maxConsecutiveFailures: 3,
  },
];
export const guideApps = {
  "network USER": {
    id: "my-docker-task",
    cpus: 0.1,
    mem: 64.0,
    container: { type: "DOCKER", docker: { network: "USER", image: "nginx" } },
    ipAddress: { networkName: "my-calico-net" },
    healthChecks,
  },
  "parameter net": {
    id: "my-docker-task",
    cpus: 0.1,
    mem: 64.0,
    container: { type: "DOCKER", docker: { image: "nginx", parameters: [{ key: "net", value: "my-calico-net" }] } },
    ipAddress: {},
    healthChecks,
  },
  "networks (1.5)": {
    id: "my-docker-task",
    cpus: 0.1,
    mem: 64.0,
    container: { type: "DOCKER", docker: { image: "nginx" } },
    networks: [{ mode: "container", name: "my-calico-net" }],
    healthChecks,
  },
} as const;

export class Cluster implements AsyncDisposable {
  readonly lab: Lab;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async create(options: LabOptions): Promise<Cluster> {
    return new Cluster(await Lab.create({ images: demoImages({ names: ["nginx", "tools"] }), ...options }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }

  get hosts(): readonly string[] {
    return this.lab.plan.hosts.map(({ name }) => name);
  }

  /** Marathon's API and the page on this machine's loopback. */
  get apiUrl(): string {
    const port = this.lab.state.forwards.find(({ name }) => name === "api")?.port;
    return `http://127.0.0.1:${port}`;
  }

  /** Runs a command as a user on the host; fails the test with what it said when it exits non-zero. */
  async on(host: string, ...words: readonly string[]): Promise<string> {
    const said = await this.lab.exec(host, words);
    if (said.exitCode !== 0)
      throw new Error(`${host}$ ${words.join(" ")}: exit ${said.exitCode}: ${said.stderr}${said.stdout}`);
    return said.stdout;
  }

  async tried(host: string, ...words: readonly string[]): Promise<Said> {
    return await this.lab.exec(host, words);
  }

  async createNetwork(name: string, ...options: readonly string[]): Promise<void> {
    await this.on("host1", "docker", "network", "create", "--driver=calico", "--ipam-driver=calico", ...options, name);
    await eventually(`network ${name} is on every host`, async () => {
      for (const host of this.hosts) await this.on(host, "docker", "network", "inspect", name);
    });
  }

  /** Starts a container that listens on TCP 80 and answers its own name; returns its address. */
  async run(host: string, name: string, network: string, ...options: readonly string[]): Promise<string> {
    await this.on(host, "docker", "run", "-d", "--name", name, "--net", network, ...options, "tools", "sleep", "86400");
    await this.answer(host, name);
    return await this.addressOf(host, name, network);
  }

  /** Answers every TCP connection to 80 and every UDP datagram to 53 with the container's name. */
  async answer(host: string, name: string): Promise<void> {
    const listeners = ["TCP-LISTEN:80,fork,reuseaddr", "UDP-RECVFROM:53,fork"];
    for (const listener of listeners) {
      await this.on(host, "docker", "exec", "-d", name, "socat", listener, `SYSTEM:echo ${name}`);
    }
    await eventually(`${name} listens`, () =>
      this.on(
        host,
        "docker",
        "exec",
        name,
        "sh",
        "-c",
        "echo x | socat -t 1 - TCP:127.0.0.1:80 && echo x | socat -t 1 - UDP:127.0.0.1:53",
      ),
    );
  }

  async addressOf(host: string, name: string, network: string): Promise<string> {
    const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    return (await this.on(host, "docker", "inspect", "-f", format, name)).trim();
  }

  async api(method: string, path: string, body?: unknown): Promise<{ status: number; body: never; headers: Headers }> {
    const response = await this.lab.api(path, {
      method,
      signal: AbortSignal.timeout(20_000),
      ...(body === undefined
        ? {}
        : {
            body: typeof body === "string" ? body : JSON.stringify(body),
            headers: { "Content-Type": "application/json" },
          }),
    });
    const text = await response.text();
    let parsed: unknown = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // Some answers are plain text: the test looks at it as such.
    }
    return { status: response.status, body: parsed as never, headers: response.headers };
  }

  async tasks(appId: string): Promise<readonly Task[]> {
    const { status, body } = await this.api("GET", `/v2/apps/${appId}/tasks`);
    expect(status).toBe(200);
    return (body as { tasks: Task[] }).tasks;
  }

  /** Waits until the app has exactly so many running, healthy tasks with an address each; returns them. */
  async healthy(appId: string, count: number, withinMs = 60_000): Promise<readonly Task[]> {
    return await eventually(
      `${appId} has ${count} healthy tasks`,
      async () => {
        const tasks = await this.tasks(appId);
        const good = tasks.filter(
          ({ state, ipAddresses = [], healthCheckResults = [] }) =>
            state === "TASK_RUNNING" && ipAddresses.length === 1 && healthCheckResults.some(({ alive }) => alive),
        );
        if (good.length !== count || tasks.length !== count) throw new Error(JSON.stringify(tasks));
        return good;
      },
      { withinMs },
    );
  }

  /** Waits until the app is gone with its deployments. */
  async destroy(appId: string): Promise<void> {
    const { status } = await this.api("DELETE", `/v2/apps/${appId}?force=true`);
    expect([200, 404]).toContain(status);
    await eventually(`${appId} is destroyed`, async () => {
      expect((await this.api("GET", `/v2/apps/${appId}`)).status).toBe(404);
      expect((await this.api("GET", "/v2/deployments")).body as unknown).toEqual([]);
    });
  }
}

export function addressesOf(tasks: readonly Task[]): readonly string[] {
  return tasks.flatMap(({ ipAddresses = [] }) => ipAddresses.map(({ ipAddress }) => ipAddress));
}
