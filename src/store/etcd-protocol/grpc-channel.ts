/**
 * One HTTP/2 connection to one gRPC server, with TLS or without, on node:http2. It is made once and never repaired:
 * whoever holds it makes a new one when `closed` says so.
 *
 * A peer that vanished without a word is noticed by pings while a stream is open, and by the deadline of a call: both
 * end the connection. (etcd allows a ping each 5 s while a stream is open, and none otherwise.)
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants as http2 } from "node:http2";
import type { Clock } from "../../base/clock.ts";
import { EtcdError, errorFromStatus, grpcStatus, staleTokenText, unavailable } from "../etcd-error.ts";
import type { Method } from "./etcd-api.ts";
import { decodeStatusMessage, FrameReader, frame } from "./grpc-frames.ts";

export interface StreamListener<Response> {
  readonly onMessage: (message: Response) => void;
  /** Called once, whatever the end: undefined if the server ended the stream in good order. */
  readonly onEnd: (error: EtcdError | undefined) => void;
}

export interface ClientStream<Request> {
  send(request: Request): void;
  cancel(): void;
}

/** What is shown to the server, and what its certificate is checked with; PEM texts. */
export interface TlsSettings {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const pingEveryMs = 10_000;
const pingTimeoutMs = 5_000;
const windowBytes = 8 * 1024 * 1024;
/** A page of the largest values etcd takes would not fit; one of Margay's is some megabytes. */
const responseMaxBytes = 512 * 1024 * 1024;

export class GrpcChannel {
  readonly endpoint: string;
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  #openStreams = 0;
  #ping: Disposable | undefined;
  #closedBy: EtcdError | undefined;
  readonly #onClosed: (() => void)[] = [];
  #token: string | undefined;

  /** Connects; rejects with STORE_UNAVAILABLE. */
  static open(endpoint: string, clock: Clock, timeoutMs: number, tls: TlsSettings = {}): Promise<GrpcChannel> {
    return new Promise((resolve, reject) => {
      const settings = { initialWindowSize: windowBytes, enablePush: false };
      const session = connect(endpoint, { settings, ...tls });
      let timer: Disposable | undefined;
      const fail = (cause: unknown) => {
        timer?.[Symbol.dispose]();
        session.removeListener("connect", onConnect);
        session.destroy();
        reject(unavailable(`cannot connect to ${endpoint}`, cause));
      };
      timer = clock.timer(timeoutMs, () => fail(new Error(`no connection within ${timeoutMs} ms`)));
      const onConnect = () => {
        timer?.[Symbol.dispose]();
        session.removeListener("error", fail);
        session.setLocalWindowSize(windowBytes);
        resolve(new GrpcChannel(endpoint, session, clock));
      };
      session.once("error", fail);
      session.once("connect", onConnect);
    });
  }

  private constructor(endpoint: string, session: ClientHttp2Session, clock: Clock) {
    this.endpoint = endpoint;
    this.#session = session;
    this.#clock = clock;
    session.on("error", (error) => this.close(error));
    session.on("goaway", () => this.close(new Error("the server said goodbye")));
    session.on("close", () => this.close());
  }

  get closed(): boolean {
    return this.#closedBy !== undefined;
  }

  /** Goes with every call from now on: what the server's Authenticate has answered. */
  presentToken(token: string): void {
    this.#token = token;
  }

  onClosed(listener: () => void): void {
    if (this.closed) listener();
    else this.#onClosed.push(listener);
  }

