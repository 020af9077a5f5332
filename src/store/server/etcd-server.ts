/**
 * The embedded store as a server: the engine behind etcd's v3 gRPC protocol, and /health, /version and /metrics over
 * plain HTTP/1.1 on the same port.
 */
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Engine } from "../engine/engine.ts";
import { ResponseHeader } from "../etcd-protocol/etcd-api.ts";
import { GrpcServer, type HttpAnswer } from "../etcd-protocol/grpc-server.ts";
import { requestMaxBytes, serveKv } from "./kv-service.ts";
import { serveLease } from "./lease-service.ts";
import { protocolVersion, serveMaintenance, whyUnknown } from "./maintenance-service.ts";
import { serveWatch } from "./watch-service.ts";
import type { HeaderOf } from "./wire.ts";

export interface EtcdServerOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** Where to listen; port 0: any. */
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  /** What `etcdctl member list` shows; default: where it listens. */
  readonly clientUrls?: readonly string[];
}

/** As etcd: a message may be this much larger than the largest request, so that the refusal is a clear one. */
const messageOverheadBytes = 512 * 1024;

export class EtcdServer implements AsyncDisposable {
  readonly #server: GrpcServer;
  /** URLs that are listened on. */
  readonly urls: readonly string[];

  static async start(options: EtcdServerOptions): Promise<EtcdServer> {
    const { engine, log } = options;
    const server = new GrpcServer({
      clock: options.clock,
      log,
      messageMaxBytes: requestMaxBytes + messageOverheadBytes,
      onHttpGet: (path) => answerHttp(engine, path),
      whyUnknown,
    });
    const clusterId = BigInt(engine.clusterId);
    const memberId = clusterId ^ 0x6d617267n;
    const header: HeaderOf = (revision) =>
      ResponseHeader.make({
        clusterId,
        memberId,
        revision: BigInt(revision),
        raftTerm: BigInt(engine.term),
      });
    const clientUrls: string[] = [...(options.clientUrls ?? [])];
    serveKv(server, engine, header);
    serveWatch(server, engine, header, options.clock);
    serveLease(server, engine, header);
    serveMaintenance(server, engine, header, { id: memberId, name: "margay", clientUrls });
    const urls: string[] = [];
    try {
      for (const { host, port } of options.listen) {
        const bound = await server.listen(host, port);
        urls.push(`http://${host.includes(":") ? `[${host}]` : host}:${bound.port}`);
      }
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    if (clientUrls.length === 0) clientUrls.push(...urls);
    return new EtcdServer(server, urls);
  }

  private constructor(server: GrpcServer, urls: readonly string[]) {
    this.#server = server;
    this.urls = urls;
  }

  /** Stops listening and cuts all connections; the engine stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

function answerHttp(engine: Engine, path: string): HttpAnswer | undefined {
  const contentType = "application/json";
  if (path === "/health") {
    const healthy = engine.healthy;
    return { status: healthy ? 200 : 503, contentType, body: `{"health":"${healthy}"}` };
  }
  if (path === "/version") {
    return { status: 200, contentType, body: JSON.stringify({ etcdserver: protocolVersion, etcdcluster: "3.4.0" }) };
  }
  if (path === "/metrics") return { status: 200, contentType: "text/plain; version=0.0.4", body: metricsOf(engine) };
  return undefined;
}

/** The few that exist under etcd's names. */
function metricsOf(engine: Engine): string {
  const seen = engine.status();
  const gauges: readonly [name: string, help: string, value: number][] = [
    ["etcd_debugging_mvcc_current_revision", "The current revision of store.", seen.revision],
    ["etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", seen.compactRevision],
    ["etcd_debugging_mvcc_watcher_total", "Total number of watchers.", engine.watcherCount],
    [
      "etcd_mvcc_db_total_size_in_bytes",
      "Total size of the underlying database physically allocated in bytes.",
      seen.sizeBytes,
    ],
    [
      "etcd_mvcc_db_total_size_in_use_in_bytes",
      "Total size of the underlying database logically in use in bytes.",
      seen.sizeInUseBytes,
    ],
    ["etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", 1],
  ];
  return gauges
    .map(([name, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`)
    .join("");
}
