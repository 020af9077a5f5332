/**
 * Connections into a virtual host's network from outside of it: the machine's ports that lead to host1's, and the
 * probes of its services. A socket belongs to the namespace it was made in (network_namespaces(7)), so it is made
 * inside, in one synchronous step, and used from here.
 */

import { OperationError } from "../base/errors.ts";
import { inNetworkOf } from "./host-namespaces.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

const answerMaxBytes = 4 * 1024 * 1024;

/** GET over HTTP/1.0 from inside the host's network; enough for health and state. */
export function httpGetOnHost(
  hostPid: number,
  address: string,
  port: number,
  path: string,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
      if (status === undefined) return reject(new OperationError("LAB_NO_ANSWER", `no HTTP answer from port ${port}`));
      const at = text.indexOf("\r\n\r\n");
      return resolve({ status: Number(status), body: at < 0 ? "" : text.slice(at + 4) });
    };
    if (signal.aborted) return reject(signal.reason);
    const connecting = inNetworkOf(hostPid, () =>
      Bun.connect({
        hostname: address,
        port,
        socket: {
          open(socket) {
            signal.addEventListener("abort", () => socket.terminate(), { once: true });
            socket.write(`GET ${path} HTTP/1.0\r\nHost: ${address}:${port}\r\nAccept: application/json\r\n\r\n`);
          },
          data(socket, data) {
            chunks.push(Buffer.from(data));
            size += data.length;
            if (size > answerMaxBytes) socket.terminate();
          },
          close: finish,
          error: (_socket, error) => reject(error),
          connectError: (_socket, error) => reject(error),
        },
      }),
    );
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    connecting.catch(reject);
  });
}

/** Resolves when something accepts a connection there. */
export async function connectOnHost(hostPid: number, address: string, port: number): Promise<void> {
  const socket = await inNetworkOf(hostPid, () =>
    Bun.connect({ hostname: address, port, socket: { data() {}, error() {}, connectError() {} } }),
  );
  socket.end();
}

export interface Forward extends Disposable {
  readonly port: number;
}

export interface ForwardOptions {
  readonly hostPid: number;
  readonly address: string;
  readonly port: number;
  readonly toAddress: string;
  readonly toPort: number;
}

/** Throws EADDRINUSE when the machine's port is taken. */
export function forwardPort(options: ForwardOptions): Forward {
  const listener = Bun.listen<ForwardedConnection>({
    hostname: options.address,
    port: options.port,
    exclusive: true,
    allowHalfOpen: true,
    socket: {
      open(client) {
        client.data = new ForwardedConnection(client, options);
      },
      data: (client, data) => client.data.toHost(data),
      drain: (client) => client.data.clientDrained(),
      end: (client) => client.data.clientEnded(),
      close: (client) => client.data.close(),
      error: (client) => client.data.close(),
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** One connection of a forwarded port: both ways, with back-pressure and half-close. */
class ForwardedConnection {
  readonly #client: Bun.Socket<ForwardedConnection>;
  readonly #toClient: Outlet;
  #toServer: Outlet | undefined;
  #server: Bun.Socket<undefined> | undefined;
  #clientEnded = false;
  #closed = false;

  constructor(client: Bun.Socket<ForwardedConnection>, { hostPid, toAddress, toPort }: ForwardOptions) {
    this.#client = client;
    this.#toClient = new Outlet(
      client,
      () => this.#server,
      () => this.#closeWhenBothEnded(),
    );
    // Nothing is read before there is somewhere to put it.
    client.pause();
    const connecting = inNetworkOf(hostPid, () =>
      Bun.connect({
        hostname: toAddress,
        port: toPort,
        allowHalfOpen: true,
        socket: {
          data: (_server, data) => this.#toClient.write(data),
          drain: () => this.#toServer?.drained(),
          end: () => this.#toClient.end(),
          close: () => this.#serverClosed(),
          error: () => this.close(),
          connectError: () => this.close(),
        },
      }),
    );
    connecting.then(
      (server) => this.#connected(server),
      () => this.close(),
    );
  }

  toHost(data: Uint8Array): void {
    this.#toServer?.write(data);
  }

  clientDrained(): void {
    this.#toClient.drained();
  }

  clientEnded(): void {
    this.#clientEnded = true;
    this.#toServer?.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server?.terminate();
    this.#client.terminate();
  }

  #connected(server: Bun.Socket<undefined>): void {
    if (this.#closed) {
      server.terminate();
      return;
    }
    this.#server = server;
    this.#toServer = new Outlet(
      server,
      () => this.#client,
      () => this.#closeWhenBothEnded(),
    );
    this.#client.resume();
    if (this.#clientEnded) this.#toServer.end();
  }

  /** What is still on its way to the client gets there; a reset by the host is not told from an end. */
  #serverClosed(): void {
    this.#server = undefined;
    this.#toServer = undefined;
    this.#toClient.endThenClose();
  }

  #closeWhenBothEnded(): void {
    if (!this.#toClient.ended || this.#toServer?.ended === false || this.#closed) return;
    this.#closed = true;
    this.#server?.end();
    this.#client.end();
  }
}

type OutletSocket = Pick<Bun.Socket<unknown>, "write" | "shutdown" | "end">;
type SourceSocket = Pick<Bun.Socket<unknown>, "pause" | "resume">;

/** The writing end of a socket: keeps what the kernel does not take yet, and stops the source meanwhile. */
class Outlet {
  readonly #socket: OutletSocket;
  readonly #source: () => SourceSocket | undefined;
  readonly #onEnded: () => void;
  #waiting: Uint8Array[] = [];
  #ending: "not" | "half" | "whole" = "not";
  ended = false;

  constructor(socket: OutletSocket, source: () => SourceSocket | undefined, onEnded: () => void) {
    this.#socket = socket;
    this.#source = source;
    this.#onEnded = onEnded;
  }

  write(data: Uint8Array): void {
    if (this.#waiting.length > 0) {
      this.#waiting.push(Uint8Array.from(data));
      return;
    }
    const written = Math.max(0, this.#socket.write(data));
    if (written === data.length) return;
    this.#waiting.push(Uint8Array.from(data.subarray(written)));
    this.#source()?.pause();
  }

  drained(): void {
    for (let data = this.#waiting.shift(); data !== undefined; data = this.#waiting.shift()) {
      const written = Math.max(0, this.#socket.write(data));
      if (written < data.length) {
        this.#waiting.unshift(data.subarray(written));
        return;
      }
    }
    this.#source()?.resume();
    this.#endIfDue();
  }

  /** Sends an end after what waits; the other direction stays open. */
  end(): void {
    if (this.#ending === "not") this.#ending = "half";
    this.#endIfDue();
  }

  endThenClose(): void {
    this.#ending = "whole";
    this.#endIfDue();
  }

  #endIfDue(): void {
    if (this.#waiting.length > 0 || this.#ending === "not") return;
    if (this.#ending === "whole") this.#socket.end();
    else if (!this.ended) this.#socket.shutdown();
    if (this.ended) return;
    this.ended = true;
    this.#onEnded();
  }
}
