/**
 * Removes the sandboxes and notes of runs that ended long ago: `--gc_delay` after their end. Runs without a sentinel are
 * never touched.
 */

import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { codeOf } from "../containerizer/sandbox-file.ts";
import type { RunIds, WorkDirectory } from "./work-directory.ts";

const passEveryMs = 3_600_000;

export class SandboxGc {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #directory: WorkDirectory;
  readonly #delayMs: number;

  constructor(options: {
    readonly clock: Clock;
    readonly log: Log;
    readonly directory: WorkDirectory;
    readonly delayMs: number;
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#directory = options.directory;
    this.#delayMs = options.delayMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.pass(signal);
      } catch (cause) {
        signal.throwIfAborted();
        this.#log.warn({ event: "sandbox-gc-failed", error: describeError(cause) });
      }
      await this.#clock.sleep(Math.min(passEveryMs, Math.max(this.#delayMs, 60_000)), signal);
    }
  }

  async pass(signal: AbortSignal): Promise<void> {
    for (const agentId of await names(this.#directory.agents)) {
      if (agentId.startsWith("latest")) continue;
      for (const frameworkId of await names(this.#directory.frameworks(agentId))) {
        for (const executorId of await names(this.#directory.executors(agentId, frameworkId))) {
          for (const containerId of await names(this.#directory.runs({ agentId, frameworkId, executorId }))) {
            signal.throwIfAborted();
            if (!containerId.startsWith("latest"))
              await this.#collect({ agentId, frameworkId, executorId, containerId });
          }
        }
      }
    }
  }

  async #collect(ids: RunIds): Promise<void> {
    const endedAtMs = await modifiedMs(this.#directory.sentinel(ids));
    if (endedAtMs === undefined || endedAtMs + this.#delayMs > this.#clock.nowMs()) return;
    // The sandbox first: while the notes are there, a crash in between is found and continued.
    const executorSandbox = dirname(this.#directory.sandboxes(ids));
    await rm(this.#directory.sandbox(ids), { recursive: true, force: true });
    await removeIfOnlyLink(this.#directory.sandboxes(ids));
    await rmdir(executorSandbox).catch(() => undefined);
    await rm(this.#directory.run(ids), { recursive: true, force: true });
    await removeIfOnlyLink(this.#directory.runs(ids));
    await rmdir(dirname(this.#directory.runs(ids))).catch(() => undefined);
    this.#log.info({ event: "sandbox-removed", task: ids.executorId, container: ids.containerId });
  }
}

/** A `runs` directory that holds nothing but the link to its newest. */
async function removeIfOnlyLink(path: string): Promise<void> {
  const left = await names(path);
  if (left.some((name) => !name.startsWith("latest"))) return;
  for (const name of left) await rm(join(path, name), { force: true });
  await rmdir(path).catch(() => undefined);
}

async function names(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return [];
    throw cause;
  }
}

async function modifiedMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw cause;
  }
}
