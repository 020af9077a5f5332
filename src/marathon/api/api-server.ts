/**
 * One request to one answer: limits, credentials, routing, JSON, errors and headers, for all routes alike (reference:
 * marathon 2). Nothing here knows what a route is about.
 */

import { timingSafeEqual } from "node:crypto";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Metrics } from "../metrics.ts";
import { malformedJson, Refusal, tooLarge } from "../refusal.ts";
import type { MarathonSettings } from "../settings.ts";
import { parseJsonText } from "./json-text.ts";
import { type Match, type Reply, type Route, type RouteContext, RouteTable } from "./route.ts";

export interface ApiServerOptions {
  readonly settings: MarathonSettings;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly routes: readonly Route[];
  readonly leader: () => string;
  /** Asked for what no route answers: the web page, if there is one. */
  readonly extraFetch?: ((request: Request) => Response | undefined | Promise<Response | undefined>) | undefined;
}

const commonHeaders = {
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
  Expires: "0",
  "X-Frame-Options": "DENY",
  "X-XSS-Protection": "1; mode=block",
  "X-Content-Type-Options": "nosniff",
} as const;

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #routes: RouteTable;
  readonly #credentials: Buffer | undefined;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#routes = new RouteTable(options.routes);
    const { httpCredentials } = options.settings;
    this.#credentials = httpCredentials === undefined ? undefined : Buffer.from(httpCredentials);
  }

  async fetch(request: Request, clientIp: string): Promise<Response> {
    let response: Response;
    try {
      response = await this.#answer(request, clientIp);
    } catch (error) {
      response = this.#failure(error, request);
    }
    this.#options.metrics.count(`http.responses.${Math.floor(response.status / 100)}xx.counter`);
    for (const [name, value] of Object.entries(commonHeaders)) response.headers.set(name, value);
    response.headers.set("X-Marathon-Leader", `http://${this.#options.leader()}`);
    this.#addCors(request, response);
    return request.method === "HEAD" ? new Response(null, response) : response;
  }

  async #answer(request: Request, clientIp: string): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace(/\/{2,}/g, "/");
    const match = this.#routes.match(request.method, path);
    const open = match !== undefined && "route" in match && match.route.open === true;
    if (!open) this.#authenticate(request);
    if (request.method === "OPTIONS" && match !== undefined) return new Response(null, { status: 200 });
    if (match === undefined) return this.#elsewhere(request, path);
    if ("allow" in match)
      throw new Refusal(405, `${request.method} is not possible here.`, {}, { Allow: match.allow.join(", ") });
    const context = contextOf(request, url, match, clientIp, this.#options.settings.bodyMaxBytes);
    const reply = await match.route.run(context);
    return reply instanceof Response ? reply : response(reply, request);
  }

  async #elsewhere(request: Request, path: string): Promise<Response> {
    const extra = await this.#options.extraFetch?.(request);
    if (extra !== undefined) return extra;
    if (request.method === "GET" && (path === "/" || path === "/help"))
      return Response.redirect(new URL("/ui/", request.url), 302);
    throw new Refusal(404, `URI not found: ${path}`);
  }

  #authenticate(request: Request): void {
    if (this.#credentials === undefined) return;
    const encoded = /^Basic (.+)$/.exec(request.headers.get("Authorization") ?? "")?.[1] ?? "";
    const given = Buffer.from(encoded, "base64");
    if (given.length === this.#credentials.length && timingSafeEqual(given, this.#credentials)) return;
    const realm = this.#options.settings.httpRealm;
    throw new Refusal(401, "Unauthorized", {}, { "WWW-Authenticate": `Basic realm="${realm}"` });
  }

  #addCors(request: Request, to: Response): void {
    const origin = request.headers.get("Origin");
    const { corsOrigins } = this.#options.settings;
    if (origin === null || !(corsOrigins.includes(origin) || corsOrigins.includes("*"))) return;
    to.headers.set("Access-Control-Allow-Origin", corsOrigins.includes(origin) ? origin : "*");
    const asked = request.headers.get("Access-Control-Request-Headers");
    if (asked !== null) to.headers.set("Access-Control-Allow-Headers", asked);
    to.headers.set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
    to.headers.set("Access-Control-Max-Age", "86400");
  }

  #failure(error: unknown, request: Request): Response {
    if (error instanceof Refusal)
      return response({ status: error.status, json: error.body, headers: error.headers }, request);
    const { log } = this.#options;
    log.error({ event: "request_failed", method: request.method, url: request.url, error: describeError(error) });
    const waiting = error instanceof OperationError && error.retry === "backoff";
    return response({ status: waiting ? 503 : 500, json: { message: describeError(error) } }, request);
  }
}

function contextOf(request: Request, url: URL, match: Match, clientIp: string, bodyMaxBytes: number): RouteContext {
  return {
    request,
    url,
    query: url.searchParams,
    clientIp,
    param: (name) => match.params.get(name) ?? "",
    flag: (name, otherwise = false) => {
      const value = url.searchParams.get(name);
      return value === null ? otherwise : value !== "false";
    },
    json: async () => {
      const text = await bodyText(request, bodyMaxBytes);
      if (text.trim() === "") return undefined;
      const parsed = parseJsonText(text);
      if (!parsed.ok) throw malformedJson(parsed.details);
      return parsed.value;
    },
  };
}

/** Counts what comes in: a length that is not announced, or a false one, does not get past the limit. */
async function bodyText(request: Request, maxBytes: number): Promise<string> {
  if (Number(request.headers.get("Content-Length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function response(reply: Reply, request: Request): Response {
  const headers = new Headers(reply.headers);
  const status = reply.status ?? 200;
  if (reply.json === undefined && reply.text === undefined) return new Response(null, { status, headers });
  const body = reply.text ?? JSON.stringify(reply.json);
  if (!headers.has("Content-Type"))
    headers.set("Content-Type", reply.text === undefined ? "application/json" : "text/plain;charset=UTF-8");
  const gzip = /\bgzip\b/.test(request.headers.get("Accept-Encoding") ?? "") && body.length > 1024;
  if (!gzip) return new Response(body, { status, headers });
  headers.set("Content-Encoding", "gzip");
  headers.set("Vary", "Accept-Encoding");
  return new Response(Bun.gzipSync(Buffer.from(body), { level: 1 }), { status, headers });
}
