/** The store a command works on: found by flags, environment or file, opened on first use, within a bounded time. */

import { statSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { BadInput, OperationError } from "../../base/errors.ts";
import type { RoleIo } from "../../base/role.ts";
import { type ConnectionSettings, configFilePath, resolveConnection } from "../../store/connection-settings.ts";
import type { Store } from "../../store/store.ts";
import { CommandFailure } from "./command.ts";

export interface GlobalFlags {
  readonly store: string | undefined;
  readonly config: string | undefined;
  readonly logLevel: string | undefined;
  readonly requestTimeout: string | undefined;
  readonly allowVersionMismatch: boolean;
}

/** For tests: another way to the store. */
export type OpenStore = (endpoints: readonly string[]) => Promise<Store>;

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

/** With --log-level info or debug it says which store and why. @throws CommandFailure, BadInput, OperationError */
export async function openStore(
  flags: GlobalFlags,
  { io, clock }: { readonly io: RoleIo; readonly clock: Clock },
  open?: OpenStore,
): Promise<Store> {
  const { store, config = configFilePath, logLevel, requestTimeout } = flags;
  if (flags.config !== undefined && statSync(config, { throwIfNoEntry: false }) === undefined) {
    throw new CommandFailure("stdout", `Error reading config file: ${config}\n`);
  }
  const connection = resolveConnection(store, io.env, config);
  if (logLevel === "info" || logLevel === "debug") io.stderr(`datastore: etcdv3 at ${whence(connection)}\n`);
  if (open !== undefined) return await open(connection.endpoints);
  const [{ connectEtcd }, { silentLog }] = await Promise.all([
    import("../../store/etcd-client.ts"),
    import("../../base/log.ts"),
  ]);
  const callTimeoutMs = requestTimeoutMs(requestTimeout);
  return await connectEtcd({ ...connection, clock, log: silentLog, callTimeoutMs });
}

/** What to say of a store that does not answer, besides why. */
export function storeAdvice(flags: GlobalFlags, io: RoleIo): string {
  try {
    return `  the store is ${whence(resolveConnection(flags.store, io.env, flags.config))}\n`;
  } catch (error) {
    if (error instanceof BadInput || error instanceof OperationError) return "";
    throw error;
  }
}

function whence({ endpoints, source }: ConnectionSettings): string {
  const why = source === undefined ? `by default: no --store, ETCD_ENDPOINTS or ${configFilePath}` : `from ${source}`;
  return `${endpoints.join(",")} (${why})`;
}

function requestTimeoutMs(text: string | undefined): number {
  if (text === undefined) return requestTimeoutDefaultMs;
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? Number.NaN);
  if (ms > 0) return ms;
  throw new CommandFailure("stderr", `invalid --request-timeout: ${text}: a time such as 10s is expected\n`);
}
