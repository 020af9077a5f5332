/** A master behind its real HTTP server on a free port of this machine, and a raw connection that shows chunks. */

import { connect, type Socket } from "node:net";
import { systemClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { openSqliteStore } from "../../../store/sqlite-store.ts";
import { parseMasterFlags } from "../flags.ts";
import { serveMaster } from "../http/master-server.ts";
import { Master } from "../master.ts";

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly master: Master;
  connections(): number;
}

export async function startTestServer(words: readonly string[] = []): Promise<TestServer> {
  const clock = systemClock;
  const log = silentLog;
  const store = await openSqliteStore({ path: ":memory:", clock });
  const flags = parseMasterFlags(["--work_dir=unused", "--port=0", ...words], {});
  const info = { ip: 0, port: 5050, pid: "master@127.0.0.1:5050", hostname: "127.0.0.1" };
  const master = await Master.start({ clock, log, store, settings: flags.settings, info });
  const authority = "127.0.0.1:5050";
  const server = await serveMaster({
    ip: "127.0.0.1",
    port: 0,
    authority,
    flags: flags.shown,
    master: () => master,
    clock,
    log,
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port,
    master,
    connections: () => server.connections(),
    async [Symbol.asyncDispose]() {
      await master[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

export function postJson(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    redirect: "manual",
    ...(signal === undefined ? {} : { signal }),
  });
}

/** What one connection received, byte for byte. */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  ended = false;

  constructor(port: number, request: string | readonly string[]) {
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.on("data", (data) => {
      this.#received = Buffer.concat([this.#received, Buffer.from(data as Uint8Array)]);
    });
    this.#socket.on("close", () => {
      this.ended = true;
    });
    this.#socket.on("error", () => {
      this.ended = true;
    });
    for (const part of typeof request === "string" ? [request] : request) this.#socket.write(part);
  }

  get text(): string {
    return this.#received.toString("utf8");
  }

  get head(): string {
    return this.text.split("\r\n\r\n", 1)[0] ?? "";
  }

  /** Payloads of the chunks of a chunked body, each as it was framed. */
  chunks(): string[] {
    const start = this.#received.indexOf("\r\n\r\n") + 4;
    const chunks: string[] = [];
    for (let position = start; position < this.#received.length; ) {
      const lineEnd = this.#received.indexOf("\r\n", position);
      if (lineEnd < 0) break;
      const length = Number.parseInt(this.#received.subarray(position, lineEnd).toString(), 16);
      const bodyEnd = lineEnd + 2 + length;
      if (bodyEnd + 2 > this.#received.length) break;
      chunks.push(this.#received.subarray(lineEnd + 2, bodyEnd).toString("utf8"));
      position = bodyEnd + 2;
    }
    return chunks;
  }

  pause(): void {
    this.#socket.pause();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** Asks until it holds; throws after the deadline. */
export async function until(what: string, holds: () => boolean, deadlineMs = 5_000): Promise<void> {
  const end = systemClock.monotonicMs() + deadlineMs;
  while (!holds()) {
    if (systemClock.monotonicMs() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await systemClock.sleep(2);
  }
}
