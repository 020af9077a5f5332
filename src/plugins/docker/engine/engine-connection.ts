/**
 * One HTTP conversation with the Docker Engine: negotiated API version, deadline on every call, typed errors.
 * Connections are not kept alive: a daemon that restarts would otherwise answer the next call with a reset.
 * Source: reference/docker.md 5.1.
 */
import type { z } from "zod";
import { type Clock, deadline } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import { EngineError } from "./engine-error.ts";

const VERSION_LOWEST: ApiVersion = { major: 1, minor: 24 };
/** The newest version whose shapes this client was written for; a newer daemon still serves it (floor of 29.x: 1.44, 1.40). */
const VERSION_HIGHEST: ApiVersion = { major: 1, minor: 44 };
const CALL_TIMEOUT_MS = 60_000;
const ERROR_BODY_BYTES_MAX = 64 * 1024;

export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

export interface EngineCall {
  readonly method: "GET" | "POST" | "DELETE" | "PUT" | "HEAD";
  /** Below the version prefix, for example `/containers/json`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Time for the whole call; "none" for calls that last as long as the container (wait, logs, events, pull). */
  readonly timeoutMs?: number | "none";
  /** Statuses besides 2xx that are an answer, not a failure (304 on start and stop). */
  readonly accept?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

export interface EngineConnectionOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:2375`; a bare path is a socket. */
  readonly host: string;
  readonly clock: Clock;
}

export class EngineConnection {
  readonly #clock: Clock;
  readonly #socketPath: string | undefined;
  readonly #origin: string;
  #version: ApiVersion | undefined;

  constructor(options: EngineConnectionOptions) {
    this.#clock = options.clock;
    const { socketPath, origin } = parseEngineHost(options.host);
    this.#socketPath = socketPath;
    this.#origin = origin;
  }

  /** The version both sides speak; asked once and again after the daemon was away (it may have been upgraded). */
  async version(signal?: AbortSignal): Promise<ApiVersion> {
    if (this.#version !== undefined) return this.#version;
    const response = await this.#fetch({ method: "GET", path: "/_ping", signal }, "");
    await response.arrayBuffer();
    const daemon = parseVersion(response.headers.get("api-version") ?? "1.24");
    if (isOlder(daemon, VERSION_LOWEST)) {
      throw new EngineError(
        "DOCKER_PROTOCOL",
        0,
        `Docker speaks API ${show(daemon)}; ${show(VERSION_LOWEST)} is needed`,
      );
    }
    this.#version = isOlder(daemon, VERSION_HIGHEST) ? daemon : VERSION_HIGHEST;
    return this.#version;
  }

  /** Resolves with a response whose status is 2xx or listed in `accept`; the caller reads or cancels its body. */
  async request(call: EngineCall): Promise<Response> {
    const version = await this.version(call.signal);
    return await this.#fetch(call, `/v${show(version)}`);
  }

  async json<Schema extends z.ZodType>(schema: Schema, call: EngineCall): Promise<z.output<Schema>> {
    const response = await this.request(call);
    let text: string;
    try {
      text = await response.text();
    } catch (cause) {
      throw this.#unreachable(call, cause);
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new EngineError("DOCKER_PROTOCOL", response.status, `${call.method} ${call.path}: the answer is not JSON`, {
        cause,
      });
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new EngineError("DOCKER_PROTOCOL", response.status, `${call.method} ${call.path}: unexpected answer`, {
      cause: parsed.error,
    });
  }

  /** For calls whose answer has no content that matters; resolves with the status. */
  async done(call: EngineCall): Promise<number> {
    const response = await this.request(call);
    try {
      await response.arrayBuffer();
    } catch (cause) {
      throw this.#unreachable(call, cause);
    }
    return response.status;
  }

  async #fetch(call: EngineCall, prefix: string): Promise<Response> {
    const timeoutMs = call.timeoutMs ?? CALL_TIMEOUT_MS;
    const signal = timeoutMs === "none" ? call.signal : deadline(this.#clock, timeoutMs, call.signal);
    const init: BunFetchRequestInit & { timeout?: boolean } = {
      method: call.method,
      headers: { ...(call.body === undefined ? {} : { "content-type": "application/json" }), ...call.headers },
      keepalive: false,
      timeout: false, // Bun ends idle fetches after five minutes; `wait` and `events` are silent for days
    };
    if (this.#socketPath !== undefined) init.unix = this.#socketPath;
    if (call.body !== undefined) init.body = JSON.stringify(call.body);
    if (signal !== undefined) init.signal = signal;
    let response: Response;
    try {
      response = await fetch(`${this.#origin}${prefix}${call.path}${queryText(call.query)}`, init);
    } catch (cause) {
      call.signal?.throwIfAborted();
      if (signal?.aborted === true) {
        throw new EngineError(
          "DOCKER_TIMEOUT",
          0,
          `${call.method} ${call.path}: no answer from Docker within ${timeoutMs} ms`,
          { cause },
        );
      }
      throw this.#unreachable(call, cause);
    }
    if (response.ok || call.accept?.includes(response.status) === true) return response;
    const message = await errorMessage(response);
    // The daemon was replaced by one that no longer speaks the negotiated version: ask again next time.
    if (response.status === 400 && /client version .* is too (new|old)/i.test(message)) this.#version = undefined;
    throw new EngineError("DOCKER_REFUSED", response.status, message);
  }

  #unreachable(call: EngineCall, cause: unknown): unknown {
    this.#version = undefined;
    if (call.signal?.aborted === true) return call.signal.reason;
    const where = this.#socketPath ?? this.#origin;
    return new EngineError("DOCKER_UNAVAILABLE", 0, `cannot reach Docker at ${where}: ${whyUnreachable(cause)}`);
  }
}

