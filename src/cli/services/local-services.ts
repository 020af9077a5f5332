/** Services of this host that calicoctl starts, each with a supervisor of its own that outlives calicoctl. */

import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { programWords } from "../../lab/program.ts";
import {
  isAlive,
  type KnownProcess,
  logPath,
  readRecord,
  removeRecord,
  runningService,
  type ServiceName,
  type ServicePlaces,
  type ServiceRecord,
} from "./service-record.ts";

const lookEveryMs = 50;
const startWithinMs = 10_000;
const stopWithinMs = 20_000;
const logTailBytes = 2_000;

export interface ServiceToStart {
  readonly name: ServiceName;
  /** After `margay`. */
  readonly words: readonly string[];
  readonly places: ServicePlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** One that runs already is stopped first. Resolves when the supervisor has taken over. @throws OperationError */
export async function startService({ name, words, places, env, clock }: ServiceToStart): Promise<ServiceRecord> {
  await stopService(places, name, clock);
  mkdirSync(places.logDir, { recursive: true, mode: 0o755 });
  const id = clock.uuid().replaceAll("-", "") + clock.uuid().replaceAll("-", "");
  const log = openSync(logPath(places, name), "a", 0o640);
  const [program = "", ...before] = programWords;
  const flags = [`--name=${name}`, `--id=${id}`, `--run-dir=${places.runDir}`, `--log-dir=${places.logDir}`];
  const supervisor = spawn(program, [...before, "supervise", ...flags, "--", ...programWords, ...words], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: "/",
    env: { ...env },
  });
  closeSync(log);
  supervisor.unref();
  const started = await until(clock, startWithinMs, async () => {
    const record = await runningService(places, name);
    return record?.id === id && record.child !== null ? record : undefined;
  });
  if (started !== undefined) return started;
  throw notStarted(places, name);
}

/** Waits for the service to be of use; one that ends meanwhile, or takes too long, is stopped. @throws OperationError */
export async function serviceReady(
  { name, places, clock }: Pick<ServiceToStart, "name" | "places" | "clock">,
  withinMs: number,
  ready: () => Promise<boolean>,
): Promise<void> {
  const outcome = await until(clock, withinMs, async () => {
    if (await ready()) return "ready";
    return (await runningService(places, name)) === undefined ? "ended" : undefined;
  });
  if (outcome === "ready") return;
  await stopService(places, name, clock);
  throw notStarted(places, name);
}

/** False when there was none. Also ends what a killed supervisor has left. */
export async function stopService(places: ServicePlaces, name: ServiceName, clock: Clock): Promise<boolean> {
  const record = readRecord(places, name);
  if (record === undefined) return false;
  const ended = async (one: KnownProcess | null) => one === null || !(await isAlive(one));
  const had = !(await ended(record.supervisor)) || !(await ended(record.child));
  // The supervisor ends its child; without one the child is ended here.
  const first = (await ended(record.supervisor)) ? record.child : record.supervisor;
  if (first !== null && !(await ended(first))) process.kill(first.pid, "SIGTERM");
  const stopped = await until(clock, stopWithinMs, async () =>
    (await ended(record.supervisor)) && (await ended(record.child)) ? true : undefined,
  );
  if (stopped === undefined) {
    for (const one of [record.supervisor, record.child])
      if (one !== null && !(await ended(one))) process.kill(one.pid, "SIGKILL");
  }
  removeRecord(places, name);
  return had;
}

export async function until<T>(
  clock: Clock,
  withinMs: number,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const deadlineMs = clock.monotonicMs() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined || clock.monotonicMs() >= deadlineMs) return seen;
    await clock.sleep(lookEveryMs);
  }
}

function notStarted(places: ServicePlaces, name: ServiceName): OperationError {
  const path = logPath(places, name);
  return new OperationError("SERVICE_NOT_STARTED", `margay ${name} did not start: ${lastWords(path)}`, {
    remedy: `its log: ${path}`,
  });
}

function lastWords(path: string): string {
  try {
    const text = readFileSync(path, "utf8").slice(-logTailBytes).trimEnd();
    return text.slice(text.lastIndexOf("\n") + 1);
  } catch {
    return "it wrote no log";
  }
}
