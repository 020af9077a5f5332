/**
 * How far a container's log was copied to the sandbox, so that a restarted agent continues without loss or doubling.
 *
 * Docker can only be asked for entries "since a time", and entries may share a time or stand slightly out of order. So the
 * cursor is a base time and the number of entries from there on that were copied: the same question gives the same
 * entries in the same order, and skipping that many is exact. The base moves on now and then, to keep the number small.
 * File sizes are part of the cursor: what the files hold beyond them was written after the last save, and is cut off
 * before it is copied again. Pure; saving is the copier's.
 */

import { z } from "zod";
import type { LogEntry } from "./log-frames.ts";

const savedCursor = z.object({
  baseNs: z.string().regex(/^\d+$/),
  copied: z.int().min(0),
  newestNs: z.string().regex(/^\d+$/),
  stdoutBytes: z.int().min(0),
  stderrBytes: z.int().min(0),
});
export type SavedCursor = z.output<typeof savedCursor>;

/** Entries may be out of order among this many neighbours (two writers, one log). */
const disorderMax = 256;
const entriesBeforeRebase = 2_048;

export class LogCursor {
  #baseNs: bigint;
  /** Times of the copied entries from the base on; bounded by entriesBeforeRebase. */
  #times: bigint[];
  #newestNs: bigint;
  #toSkip: number;
  #stdoutBytes: number;
  #stderrBytes: number;

  constructor(saved?: SavedCursor) {
    this.#baseNs = BigInt(saved?.baseNs ?? 0);
    this.#newestNs = BigInt(saved?.newestNs ?? 0);
    this.#toSkip = saved?.copied ?? 0;
    this.#times = [];
    this.#stdoutBytes = saved?.stdoutBytes ?? 0;
    this.#stderrBytes = saved?.stderrBytes ?? 0;
  }

  static parse(text: string): SavedCursor | undefined {
    try {
      return savedCursor.safeParse(JSON.parse(text)).data;
    } catch {
      return undefined;
    }
  }

  get baseNs(): bigint {
    return this.#baseNs;
  }

  get stdoutBytes(): number {
    return this.#stdoutBytes;
  }

  get stderrBytes(): number {
    return this.#stderrBytes;
  }

  /** The sandbox files as they are before the first entry: the fetcher and the agent may have written there. */
  startAt(stdoutBytes: number, stderrBytes: number): void {
    this.#stdoutBytes = stdoutBytes;
    this.#stderrBytes = stderrBytes;
  }

  /** A new connection will send everything since the base again. */
  reconnected(): void {
    this.#toSkip += this.#times.length;
    this.#times = [];
  }

  /** True: copy it. False: it was copied before. */
  take(entry: LogEntry): boolean {
    const copied = this.#toSkip > 0 && entry.timeNs <= this.#newestNs;
    if (copied) this.#toSkip -= 1;
    // Newer than anything copied: whatever else was to be skipped has been rotated away by Docker.
    else this.#toSkip = 0;
    this.#times.push(entry.timeNs);
    if (entry.timeNs > this.#newestNs) this.#newestNs = entry.timeNs;
    if (!copied) {
      if (entry.stream === "stderr") this.#stderrBytes += entry.bytes.length;
      else this.#stdoutBytes += entry.bytes.length;
    }
    if (this.#toSkip === 0 && this.#times.length >= entriesBeforeRebase) this.#rebase();
    return !copied;
  }

  save(): SavedCursor {
    return {
      baseNs: this.#baseNs.toString(),
      copied: this.#times.length + this.#toSkip,
      newestNs: this.#newestNs.toString(),
      stdoutBytes: this.#stdoutBytes,
      stderrBytes: this.#stderrBytes,
    };
  }

  #rebase(): void {
    const recent = this.#times.slice(-disorderMax);
    const baseNs = recent.sort((one, other) => (one < other ? -1 : 1))[0] ?? this.#newestNs;
    if (baseNs <= this.#baseNs) return;
    this.#baseNs = baseNs;
    this.#times = this.#times.filter((time) => time >= baseNs);
  }
}
