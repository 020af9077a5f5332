/**
 * The agent's flags as Mesos spells them (reference/mesos-behaviour.md 8.3): `--name=value`, `--name value`, `--name` and
 * `--no-name` for switches, and `MESOS_<NAME>` in the environment. Flags of parts this agent does not have are taken and
 * have no effect, so that old command lines start; unknown names are refused.
 */

import { BadInput } from "../../base/errors.ts";
import { parseDuration } from "../protocol/durations.ts";
import { type ReconfigurationPolicy, reconfigurationPolicies } from "./reconfiguration.ts";

export interface AgentFlags {
  readonly master: string;
  readonly ip: string;
  readonly port: number;
  /** What others are told instead of `ip` and `port`. */
  readonly advertise_ip: string | undefined;
  readonly advertise_port: number | undefined;
  readonly hostname: string | undefined;
  readonly work_dir: string;
  readonly resources: string | undefined;
  readonly attributes: string | undefined;
  readonly default_role: string;
  readonly containerizers: string;
  readonly docker: string;
  readonly docker_socket: string;
  readonly docker_config: string | undefined;
  readonly docker_remove_delay: number;
  readonly docker_stop_timeout: number | undefined;
  readonly docker_kill_orphans: boolean;
  readonly default_container_dns: string | undefined;
  readonly cgroups_enable_cfs: boolean;
  readonly sandbox_directory: string;
  readonly executor_registration_timeout: number;
  readonly executor_shutdown_grace_period: number;
  readonly frameworks_home: string | undefined;
  readonly gc_delay: number;
  readonly registration_backoff_factor: number;
  readonly reconfiguration_policy: ReconfigurationPolicy;
  /** What was given, for /flags: secrets excepted. */
  readonly shown: Readonly<Record<string, string>>;
}

const defaults: Readonly<Record<string, string>> = {
  cgroups_enable_cfs: "false",
  containerizers: "docker",
  default_role: "*",
  docker: "docker",
  docker_kill_orphans: "true",
  docker_remove_delay: "6hrs",
  docker_socket: "/var/run/docker.sock",
  executor_registration_timeout: "30mins",
  executor_shutdown_grace_period: "5secs",
  gc_delay: "1weeks",
  ip: "127.0.0.1",
  port: "5051",
  reconfiguration_policy: "equal",
  registration_backoff_factor: "1secs",
  sandbox_directory: "/mnt/mesos/sandbox",
  work_dir: "/var/lib/mesos",
};

const optional: readonly string[] = [
  "advertise_ip",
  "advertise_port",
  "attributes",
  "default_container_dns",
  "docker_config",
  "docker_stop_timeout",
  "frameworks_home",
  "hostname",
  "master",
  "resources",
];

/** Of Mesos' agent; taken without effect. */
const ignored: ReadonlySet<string> = new Set([
  "agent_features",
  "cgroups_hierarchy",
  "cgroups_root",
  "container_disk_watch_interval",
  "container_logger",
  "disk_watch_interval",
  "docker_mesos_image",
  "docker_registry",
  "docker_store_dir",
  "executor_environment_variables",
  "executor_reregistration_timeout",
  "fetcher_cache_dir",
  "fetcher_cache_size",
  "gc_disk_headroom",
  "hooks",
  "hostname_lookup",
  "http_command_executor",
  "http_heartbeat_interval",
  "image_providers",
  "image_provisioner_backend",
  "isolation",
  "launcher",
  "launcher_dir",
  "log_dir",
  "logbufsecs",
  "logging_level",
  "max_completed_executors_per_framework",
  "modules",
  "modules_dir",
  "network_cni_config_dir",
  "network_cni_plugins_dir",
  "quiet",
  "recover",
  "recovery_timeout",
  "revocable_cpu_low_priority",
  "runtime_dir",
  "strict",
  "switch_user",
  "systemd_enable_support",
  "version",
]);

/** Of Mesos' agent, promising protection this agent does not give: refused unless switched off. */
const missing: ReadonlySet<string> = new Set([
  "authenticate_http_executors",
  "authenticate_http_readonly",
  "authenticate_http_readwrite",
  "cgroups_limit_swap",
  "enforce_container_disk_quota",
  "enforce_container_ports",
]);

const known: ReadonlySet<string> = new Set([...Object.keys(defaults), ...optional, ...ignored, ...missing]);

export function parseAgentFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): AgentFlags {
  const given = { ...fromEnvironment(env), ...fromWords(argv) };
  const all: Readonly<Record<string, string | undefined>> = { ...defaults, ...given };
  const promised = [...missing].find((name) => (all[name] ?? "false") !== "false");
  if (promised !== undefined) throw new BadInput(`--${promised}`, "is not supported by this agent", `--no-${promised}`);
  const text = (name: string): string => all[name] ?? "";
  const maybe = (name: string): string | undefined => (all[name] === "" ? undefined : all[name]);
  const duration = (name: string): number => parseDuration(text(name), `--${name}`);
  if (!text("containerizers").split(",").includes("docker")) {
    throw new BadInput("--containerizers", `"${text("containerizers")}" leaves out docker`, "a list that holds docker");
  }
  const master = maybe("master");
  if (master === undefined) throw new BadInput("--master", "is missing", "http://HOST:5050");
  return {
    master,
    ip: text("ip"),
    port: parsePort("--port", text("port")),
    advertise_ip: maybe("advertise_ip"),
    advertise_port:
      maybe("advertise_port") === undefined ? undefined : parsePort("--advertise_port", text("advertise_port")),
    hostname: maybe("hostname"),
    work_dir: text("work_dir"),
    resources: maybe("resources"),
    attributes: maybe("attributes"),
    default_role: text("default_role"),
    containerizers: text("containerizers"),
    docker: text("docker"),
    docker_socket: text("docker_socket"),
    docker_config: maybe("docker_config"),
    docker_remove_delay: duration("docker_remove_delay"),
    docker_stop_timeout: maybe("docker_stop_timeout") === undefined ? undefined : duration("docker_stop_timeout"),
    docker_kill_orphans: parseSwitch("docker_kill_orphans", text("docker_kill_orphans")),
    default_container_dns: maybe("default_container_dns"),
    cgroups_enable_cfs: parseSwitch("cgroups_enable_cfs", text("cgroups_enable_cfs")),
    sandbox_directory: text("sandbox_directory"),
    executor_registration_timeout: duration("executor_registration_timeout"),
    executor_shutdown_grace_period: duration("executor_shutdown_grace_period"),
    frameworks_home: maybe("frameworks_home"),
    gc_delay: duration("gc_delay"),
    registration_backoff_factor: duration("registration_backoff_factor"),
    reconfiguration_policy: parsePolicy(text("reconfiguration_policy")),
    shown: shownOf(all),
  };
}

