/** `margay store`: the embedded store as a server that etcdctl, Calico's tools and every Margay role can talk to. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import { createLog } from "../base/log.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { defaultEndpoint, parseEndpoints } from "../store/connection-settings.ts";
import { Engine } from "../store/engine/engine.ts";
import { EtcdServer } from "../store/server/etcd-server.ts";

const help = `margay store: keeps the cluster's state in one SQLite file and serves it over etcd's v3 protocol

Usage: margay store [--listen=URL[,URL...]] [--data-dir=DIR]

  --listen=URL[,...]                 where to listen (default ${defaultEndpoint}); plain HTTP only, anybody who can
                                     reach it can read and write, so keep it on loopback or a trusted network
  --advertise-client-urls=URL[,...]  what "etcdctl member list" shows (default: the listen URLs)
  --data-dir=DIR                     holds margay-store.db (default /var/lib/margay/store; made if missing, mode 0700)
  --quota-backend-bytes=N            puts are refused when this much is in use (default 2147483648)
  --retention=DURATION               history kept for watchers that lag, e.g. 90s, 30m, 1h (default 1h)
  --retention-revisions=N            and not more revisions than this (default 100000)
  --help                             this text

A write is acknowledged when it is on the disk. GET /health, /version and /metrics answer on the same port.
`;

export const role: Role = {
  summary: "the embedded store, speaking etcd's v3 protocol",
  run: runStore,
};

interface Settings {
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  readonly clientUrls: readonly string[];
  readonly dataDir: string;
  readonly sizeMaxBytes: number;
  readonly retentionMs: number;
  readonly revisionsMax: number;
}

async function runStore(argv: readonly string[], io: RoleIo): Promise<number> {
  let settings: Settings | "help";
  try {
    settings = parseSettings(argv);
  } catch (error) {
    io.stderr(`margay store: ${describeError(error)}\n`);
    return 2;
  }
  if (settings === "help") {
    io.stdout(help);
    return 0;
  }
  const log = createLog("store");
  try {
    mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 });
    const path = join(settings.dataDir, "margay-store.db");
    await using engine = Engine.open({
      path,
      clock: systemClock,
      sizeMaxBytes: settings.sizeMaxBytes,
      retention: { ageMs: settings.retentionMs, revisionsMax: settings.revisionsMax },
    });
    await using server = await EtcdServer.start({
      engine,
      clock: systemClock,
      log,
      listen: settings.listen,
      ...(settings.clientUrls.length === 0 ? {} : { clientUrls: settings.clientUrls }),
    });
    log.info({ event: "listening", addresses: server.urls, path, revision: engine.revision }, "listening");
    const stopped = new Promise<undefined>((resolve) => {
      if (io.signal.aborted) resolve(undefined);
      io.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    const failure = await Promise.race([stopped, engine.failed]);
    if (failure === undefined) return 0;
    log.fatal({ event: "disk-failed", error: describeError(failure) }, "the disk refused to sync");
    return 1;
  } catch (error) {
    log.fatal({ event: "store-failed", error: describeError(error) }, "cannot serve");
    io.stderr(`margay store: ${describeError(error)}\n`);
    if (error instanceof OperationError && error.remedy !== undefined) io.stderr(`  ${error.remedy}\n`);
    return 1;
  }
}

function parseSettings(argv: readonly string[]): Settings | "help" {
  const { values } = parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      listen: { type: "string", default: defaultEndpoint },
      "advertise-client-urls": { type: "string" },
      "data-dir": { type: "string", default: "/var/lib/margay/store" },
      "quota-backend-bytes": { type: "string", default: String(2 * 1024 ** 3) },
      retention: { type: "string", default: "1h" },
      "retention-revisions": { type: "string", default: "100000" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const advertised = values["advertise-client-urls"];
  return {
    listen: parseEndpoints(values.listen, "--listen").map(hostAndPort),
    clientUrls: advertised === undefined ? [] : parseEndpoints(advertised, "--advertise-client-urls"),
    dataDir: values["data-dir"],
    sizeMaxBytes: positiveInteger(values["quota-backend-bytes"], "--quota-backend-bytes"),
    retentionMs: durationMs(values.retention, "--retention"),
    revisionsMax: positiveInteger(values["retention-revisions"], "--retention-revisions"),
  };
}

function hostAndPort(url: string): { host: string; port: number } {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== "http:") throw new BadInput("--listen", `"${url}" has the scheme ${protocol}`, "http://HOST:PORT");
  return { host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? 80 : Number(port) };
}

function positiveInteger(text: string, path: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number) || number < 1) {
    throw new BadInput(path, `"${text}"`, "a whole number from 1");
  }
  return number;
}

const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function durationMs(text: string, path: string): number {
  const [, digits, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : unitsMs[unit];
  const amount = Number(digits);
  if (factor === undefined || amount === 0) throw new BadInput(path, `"${text}"`, "a duration such as 90s, 30m or 1h");
  return amount * factor;
}
