/**
 * Runs tasks as Docker containers through the Engine API (reference/docker.md 6). The container's name is made from the
 * container id, which is on disk before Docker is asked for anything: so a create that was repeated finds its own
 * container (409) and goes on with it, and a restarted agent finds it by name and label.
 */

import { appendFile, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { Backoff } from "../../../base/backoff.ts";
import { type Clock, deadline } from "../../../base/clock.ts";
import { describeError, isAbort, OperationError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { ContainerInspection } from "../../../plugins/docker/engine/container-shapes.ts";
import type { DockerEngine } from "../../../plugins/docker/engine/docker-engine.ts";
import { engineStatus, isEngineUnavailable } from "../../../plugins/docker/engine/engine-error.ts";
import { frameworkRoles } from "../../protocol/framework-info.ts";
import {
  type CommandOutcome,
  type Containerizer,
  type ContainerLaunch,
  type ContainerReport,
  LaunchFailed,
} from "../containerizer.ts";
import { openForAppend } from "../sandbox-file.ts";
import { containerIdOfName, containerName, taskLabels } from "./container-names.ts";
import { type ContainerPlan, envFilesOf, planContainer } from "./container-plan.ts";
import type { DefaultContainerDns } from "./default-dns.ts";
import { ImagePuller } from "./image-puller.ts";
import { reportOf } from "./inspection-report.ts";
import { LaunchRefused } from "./launch-refused.ts";
import { LogCopier } from "./log-copier.ts";
import { Patience } from "./patience.ts";
import { mayPass, startFailureCode } from "./start-failure.ts";

const startAttemptsMax = 4;
/** A name may stay taken for a while after its container was removed. */
const createAttemptsMax = 10;
/** A wait is asked again this often: a daemon that lost track of a container (moby#33820) must not hide its end. */
const waitAgainMs = 60_000;
const removalWaitMs = 60_000;

export interface DockerContainerizerOptions {
  readonly engine: DockerEngine;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the sandbox is mounted in every container. */
  readonly mappedDirectory: string;
  readonly workDirectory: string;
  readonly cfsEnabled: boolean;
  readonly defaultDns: readonly DefaultContainerDns[];
  /** JSON text of `--docker_config`. */
  readonly dockerConfig: string | undefined;
  readonly pullTimeoutMs: number;
}

export class DockerContainerizer implements Containerizer {
  readonly #options: DockerContainerizerOptions;
  readonly #engine: DockerEngine;
  readonly #patience: Patience;
  readonly #copier: LogCopier;
  readonly #puller: ImagePuller;

  constructor(options: DockerContainerizerOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#patience = new Patience(options);
    this.#copier = new LogCopier(options);
    this.#puller = new ImagePuller({ ...options, patience: this.#patience, timeoutMs: options.pullTimeoutMs });
  }

  /** Undefined while Docker answers; else why nothing happens. */
  get waitingFor(): string | undefined {
    return this.#patience.away ? "Docker does not answer" : undefined;
  }

  async launch(launch: ContainerLaunch, signal: AbortSignal): Promise<ContainerReport> {
    const name = containerName(launch.containerId);
    for (let attempt = 1; ; attempt += 1) {
      const present = await this.#inspect(name, signal);
      if (present === undefined) {
        if (attempt > createAttemptsMax)
          throw new LaunchFailed(`Container exited with status 125: ${name} is not free`);
        if (!(await this.#create(launch, signal))) await this.#options.clock.sleep(200 * attempt, signal);
        continue;
      }
      if (present.Config.Labels[taskLabels.container] !== launch.containerId) {
        throw new LaunchFailed(`Container exited with status 125: the container name ${name} is taken by another one`);
      }
      const report = reportOf(present);
      if (report.phase !== "created") return report;
      try {
        await this.#engine.containers.start(present.Id, { signal });
        this.#options.log.info({ event: "container-started", container: name, task: launch.task.task_id.value });
      } catch (cause) {
        signal.throwIfAborted();
        await this.#afterFailedStart(name, attempt, cause, signal);
      }
    }
  }

  async observe(containerId: string, signal: AbortSignal): Promise<ContainerReport | undefined> {
    const inspection = await this.#inspect(containerName(containerId), signal);
    return inspection === undefined ? undefined : reportOf(inspection);
  }

  async ended(containerId: string, signal: AbortSignal): Promise<ContainerReport | undefined> {
    const name = containerName(containerId);
    for (;;) {
      const report = await this.observe(containerId, signal);
      if (report === undefined || report.phase !== "running") return report;
      const slice = new AbortController();
      const timer = this.#options.clock.timer(waitAgainMs, () => slice.abort());
      try {
        await this.#engine.containers.wait(name, { signal: AbortSignal.any([signal, slice.signal]) });
      } catch (cause) {
        signal.throwIfAborted();
        // Whatever ended the wait, only inspection says what became of the container.
        if (!slice.signal.aborted) {
          this.#options.log.debug({
            event: "container-wait-interrupted",
            container: name,
            error: describeError(cause),
          });
          await this.#options.clock.sleep(200, signal);
        }
      } finally {
        timer[Symbol.dispose]();
        slice.abort();
      }
    }
  }

  async copyOutput(launch: ContainerLaunch, signal: AbortSignal): Promise<void> {
    const name = containerName(launch.containerId);
    const inspection = await this.#inspect(name, signal);
    if (inspection === undefined) return;
    const copy = {
      container: name,
      tty: inspection.Config.Tty,
      sandboxDirectory: launch.sandboxDirectory,
      cursorPath: join(launch.runDirectory, "output.cursor"),
    };
    await this.#copier.copy(copy, signal);
  }

  async stop(containerId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    const name = containerName(containerId);
    const graceSeconds = Math.ceil(Math.max(0, graceMs) / 1_000);
    const backoff = new Backoff({ clock: this.#options.clock, minMs: 500, maxMs: 5_000 });
    for (;;) {
      const report = await this.observe(containerId, signal);
      if (report?.phase !== "running") return;
      try {
        await this.#patience.ask(
          "stop",
          (stop) => this.#engine.containers.stop(name, { graceSeconds, signal: stop }),
          signal,
        );
      } catch (cause) {
        signal.throwIfAborted();
        if (engineStatus(cause) === 404) return;
        this.#options.log.warn({ event: "container-stop-failed", container: name, error: describeError(cause) });
        await backoff.wait(signal);
      }
    }
  }

  async remove(containerId: string, signal: AbortSignal): Promise<void> {
    await this.#remove(containerName(containerId), signal);
    await rm(this.#linkPath(containerId), { force: true });
  }

  async run(containerId: string, argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome> {
    return await this.#engine.commands.run(containerName(containerId), argv, { signal });
  }

  async listOwn(agentId: string, signal: AbortSignal): Promise<ReadonlyMap<string, { readonly running: boolean }>> {
    const filters = { label: [`${taskLabels.agent}=${agentId}`] };
    const list = await this.#patience.ask(
      "list of containers",
      (ask) => this.#engine.containers.list({ all: true, filters, signal: ask }),
      signal,
    );
    const own = new Map<string, { readonly running: boolean }>();
    for (const container of list) {
      const containerId = container.Names.map(containerIdOfName).find((id) => id !== undefined);
      // A label may be copied by a user onto a container of another name: that one is left alone.
      if (containerId === undefined || container.Labels[taskLabels.container] !== containerId) continue;
      own.set(containerId, { running: container.State === "running" });
    }
    return own;
  }

  async #inspect(name: string, signal: AbortSignal): Promise<ContainerInspection | undefined> {
    try {
      return await this.#patience.ask(
        "inspection",
        (ask) => this.#engine.containers.inspect(name, { signal: ask }),
        signal,
      );
    } catch (cause) {
      if (engineStatus(cause) === 404) return undefined;
      throw cause;
    }
  }

  /** False: look again, somebody (an attempt whose answer was lost) may have made it. */
  async #create(launch: ContainerLaunch, signal: AbortSignal): Promise<boolean> {
    const plan = await this.#plan(launch);
    for (const notice of plan.notices) await note(launch.sandboxDirectory, notice);
    await this.#puller.ensure(plan, launch, signal);
    const config = { ...plan.body, HostConfig: { ...plan.body.HostConfig } };
    try {
      await this.#engine.containers.create(config, { name: plan.name, signal });
      return true;
    } catch (cause) {
      signal.throwIfAborted();
      if (engineStatus(cause) === 409 || isEngineUnavailable(cause)) return false;
      throw new LaunchFailed(`Container exited with status 125: ${describeError(cause)}`, { cause });
    }
  }

  async #plan(launch: ContainerLaunch): Promise<ContainerPlan> {
    const { task } = launch;
    const envFiles = new Map<string, string>();
    for (const path of envFilesOf(task)) {
      const text = await readFile(path, "utf8").catch(() => undefined);
      if (text !== undefined) envFiles.set(path, text);
    }
    const role = (task.resources ?? []).find((one) => one.allocation_info?.role !== undefined)?.allocation_info?.role;
    try {
      return planContainer(task, {
        containerId: launch.containerId,
        agentId: launch.agentId,
        frameworkId: launch.frameworkId,
        allocationRole: role ?? frameworkRoles(launch.framework)[0] ?? "*",
        sandboxDirectory: await this.#mountable(launch),
        mappedDirectory: this.#options.mappedDirectory,
        hostMemoryBytes: totalmem(),
        cfsEnabled: this.#options.cfsEnabled,
        defaultDns: this.#options.defaultDns,
        envFiles,
      });
    } catch (cause) {
      if (!(cause instanceof LaunchRefused)) throw cause;
      throw new LaunchFailed(`Failed to create docker run options: ${cause.message}`, { cause });
    }
  }

  /** A colon ends a path in `-v`, and task ids may hold one: such a sandbox is mounted through a link. */
  async #mountable(launch: ContainerLaunch): Promise<string> {
    if (!launch.sandboxDirectory.includes(":")) return launch.sandboxDirectory;
    const link = this.#linkPath(launch.containerId);
    await mkdir(join(link, ".."), { recursive: true });
    await rm(link, { force: true });
    await symlink(launch.sandboxDirectory, link);
    return link;
  }

  #linkPath(containerId: string): string {
    return join(this.#options.workDirectory, "docker", "links", containerId);
  }

  /** Returns when another attempt makes sense; else throws, with nothing left behind. */
  async #afterFailedStart(name: string, attempt: number, cause: unknown, signal: AbortSignal): Promise<void> {
    const status = engineStatus(cause);
    const text = describeError(cause);
    const passing =
      status === 404 ? /no such container/i.test(text) : isEngineUnavailable(cause) || mayPass(status, text);
    this.#options.log.warn({ event: "container-start-failed", container: name, attempt, error: text });
    if (passing && attempt < startAttemptsMax) {
      await this.#options.clock.sleep(500 * 2 ** attempt, signal);
      return;
    }
    const after = await this.#inspect(name, signal);
    if (after?.State.Running === true) return;
    await this.#remove(name, signal);
    throw new LaunchFailed(`Container exited with status ${startFailureCode(text)}: ${text}`, { cause });
  }

  async #remove(name: string, signal: AbortSignal): Promise<void> {
    const limited = deadline(this.#options.clock, removalWaitMs * 5, signal);
    const backoff = new Backoff({ clock: this.#options.clock, minMs: 200, maxMs: 5_000 });
    for (;;) {
      try {
        await this.#patience.ask(
          "removal",
          (ask) => this.#engine.containers.remove(name, { force: true, volumes: true, signal: ask }),
          limited,
        );
      } catch (cause) {
        signal.throwIfAborted();
        if (engineStatus(cause) === 404) return;
        if (isAbort(cause) || limited.aborted) {
          throw new OperationError("CONTAINER_REMOVAL", `container ${name} could not be removed`, {
            cause,
            retry: "backoff",
          });
        }
        // 409: a removal is under way already; look again until it is done.
        if (engineStatus(cause) !== 409) {
          this.#options.log.warn({ event: "container-remove-failed", container: name, error: describeError(cause) });
        }
      }
      if ((await this.#inspect(name, limited)) === undefined) return;
      await backoff.wait(limited);
    }
  }
}

async function note(sandboxDirectory: string, line: string): Promise<void> {
  const file = await openForAppend(sandboxDirectory, "stderr");
  try {
    await appendFile(file, `${line}\n`);
  } finally {
    await file.close();
  }
}