/** Where the masters are: `host:port`, `http://host:port`, several with commas. */
export function parseMasters(text: string): readonly string[] {
  return text.split(",").map((part) => {
    const word = part.trim();
    if (/^(zk|file):/.test(word)) {
      throw new BadInput("--master", `"${word}" is not supported`, "http://HOST:5050, or several with commas");
    }
    const origin = /^https?:\/\//.test(word) ? word : `http://${word}`;
    const url = URL.parse(origin);
    if (url === null || url.hostname === "" || (url.pathname !== "/" && url.pathname !== "")) {
      throw new BadInput("--master", `"${word}" is not a master's address`, "http://HOST:5050, or several with commas");
    }
    return url.origin;
  });
}

function fromWords(argv: readonly string[]): Record<string, string> {
  const given: Record<string, string> = {};
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    const found = /^--([a-z][a-z0-9_-]*)(?:=([\s\S]*))?$/.exec(word);
    if (found?.[1] === undefined) throw new BadInput(word, "is not a flag", "--name=value");
    const name = found[1].replaceAll("-", "_");
    const plain = name.replace(/^no_/, "");
    if (!known.has(name) && name !== plain && known.has(plain)) {
      given[plain] = "false";
      continue;
    }
    if (!known.has(name))
      throw new BadInput(`--${found[1]}`, "is not a flag of the agent", "one of: margay agent --help");
    if (found[2] !== undefined) given[name] = found[2];
    else if (defaults[name] === "true" || defaults[name] === "false" || missing.has(name)) given[name] = "true";
    else {
      const next = argv[at + 1];
      const valueFollows = next !== undefined && !next.startsWith("--");
      if (!valueFollows && !ignored.has(name))
        throw new BadInput(`--${found[1]}`, "has no value", `--${found[1]}=value`);
      given[name] = valueFollows ? next : "true";
      if (valueFollows) at += 1;
    }
  }
  return given;
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const given: Record<string, string> = {};
  for (const name of [...Object.keys(defaults), ...optional]) {
    const value = env[`MESOS_${name.toUpperCase()}`];
    if (value !== undefined) given[name] = value;
  }
  return given;
}

function parsePort(flag: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new BadInput(flag, `"${text}" is not a port`, "0 to 65535");
  return port;
}

function parseSwitch(name: string, text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new BadInput(`--${name}`, `"${text}" is neither true nor false`, "true or false");
}

function parsePolicy(text: string): ReconfigurationPolicy {
  const found = reconfigurationPolicies.find((policy) => policy === text);
  if (found !== undefined) return found;
  throw new BadInput("--reconfiguration_policy", `"${text}" is unknown`, reconfigurationPolicies.join(", "));
}

function shownOf(all: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) shown[name] = name === "docker_config" ? "[secret]" : value;
  }
  return shown;
}

export const agentHelp = `Usage: margay agent --master=http://HOST:5050 [flags]

Runs tasks as Docker containers on this host for a Mesos master.

  --master=ADDRESS                  master, or several with commas
  --ip=ADDRESS                      where this agent listens and is found (default 127.0.0.1)
  --port=PORT                       (default 5051)
  --advertise_ip=ADDRESS, --advertise_port=PORT   what others are told instead
  --hostname=NAME                   (default the machine's name)
  --work_dir=DIR                    state and sandboxes (default /var/lib/mesos)
  --resources=TEXT                  cpus:4;mem:4096;disk:10000;ports:[31000-32000] (default what the machine has)
  --attributes=TEXT                 rack:r1;zone:a
  --docker_socket=PATH              Docker's socket (default /var/run/docker.sock)
  --docker_config=JSON|PATH         registry credentials
  --docker_remove_delay=DURATION    how long ended containers are kept (default 6hrs)
  --[no-]docker_kill_orphans        remove this agent's containers that are no task's (default true)
  --default_container_dns=JSON      name servers per network
  --[no-]cgroups_enable_cfs         cpus as a hard limit too (default false)
  --sandbox_directory=DIR           where the sandbox is in the container (default /mnt/mesos/sandbox)
  --executor_registration_timeout=DURATION   time for pulling an image (default 30mins)
  --executor_shutdown_grace_period=DURATION  time between SIGTERM and SIGKILL (default 5secs)
  --frameworks_home=DIR             where relative URIs are found
  --gc_delay=DURATION               how long sandboxes of ended tasks are kept (default 1weeks)
  --registration_backoff_factor=DURATION     first wait between registrations (default 1secs)
  --reconfiguration_policy=WORD     equal, additive or any: may the agent keep its id when it changed (default equal)

Each flag can be given as MESOS_<NAME> in the environment. Other flags of Mesos' agent are taken without effect.
`;
