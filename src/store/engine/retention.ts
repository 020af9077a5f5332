/**
 * Compaction on its own: what is older than the retention, or more revisions than it allows, is forgotten, so that the
 * store does not grow with its age. A watcher further behind than that relists.
 */
import type { Clock } from "../../base/clock.ts";

export interface RetentionLimits {
  readonly ageMs: number;
  readonly revisionsMax: number;
  readonly checkEveryMs: number;
}

export const retentionDefaults: RetentionLimits = {
  ageMs: 3_600_000,
  revisionsMax: 100_000,
  checkEveryMs: 60_000,
};

interface Target {
  revision(): number;
  compactRevision(): number;
  compact(revision: number): void;
}

export class Retention implements Disposable {
  readonly #clock: Clock;
  readonly #limits: RetentionLimits;
  readonly #target: Target;
  /** The store's revision at past checks, oldest first; never more than ageMs / checkEveryMs + 1 of them. */
  #samples: { readonly atMs: number; readonly revision: number }[] = [];
  #timer: Disposable;

  constructor(clock: Clock, limits: Partial<RetentionLimits>, target: Target) {
    this.#clock = clock;
    this.#limits = { ...retentionDefaults, ...limits };
    this.#target = target;
    this.#timer = this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #schedule(): Disposable {
    return this.#clock.timer(this.#limits.checkEveryMs, () => {
      this.#timer = this.#schedule();
      this.#check();
    });
  }

  #check(): void {
    const nowMs = this.#clock.monotonicMs();
    const revision = this.#target.revision();
    this.#samples.push({ atMs: nowMs, revision });
    let keepFrom = revision - this.#limits.revisionsMax;
    while (this.#samples[0] !== undefined && this.#samples[0].atMs <= nowMs - this.#limits.ageMs) {
      keepFrom = Math.max(keepFrom, this.#samples[0].revision);
      this.#samples.shift();
    }
    if (keepFrom > this.#target.compactRevision() && keepFrom <= revision) this.#target.compact(keepFrom);
  }
}
