/**
 * What is known of a service that calicoctl has started on this host: a file NAME.pid whose first line is the process id
 * of the supervisor, for everybody to read, and whose second says the rest. Process ids are used again, so that each
 * comes with the time its process began.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { processAlive, processStart } from "../../lab/host-namespaces.ts";

/** Of the services that calicoctl starts. */
export type ServiceName = "node" | "store";

export interface ServicePlaces {
  readonly runDir: string;
  readonly logDir: string;
}

const process = z.object({ pid: z.int().positive(), start: z.string() });
export type KnownProcess = z.infer<typeof process>;

const ServiceRecord = z.object({
  /** 64 hex digits, as a container would have. */
  id: z.string(),
  supervisor: process,
  child: process.nullable(),
  startedAtMs: z.number(),
  words: z.array(z.string()),
});
export type ServiceRecord = z.infer<typeof ServiceRecord>;

export function servicePlaces(env: Readonly<Record<string, string | undefined>>): ServicePlaces {
  return { runDir: env.MARGAY_RUN_DIR || "/run/margay", logDir: env.MARGAY_LOG_DIR || "/var/log/margay" };
}

export function logPath({ logDir }: ServicePlaces, name: ServiceName): string {
  return join(logDir, `${name}.log`);
}

export function recordPath({ runDir }: Pick<ServicePlaces, "runDir">, name: ServiceName): string {
  return join(runDir, `${name}.pid`);
}

/** undefined: there is none, or one that nobody can read. */
export function readRecord(places: Pick<ServicePlaces, "runDir">, name: ServiceName): ServiceRecord | undefined {
  try {
    const [, line = ""] = readFileSync(recordPath(places, name), "utf8").split("\n");
    return ServiceRecord.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

export function writeRecord(places: Pick<ServicePlaces, "runDir">, name: ServiceName, record: ServiceRecord): void {
  const path = recordPath(places, name);
  mkdirSync(places.runDir, { recursive: true, mode: 0o755 });
  writeFileSync(`${path}.new`, `${record.supervisor.pid}\n${JSON.stringify(record)}\n`, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}

export function removeRecord(places: Pick<ServicePlaces, "runDir">, name: ServiceName): void {
  rmSync(recordPath(places, name), { force: true });
}

export async function isAlive({ pid, start }: KnownProcess): Promise<boolean> {
  return processAlive(pid) && (await processStart(pid)) === start;
}

/** The record of a service whose supervisor lives. */
export async function runningService(
  places: Pick<ServicePlaces, "runDir">,
  name: ServiceName,
): Promise<ServiceRecord | undefined> {
  const record = readRecord(places, name);
  return record !== undefined && (await isAlive(record.supervisor)) ? record : undefined;
}
