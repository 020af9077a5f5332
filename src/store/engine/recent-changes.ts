/**
 * The newest changes in memory, so that watchers that keep up need no read of the file. One entry per revision without
 * gaps; the oldest fall out when there are too many events or bytes. Pure.
 */
import { invariant } from "../../base/errors.ts";
import type { EngineEvent } from "./requests.ts";

export interface Change {
  readonly revision: number;
  readonly events: readonly EngineEvent[];
}

const eventsMax = 8_192;
const bytesMax = 16 * 1024 * 1024;

export class RecentChanges {
  #changes: Change[] = [];
  /** Index of the oldest entry still valid; the array is cut now and then instead of at each push. */
  #start = 0;
  #events = 0;
  #bytes = 0;

  push(change: Change): void {
    const newest = this.#changes.at(-1);
    invariant(newest === undefined || newest.revision + 1 === change.revision, "changes have no gaps");
    this.#changes.push(change);
    this.#events += change.events.length;
    this.#bytes += bytesOf(change);
    while ((this.#events > eventsMax || this.#bytes > bytesMax) && this.#changes.length - this.#start > 1) this.#drop();
    if (this.#start > 1_024 && this.#start * 2 > this.#changes.length) {
      this.#changes = this.#changes.slice(this.#start);
      this.#start = 0;
    }
  }

  /** Changes from revision `first` to `last`; undefined if the oldest of them have fallen out. */
  between(first: number, last: number): readonly Change[] | undefined {
    const oldest = this.#changes[this.#start];
    if (oldest === undefined || first < oldest.revision) return undefined;
    const offset = this.#start - oldest.revision;
    return this.#changes.slice(offset + first, offset + last + 1);
  }

  #drop(): void {
    const oldest = this.#changes[this.#start];
    if (oldest === undefined) return;
    this.#events -= oldest.events.length;
    this.#bytes -= bytesOf(oldest);
    this.#start++;
  }
}

function bytesOf(change: Change): number {
  let bytes = 0;
  for (const event of change.events) {
    bytes += 2 * event.row.key.length + event.row.value.length + (event.previous?.value.length ?? 0) + 256;
  }
  return bytes;
}
