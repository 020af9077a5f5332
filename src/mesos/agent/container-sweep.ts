/**
 * What is left over on the engine: containers of ended tasks, kept for a while so that somebody can look at them, and
 * containers that carry this agent's label without being any task's. Others are never touched.
 */

import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import type { Containerizer } from "../containerizer/containerizer.ts";

const resyncEveryMs = 60_000;

export interface ContainerSweepOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly containerizer: Containerizer;
  /** The agent's id and those it had before. */
  readonly agentIds: () => Promise<readonly string[]>;
  /** A task whose end was not told yet. */
  readonly isLive: (containerId: string) => boolean;
  /** `--docker_remove_delay`. */
  readonly removeDelayMs: number;
  /** `--docker_kill_orphans`. */
  readonly killOrphans: boolean;
}

export class ContainerSweep {
  readonly #options: ContainerSweepOptions;
  readonly #reconciler: Reconciler;
  #due: Disposable | undefined;

  constructor(options: ContainerSweepOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#reconciler = new Reconciler({
      name: "container-sweep",
      clock,
      log,
      pass: (signal) => this.#pass(signal),
      resyncEveryMs,
    });
  }

  /** A task has ended: its container's time runs. */
  poke(): void {
    this.#reconciler.poke();
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#reconciler.run(signal);
    } finally {
      this.#due?.[Symbol.dispose]();
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { containerizer, clock, log, isLive, removeDelayMs, killOrphans } = this.#options;
    let nextMs: number | undefined;
    for (const agentId of await this.#options.agentIds()) {
      for (const [containerId, { running }] of await containerizer.listOwn(agentId, signal)) {
        if (isLive(containerId)) continue;
        const report = await containerizer.observe(containerId, signal);
        if (report === undefined || isLive(containerId)) continue;
        if (running || report.phase === "running") {
          if (!killOrphans) continue;
          log.warn({ event: "container-orphan-removed", container: containerId });
          await containerizer.remove(containerId, signal);
          continue;
        }
        const leftMs = report.finishedAtMs + removeDelayMs - clock.nowMs();
        if (leftMs <= 0) await containerizer.remove(containerId, signal);
        else nextMs = Math.min(nextMs ?? leftMs, leftMs);
      }
    }
    this.#due?.[Symbol.dispose]();
    this.#due = nextMs === undefined ? undefined : clock.timer(Math.min(nextMs, resyncEveryMs) + 10, () => this.poke());
  }
}
