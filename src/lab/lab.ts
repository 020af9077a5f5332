/**
 * A running lab: made by `Lab.create`, gone when disposed. `margay lab up` and the tests use the same class.
 * The one who created it supervises its services; commands of other processes find it through its state file.
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { TaskScope } from "../base/task-scope.ts";
import { type AddressPlan, addressPlan, outsideName, parseLabName, planIndexMax } from "./address-plan.ts";
import { labTraces, removeLab } from "./clean-up.ts";
import { type CommandOptions, type CommandResult, mustRun, runCommand } from "./command.ts";
import { type Forward, forwardPort, httpGetOnHost } from "./host-connection.ts";
import { prepareHostFiles } from "./host-files.ts";
import { inNetworkOf, pathInHost, processStart, startHolder } from "./host-namespaces.ts";
import { apiPort, hostServices, type LabParts, masterPort, type PlacedService } from "./host-services.ts";
import { execEnvironment, execWords, serviceEnvironment, storeEndpointOf } from "./lab-exec.ts";
import { LabLock } from "./lab-lock.ts";
import { type LabState, labFolder, labNames, noSuchHost, readLabState, writeLabState } from "./lab-state.ts";
import { checkPrerequisites, type StoreKind } from "./prerequisites.ts";
import { Service } from "./service.ts";
import { setLink, wireHost, wireSwitch } from "./switch-network.ts";

export interface LabOptions {
  readonly name?: string;
  readonly hosts?: number;
  readonly store?: StoreKind;
  readonly parts?: LabParts;
  /** Of each host's node. */
  readonly nodeEnvironment?: Readonly<Record<string, string>>;
  /** On the machine's 127.0.0.1; without a number the usual one, or the next free one. */
  readonly apiPort?: number;
  readonly masterPort?: number;
  /** Brings images into each host's Docker, given the path of its socket. */
  readonly images?: LabImages;
  /** One line of visible progress. */
  readonly onProgress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface LabImages {
  /** Makes them ready on the machine; begins before the hosts are up. */
  prepare(progress: (line: string) => void, signal: AbortSignal): Promise<void>;
  load(host: string, dockerSocket: string, progress: (line: string) => void, signal: AbortSignal): Promise<void>;
}

interface Host {
  readonly name: string;
  readonly address: string;
  readonly pid: number;
  readonly services: Service[];
}

const stopsWithinMs = 5_000;
const agentsWithinMs = 30_000;

export class Lab implements AsyncDisposable {
  readonly name: string;
  readonly plan: AddressPlan;
  readonly store: StoreKind;
  readonly storeEndpoint: string;
  readonly #options: LabOptions;
  readonly #lock: LabLock;
  readonly #scope: TaskScope;
  readonly #createdAt = new Date(systemClock.nowMs()).toISOString();
  readonly #hosts: Host[] = [];
  readonly #forwards: { name: string; to: string; forward: Forward }[] = [];
  readonly #planIndex: number;
  #outsideServer: Bun.Server<undefined> | undefined;
  #supervisorStart = "";
  #switchPid = 0;
  #phase: LabState["phase"] = "starting";
  #reason = "";
  #down: Promise<void> | undefined;

  private constructor(options: LabOptions, lock: LabLock, planIndex: number) {
    this.name = parseLabName(options.name ?? "lab");
    this.#options = options;
    this.#lock = lock;
    this.#planIndex = planIndex;
    this.plan = addressPlan(planIndex, options.hosts ?? 3);
    this.store = options.store ?? "embedded";
    this.storeEndpoint = storeEndpointOf(this.plan);
    this.#scope = new TaskScope(`lab ${this.name}`, options.signal);
  }

