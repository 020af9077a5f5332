/**
 * Keeps one service of this host running: starts it, and starts it again when it has died, ever more slowly while it dies
 * at once. Ends with the service when told to, and when the service says that its words are wrong (exit code 2), which no
 * repetition mends.
 */

import { closeSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { processStart } from "../../lab/host-namespaces.ts";
import {
  logPath,
  removeRecord,
  type ServiceName,
  type ServicePlaces,
  type ServiceRecord,
  writeRecord,
} from "./service-record.ts";

const restart = { minMs: 200, maxMs: 10_000 };
/** A service that ran so long has not died at once. */
const steadyAfterMs = 60_000;
const stopWithinMs = 10_000;
const badUsageCode = 2;
const logBytesMax = 10 * 1024 * 1024;

export interface SupervisionOptions {
  readonly name: ServiceName;
  readonly id: string;
  readonly words: readonly string[];
  readonly places: ServicePlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Answers the exit code of the supervisor. */
export async function supervise(options: SupervisionOptions): Promise<number> {
  const { name, id, words, places, clock, signal } = options;
  const supervisor = { pid: process.pid, start: (await processStart(process.pid)) ?? "" };
  const record: ServiceRecord = { id, supervisor, child: null, startedAtMs: clock.nowMs(), words: [...words] };
  const backoff = new Backoff({ clock, ...restart });
  writeRecord(places, name, record);
  try {
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const exitCode = await runOnce(options, record);
      if (exitCode === badUsageCode) return badUsageCode;
      if (clock.monotonicMs() - startedMs >= steadyAfterMs) backoff.reset();
      if (!signal.aborted) await backoff.wait(signal).catch(() => undefined);
    }
    return 0;
  } finally {
    removeRecord(places, name);
  }
}

async function runOnce(options: SupervisionOptions, record: ServiceRecord): Promise<number> {
  const { name, words, places, env, clock, signal } = options;
  const log = openLog(places, name);
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: log, stderr: log, cwd: "/", env: { ...env } });
  closeSync(log);
  writeRecord(places, name, { ...record, child: { pid: child.pid, start: (await processStart(child.pid)) ?? "" } });
  let killTimer: Disposable | undefined;
  const stop = () => {
    child.kill("SIGTERM");
    killTimer = clock.timer(stopWithinMs, () => child.kill("SIGKILL"));
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await child.exited;
  } finally {
    killTimer?.[Symbol.dispose]();
    signal.removeEventListener("abort", stop);
  }
}

/** One old file is kept beside one that has grown too long. */
function openLog(places: ServicePlaces, name: ServiceName): number {
  mkdirSync(places.logDir, { recursive: true, mode: 0o755 });
  const path = logPath(places, name);
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > logBytesMax) renameSync(path, `${path}.1`);
  return openSync(path, "a", 0o640);
}
