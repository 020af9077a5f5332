/**
 * Copies a container's output from Docker's log to `stdout` and `stderr` in its sandbox, continuing where it stopped,
 * also after the agent or the daemon was killed. See log-cursor.ts for why nothing is lost or doubled.
 */

import type { FileHandle } from "node:fs/promises";
import { readFile, rename, writeFile } from "node:fs/promises";
import { Backoff } from "../../../base/backoff.ts";
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../../../plugins/docker/engine/docker-engine.ts";
import { EngineError, engineStatus } from "../../../plugins/docker/engine/engine-error.ts";
import { openForAppend } from "../sandbox-file.ts";
import { LogCursor } from "./log-cursor.ts";
import { logEntries, sinceText } from "./log-frames.ts";

const saveEveryMs = 500;

export interface LogCopy {
  readonly container: string;
  readonly tty: boolean;
  readonly sandboxDirectory: string;
  readonly cursorPath: string;
}

export class LogCopier {
  readonly #engine: DockerEngine;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(options: { readonly engine: DockerEngine; readonly clock: Clock; readonly log: Log }) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Resolves when the container has ended and everything was copied, or nothing can be. */
  async copy(copy: LogCopy, signal: AbortSignal): Promise<void> {
    const out = await openForAppend(copy.sandboxDirectory, "stdout");
    try {
      const err = await openForAppend(copy.sandboxDirectory, "stderr");
      try {
        await this.#copyTo(copy, { out, err }, signal);
      } finally {
        await err.close();
      }
    } finally {
      await out.close();
    }
  }

  async #copyTo(copy: LogCopy, files: { out: FileHandle; err: FileHandle }, signal: AbortSignal): Promise<void> {
    let cursor = await this.#openCursor(copy, files);
    const backoff = new Backoff({ clock: this.#clock, minMs: 100, maxMs: 5_000 });
    while (!signal.aborted) {
      try {
        // Asked first: what is logged before the end was seen is in the pass that follows.
        const running = (await this.#engine.containers.inspect(copy.container, { signal })).State.Running;
        const copied = await this.#pass(copy, cursor, files, { follow: running, signal });
        if (!running) return;
        if (copied > 0) backoff.reset();
      } catch (cause) {
        if (signal.aborted) return;
        const status = engineStatus(cause);
        if (status === 404) return;
        if (status !== undefined) {
          await files.err.write(`Output of the container is not available: ${describeError(cause)}\n`);
          return;
        }
        this.#log.warn({ event: "container-log-interrupted", container: copy.container, error: describeError(cause) });
        // A write that failed (disk full) left cursor and files apart: go back to what was saved.
        if (!(cause instanceof EngineError)) cursor = await this.#openCursor(copy, files);
      }
      cursor.reconnected();
      await backoff.wait(signal);
    }
  }

  /** One connection to the log. The cursor is saved only after what it speaks of was written. */
  async #pass(
    copy: LogCopy,
    cursor: LogCursor,
    files: { out: FileHandle; err: FileHandle },
    options: { readonly follow: boolean; readonly signal: AbortSignal },
  ): Promise<number> {
    // `tty` asks the client for the bytes as they are: frame borders matter here.
    const chunks = this.#engine.containers.logs(copy.container, {
      tty: true,
      follow: options.follow,
      timestamps: true,
      since: sinceText(cursor.baseNs),
      signal: options.signal,
    });
    let copied = 0;
    let savedAtMs = this.#clock.monotonicMs();
    let dirty = false;
    try {
      for await (const entries of logEntries(bytesOf(chunks), copy.tty)) {
        const fresh = entries.filter((entry) => cursor.take(entry));
        if (fresh.length === 0) continue;
        for (const [stream, file] of [
          ["stdout", files.out],
          ["stderr", files.err],
        ] as const) {
          const parts = fresh.filter((entry) => entry.stream === stream).map((entry) => entry.bytes);
          dirty = false;
          if (parts.length > 0) await file.appendFile(Buffer.concat(parts));
        }
        copied += fresh.length;
        dirty = true;
        if (this.#clock.monotonicMs() - savedAtMs < saveEveryMs) continue;
        await saveCursor(copy.cursorPath, cursor);
        savedAtMs = this.#clock.monotonicMs();
        dirty = false;
      }
    } finally {
      if (dirty) await saveCursor(copy.cursorPath, cursor);
    }
    return copied;
  }

  async #openCursor(copy: LogCopy, files: { out: FileHandle; err: FileHandle }): Promise<LogCursor> {
    const saved = await readFile(copy.cursorPath, "utf8").then(LogCursor.parse, () => undefined);
    const sizes = { out: (await files.out.stat()).size, err: (await files.err.stat()).size };
    const cursor = new LogCursor(saved);
    if (saved === undefined) {
      cursor.startAt(sizes.out, sizes.err);
      await saveCursor(copy.cursorPath, cursor);
      return cursor;
    }
    if (sizes.out < cursor.stdoutBytes || sizes.err < cursor.stderrBytes) {
      // The files are shorter than what was copied (power loss, or somebody cut them): the log is copied anew.
      await files.out.truncate(0);
      await files.err.truncate(0);
      return new LogCursor();
    }
    await files.out.truncate(cursor.stdoutBytes);
    await files.err.truncate(cursor.stderrBytes);
    return cursor;
  }
}

async function* bytesOf(chunks: AsyncIterable<{ readonly bytes: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of chunks) yield bytes;
}

/** Whole or not at all; no fsync: after a power loss the file sizes tell, and the log is copied anew. */
async function saveCursor(path: string, cursor: LogCursor): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(cursor.save()), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
