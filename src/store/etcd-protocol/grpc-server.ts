/**
 * A gRPC server on node:http2 without TLS, with HTTP/1.1 beside it on the same port for health checks, as etcd has it.
 *
 * Measured under Bun 1.4.5 on two cores, one client, small puts: straight on node:http2 8,600 calls a second one after
 * the other (0.10 ms) and 22,000 with 32 at once; through @connectrpc/connect-node 3,500 and 5,400; etcd itself 2,300 and
 * 11,700 with its disk. So the few lines of gRPC are here.
 *
 * Bounded: message size, streams per connection, connections; a peer that does not read stops being written to.
 */
import {
  createServer,
  type Http2Server,
  constants as http2,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createSocketServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { EtcdError, grpcStatus, unavailable } from "../etcd-error.ts";
import type { Method } from "./etcd-api.ts";
import { encodeStatusMessage, FrameReader, frame } from "./grpc-frames.ts";
import type { MessageType } from "./protobuf.ts";
import { rewrittenSocket } from "./rewritten-socket.ts";

/** A call of which both sides are streams. */
export interface StreamCall<Request, Response> {
  /** Ends when the client has said all. */
  readonly requests: AsyncIterable<Request>;
  /** Resolves when the client's window has room again. */
  send(response: Response): Promise<void>;
  /** Aborted when the client hangs up or the server closes. */
  readonly signal: AbortSignal;
}

type Handler = (stream: ServerHttp2Stream) => void;

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface GrpcServerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly messageMaxBytes: number;
  /** Answers a plain HTTP/1.1 GET; undefined: 404. */
  readonly onHttpGet: (path: string) => HttpAnswer | undefined;
  /** Why a method is not there; undefined: just unknown. */
  readonly whyUnknown: (path: string) => string | undefined;
}

const connectionsMax = 10_000;
const streamsPerConnectionMax = 1_000;
/** A client that has connected must say something within this time. */
const firstBytesTimeoutMs = 10_000;
const keepAliveAfterMs = 30_000;
const requestsQueuedMax = 1_000;
const http2Start = Buffer.from("PRI");
const http1HeadMaxBytes = 8_192;
const contentType = "application/grpc";

export class GrpcServer implements AsyncDisposable {
  readonly #options: GrpcServerOptions;
  readonly #handlers = new Map<string, Handler>();
  readonly #http2: Http2Server;
  readonly #listeners: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #closing = new AbortController();

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#http2 = createServer({
      settings: { maxConcurrentStreams: streamsPerConnectionMax, initialWindowSize: 1024 * 1024 },
    });
    this.#http2.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      // A reset or a lost connection shows as close, which each handler listens to; unhandled it would end the process.
      stream.on("error", () => undefined);
      this.#dispatch(stream, headers);
    });
    this.#http2.on("sessionError", (error: unknown, session: ServerHttp2Session) => {
      options.log.debug({ event: "grpc-session-error", error: describeError(error) });
      session.destroy();
    });
  }

  unary<Request, Response>(
    { path, request, response }: Method<Request, Response>,
    answer: (message: Request, bytes: number) => Promise<Response>,
  ): void {
    this.#handlers.set(path, (stream) => {
      const reader = new FrameReader(this.#options.messageMaxBytes);
      let started = false;
      const fail = (error: unknown) => this.#fail(stream, path, error);
      const serve = async (bytes: Buffer) => {
        const message = parse(request, bytes);
        sendUnary(stream, frame(response.encode(await answer(message, bytes.length))));
      };
      stream.on("data", (chunk: Buffer) => {
        try {
          const [bytes] = reader.push(chunk);
          if (bytes === undefined || started) return;
          started = true;
          serve(bytes).catch(fail);
        } catch (error) {
          started = true;
          fail(error);
        }
      });
      stream.on("end", () => {
        if (!started) fail(new EtcdError(grpcStatus.internal, "grpc: no message in the request", "STORE_BAD_REQUEST"));
      });
    });
  }

  stream<Request, Response>(
    { path, request, response }: Method<Request, Response>,
    serve: (call: StreamCall<Request, Response>) => Promise<void>,
  ): void {
    this.#handlers.set(path, (stream) => {
      const hungUp = new AbortController();
      const abort = () => hungUp.abort(unavailable("the client hung up"));
      stream.on("close", abort);
      this.#closing.signal.addEventListener("abort", abort, { once: true });
      const finished = () => this.#closing.signal.removeEventListener("abort", abort);
      stream.on("close", finished);
      const requests = new RequestQueue(stream, request, this.#options.messageMaxBytes, hungUp.signal);
      respond(stream);
      // grpc-go waits for the headers before it believes in the stream.
      const send = (message: Response) => writeWithRoom(stream, frame(response.encode(message)), hungUp.signal);
      serve({ requests, send, signal: hungUp.signal }).then(
        () => endWithTrailers(stream, grpcStatus.ok, ""),
        (error: unknown) => this.#fail(stream, path, error),
      );
    });
  }

  /** Resolves with the address listened on; rejects if that is not possible. */
  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    const server = createSocketServer({ noDelay: true }, (socket) => this.#onSocket(socket));
    server.maxConnections = connectionsMax;
    this.#listeners.push(server);
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.removeListener("error", reject);
        server.on("error", (error) => this.#options.log.error({ event: "listen-error", error: describeError(error) }));
        const address = server.address();
        resolve({ host, port: typeof address === "object" && address !== null ? address.port : port });
      });
    });
  }

  /** Stops at once: clients reconnect and repeat, so there is nothing to wait for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const closed = this.#listeners.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  /** Reads until it is known what is spoken: HTTP/2 begins with "PRI * HTTP/2.0", no method of HTTP/1 with "PRI". */
  #onSocket(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#options.log.debug({ event: "socket-error", error: describeError(error) }));
    // A client whose host vanished must not keep its watchers for ever.
    socket.setKeepAlive(true, keepAliveAfterMs);
    const timer = this.#options.clock.timer(firstBytesTimeoutMs, () => socket.destroy());
    socket.on("close", () => timer[Symbol.dispose]());
    let read: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      read = read.length === 0 ? chunk : Buffer.concat([read, chunk]);
      const http2 = read.subarray(0, 3).equals(http2Start.subarray(0, Math.min(3, read.length)));
      if (http2 && read.length < 3) return;
      if (!http2 && read.length < http1HeadMaxBytes && !read.includes("\r\n\r\n")) return;
      socket.removeListener("data", onData);
      timer[Symbol.dispose]();
      if (http2) this.#http2.emit("connection", rewrittenSocket(socket, read));
      else this.#answerHttp1(socket, read.toString("latin1"));
    };
    socket.on("data", onData);
  }

  #answerHttp1(socket: Socket, head: string): void {
    const [method, target] = head.split("\r\n", 1)[0]?.split(" ") ?? [];
    const path = target?.split("?", 1)[0] ?? "";
    const found = method === "GET" ? this.#options.onHttpGet(path) : undefined;
    const answer = found ?? { status: 404, contentType: "text/plain", body: "404 page not found\n" };
    const reason = answer.status === 200 ? "OK" : answer.status === 503 ? "Service Unavailable" : "Not Found";
    socket.end(
      `HTTP/1.1 ${answer.status} ${reason}\r\nContent-Type: ${answer.contentType}\r\n` +
        `Content-Length: ${Buffer.byteLength(answer.body)}\r\nConnection: close\r\n\r\n${answer.body}`,
    );
  }

  #dispatch(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = String(headers[":path"] ?? "");
    if (!String(headers["content-type"] ?? "").startsWith(contentType)) {
      stream.respond({ ":status": 415 }, { endStream: true });
      return;
    }
    const handler = this.#handlers.get(path);
    if (handler !== undefined) handler(stream);
    else endWithTrailers(stream, grpcStatus.unimplemented, this.#options.whyUnknown(path) ?? `unknown method ${path}`);
  }

  #fail(stream: ServerHttp2Stream, path: string, error: unknown): void {
    if (error instanceof EtcdError) {
      endWithTrailers(stream, error.status, error.message);
      return;
    }
    this.#options.log.error({ event: "request-failed", path, error: describeError(error) });
    endWithTrailers(stream, grpcStatus.internal, `margay store: ${describeError(error)}`);
  }
}