  /** Ends the connection and everything on it. */
  close(cause?: unknown): void {
    if (this.#closedBy !== undefined) return;
    this.#closedBy = unavailable(`connection to ${this.endpoint} lost`, cause);
    this.#ping?.[Symbol.dispose]();
    this.#session.destroy();
    for (const listener of this.#onClosed.splice(0)) listener();
  }

  /** One message there, one back. Rejects with EtcdError, or with the signal's reason. */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      let answer: Response | undefined;
      const { timeoutMs, signal } = options;
      const finish = () => {
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", onAbort);
      };
      const timer = this.#clock.timer(timeoutMs, () => {
        finish();
        const error = unavailable(`${method.name} on ${this.endpoint}: no answer within ${Math.round(timeoutMs)} ms`);
        reject(error);
        this.close(error);
      });
      const onAbort = () => {
        finish();
        stream.cancel();
        reject(signal?.reason);
      };
      const stream = this.stream(method, {
        onMessage: (message) => {
          answer = message;
        },
        onEnd: (error) => {
          finish();
          if (error !== undefined) reject(error);
          else if (answer === undefined) reject(unavailable(`${method.name} on ${this.endpoint}: no answer`));
          else resolve(answer);
        },
      });
      signal?.addEventListener("abort", onAbort, { once: true });
      stream.end(method.request.make(request));
    });
  }

  /** A call whose sides both stream. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    listener: StreamListener<Response>,
  ): ClientStream<Request> & { end(last: Request): void } {
    const where = `${method.name} on ${this.endpoint}`;
    const encode = (message: Request) => frame(method.request.encode(message));
    let stream: ClientHttp2Stream | undefined;
    try {
      if (this.#closedBy !== undefined) throw this.#closedBy;
      stream = this.#session.request({
        ":method": "POST",
        ":path": method.path,
        "content-type": "application/grpc",
        te: "trailers",
        ...(this.#token === undefined ? {} : { token: this.#token }),
      });
    } catch (cause) {
      const error = unavailable(`connection to ${this.endpoint} lost`, cause);
      this.close(error);
      queueMicrotask(() => listener.onEnd(error));
    }
    const opened = stream;
    if (opened === undefined) return { send: () => undefined, cancel: () => undefined, end: () => undefined };
    const cancel = () => {
      ended = true;
      if (!opened.closed) opened.close(http2.NGHTTP2_CANCEL);
    };
    let ended = false;
    const end = (error: EtcdError | undefined) => {
      if (ended) return;
      ended = true;
      listener.onEnd(error);
    };
    this.#follow(
      opened,
      where,
      (bytes) => {
        if (!ended) listener.onMessage(method.response.decode(bytes));
      },
      end,
    );
    return {
      send: (message) => void opened.write(encode(message)),
      end: (message) => void opened.end(encode(message)),
      cancel,
    };
  }

  #follow(
    stream: ClientHttp2Stream,
    where: string,
    onMessage: (bytes: Buffer) => void,
    onEnd: (error: EtcdError | undefined) => void,
  ): void {
    const reader = new FrameReader(responseMaxBytes);
    let status: EtcdError | "ok" | undefined;
    const readStatus = (headers: Record<string, unknown>) => {
      const code = headers["grpc-status"];
      if (code === undefined) return;
      const number = Number(code);
      const message = decodeStatusMessage(String(headers["grpc-message"] ?? ""));
      status = number === grpcStatus.ok ? "ok" : errorFromStatus(number, message, where);
    };
    this.#countStream(1);
    stream.on("response", (headers) => {
      readStatus(headers);
      const httpStatus = Number(headers[":status"]);
      if (status === undefined && httpStatus !== 200) status = unavailable(`${where}: HTTP status ${httpStatus}`);
    });
    stream.on("trailers", (headers) => readStatus(headers));
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const bytes of reader.push(chunk)) onMessage(bytes);
      } catch (cause) {
        status = cause instanceof EtcdError ? cause : unavailable(`${where}: an answer that cannot be read`, cause);
        stream.close(http2.NGHTTP2_CANCEL);
      }
    });
    let failure: unknown;
    stream.on("error", (error) => {
      failure = error;
    });
    stream.on("close", () => {
      this.#countStream(-1);
      // The token has run out: the next connection gets a new one.
      if (status instanceof EtcdError && status.message === staleTokenText) this.close(status);
      if (status === "ok") onEnd(undefined);
      else onEnd(status ?? this.#closedBy ?? unavailable(`${where}: the call was cut off`, failure));
    });
  }

  #countStream(change: 1 | -1): void {
    this.#openStreams += change;
    if (this.#ping === undefined && this.#openStreams > 0) this.#schedulePing();
  }

  #schedulePing(): void {
    if (this.closed) return;
    this.#ping = this.#clock.timer(pingEveryMs, () => {
      this.#ping = undefined;
      if (this.#openStreams === 0 || this.closed) return;
      this.#ping = this.#clock.timer(pingTimeoutMs, () =>
        this.close(new Error(`no answer to a ping within ${pingTimeoutMs} ms`)),
      );
      this.#session.ping(() => {
        this.#ping?.[Symbol.dispose]();
        this.#ping = undefined;
        if (this.#openStreams > 0) this.#schedulePing();
      });
    });
  }
}
