/**
 * The agent's HTTP endpoints in Mesos' shapes (reference/mesos-api.md 6). Every path also answers below `/slave(1)` and
 * with the old suffix `.json`. Read only.
 */

import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Agent } from "../agent.ts";
import { metricsView } from "./metrics-view.ts";
import { FilesRefused, SandboxFiles } from "./sandbox-files.ts";
import { type BuildInfo, containersView, stateView } from "./state-view.ts";

export interface AgentServerOptions {
  readonly agent: Agent;
  readonly clock: Clock;
  readonly log: Log;
  readonly build: BuildInfo;
  readonly flags: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly port: number;
}

type Handler = (query: URLSearchParams) => Promise<Response> | Response;

export class AgentServer implements AsyncDisposable {
  readonly #options: AgentServerOptions;
  readonly #files: SandboxFiles;
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #server: Bun.Server<undefined>;

  constructor(options: AgentServerOptions) {
    this.#options = options;
    const { agent } = options;
    this.#files = new SandboxFiles(agent.directory, () => agent.agentId);
    this.#handlers = this.#routes();
    this.#server = Bun.serve({
      hostname: options.hostname,
      port: options.port,
      idleTimeout: 60,
      fetch: (request) => this.#answer(request),
    });
  }

  get port(): number {
    return this.#server.port ?? this.#options.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = decodeURIComponent(url.pathname)
      .replace(/^\/slave(\(\d+\))?(?=\/|$)/, "")
      .replace(/\.json$/, "");
    const handler = this.#handlers.get(path === "" ? "/" : path);
    if (handler === undefined) return new Response("Not Found.\n", { status: 404 });
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response(`Expecting one of { 'GET' }, but received '${request.method}'`, {
        status: 405,
        headers: { allow: "GET" },
      });
    }
    try {
      return await handler(url.searchParams);
    } catch (cause) {
      if (cause instanceof FilesRefused) return new Response(cause.message, { status: 400 });
      this.#options.log.error({ event: "request-failed", path, error: describeError(cause) });
      return new Response("Internal Server Error.\n", { status: 500 });
    }
  }

  #routes(): ReadonlyMap<string, Handler> {
    const { agent, clock, build, flags } = this.#options;
    const version = {
      version: build.version,
      build_date: build.buildDate,
      build_time: build.buildTime,
      build_user: "margay",
    };
    const recovered =
      (handler: Handler): Handler =>
      (query) =>
        agent.recovering ? new Response("Agent has not finished recovery", { status: 503 }) : handler(query);
    const containers: Handler = (query) => {
      const wanted = query.get("container_id");
      const all = containersView(agent, clock.nowMs());
      return json(wanted === null ? all : all.filter((one) => one.container_id === wanted));
    };
    const debug: Handler = () =>
      json(Object.fromEntries(agent.runs.map((run) => [run.sandboxDirectory, run.sandboxDirectory])));
    return new Map<string, Handler>([
      ["/health", () => new Response(null, { status: 200 })],
      ["/version", () => json(version)],
      ["/flags", () => json({ flags })],
      ["/state", recovered(() => json(stateView(agent, build, flags, agent.directory.root)))],
      ["/metrics/snapshot", () => json(metricsView(agent, clock.nowMs()))],
      ["/containers", recovered(containers)],
      ["/monitor/statistics", recovered(containers)],
      ["/files/browse", (query) => this.#browse(query)],
      ["/files/read", (query) => this.#read(query)],
      ["/files/download", (query) => this.#download(query)],
      ["/files/debug", recovered(debug)],
    ]);
  }

  async #browse(query: URLSearchParams): Promise<Response> {
    const entries = await this.#files.browse(pathOf(query));
    return entries === undefined ? notFound() : json(entries);
  }

  async #read(query: URLSearchParams): Promise<Response> {
    const found = await this.#files.read(pathOf(query), numberOf(query, "offset"), numberOf(query, "length"));
    return found === undefined ? notFound() : json(found);
  }

  async #download(query: URLSearchParams): Promise<Response> {
    const found = await this.#files.download(pathOf(query));
    if (found === undefined) return notFound();
    return new Response(found.body, {
      headers: {
        "content-type": "application/octet-stream",
        "content-length": String(found.size),
        "content-disposition": `attachment; filename=${encodeURIComponent(found.name)}`,
        // A sandbox holds whatever a task wrote: never to be shown as a page of this origin.
        "x-content-type-options": "nosniff",
      },
    });
  }
}

function json(value: unknown): Response {
  return new Response(JSON.stringify(value), { headers: { "content-type": "application/json" } });
}

function notFound(): Response {
  return new Response("Failed to find file or directory.\n", { status: 404 });
}

function pathOf(query: URLSearchParams): string {
  const path = query.get("path");
  if (path === null || path === "") throw new FilesRefused("Expecting 'path=value' in query.\n");
  return path;
}

/** Absent means -1. */
function numberOf(query: URLSearchParams, name: "offset" | "length"): number {
  const text = query.get(name);
  if (text === null || text === "") return -1;
  if (!/^-?\d{1,15}$/.test(text)) throw new FilesRefused(`Failed to parse ${name}: "${text}" is not a number.\n`);
  const value = Number(text);
  if (value < -1) throw new FilesRefused(`Negative ${name} provided: ${value}.\n`);
  return value;
}
