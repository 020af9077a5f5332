/**
 * Docker's plug-in transport: JSON over HTTP on a unix socket, one path per call (reference/docker.md 1.2).
 * - Docker has no read time-out and holds the container's lock while it waits: every call is answered within 10 s.
 * - A failure is status 500 with a non-empty `Err`; a body that is no JSON object is 400 with `Err`. Neither ends the server.
 * - A stale socket stalls unrelated commands for 15 s: it is replaced at start and unlinked at the end.
 * Docker does not retry HTTP errors, only lost connections: every call may come twice.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { z } from "zod";
import { type Clock, deadline } from "../../base/clock.ts";
import { BadInput, describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";

export const CALL_TIMEOUT_MS = 10_000;
const BODY_BYTES_MAX = 1024 * 1024;
/** Bun counts the time a handler takes as idle: longer than any answer may take. */
const IDLE_TIMEOUT_SECONDS = 60;
const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";

/** One call: `answer` gets the checked body; what it throws becomes `Err`. */
export interface PluginCall {
  readonly answer: (body: unknown, signal: AbortSignal) => Promise<object> | object;
  /** Calls that are sent without a body at all (Activate, GetCapabilities, GetDefaultAddressSpaces). */
  readonly bodyless: boolean;
}

export type PluginCalls = Readonly<Record<string, PluginCall>>;

/** A call without input. */
export function bodyless(answer: (signal: AbortSignal) => Promise<object> | object): PluginCall {
  return { bodyless: true, answer: (_body, signal) => answer(signal) };
}

/** A call whose body has this shape. */
export function withBody<Schema extends z.ZodType>(
  schema: Schema,
  answer: (body: z.output<Schema>, signal: AbortSignal) => Promise<object> | object,
): PluginCall {
  return {
    bodyless: false,
    answer: (body, signal) => {
      const parsed = schema.safeParse(body);
      if (parsed.success) return answer(parsed.data, signal);
      const issue = parsed.error.issues[0];
      throw new BadInput(
        issue?.path.join(".") ?? "",
        issue?.message ?? "is not what was expected",
        "Docker's plug-in protocol",
      );
    },
  };
}

export interface PluginServerOptions {
  readonly socketPath: string;
  /** Key: the path without its slash, `NetworkDriver.Join`. */
  readonly calls: PluginCalls;
  readonly clock: Clock;
  readonly log: Log;
  readonly onCall?: (call: string, outcome: "ok" | "error", durationMs: number) => void;
  readonly callTimeoutMs?: number;
}

export class PluginServer implements AsyncDisposable {
  readonly #options: PluginServerOptions;
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(options: PluginServerOptions) {
    this.#options = options;
    mkdirSync(dirname(options.socketPath), { recursive: true, mode: 0o755 });
    rmSync(options.socketPath, { force: true });
    this.#server = Bun.serve({
      unix: options.socketPath,
      maxRequestBodySize: BODY_BYTES_MAX,
      fetch: (request, server) => {
        server.timeout(request, IDLE_TIMEOUT_SECONDS);
        return this.#serve(request);
      },
      error: (error) => failure(500, describeError(error)),
    });
    chmodSync(options.socketPath, 0o600);
  }

  static listen(options: PluginServerOptions): PluginServer {
    return new PluginServer(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#options.socketPath, { force: true });
    await this.#server.stop(true);
  }

  async #serve(request: Request): Promise<Response> {
    const name = callName(request.url);
    const call = Object.hasOwn(this.#options.calls, name) ? this.#options.calls[name] : undefined;
    if (call === undefined) return failure(404, `Margay has no plug-in call ${JSON.stringify(name.slice(0, 100))}`);
    if (request.method !== "POST") return failure(405, `${name} is called with POST, not ${request.method}`);
    const startedMs = this.#options.clock.monotonicMs();
    const response = await this.#answer(name, call, request);
    const durationMs = this.#options.clock.monotonicMs() - startedMs;
    this.#options.onCall?.(name, response.ok ? "ok" : "error", durationMs);
    this.#options.log.debug({
      event: "docker_call",
      call: name,
      status: response.status,
      durationMs: Math.round(durationMs),
    });
    return response;
  }

  async #answer(name: string, call: PluginCall, request: Request): Promise<Response> {
    let body: unknown;
    if (!call.bodyless) {
      const text = await request.text();
      // After a broken connection Docker may repeat a call with its body already consumed.
      if (text.trim() === "") return failure(400, `${name}: the request body is empty; a JSON object was expected`);
      try {
        body = JSON.parse(text);
      } catch {
        return failure(400, `${name}: the request body is not JSON`);
      }
      if (typeof body !== "object" || body === null || Array.isArray(body)) {
        return failure(400, `${name}: the request body is not a JSON object`);
      }
    }
    const timeoutMs = this.#options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    const signal = deadline(this.#options.clock, timeoutMs);
    try {
      return Response.json(await beforeDeadline(call.answer(body, signal), signal), {
        headers: { "content-type": CONTENT_TYPE },
      });
    } catch (error) {
      if (error instanceof BadInput) return failure(400, `${name}: ${error.message}`);
      const text = error instanceof OperationError && error.cause === undefined ? error.message : describeError(error);
      this.#options.log.warn({ event: "docker_call_failed", call: name, error: text });
      return failure(500, text.trim() === "" ? `${name} failed` : text);
    }
  }
}

/**
 * Docker before 24.0 sends the escaped path of the socket as Host, which no URL parser takes: the path is what follows it.
 */
function callName(url: string): string {
  return /^(?:[a-z]+:\/\/[^/]*)?\/([^?#]*)/i.exec(url)?.[1] ?? "";
}

/** Handlers pass the signal down; should one not end in spite of it, Docker gets its answer all the same. */
async function beforeDeadline<T>(work: Promise<T> | T, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    Promise.resolve(work).then(resolve, reject);
  });
}

function failure(status: number, text: string): Response {
  return Response.json({ Err: text }, { status, headers: { "content-type": CONTENT_TYPE } });
}
