/** /liveness, /readiness and /metrics on 127.0.0.1, where Felix has them (port 9099). */
import type { Registry } from "prom-client";
import { OperationError } from "../base/errors.ts";
import type { HealthBoard } from "./health-board.ts";

export interface HealthServerOptions {
  readonly port: number;
  readonly board: HealthBoard;
  readonly metrics: Registry;
}

export class HealthServer implements AsyncDisposable {
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(server: ReturnType<typeof Bun.serve>) {
    this.#server = server;
  }

  static listen(options: HealthServerOptions): HealthServer {
    const { port, board, metrics } = options;
    try {
      return new HealthServer(
        Bun.serve({
          hostname: "127.0.0.1",
          port,
          async fetch(request) {
            switch (new URL(request.url).pathname) {
              case "/liveness":
                return answer(board.summary().live, board);
              case "/readiness":
                return answer(board.summary().ready, board);
              case "/metrics":
                return new Response(await metrics.metrics(), { headers: { "content-type": metrics.contentType } });
              default:
                return new Response("not found: /liveness, /readiness and /metrics are here\n", { status: 404 });
            }
          },
        }),
      );
    } catch (cause) {
      throw new OperationError("NODE_HEALTH_PORT", `cannot listen on 127.0.0.1:${port}`, {
        remedy: "choose another port with --health-port",
        cause,
      });
    }
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

function answer(good: boolean, board: HealthBoard): Response {
  return new Response(board.summary().table, { status: good ? 200 : 503, headers: { "content-type": "text/plain" } });
}
