/**
 * A stream of events over an open HTTP response: one event, one record, one chunk, sent at once (reference: mesos-api 1.2).
 * What the other side does not read is held up to a limit; beyond it the connection is broken off, because a party that
 * has missed events must subscribe again anyway.
 */

import type { ServerResponse } from "node:http";
import type { Clock } from "../../../base/clock.ts";
import type { Log } from "../../../base/log.ts";
import { encodeRecord } from "../../protocol/recordio.ts";
import type { EventStream } from "../event-stream.ts";

export const unreadMaxBytesDefault = 32 * 1024 * 1024;
const endTimeoutMs = 10_000;

export interface RecordStreamOptions<Event> {
  readonly id: string;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  readonly encode: (event: Event) => string;
  readonly clock: Clock;
  readonly log: Log;
  /** The connection is gone, or was already; never called from within the constructor, send or close. */
  readonly onEnd: () => void;
  readonly unreadMaxBytes?: number;
}

export class RecordStream<Event> implements EventStream<Event> {
  readonly id: string;
  readonly #options: RecordStreamOptions<Event>;
  #open = true;

  constructor(options: RecordStreamOptions<Event>) {
    this.id = options.id;
    this.#options = options;
    const { response } = options;
    // Whoever left before the answer began must be noticed as much as who leaves later.
    if (response.destroyed || response.socket?.destroyed) queueMicrotask(() => this.#end());
    else response.once("close", () => this.#end());
    // A peer that is gone without a word is noticed by TCP; heartbeats alone would only fill buffers.
    response.socket?.setKeepAlive(true, 30_000);
    response.socket?.setNoDelay(true);
    response.writeHead(200, { "Content-Type": "application/json", ...options.headers });
    response.flushHeaders();
  }

  #end(): void {
    this.#open = false;
    this.#options.onEnd();
  }

  send(event: Event): void {
    const { response, log, encode } = this.#options;
    if (!this.#open) return;
    response.write(encodeRecord(encode(event)));
    if (response.writableLength <= (this.#options.unreadMaxBytes ?? unreadMaxBytesDefault)) return;
    log.warn({ event: "stream_unread", streamId: this.id, unreadBytes: response.writableLength });
    this.#open = false;
    response.destroy();
  }

  close(): void {
    const { response, clock } = this.#options;
    if (!this.#open) return;
    this.#open = false;
    const timer = clock.timer(endTimeoutMs, () => response.destroy());
    response.once("close", () => timer[Symbol.dispose]());
    response.end();
  }
}
