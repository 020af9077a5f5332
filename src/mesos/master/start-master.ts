/**
 * The master as a running service: server first, so that whoever asks early is told to wait; then the registry; then work.
 * The registry is in the store that was named, or in a file of the working directory.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { tryParseIpAddress } from "../../base/addresses.ts";
import { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { BadInput, describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { ConnectionSettings } from "../../store/connection-settings.ts";
import { connectEtcd } from "../../store/etcd-client.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import type { MasterInfo } from "../protocol/scheduler-event.ts";
import type { MasterFlags } from "./flags.ts";
import { serveMaster } from "./http/master-server.ts";
import { mesosVersion } from "./http/version.ts";
import { Master } from "./master.ts";

export interface RunMasterOptions {
  readonly flags: MasterFlags;
  /** Undefined: a file in the working directory. */
  readonly connection: ConnectionSettings | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Until the signal aborts. */
export async function runMaster(
  { flags, connection, clock, log }: RunMasterOptions,
  signal: AbortSignal,
): Promise<void> {
  await using store = await openStore(flags, connection, clock, log);
  let master: Master | undefined;
  await using server = await serveMaster({
    ip: flags.ip,
    port: flags.port,
    authority: `${flags.hostname}:${flags.port}`,
    flags: flags.shown,
    master: () => master,
    clock,
    log,
  });
  log.info({ event: "master_listening", ip: flags.ip, port: server.port });
  const info = masterInfo(flags, server.port);
  const start = () => Master.start({ clock, log, store, settings: flags.settings, info }, signal);
  await using started = await recover(start, { clock, log, signal });
  if (started === undefined) return;
  master = started;
  log.info({ event: "master_ready", id: started.context.info.id, frameworks: started.context.cluster.frameworks.size });
  await started.finished;
}

/** A store that is not there yet is waited for: the part that runs it may be starting just now. */
async function recover(
  start: () => Promise<Master>,
  { clock, log, signal }: { clock: Clock; log: Log; signal: AbortSignal },
): Promise<Master | undefined> {
  const backoff = new Backoff({ clock, minMs: 100, maxMs: 5_000 });
  while (!signal.aborted) {
    try {
      return await start();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof OperationError) || error.retry === "never") throw error;
      log.warn({ event: "registry_unavailable", error: describeError(error) });
      await backoff.wait(signal).catch(() => undefined);
    }
  }
  return undefined;
}

async function openStore(
  flags: MasterFlags,
  connection: ConnectionSettings | undefined,
  clock: Clock,
  log: Log,
): Promise<Store> {
  mkdirSync(flags.workDir, { recursive: true, mode: 0o700 });
  if (connection !== undefined) return await connectEtcd({ ...connection, clock, log });
  return await openSqliteStore({ path: join(flags.workDir, "registry.sqlite"), clock });
}

function masterInfo(flags: MasterFlags, port: number): Omit<MasterInfo, "id"> {
  const address = tryParseIpAddress(flags.ip);
  if (address === undefined) throw new BadInput("--ip", `"${flags.ip}" is not an address`, "an IPv4 or IPv6 address");
  return {
    ip: littleEndianIpv4(flags.ip),
    port,
    pid: `master@${flags.ip}:${port}`,
    hostname: flags.hostname,
    version: mesosVersion,
    address: { hostname: flags.hostname, ip: flags.ip, port },
    capabilities: [{ type: "AGENT_UPDATE" }],
  };
}

/** The first octet is the lowest byte; IPv6 has no such number (reference: mesos-api 7.1, MasterInfo.ip). */
function littleEndianIpv4(ip: string): number {
  const octets = ip.split(".").map(Number);
  return octets.length === 4 ? octets.reduceRight((sum, octet) => sum * 256 + octet, 0) : 0;
}
