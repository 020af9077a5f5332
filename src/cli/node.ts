/** `margay node`: the host agent, with the Docker network driver on its sockets. */
import { hostname } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../base/clock.ts";
import { BadInput, describeError, OperationError } from "../base/errors.ts";
import { parseGoDuration } from "../base/go-duration.ts";
import { createLog } from "../base/log.ts";
import type { Role, RoleIo } from "../base/role.ts";
import { Ipam } from "../ipam/ipam.ts";
import type { FelixConfigurationSpec } from "../model/felix-fields.ts";
import { AddressUpkeep } from "../node/address-upkeep.ts";
import { NodeAgent } from "../node/agent.ts";
import { logLevelOf, readStartUp, startUpLogLevel } from "../node/start-up/calico-environment.ts";
import { felixConfigFileDefault, readFelixSettings, withFelixNames } from "../node/start-up/felix-local-settings.ts";
import { localSurroundings } from "../node/start-up/host-surroundings.ts";
import { LocalHost } from "../node/start-up/local-host.ts";
import { determineNodeName, keepNodeName } from "../node/start-up/node-name.ts";
import { firstAddresses } from "../node/start-up/node-resource.ts";
import { DockerPlugin } from "../plugins/docker/docker-plugin.ts";
import { readDriverSettings } from "../plugins/docker/driver-settings.ts";
import { DOCKER_HOST_DEFAULT, DockerEngine } from "../plugins/docker/engine/docker-engine.ts";
import { parseEngineHost } from "../plugins/docker/engine/engine-connection.ts";
import { PoolMemory } from "../plugins/docker/pool-memory.ts";
import { WorkloadAttachment } from "../plugins/workloads/workload-attachment.ts";
import { resolveConnection } from "../store/connection-settings.ts";
import { connectEtcd } from "../store/etcd-client.ts";

const help = `margay node: addresses, routes and firewall policy for the containers of this host

Usage: margay node [options]

  --name=HOST            this host's name, the same everywhere (default: NODENAME, the nodename file, the host's name)
  --ip=ADDRESS           its address as other hosts reach it: an address, autodetect or none (default: IP, else what its
                         Node says, else autodetect)
  --ip6=ADDRESS          the same for IPv6 (default: IP6, else what its Node says)
  --store=URL[,URL...]   the datastore (default: ETCD_ENDPOINTS, ETCD_DISCOVERY_SRV, ETCD_AUTHORITY, /etc/calico/calicoctl.cfg,
                         http://127.0.0.1:2379)
  --run-dir=DIR          holds node.sock, the node's own API (default /run/margay)
  --state-dir=DIR        what must survive a restart (default /var/lib/margay/node)
  --nodename-file=FILE   keeps the name (default: CALICO_NODENAME_FILE, /var/lib/calico/nodename)
  --docker-host=URL      the Docker Engine (default ${DOCKER_HOST_DEFAULT})
  --plugin-dir=DIR       where Docker looks for calico.sock and calico-ipam.sock (default /run/docker/plugins)
  --no-docker            no Docker network driver on this host (default: CALICO_LIBNETWORK_ENABLED is not false)
  --felix-config=FILE    Felix' settings, below FELIX_* of the environment (default ${felixConfigFileDefault})
  --health-port=PORT     /readiness, /liveness and /metrics on 127.0.0.1 (default: healthPort of FelixConfiguration, 9099)
  --pool-cidr=CIDR       the default pool of an empty cluster (default: CALICO_IPV4POOL_CIDR, 192.168.0.0/16)
  --no-default-pools     an empty cluster gets no pool (default: NO_DEFAULT_POOLS)
  --repair-after=TIME    how long a left-over must be one before it is removed, e.g. 60s
  --migrate-policies     rename policies stored by Calico before 3.32 (default.NAME to NAME); older clients no longer find them
  --help                 this text

Addresses are found as IP_AUTODETECTION_METHOD and IP6_AUTODETECTION_METHOD say (first-found, interface=, skip-interface=,
can-reach=, cidr=), pools made as CALICO_IPV4POOL_* and CALICO_IPV6POOL_* say. Calico's other variables: docs/node.md.
The Docker driver also reads MARGAY_DOCKER_SCOPE and CALICO_LIBNETWORK_CREATE_PROFILES, _LABEL_ENDPOINTS,
_LABEL_POLL_TIMEOUT, _VETH_MTU, _IFPREFIX. Stopping it leaves the containers connected and their policy enforced.
`;

export const role: Role = {
  summary: "the host agent: addresses, routes, firewall, Docker network driver",
  run: runNode,
};

async function runNode(argv: readonly string[], io: RoleIo): Promise<number> {
  try {
    const settings = parseSettings(argv, io.env);
    if (settings === "help") {
      io.stdout(help);
      return 0;
    }
    await serve(settings, io);
    return 0;
  } catch (error) {
    io.stderr(`margay node: ${describeError(error)}\n`);
    if (error instanceof OperationError && error.remedy !== undefined) io.stderr(`  ${error.remedy}\n`);
    return error instanceof BadInput || error instanceof TypeError ? 2 : 1;
  }
}

type Settings = Exclude<ReturnType<typeof parseSettings>, "help">;

