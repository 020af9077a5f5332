/**
 * The node's HTTP servers: /liveness, /readiness and /metrics where Felix has its health (port 9099), and /metrics alone where
 * Felix has its metrics, if they are switched on (port 9091).
 */
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { AgentSettings } from "./agent-settings.ts";
import type { HealthBoard } from "./health-board.ts";
import { HttpPort } from "./http-port.ts";
import type { NodeMetrics } from "./node-metrics.ts";

export class NodeServers implements AsyncDisposable {
  readonly health: HttpPort;
  readonly metrics: HttpPort;
  readonly #log: Log;

  constructor({
    board,
    metrics,
    log,
  }: { readonly board: HealthBoard; readonly metrics: NodeMetrics; readonly log: Log }) {
    this.#log = log;
    const metricsPage = async () =>
      new Response(await metrics.page(), { headers: { "content-type": metrics.contentType } });
    this.health = new HttpPort("health", async (path) => {
      switch (path) {
        case "/liveness":
          return answer(board.summary().live, board);
        case "/readiness":
          return answer(board.summary().ready, board);
        case "/metrics":
          return await metricsPage();
        default:
          return notFound("/liveness, /readiness and /metrics are here");
      }
    });
    this.metrics = new HttpPort("metrics", async (path) =>
      path === "/metrics" ? await metricsPage() : notFound("/metrics is here"),
    );
  }

  /** @throws NODE_PORT_TAKEN */
  async start(settings: AgentSettings): Promise<void> {
    await this.health.moveTo(settings.health);
    await this.metrics.moveTo(settings.metrics);
  }

  /** As start(), and a port that cannot be had is only said: what is enforced does not hang on it. */
  async follow(settings: AgentSettings): Promise<void> {
    for (const [port, address] of [
      [this.health, settings.health],
      [this.metrics, settings.metrics],
    ] as const) {
      try {
        await port.moveTo(address);
      } catch (error) {
        this.#log.warn({ event: "node_port_not_moved", error: describeError(error) });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.health[Symbol.asyncDispose]();
    await this.metrics[Symbol.asyncDispose]();
  }
}

function answer(good: boolean, board: HealthBoard): Response {
  return new Response(board.summary().table, { status: good ? 200 : 503, headers: { "content-type": "text/plain" } });
}

function notFound(what: string): Response {
  return new Response(`not found: ${what}\n`, { status: 404 });
}
