/** `margay marathon`: Marathon's flags in, its API and web page out. */

import { hostname as machineName } from "node:os";
import { parseArgs } from "node:util";
import { Backoff } from "../base/backoff.ts";
import { systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import { createLog, type Log } from "../base/log.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { defaultSettings, type MarathonSettings } from "../marathon/settings.ts";
import { type Marathon, startMarathon } from "../marathon/start-marathon.ts";
import { resolveConnection } from "../store/connection-settings.ts";
import { connectEtcd } from "../store/etcd-client.ts";
import type { Store } from "../store/store.ts";
import { uiRoutes } from "../ui/serve.ts";

const help = `margay marathon: runs applications on a Mesos cluster; Marathon's REST API and web page

Usage: margay marathon --master=http://HOST:5050 [FLAGS]

  --master=URL[,URL...]            the Mesos masters (http://HOST:5050; zk:// is not spoken)
  --store=URL[,URL...]             the store, default as for every role (see margay --help)
  --hostname=NAME                  how others reach this machine (default: its name)
  --http_address=IP                where to listen (default 127.0.0.1)
  --http_port=PORT                 (default 8080)
  --http_credentials=USER:PASSWORD asks for them on every path of the API; --http_realm=NAME
  --access_control_allow_origin=ORIGIN[,ORIGIN...]
  --framework_name=NAME            (default marathon)
  --mesos_user=USER                whom tasks run as (default root)
  --mesos_role=ROLE                (default *)
  --failover_timeout=SECONDS       how long tasks outlive an absent Marathon (default 604800)
  --default_network_name=NAME      for apps on a container network without a name
  --mesos_bridge_name=NAME         (default mesos-bridge)
  --local_port_min=PORT, --local_port_max=PORT   service ports (default 10000 to 20000)
  --env_vars_prefix=TEXT           before HOST and PORT* in the environment of tasks
  --webui_url=URL
  --task_launch_timeout=MS, --task_launch_confirm_timeout=MS   (default 300000)
  --kill_retry_timeout=MS          (default 10000)
  --decline_offer_duration=MS      (default 120000)
  --min_revive_offers_interval=MS  (default 250)
  --max_instances_per_offer=N      (default 20)
  --max_running_deployments=N      (default 100)
  --reconciliation_interval=MS     (default 60000)
  --zk_max_versions=N              versions kept per app (default 50)
  --check_networks=on|off          refuse apps on networks that the cluster does not know (default on)
  --help                           this text

Each flag can be given as MARATHON_FLAG in the environment. API and page are for everybody who can reach the address:
set --http_credentials before listening on anything but loopback.
`;

export const role: Role = {
  summary: "applications: Marathon's REST API and web page",
  run: runMarathon,
};

const flags = [
  "master",
  "store",
  "hostname",
  "http_address",
  "http_port",
  "http_credentials",
  "http_realm",
  "access_control_allow_origin",
  "framework_name",
  "mesos_user",
  "mesos_role",
  "failover_timeout",
  "default_network_name",
  "mesos_bridge_name",
  "local_port_min",
  "local_port_max",
  "env_vars_prefix",
  "webui_url",
  "task_launch_timeout",
  "task_launch_confirm_timeout",
  "kill_retry_timeout",
  "decline_offer_duration",
  "min_revive_offers_interval",
  "max_instances_per_offer",
  "max_running_deployments",
  "reconciliation_interval",
  "zk_max_versions",
  "check_networks",
] as const;
type Flag = (typeof flags)[number];
type Values = Readonly<Partial<Record<Flag, string>>>;

async function runMarathon(argv: readonly string[], io: RoleIo): Promise<number> {
  let values: Values;
  let settings: MarathonSettings;
  try {
    const parsed = readFlags(argv, io.env);
    if (parsed === "help") {
      io.stdout(help);
      return 0;
    }
    values = parsed;
    settings = settingsFrom(values);
  } catch (error) {
    io.stderr(`margay marathon: ${describeError(error)}\n`);
    return 112;
  }
  const log = createLog("marathon");
  await using store = await connectEtcd({ ...resolveConnection(values.store, io.env), clock: systemClock, log });
  try {
    await serve(settings, store, log, io.signal);
    return 0;
  } catch (error) {
    if (io.signal.aborted) return 0;
    log.fatal({ event: "marathon_failed", error: describeError(error) });
    io.stderr(`margay marathon: ${describeError(error)}\n`);
    return describeError(error).includes("Framework failed over") ? 103 : 106;
  }
}

/** The address first: whoever cannot have it must not take the framework away from the Marathon that has. */
async function serve(settings: MarathonSettings, store: Store, log: Log, signal: AbortSignal): Promise<void> {
  let marathon: Marathon | undefined;
  const server = Bun.serve({
    hostname: settings.httpAddress,
    port: settings.httpPort,
    // Larger than the API's own limit, which answers in the API's shape.
    maxRequestBodySize: 64 * 1024 * 1024,
    idleTimeout: 120,
    // The page's files are for everybody; what it shows comes from the API, with credentials.
    routes: { ...uiRoutes },
    fetch: (request, http) => {
      if (marathon === undefined)
        return Response.json({ message: "Marathon is starting: waiting for the store" }, { status: 503 });
      if (new URL(request.url).pathname.startsWith("/v2/events")) http.timeout(request, 0);
      return marathon.fetch(request, http.requestIP(request)?.address ?? "unknown");
    },
  });
  try {
    // Ended before the server: who comes next shall find no other Marathon subscribed.
    await using started = await startWhenPossible(settings, store, log, signal);
    marathon = started;
    log.info({ event: "marathon_ready", address: server.url.href, master: settings.masters });
    await untilEnded(started.finished, signal);
  } finally {
    await server.stop(true);
  }
}

/** A store that is not there yet is waited for: the part that runs it may be starting just now. */
async function startWhenPossible(
  settings: MarathonSettings,
  store: Store,
  log: Log,
  signal: AbortSignal,
): Promise<Marathon> {
  const backoff = new Backoff({ clock: systemClock, minMs: 200, maxMs: 5_000 });
  for (;;) {
    try {
      return await startMarathon({ settings, store, clock: systemClock, log });
    } catch (error) {
      if (!(error instanceof OperationError && error.retry === "backoff")) throw error;
      log.warn({ event: "store_awaited", error: describeError(error) });
      await backoff.wait(signal);
    }
  }
}

/** The signal, or the end of Marathon's own work, whichever comes first. */
function untilEnded(finished: Promise<void>, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  return Promise.race([finished, stopped]);
}

function readFlags(argv: readonly string[], env: RoleIo["env"]): Values | "help" {
  const { values } = parseArgs({
    args: [...argv],
    allowPositionals: false,
    strict: true,
    options: {
      help: { type: "boolean", short: "h" },
      ...Object.fromEntries(flags.map((name) => [name, { type: "string" as const }])),
    },
  }) as { values: Values & { readonly help?: boolean } };
  if (values.help === true) return "help";
  const fromEnvironment = flags.flatMap((name) => {
    const value = env[`MARATHON_${name.toUpperCase()}`];
    return value === undefined ? [] : [[name, value]];
  });
  return { ...Object.fromEntries(fromEnvironment), ...values } as Values;
}

function settingsFrom(values: Values): MarathonSettings {
  const text = (name: Flag, otherwise: string) => values[name] ?? otherwise;
  const number = (name: Flag, otherwise: number, min = 0, max = Number.MAX_SAFE_INTEGER) => {
    const given = values[name];
    if (given === undefined) return otherwise;
    const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new BadInput(`--${name}`, `"${given}" is not possible`, `a whole number from ${min} to ${max}`);
    return value;
  };
  const { limits, rules } = defaultSettings;
  const mesosRole = text("mesos_role", "*");
  const hostname = text("hostname", machineName());
  return {
    ...defaultSettings,
    masters: mastersFrom(values.master),
    hostname,
    httpAddress: text("http_address", defaultSettings.httpAddress),
    httpPort: number("http_port", defaultSettings.httpPort, 0, 65_535),
    httpCredentials: values.http_credentials,
    httpRealm: text("http_realm", defaultSettings.httpRealm),
    corsOrigins: text("access_control_allow_origin", "")
      .split(",")
      .map((origin) => origin.trim())
      .filter((origin) => origin !== ""),
    frameworkName: text("framework_name", defaultSettings.frameworkName),
    user: text("mesos_user", defaultSettings.user),
    role: mesosRole,
    webuiUrl: values.webui_url,
    failoverTimeoutSeconds: number("failover_timeout", defaultSettings.failoverTimeoutSeconds),
    environmentPrefix: values.env_vars_prefix,
    rules: {
      bridgeName: text("mesos_bridge_name", rules.bridgeName),
      defaultNetworkName: values.default_network_name,
      defaultRole: mesosRole,
      roles: [...new Set(["*", mesosRole])],
      servicePorts: {
        min: number("local_port_min", rules.servicePorts.min, 1, 65_535),
        max: number("local_port_max", rules.servicePorts.max, 1, 65_536),
      },
    },
    limits: {
      killRetryMs: number("kill_retry_timeout", limits.killRetryMs, 100),
      launchConfirmTimeoutMs: number("task_launch_confirm_timeout", limits.launchConfirmTimeoutMs, 1000),
      launchTimeoutMs: number("task_launch_timeout", limits.launchTimeoutMs, 1000),
    },
    declineSeconds: number("decline_offer_duration", defaultSettings.declineSeconds * 1000) / 1000,
    reviveIntervalMinMs: number("min_revive_offers_interval", defaultSettings.reviveIntervalMinMs),
    instancesPerOfferMax: number("max_instances_per_offer", defaultSettings.instancesPerOfferMax, 1),
    deploymentsMax: number("max_running_deployments", defaultSettings.deploymentsMax, 1),
    reconciliationIntervalMs: number("reconciliation_interval", defaultSettings.reconciliationIntervalMs, 1000),
    versionsMax: number("zk_max_versions", defaultSettings.versionsMax, 1),
    networkCheck: networkCheck(values.check_networks ?? "on"),
  };
}

function networkCheck(word: string): boolean {
  if (word !== "on" && word !== "off") throw new BadInput("--check_networks", `"${word}" is not possible`, "on or off");
  return word === "on";
}

function mastersFrom(text: string | undefined): readonly string[] {
  if (text === undefined || text === "") throw new BadInput("--master", "it is missing", "http://HOST:5050");
  return text.split(",").map((part) => {
    const url = URL.parse(part.includes("://") ? part : `http://${part}`);
    if (url === null || !["http:", "https:"].includes(url.protocol)) {
      throw new BadInput("--master", `"${part}" is not the address of a master`, "http://HOST:5050");
    }
    return url.origin;
  });
}