  /** Resolves when every service of every host is ready. What an earlier lab of this name left is removed first. */
  static async create(options: LabOptions = {}): Promise<Lab> {
    const name = parseLabName(options.name ?? "lab");
    // Bad numbers are refused before anything is looked at or touched.
    addressPlan(0, options.hosts ?? 3);
    checkPrerequisites(options.store ?? "embedded");
    const lock = LabLock.try(name);
    if (lock === undefined) {
      throw new OperationError("LAB_IS_UP", `lab "${name}" is up already, or just going up or down`, {
        remedy: `margay lab down --name ${name}, or choose another --name`,
      });
    }
    let lab: Lab | undefined;
    try {
      if ((await labTraces(name)).length > 0) {
        options.onProgress?.(`removing what an earlier lab "${name}" left behind`);
        await removeLab(name);
      }
      lab = new Lab(options, lock, freePlanIndex(name));
      await lab.#bringUp();
      return lab;
    } catch (error) {
      if (lab === undefined) lock[Symbol.dispose]();
      else await lab.down();
      throw error;
    }
  }

  get state(): LabState {
    return {
      version: 1,
      name: this.name,
      phase: this.#phase,
      reason: this.#reason,
      createdAt: this.#createdAt,
      store: this.store,
      storeEndpoint: this.storeEndpoint,
      planIndex: this.#planIndex,
      subnet: this.plan.subnet,
      outside: this.plan.outside,
      supervisor: { pid: process.pid, start: this.#supervisorStart },
      switchPid: this.#switchPid,
      forwards: this.#forwards.map(({ name, to, forward }) => ({ name, address: "127.0.0.1", port: forward.port, to })),
      hosts: this.#hosts.map(({ name, address, pid, services }) => ({
        name,
        address,
        pid,
        services: services.map((service) => service.state),
      })),
    };
  }

  /** Ends when the lab goes down. */
  get finished(): Promise<void> {
    return this.#scope.finished;
  }

  /** Runs a command on a host, or behind the switch with the name "outside". */
  async exec(host: string, words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { pid, env } = this.#target(host, options);
    return runCommand(execWords(pid, words, options.cwd ?? "/"), { ...options, env });
  }

  /** The same; throws when the command fails. */
  async mustExec(host: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { pid, env } = this.#target(host, options);
    return mustRun(execWords(pid, words, options.cwd ?? "/"), { ...options, env });
  }

  /** A request to Marathon's API on the forwarded port. */
  api(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.#forwardUrl("api")), init);
  }

  /** A request to the master on the forwarded port. */
  masterApi(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.#forwardUrl("master")), init);
  }

  /** kill -9 unless said otherwise; the supervisor starts the service again. */
  kill(host: string, service: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    return this.#service(host, service).kill(signal);
  }

  /** Ends a service and resolves when its successor is ready. */
  async restart(host: string, service: string, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const one = this.#service(host, service);
    const { starts } = one;
    await one.kill(signal);
    await one.untilReady(this.#scope.signal, starts);
  }

  /** Resolves when all services that have begun are ready (again). */
  async ready(): Promise<void> {
    const services = this.#hosts.flatMap((host) => host.services);
    await Promise.all(services.map((service) => service.untilReady(this.#scope.signal)));
  }

  cut(host: string): Promise<void> {
    return setLink(this.#switchPid, this.#host(host).name, false);
  }

  heal(host: string): Promise<void> {
    return setLink(this.#switchPid, this.#host(host).name, true);
  }

  /** The host's Docker Engine API, as a socket on the machine. */
  dockerSocket(host: string): string {
    return pathInHost(this.#host(host).pid, "/run/docker.sock");
  }

  /** Ends everything and removes every trace; safe to call again. */
  down(): Promise<void> {
    this.#down ??= this.#takeDown();
    return this.#down;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }

  async #takeDown(): Promise<void> {
    this.#phase = "stopping";
    this.#save();
    this.#scope.stop();
    for (const { forward } of this.#forwards) forward[Symbol.dispose]();
    await this.#outsideServer?.stop(true);
    // What does not stop by itself ends with its host.
    await Promise.race([this.#scope.finished.catch(() => undefined), systemClock.sleep(stopsWithinMs)]);
    try {
      await removeLab(this.name);
    } finally {
      this.#lock[Symbol.dispose]();
    }
  }

  async #bringUp(): Promise<void> {
    const { signal } = this.#scope;
    mkdirSync(labFolder(this.name), { recursive: true, mode: 0o700 });
    this.#supervisorStart = (await processStart(process.pid)) ?? "";
    this.#save();
    const { images } = this.#options;
    const prepared = images?.prepare((line) => this.#say(line), signal);
    // Awaited below; a failure must not count as unhandled until then.
    prepared?.catch(() => undefined);
    await this.#makeHosts();
    this.#openPorts();
    const placed = this.#startServices();
    await Promise.all([
      ...placed.map(({ host, name }) => this.#announceReady(host, name)),
      ...(images === undefined || prepared === undefined
        ? []
        : this.#hosts.map((host) => this.#loadImages(host, images, prepared))),
    ]);
    if (placed.some(({ name }) => name === "agent")) await this.#agentsRegistered();
    signal.throwIfAborted();
    this.#phase = "up";
    this.#save();
  }

  async #makeHosts(): Promise<void> {
    const { plan, name: lab, storeEndpoint } = this;
    this.#switchPid = (await startHolder(lab, outsideName)).pid;
    await wireSwitch(this.#switchPid, plan);
    this.#outsideServer = inNetworkOf(this.#switchPid, () =>
      Bun.serve({
        hostname: plan.outside,
        port: 80,
        fetch: (request, server) =>
          new Response(`outside: you are ${server.requestIP(request)?.address ?? "unknown"}\n`),
      }),
    );
    const hosts = await Promise.all(
      plan.hosts.map(async (host) => {
        const { pid } = await startHolder(lab, host.name);
        await wireHost(this.#switchPid, pid, host, plan);
        const folder = join(labFolder(lab), host.name);
        await prepareHostFiles({ pid, host, plan, folder, storeEndpoint });
        return { ...host, pid, services: [] };
      }),
    );
    this.#hosts.push(...hosts);
    this.#say(`${hosts.length} hosts: ${hosts.map(({ name, address }) => `${name} ${address}`).join(", ")}`);
    this.#save();
  }

  #openPorts(): void {
    if ((this.#options.parts ?? "all") !== "all") return;
    this.#openPort("api", this.#options.apiPort, apiPort, "127.0.0.1");
    this.#openPort("master", this.#options.masterPort, masterPort, this.plan.hosts[0]?.address ?? "127.0.0.1");
  }

  #openPort(name: string, wanted: number | undefined, usual: number, toAddress: string): void {
    const first = this.#hosts[0];
    if (first === undefined) return;
    for (let port = wanted ?? usual; ; port++) {
      try {
        const forward = forwardPort({ hostPid: first.pid, address: "127.0.0.1", port, toAddress, toPort: usual });
        this.#forwards.push({ name, to: `${first.name}:${usual}`, forward });
        if (wanted === undefined && port !== usual)
          this.#say(`port ${usual} of this machine is taken: using ${port} instead`);
        return;
      } catch (cause) {
        if (wanted !== undefined || port >= usual + 100) {
          throw new OperationError(
            "LAB_PORT_TAKEN",
            `cannot listen on 127.0.0.1:${port} (--${name}-port): it is taken`,
            {
              remedy: `stop what listens there, or choose another --${name}-port`,
              cause,
            },
          );
        }
      }
    }
  }

  #startServices(): readonly PlacedService[] {
    const pids = new Map(this.#hosts.map(({ name, pid }) => [name, pid]));
    const { name: lab, plan, store, storeEndpoint } = this;
    const parts = this.#options.parts ?? "all";
    const { nodeEnvironment = {} } = this.#options;
    const placed = hostServices({ lab, plan, store, storeEndpoint, parts, pids, nodeEnvironment });
    for (const definition of placed) {
      const host = this.#host(definition.host);
      const service = new Service({
        definition,
        host: host.name,
        hostPid: host.pid,
        logPath: join(labFolder(lab), host.name, "log", `${definition.name}.log`),
        baseEnv: serviceEnvironment(lab),
        onChange: () => this.#save(),
      });
      host.services.push(service);
    }
    for (const { host, name, after } of placed) {
      this.#scope.run(`${host}/${name}`, async (signal) => {
        const before = after.map((path) => this.#service(...splitPath(path)));
        for (const each of before) while (!each.ready) await systemClock.sleep(20, signal);
        await this.#service(host, name).run(signal);
      });
    }
    return placed;
  }

  async #announceReady(host: string, name: string): Promise<void> {
    const service = this.#service(host, name);
    while (service.starts === 0) await systemClock.sleep(20, this.#scope.signal);
    const startedMs = systemClock.monotonicMs();
    await service.untilReady(this.#scope.signal);
    this.#say(`${host}: ${name} is ready (${((systemClock.monotonicMs() - startedMs) / 1000).toFixed(1)} s)`);
  }

  async #loadImages(host: Host, images: LabImages, prepared: Promise<void>): Promise<void> {
    const docker = host.services.find(({ name }) => name === "docker");
    if (docker === undefined) return;
    const { signal } = this.#scope;
    await prepared;
    while (docker.starts === 0) await systemClock.sleep(20, signal);
    await docker.untilReady(signal);
    await images.load(host.name, this.dockerSocket(host.name), (line) => this.#say(line), signal);
  }

  /** All agents are known to the master: what is posted now can run anywhere. */
  async #agentsRegistered(): Promise<void> {
    const { signal } = this.#scope;
    const [first] = this.#hosts;
    if (first === undefined) return;
    const deadlineMs = systemClock.monotonicMs() + agentsWithinMs;
    let seen = "the master did not answer";
    while (systemClock.monotonicMs() < deadlineMs) {
      signal.throwIfAborted();
      const limit = AbortSignal.any([signal, AbortSignal.timeout(5_000)]);
      const answer = await httpGetOnHost(first.pid, first.address, masterPort, "/slaves", limit).catch(() => undefined);
      const count = answer === undefined ? undefined : countAgents(answer.body);
      if (count === this.#hosts.length) {
        this.#say(`${first.name}: all ${count} agents have registered with the master`);
        return;
      }
      if (count !== undefined) seen = `the master knows ${count} of ${this.#hosts.length} agents`;
      await systemClock.sleep(100, signal);
    }
    throw new OperationError("LAB_AGENTS_MISSING", `after ${agentsWithinMs / 1000} s ${seen}`);
  }

  #target(host: string, options: CommandOptions): { pid: number; env: Readonly<Record<string, string>> } {
    const pid = host === outsideName ? this.#switchPid : this.#host(host).pid;
    const base = serviceEnvironment(this.name);
    const target = { pid, lab: this.name, storeEndpoint: this.storeEndpoint };
    return { pid, env: execEnvironment(target, { ...base, ...options.env }) };
  }

  #forwardUrl(name: string): string {
    const found = this.#forwards.find((each) => each.name === name);
    if (found === undefined) throw new OperationError("LAB_NO_PORT", `this lab has no ${name} port`);
    return `http://127.0.0.1:${found.forward.port}`;
  }

  #host(name: string): Host {
    const host = this.#hosts.find((each) => each.name === name);
    return host ?? noSuchHost(this.name, name, this.#hosts);
  }

  #service(host: string, name: string): Service {
    const service = this.#host(host).services.find((each) => each.name === name);
    if (service !== undefined) return service;
    const there = this.#host(host).services.map((each) => each.name);
    throw new OperationError("LAB_NO_SUCH_SERVICE", `${host} has no service "${name}"; it has: ${there.join(", ")}`);
  }

  #say(line: string): void {
    this.#reason = line;
    this.#save();
    this.#options.onProgress?.(line);
  }

  #save(): void {
    if (!existsSync(labFolder(this.name))) return;
    writeLabState(this.state);
  }
}

function splitPath(path: string): readonly [string, string] {
  const [host = "", service = ""] = path.split("/");
  return [host, service];
}

function countAgents(body: string): number | undefined {
  try {
    const { slaves } = JSON.parse(body);
    return Array.isArray(slaves) ? slaves.filter((slave) => slave.active !== false).length : undefined;
  } catch {
    return undefined;
  }
}

/** Labs cannot meet, so this is for the eye only and needs no lock. */
function freePlanIndex(name: string): number {
  const taken = new Set(
    labNames()
      .filter((other) => other !== name)
      .map((other) => readLabState(other)?.planIndex),
  );
  for (let index = 0; index <= planIndexMax; index++) if (!taken.has(index)) return index;
  return 0;
}