async function serve(settings: Settings, io: RoleIo): Promise<void> {
  const logFailures = { errors: 0, dropped: 0 };
  const log = createLog("node", settings.logLevel, logFailures);
  const clock = systemClock;
  if (settings.felix.problems.length > 0) {
    log.warn({ event: "felix_settings_ignored", problems: settings.felix.problems });
  }
  const { name, startUp, stateDir, runDir, docker } = settings;
  await using store = await connectEtcd({ ...settings.connection, clock, log });
  const surroundings = localSurroundings;
  const { addresses } = startUp;
  const host = new LocalHost(name, await firstAddresses({ store, clock, host: name, addresses, surroundings }));
  const pools = new PoolMemory(join(stateDir, "docker", "pools"), log);
  await using agent = await NodeAgent.start({
    host,
    store,
    clock,
    log,
    logFailures,
    startUp,
    surroundings,
    onInitialized: () => {
      try {
        keepNodeName(settings.nodenameFile, name);
      } catch (error) {
        log.warn({ event: "node_name_not_kept", file: settings.nodenameFile, error: describeError(error) });
      }
    },
    localSettings: settings.felix.layers,
    migratePolicies: settings.migratePolicies,
    apiSocketPath: join(runDir, "node.sock"),
    onSettings: ({ logLevel }) => {
      if (io.env.MARGAY_LOG === undefined) log.level = logLevelOf(logLevel) ?? log.level;
    },
    onPoolsChange: (all) => pools.update(all),
  });
  await using _upkeep = AddressUpkeep.start({ agent, store, graceMs: settings.graceMs, clock, log });
  const ipam = new Ipam({ store, clock, known: agent.known });
  WorkloadAttachment.serve({ agent, store, ipam, clock, log }, agent.api);
  await using plugin =
    docker === undefined
      ? undefined
      : DockerPlugin.start({ ...docker, graceMs: settings.graceMs, agent, store, ipam, pools, stateDir, clock, log });
  log.info({ event: "node_started", host: host.name, address: host.address, endpoints: settings.connection.endpoints });
  const stopped = Promise.withResolvers<void>();
  if (io.signal.aborted) stopped.resolve();
  io.signal.addEventListener("abort", () => stopped.resolve(), { once: true });
  await Promise.race([stopped.promise, agent.finished, ...(plugin === undefined ? [] : [plugin.finished])]);
}

function parseSettings(argv: readonly string[], env: RoleIo["env"]) {
  const { values } = parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      name: { type: "string" },
      ip: { type: "string" },
      ip6: { type: "string" },
      store: { type: "string" },
      "run-dir": { type: "string", default: "/run/margay" },
      "state-dir": { type: "string", default: "/var/lib/margay/node" },
      "nodename-file": { type: "string", default: env.CALICO_NODENAME_FILE || "/var/lib/calico/nodename" },
      "felix-config": { type: "string", default: felixConfigFileDefault },
      "docker-host": { type: "string", default: env.DOCKER_HOST ?? DOCKER_HOST_DEFAULT },
      "plugin-dir": { type: "string", default: "/run/docker/plugins" },
      "no-docker": { type: "boolean", default: env.CALICO_LIBNETWORK_ENABLED?.toLowerCase() === "false" },
      "health-port": { type: "string" },
      "pool-cidr": { type: "string" },
      "no-default-pools": { type: "boolean" },
      "repair-after": { type: "string", default: "60s" },
      "migrate-policies": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const graceMs = parseGoDuration(values["repair-after"]);
  if (graceMs === undefined || graceMs <= 0)
    throw new BadInput("--repair-after", `"${values["repair-after"]}" is no time`, "a time such as 60s");
  parseEngineHost(values["docker-host"]);
  const engine = new DockerEngine({ clock: systemClock, host: values["docker-host"] });
  const felixFile = values["felix-config"];
  const felix = readFelixSettings(env, felixFile);
  const named = withFelixNames(env, felixFile);
  const nodenameFile = values["nodename-file"];
  return {
    name: determineNodeName({ option: values.name, env: named, file: nodenameFile, machine: hostname }),
    nodenameFile,
    startUp: readStartUp(
      {
        ip: values.ip,
        ip6: values.ip6,
        poolCidr: values["pool-cidr"],
        noDefaultPools: values["no-default-pools"],
      },
      env,
    ),
    migratePolicies: values["migrate-policies"],
    logLevel: env.MARGAY_LOG ?? startUpLogLevel(env),
    connection: resolveConnection(values.store, named),
    runDir: values["run-dir"],
    stateDir: values["state-dir"],
    graceMs,
    felix: { ...felix, layers: [...felix.layers, ...healthOption(values["health-port"])] },
    docker: values["no-docker"]
      ? undefined
      : { engine, settings: readDriverSettings(env), pluginDir: values["plugin-dir"] },
  };
}

/** As the strongest setting of all. */
function healthOption(text: string | undefined): readonly FelixConfigurationSpec[] {
  if (text === undefined) return [];
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw new BadInput("--health-port", `"${text}" is no port`, "a number from 1 to 65535");
  return [{ healthEnabled: true, healthPort: port }];
}
