/** JSON logs on standard error with a stable `event` code per line; secrets never get here. */

import pino, { type Logger } from "pino";

export type Log = Logger;

/** @param role name of the process, e.g. "node"; @param level pino level, default MARGAY_LOG or "info". */
export function createLog(role: string, level: string = process.env.MARGAY_LOG ?? "info"): Log {
  const known = level in pino.levels.values || level === "silent" ? level : "info";
  return pino(
    { name: role, level: known, base: { role }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}

export const silentLog: Log = pino({ level: "silent" });
