/** JSON logs on standard error with a stable `event` code per line; secrets never get here. */

import pino, { type Logger } from "pino";

export type Log = Logger;

/** What became of lines that could not be written. */
export interface LogFailures {
  errors: number;
  dropped: number;
}

/** Lines that wait while standard error takes none (a full disk); more are dropped. */
const waitingMaxBytes = 1024 * 1024;

/** @param role name of the process, e.g. "node"; @param level pino level, default MARGAY_LOG or "info". */
export function createLog(
  role: string,
  level: string = process.env.MARGAY_LOG ?? "info",
  failures: LogFailures = { errors: 0, dropped: 0 },
): Log {
  const known = level in pino.levels.values || level === "silent" ? level : "info";
  const destination = pino.destination({ fd: 2, sync: true, maxLength: waitingMaxBytes });
  // pino's own listener ends the process when the disk is full, and goes silent for ever after one broken pipe.
  destination.removeAllListeners("error");
  destination.on("error", () => {
    failures.errors++;
  });
  destination.on("drop", () => {
    failures.dropped++;
  });
  return pino({ name: role, level: known, base: { role }, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

export const silentLog: Log = pino({ level: "silent" });