/** The client's messages, one at a time; a client that sends faster than they are served is held back. */
class RequestQueue<Request> implements AsyncIterable<Request> {
  readonly #queue: Request[] = [];
  readonly #stream: ServerHttp2Stream;
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, request: MessageType<Request>, messageMaxBytes: number, hungUp: AbortSignal) {
    this.#stream = stream;
    const reader = new FrameReader(messageMaxBytes);
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const bytes of reader.push(chunk)) this.#queue.push(parse(request, bytes));
        if (this.#queue.length > requestsQueuedMax) stream.pause();
      } catch (error) {
        this.#failure = error;
      }
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    stream.on("end", end);
    hungUp.addEventListener("abort", end, { once: true });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request> {
    for (;;) {
      const request = this.#queue.shift();
      if (request !== undefined) yield request;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#ended) return;
      else {
        if (this.#stream.isPaused()) this.#stream.resume();
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}

function parse<Message>(type: MessageType<Message>, bytes: Uint8Array): Message {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new EtcdError(grpcStatus.internal, "grpc: failed to unmarshal the received message", "STORE_BAD_REQUEST", {
      cause,
    });
  }
}

function respond(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ":status": 200, "content-type": contentType }, { waitForTrailers: true });
}

function sendUnary(stream: ServerHttp2Stream, framed: Buffer): void {
  if (stream.destroyed || stream.closed) return;
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  respond(stream);
  stream.end(framed);
}

function endWithTrailers(stream: ServerHttp2Stream, status: number, message: string): void {
  if (stream.destroyed || stream.closed) return;
  const trailers = { "grpc-status": String(status), "grpc-message": encodeStatusMessage(message) };
  if (!stream.headersSent) {
    stream.respond({ ":status": 200, "content-type": contentType, ...trailers }, { endStream: true });
    // The rest of a request nobody will read.
    stream.close(http2.NGHTTP2_NO_ERROR);
    return;
  }
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end();
}

function writeWithRoom(stream: ServerHttp2Stream, framed: Buffer, hungUp: AbortSignal): Promise<void> {
  if (hungUp.aborted) return Promise.reject(hungUp.reason);
  if (stream.write(framed)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onDrain = () => {
      hungUp.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = () => {
      stream.removeListener("drain", onDrain);
      reject(hungUp.reason);
    };
    stream.once("drain", onDrain);
    hungUp.addEventListener("abort", onAbort, { once: true });
  });
}
