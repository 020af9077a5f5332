/** Flags of all commands, and what they may say. Light: every command loads it. */

import { CommandFailure } from "./command.ts";

export interface GlobalFlags {
  readonly store: string | undefined;
  readonly config: string | undefined;
  readonly logLevel: string | undefined;
  readonly requestTimeout: string | undefined;
  readonly allowVersionMismatch: boolean;
}

/** How long a command waits for a store that does not answer. */
const requestTimeoutDefaultMs = 10_000;
const logLevels = ["panic", "fatal", "error", "warn", "info", "debug"];

/** @throws CommandFailure for a flag that means nothing */
export function checkGlobalFlags({ logLevel, requestTimeout }: GlobalFlags): void {
  if (logLevel !== undefined && !logLevels.includes(logLevel)) {
    throw new CommandFailure("stderr", `unknown log level: ${logLevel}, expected one of: ${logLevels.join(", ")}\n`);
  }
  requestTimeoutMs(requestTimeout);
}

/** @throws CommandFailure */
export function requestTimeoutMs(text: string | undefined): number {
  if (text === undefined) return requestTimeoutDefaultMs;
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? Number.NaN);
  if (ms > 0) return ms;
  throw new CommandFailure("stderr", `invalid --request-timeout: ${text}: a time such as 10s is expected\n`);
}
