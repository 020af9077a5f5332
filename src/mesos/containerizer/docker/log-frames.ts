/**
 * Docker's log stream with `timestamps=1`, entry by entry. One frame is one entry of the log driver: a time with nine
 * digits, a space, and the entry's bytes; so frame borders must be kept, and a TTY's raw stream is cut at line ends
 * instead. Source: reference/docker.md 5.5; moby:api/server/httputils/write_log_stream.go.
 */

import { EngineError } from "../../../plugins/docker/engine/engine-error.ts";

const headerBytes = 8;
/** Log drivers cut entries at 16 KiB; plug-in drivers may send more. */
const entryMaxBytes = 4 * 1024 * 1024;
const space = 0x20;
const lineFeed = 0x0a;

export interface LogEntry {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
}

export async function* logEntries(body: AsyncIterable<Uint8Array>, tty: boolean): AsyncGenerator<readonly LogEntry[]> {
  const splitter = tty ? new LineSplitter() : new FrameSplitter();
  for await (const chunk of body) {
    const entries = splitter.push(chunk);
    if (entries.length > 0) yield entries;
  }
  const rest = splitter.end();
  if (rest.length > 0) yield rest;
}

class FrameSplitter {
  #pending: Uint8Array = new Uint8Array();

  push(chunk: Uint8Array): LogEntry[] {
    let bytes = join(this.#pending, chunk);
    const entries: LogEntry[] = [];
    while (bytes.length >= headerBytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
      const length = view.getUint32(4);
      if (length > entryMaxBytes) throw broken(`Docker sent a log entry of ${length} bytes`);
      if (bytes.length < headerBytes + length) break;
      const payload = bytes.slice(headerBytes, headerBytes + length);
      entries.push(entryOf(view.getUint8(0) === 2 ? "stderr" : "stdout", payload));
      bytes = bytes.subarray(headerBytes + length);
    }
    this.#pending = bytes.slice(); // a copy: the transport may reuse its buffer
    return entries;
  }

  /** A frame cut off by the end of the connection comes again with the next one. */
  end(): LogEntry[] {
    return [];
  }
}

class LineSplitter {
  #pending: Uint8Array = new Uint8Array();

  push(chunk: Uint8Array): LogEntry[] {
    let bytes = join(this.#pending, chunk);
    const entries: LogEntry[] = [];
    for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed)) {
      entries.push(entryOf("stdout", bytes.slice(0, end + 1)));
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > entryMaxBytes) throw broken("Docker sent a log line without end");
    this.#pending = bytes.slice(); // a copy: the transport may reuse its buffer
    return entries;
  }

  end(): LogEntry[] {
    return this.#pending.length === 0 ? [] : [entryOf("stdout", this.#pending)];
  }
}

function entryOf(stream: LogEntry["stream"], payload: Uint8Array): LogEntry {
  const end = payload.indexOf(space);
  const timeNs = end < 0 ? undefined : parseTimeNs(new TextDecoder().decode(payload.subarray(0, end)));
  if (timeNs === undefined) throw broken("Docker sent a log entry without a time");
  return { stream, timeNs, bytes: payload.subarray(end + 1) };
}

/** RFC 3339 with up to nine digits of a second. Undefined when it is none. */
export function parseTimeNs(text: string): bigint | undefined {
  const found = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (found === null) return undefined;
  const ms = Date.parse(`${found[1]}${found[3]}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((found[2] ?? "").padEnd(9, "0"));
}

/** As the `since` option wants it: seconds, dot, nanoseconds. */
export function sinceText(timeNs: bigint): string {
  const text = timeNs.toString().padStart(10, "0");
  return `${text.slice(0, -9)}.${text.slice(-9)}`;
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function broken(problem: string): EngineError {
  return new EngineError("DOCKER_PROTOCOL", 200, problem);
}