export function parseEngineHost(host: string): { readonly socketPath: string | undefined; readonly origin: string } {
  if (host.startsWith("unix://")) return { socketPath: host.slice("unix://".length), origin: "http://docker" };
  if (host.startsWith("/")) return { socketPath: host, origin: "http://docker" };
  if (host.startsWith("tcp://"))
    return { socketPath: undefined, origin: `http://${host.slice("tcp://".length)}`.replace(/\/$/, "") };
  if (host.startsWith("http://") || host.startsWith("https://"))
    return { socketPath: undefined, origin: host.replace(/\/$/, "") };
  throw new EngineError(
    "DOCKER_PROTOCOL",
    0,
    `"${host}" is no Docker host: expected unix:///path, tcp://host:port or http://host:port`,
  );
}

/** Bun's texts are about web addresses; its codes say what it is. */
function whyUnreachable(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  switch (code) {
    case "ENOENT":
    case "FailedToOpenSocket":
      return "there is no such socket";
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return "nobody listens there";
    case "ECONNRESET":
    case "ConnectionClosed":
      return "it closed the connection";
    case undefined:
      return describeError(cause);
    default:
      return String(code);
  }
}

async function errorMessage(response: Response): Promise<string> {
  let text = "";
  try {
    text = (await response.text()).slice(0, ERROR_BODY_BYTES_MAX);
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string")
      return body.message;
  } catch {
    // Not JSON, or cut off: the raw text is the best there is.
  }
  return text.trim() === "" ? `Docker answered ${response.status} without a message` : text.trim();
}

function queryText(query: EngineCall["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    parameters.set(name, typeof value === "boolean" ? (value ? "1" : "0") : String(value));
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** The `filters` parameter: a JSON object of string arrays; undefined when nothing is asked for. */
export function filtersText(filters: Readonly<Record<string, readonly string[]>> | undefined): string | undefined {
  return filters === undefined || Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters);
}

/** One segment of a path: names and ids come from outside. */
export function segment(idOrName: string): string {
  return encodeURIComponent(idOrName);
}

function parseVersion(text: string): ApiVersion {
  const match = /^(\d+)\.(\d+)$/.exec(text);
  if (match === null) throw new EngineError("DOCKER_PROTOCOL", 0, `Docker announced API version "${text}"`);
  return { major: Number(match[1]), minor: Number(match[2]) };
}

function isOlder(a: ApiVersion, b: ApiVersion): boolean {
  return a.major === b.major ? a.minor < b.minor : a.major < b.major;
}

function show(version: ApiVersion): string {
  return `${version.major}.${version.minor}`;
}
