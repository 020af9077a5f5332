/** The store a command works on: found by flags, environment or file, opened on first use, within a bounded time. */

import { statSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { BadInput, OperationError } from "../../base/errors.ts";
import type { RoleIo } from "../../base/role.ts";
import { type ConnectionSettings, configFilePath, resolveConnection } from "../../store/connection-settings.ts";
import { discoverEndpoints } from "../../store/srv-discovery.ts";
import type { Store } from "../../store/store.ts";
import { checkStoreVariables } from "./classic/store-variables.ts";
import { CommandFailure, type CommandFamily, type StorePlace } from "./command.ts";
import { type GlobalFlags, requestTimeoutMs } from "./global-flags.ts";

/** For tests: another way to the store. */
export type OpenStore = (endpoints: readonly string[]) => Promise<Store>;

/** The command says itself what went wrong. */
const silence = { debug: () => undefined, warn: () => undefined };

/** With --log-level info or debug it says which store and why. @throws CommandFailure, BadInput, OperationError */
export async function openStore(
  flags: GlobalFlags,
  { io, clock, family }: { readonly io: RoleIo; readonly clock: Clock; readonly family: CommandFamily },
  open?: OpenStore,
): Promise<Store> {
  const { config = configFilePath, logLevel, requestTimeout } = flags;
  if (family !== "modern") checkStoreVariables(io.env);
  if (flags.config !== undefined && statSync(config, { throwIfNoEntry: false }) === undefined) {
    throw new CommandFailure("stdout", `Error reading config file: ${config}\n`);
  }
  const connection = connectionOf(flags, io);
  if (logLevel === "info" || logLevel === "debug") io.stderr(`datastore: etcdv3 at ${whence(connection)}\n`);
  if (open !== undefined) return await open(connection.endpoints);
  const { connectEtcd } = await import("../../store/etcd-client.ts");
  const callTimeoutMs = requestTimeoutMs(requestTimeout);
  return await connectEtcd({ ...connection, clock, log: silence, callTimeoutMs });
}

/** Where etcd of the first releases listened; asked when nobody said where the store is and it is not at today's port. */
const formerEndpoint = "http://127.0.0.1:4001";

function connectionOf(flags: GlobalFlags, io: RoleIo): ConnectionSettings {
  const connection = resolveConnection(flags.store ?? flags.etcd, io.env, flags.config);
  if (connection.source !== undefined) return connection;
  return { ...connection, endpoints: [...connection.endpoints, formerEndpoint] };
}

/** For what does not ask the store through `openStore`. @throws BadInput, OperationError */
export async function storePlace(flags: GlobalFlags, io: RoleIo): Promise<StorePlace> {
  const { endpoints: named, discovery, source, tls } = connectionOf(flags, io);
  const endpoints =
    discovery === undefined ? named : await discoverEndpoints(discovery, { needsTls: tls !== undefined });
  if (source === undefined) return { endpoints, from: "nobody" };
  return { endpoints, from: (flags.store ?? flags.etcd) === undefined ? "settings" : "flag" };
}

/** What to say of a store that does not answer, besides why. */
export function storeAdvice(flags: GlobalFlags, io: RoleIo): string {
  try {
    return `  the store is ${whence(connectionOf(flags, io))}\n`;
  } catch (error) {
    if (error instanceof BadInput || error instanceof OperationError) return "";
    throw error;
  }
}

function whence({ endpoints, discovery, source }: ConnectionSettings): string {
  const why = source === undefined ? `by default: no --store, ETCD_ENDPOINTS or ${configFilePath}` : `from ${source}`;
  const where = discovery === undefined ? endpoints.join(",") : `where SRV records of ${discovery} say`;
  return `${where} (${why})`;
}
