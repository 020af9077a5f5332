/**
 * Containers of one Docker daemon. Calls that find the wanted state already there (304 on start and stop) say so in their
 * answer instead of failing. Source: reference/docker.md 5.2.
 */
import { z } from "zod";
import {
  type ContainerConfig,
  type ContainerInspection,
  type ContainerSummary,
  type CreatedContainer,
  containerExit,
  containerInspection,
  containerSummary,
  createdContainer,
} from "./container-shapes.ts";
import { type EngineConnection, filtersText, segment } from "./engine-connection.ts";
import { EngineError } from "./engine-error.ts";
import { type OutputChunk, outputChunks } from "./log-stream.ts";

/** Docker waits this long between SIGTERM and SIGKILL when nobody says otherwise. */
const STOP_GRACE_DEFAULT_SECONDS = 10;
/** A stop returns after the network was given back; the plug-in may take its 10 s per endpoint. */
const STOP_MARGIN_MS = 60_000;
const START_TIMEOUT_MS = 120_000;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface LogOptions extends CallOptions {
  readonly tty: boolean;
  readonly follow?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly timestamps?: boolean;
  /** Unix seconds, with nanoseconds after the dot. */
  readonly since?: string;
  readonly tail?: number | "all";
}

export class Containers {
  readonly #connection: EngineConnection;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  async create(config: ContainerConfig, options: CallOptions & { name?: string } = {}): Promise<CreatedContainer> {
    return await this.#connection.json(createdContainer, {
      method: "POST",
      path: "/containers/create",
      query: { name: options.name },
      body: config,
      timeoutMs: START_TIMEOUT_MS,
      signal: options.signal,
    });
  }

  /** "already-running" is Docker's 304. */
  async start(id: string, options: CallOptions = {}): Promise<"started" | "already-running"> {
    const path = `/containers/${segment(id)}/start`;
    const status = await this.#connection.done({
      method: "POST",
      path,
      accept: [304],
      timeoutMs: START_TIMEOUT_MS,
      signal: options.signal,
    });
    return status === 304 ? "already-running" : "started";
  }

  async stop(
    id: string,
    options: CallOptions & { graceSeconds?: number } = {},
  ): Promise<"stopped" | "already-stopped"> {
    const graceSeconds = options.graceSeconds ?? STOP_GRACE_DEFAULT_SECONDS;
    const status = await this.#connection.done({
      method: "POST",
      path: `/containers/${segment(id)}/stop`,
      query: { t: graceSeconds },
      accept: [304],
      timeoutMs: graceSeconds < 0 ? "none" : graceSeconds * 1_000 + STOP_MARGIN_MS,
      signal: options.signal,
    });
    return status === 304 ? "already-stopped" : "stopped";
  }

  async kill(id: string, options: CallOptions & { killSignal?: string } = {}): Promise<void> {
    const path = `/containers/${segment(id)}/kill`;
    await this.#connection.done({
      method: "POST",
      path,
      query: { signal: options.killSignal ?? "SIGKILL" },
      signal: options.signal,
    });
  }

  async restart(id: string, options: CallOptions & { graceSeconds?: number } = {}): Promise<void> {
    const graceSeconds = options.graceSeconds ?? STOP_GRACE_DEFAULT_SECONDS;
    await this.#connection.done({
      method: "POST",
      path: `/containers/${segment(id)}/restart`,
      query: { t: graceSeconds },
      timeoutMs: graceSeconds * 1_000 + STOP_MARGIN_MS + START_TIMEOUT_MS,
      signal: options.signal,
    });
  }

  async remove(id: string, options: CallOptions & { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    await this.#connection.done({
      method: "DELETE",
      path: `/containers/${segment(id)}`,
      query: { force: options.force === true, v: options.volumes === true },
      timeoutMs: STOP_MARGIN_MS + START_TIMEOUT_MS,
      signal: options.signal,
    });
  }

  /**
   * Resolves when the container has ended and its network was given back. Use "next-exit" BEFORE start, so that a program
   * that ends at once is not missed. The promise rejects with DOCKER_UNAVAILABLE when the daemon goes away meanwhile: that
   * says nothing about the container.
   */
  async wait(
    id: string,
    options: CallOptions & { condition?: "not-running" | "next-exit" | "removed" } = {},
  ): Promise<{ readonly exitCode: number; readonly error: string }> {
    const pending = await this.waitOpened(id, options);
    return await pending.exited;
  }

  /** As `wait`, in two steps: resolves once Docker has taken the request, so that a start may follow without a race. */
  async waitOpened(
    id: string,
    options: CallOptions & { condition?: "not-running" | "next-exit" | "removed" } = {},
  ): Promise<{ readonly exited: Promise<{ readonly exitCode: number; readonly error: string }> }> {
    const response = await this.#connection.request({
      method: "POST",
      path: `/containers/${segment(id)}/wait`,
      query: { condition: options.condition ?? "not-running" },
      timeoutMs: "none",
      signal: options.signal,
    });
    return { exited: exitOf(response, options.signal) };
  }

  async inspect(id: string, options: CallOptions = {}): Promise<ContainerInspection> {
    const path = `/containers/${segment(id)}/json`;
    return await this.#connection.json(containerInspection, { method: "GET", path, signal: options.signal });
  }

  async list(
    options: CallOptions & { all?: boolean; filters?: Readonly<Record<string, readonly string[]>> } = {},
  ): Promise<readonly ContainerSummary[]> {
    const query = { all: options.all === true, filters: filtersText(options.filters) };
    return await this.#connection.json(z.array(containerSummary), {
      method: "GET",
      path: "/containers/json",
      query,
      signal: options.signal,
    });
  }

  /** Limits of a running container: the create body's HostConfig fields, flat. */
  async update(id: string, limits: Readonly<Record<string, unknown>>, options: CallOptions = {}): Promise<void> {
    const path = `/containers/${segment(id)}/update`;
    await this.#connection.done({ method: "POST", path, body: limits, signal: options.signal });
  }

  async rename(id: string, name: string, options: CallOptions = {}): Promise<void> {
    const path = `/containers/${segment(id)}/rename`;
    await this.#connection.done({ method: "POST", path, query: { name }, signal: options.signal });
  }

  /** Ends when the log ends, or with `follow` when the container does. */
  async *logs(id: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    const response = await this.#connection.request({
      method: "GET",
      path: `/containers/${segment(id)}/logs`,
      query: {
        stdout: options.stdout ?? true,
        stderr: options.stderr ?? true,
        follow: options.follow ?? false,
        timestamps: options.timestamps ?? false,
        since: options.since,
        tail: options.tail,
      },
      timeoutMs: "none",
      signal: options.signal,
    });
    if (response.body !== null) yield* outputChunks(response.body, options.tty);
  }
}

async function exitOf(
  response: Response,
  signal?: AbortSignal,
): Promise<{ readonly exitCode: number; readonly error: string }> {
  let body: unknown;
  try {
    body = await response.json();
  } catch (cause) {
    signal?.throwIfAborted();
    throw new EngineError("DOCKER_UNAVAILABLE", 0, "Docker went away while waiting for a container to end", { cause });
  }
  const parsed = containerExit.safeParse(body);
  if (!parsed.success) {
    throw new EngineError("DOCKER_PROTOCOL", 200, "unexpected answer to wait", { cause: parsed.error });
  }
  return { exitCode: parsed.data.StatusCode, error: parsed.data.Error?.Message ?? "" };
}
