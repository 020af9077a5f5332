/**
 * The master's HTTP server: which path goes where (reference: mesos-api 0, 1.1, 6).
 * Built on node:http because each record of a stream must be one chunk, which Bun.serve does not promise.
 * Routing is by longest known prefix, with `/master` before it or not, and a trailing slash or `.json` ignored.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { agentLinkPath } from "../../protocol/agent-link.ts";
import type { Master } from "../master.ts";
import { serveAgent } from "./agent-endpoint.ts";
import { frontPage } from "./front-page.ts";
import { acceptRefusal, contentTypeRefusal } from "./media-types.ts";
import { metricsView } from "./metrics-view.ts";
import { operatorCallAnswer } from "./operator-api.ts";
import { answer, BodyRefused, readBody } from "./request-body.ts";
import { serveScheduler } from "./scheduler-endpoint.ts";
import { frameworksView, rolesView, slavesView, stateView, summaryView, tasksView } from "./state-view.ts";
import { buildInfo } from "./version.ts";

export interface MasterServerOptions {
  readonly ip: string;
  readonly port: number;
  /** `host:port` as others reach it. */
  readonly authority: string;
  readonly flags: Readonly<Record<string, string>>;
  /** Undefined until the registry has been read. */
  readonly master: () => Master | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface MasterServer extends AsyncDisposable {
  readonly port: number;
  /** Connections open now. */
  connections(): number;
}

const operatorBodyMaxBytes = 1024 * 1024;
const connectionsMax = 20_000;

export async function serveMaster(options: MasterServerOptions): Promise<MasterServer> {
  const server = createServer((request, response) => {
    // Every failure is answered and logged inside.
    void handle(options, request, response);
  });
  let connections = 0;
  server.on("connection", (socket) => {
    connections += 1;
    socket.once("close", () => {
      connections -= 1;
    });
  });
  server.maxConnections = connectionsMax;
  server.requestTimeout = 0;
  server.keepAliveTimeout = 75_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.ip, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : options.port,
    connections: () => connections,
    [Symbol.asyncDispose]: () => close(server),
  };
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

async function handle(options: MasterServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await route(options, request, response);
  } catch (error) {
    if (error instanceof BodyRefused) return answer(response, error.status, error.message);
    options.log.error({ event: "request_failed", path: request.url, error: describeError(error) });
    if (response.headersSent) response.destroy();
    else answer(response, 500, "Internal error, see the master's log");
  }
}

/** Needs the POST method; the rest are readers, which take GET and POST alike. */
const calls: Readonly<
  Record<string, (master: Master, request: IncomingMessage, response: ServerResponse) => Promise<void>>
> = {
  "/api/v1/scheduler": serveScheduler,
  [agentLinkPath]: serveAgent,
};

type View = (master: Master, query: URLSearchParams, flags: Readonly<Record<string, string>>) => object;
const views: Readonly<Record<string, View>> = {
  "/state": (master, _query, flags) => stateView(master, flags),
  "/state-summary": (master) => summaryView(master),
  "/slaves": (master, query) => slavesView(master, query.get("slave_id") ?? undefined),
  "/frameworks": (master, query) => frameworksView(master, query.get("framework_id") ?? undefined),
  "/roles": (master) => rolesView(master),
  "/tasks": (master, query) =>
    tasksView(master, {
      limit: wholeNumber(query.get("limit"), 100),
      offset: wholeNumber(query.get("offset"), 0),
      order: query.get("order") === "asc" ? "asc" : "des",
      frameworkId: query.get("framework_id") ?? undefined,
      taskId: query.get("task_id") ?? undefined,
    }),
  "/metrics/snapshot": (master) => metricsView(master, master.context.clock),
};

async function route(options: MasterServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://master");
  const path = knownPath(url.pathname);
  const isPost = request.method === "POST";
  switch (path) {
    case "/health":
      return answer(response, 200, "");
    case "/version":
      return answerJson(response, buildInfo, url);
    case "/flags":
      return answerJson(response, { flags: options.flags }, url);
    case "/redirect":
      return answer(response, 307, "", { Location: `//${options.authority}` });
    case undefined:
      return answer(response, 404, `No endpoint ${url.pathname}`);
  }
  const call = Object.hasOwn(calls, path) ? calls[path] : undefined;
  if ((call !== undefined || path === "/api/v1" || path === "/teardown") && !isPost) {
    return answer(response, 405, `Expecting one of { 'POST' }, but received '${request.method}'`, { Allow: "POST" });
  }
  const master = options.master();
  if (master === undefined) return answer(response, 503, "Master has not finished recovery");
  if (call !== undefined) return await call(master, request, response);
  if (path === "/api/v1") return await serveOperator(options, master, request, response);
  if (path === "/teardown") return await serveTeardown(options, master, request, response);
  if (path === "/") return answer(response, 200, frontPage(master), { "Content-Type": "text/html; charset=utf-8" });
  const view = Object.hasOwn(views, path) ? views[path] : undefined;
  if (view === undefined) return answer(response, 404, `No endpoint ${url.pathname}`);
  answerJson(response, view(master, url.searchParams, options.flags), url);
}

const knownPaths: readonly string[] = [
  ...Object.keys(calls),
  ...Object.keys(views),
  ...["/api/v1", "/health", "/version", "/flags", "/redirect", "/teardown"],
].sort((a, b) => b.length - a.length);

function knownPath(pathname: string): string | undefined {
  const plain = pathname.replace(/^\/master(?=\/|$)/, "").replace(/\.json$/, "");
  if (plain === "" || plain === "/" || plain === "/index.html") return "/";
  const found = knownPaths.find((path) => plain === path || plain.startsWith(`${path}/`));
  // Longer paths below /redirect do not exist (reference: mesos-api 6.4).
  return found === "/redirect" && !/^\/redirect\/?$/.test(plain) ? undefined : found;
}

async function serveOperator(
  { flags, clock }: MasterServerOptions,
  master: Master,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = contentTypeRefusal(request.headers["content-type"]) ?? acceptRefusal(request.headers.accept);
  if (refusal !== undefined) return answer(response, refusal.status, refusal.text);
  const outcome = operatorCallAnswer(master, await readBody(request, clock, operatorBodyMaxBytes), flags);
  answer(response, outcome.status, outcome.text, outcome.json ? { "Content-Type": "application/json" } : {});
}

async function serveTeardown(
  { clock }: MasterServerOptions,
  master: Master,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams(await readBody(request, clock, operatorBodyMaxBytes));
  const id = form.get("frameworkId");
  if (id === null) return answer(response, 400, "Missing 'frameworkId' query parameter in the request body");
  const framework = master.context.cluster.frameworks.get(id);
  if (framework === undefined) return answer(response, 400, "No framework found with specified ID");
  master.frameworks.remove(framework, "teardown by an operator");
  answer(response, 200, "");
}

/** `?jsonp=f` wraps the answer, for pages that still do so. */
function answerJson(response: ServerResponse, value: object, url: URL): void {
  const json = JSON.stringify(value);
  const callback = url.searchParams.get("jsonp");
  if (callback === null) answer(response, 200, json, { "Content-Type": "application/json" });
  else if (!/^[A-Za-z_$][\w$.]*$/.test(callback)) answer(response, 400, "'jsonp' is not a function name");
  else answer(response, 200, `${callback}(${json});`, { "Content-Type": "text/javascript" });
}

function wholeNumber(text: string | null, absent: number): number {
  return text !== null && /^[0-9]{1,9}$/.test(text) ? Number(text) : absent;
}
