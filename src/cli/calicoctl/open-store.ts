/** The store a command works on: found by flags, environment or file, opened on first use, within a bounded time. */

import { statSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { BadInput, OperationError } from "../../base/errors.ts";
import type { RoleIo } from "../../base/role.ts";
import { type ConnectionSettings, configFilePath, resolveConnection } from "../../store/connection-settings.ts";
import type { Store } from "../../store/store.ts";
import { CommandFailure } from "./command.ts";
import { type GlobalFlags, requestTimeoutMs } from "./global-flags.ts";

/** For tests: another way to the store. */
export type OpenStore = (endpoints: readonly string[]) => Promise<Store>;

/** The command says itself what went wrong. */
const silence = { debug: () => undefined, warn: () => undefined };

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
  const { connectEtcd } = await import("../../store/etcd-client.ts");
  const callTimeoutMs = requestTimeoutMs(requestTimeout);
  return await connectEtcd({ ...connection, clock, log: silence, callTimeoutMs });
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
