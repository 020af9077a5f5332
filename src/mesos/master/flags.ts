/**
 * The master's flags as Mesos spells them (reference: mesos-behaviour 8.2): `--name=value`, `--name value`, `--name` and
 * `--no-name` for switches, `MESOS_<NAME>` in the environment, old names with `slave`. Flags without effect here are
 * taken, so that old command lines start, except those that promise protection: these are refused.
 */

import { BadInput } from "../../base/errors.ts";
import { formatDuration, parseDuration } from "../protocol/durations.ts";
import { parseResources } from "../protocol/resource-grammar.ts";
import type { MasterSettings } from "./master-context.ts";
import { quantitiesOf } from "./quantities.ts";

export interface MasterFlags {
  readonly ip: string;
  readonly port: number;
  /** As others reach it. */
  readonly hostname: string;
  readonly workDir: string;
  readonly store: string | undefined;
  readonly settings: MasterSettings;
  /** All flags with their values, for /flags. */
  readonly shown: Readonly<Record<string, string>>;
}

interface Flag {
  readonly value?: string;
  readonly help: string;
}

const known: Readonly<Record<string, Flag>> = {
  advertise_ip: { help: "address announced instead of --ip" },
  agent_ping_timeout: { value: "15secs", help: "time between pings" },
  agent_reregister_timeout: {
    value: "10mins",
    help: "how long agents have to come back after a restart of the master",
  },
  allocation_interval: { value: "1secs", help: "time between allocation runs" },
  cluster: { help: "a name to show" },
  fair_sharing_excluded_resource_names: { help: "resource names that do not count for fairness, with commas" },
  filter_gpu_resources: { value: "true", help: "agents with gpus only for frameworks with GPU_RESOURCES" },
  hostname: { help: "name announced; the IP address if not given" },
  ip: { value: "127.0.0.1", help: "address to listen on" },
  max_agent_ping_timeouts: { value: "5", help: "pings missed before an agent counts as unreachable" },
  min_allocatable_resources: { value: "cpus:0.01|mem:32", help: "an offer reaches one of these" },
  offer_timeout: { help: "after this an offer is rescinded; never if not given" },
  port: { value: "5050", help: "port to listen on" },
  roles: { help: "roles frameworks may use, with commas; all if not given" },
  root_submissions: { value: "true", help: "whether frameworks may run as root" },
  store: {
    help: "where to remember agents and frameworks: etcd endpoints with commas; a file in --work_dir if not given",
  },
  weights: { help: "role=weight pairs with commas" },
  whitelist: { value: "*", help: "host names that are offered, with commas" },
  work_dir: { help: "directory for the master's own files (required)" },
};

const switches: ReadonlySet<string> = new Set(["filter_gpu_resources", "root_submissions"]);

/** Of Mesos' master; taken without effect. */
const ignored: ReadonlySet<string> = new Set(
  (
    "advertise_port agent_removal_rate_limit allocator allocator_agent_recovery_factor allocator_recovery_timeout " +
    "external_log_file framework_sorter hostname_lookup hooks ip_discovery_command log_auto_initialize log_dir logbufsecs " +
    "logging_level max_completed_frameworks max_completed_tasks_per_framework max_operator_event_stream_subscribers " +
    "max_unreachable_tasks_per_framework modules modules_dir offer_constraints_re2_max_mem " +
    "offer_constraints_re2_max_program_size publish_per_framework_metrics quiet quorum recovery_agent_removal_limit " +
    "registry registry_fetch_timeout registry_gc_interval registry_max_agent_age registry_max_agent_count registry_store_timeout " +
    "registry_strict require_agent_domain role_sorter webui_dir zk_session_timeout domain"
  ).split(" "),
);

/** Starting without what these ask for would leave open what its owner believes closed, or alone what should be several. */
const refusedWhenSet: Readonly<Record<string, string>> = {
  acls: "authorization is not built yet",
  authenticate_agents: "authentication is not built yet",
  authenticate_frameworks: "authentication is not built yet",
  authenticate_http_frameworks: "authentication is not built yet",
  authenticate_http_readonly: "authentication is not built yet",
  authenticate_http_readwrite: "authentication is not built yet",
  authenticators: "authentication is not built yet",
  authorizers: "authorization is not built yet",
  credentials: "authentication is not built yet",
  firewall_rules: "endpoints cannot be disabled yet",
  http_authenticators: "authentication is not built yet",
  http_framework_authenticators: "authentication is not built yet",
  master_contender: "several masters are not built yet",
  master_detector: "several masters are not built yet",
  rate_limits: "rate limits are not built yet",
  zk: "several masters through ZooKeeper are not built yet; give --store to keep the registry outside this host",
};

const oldNames: Readonly<Record<string, string>> = {
  slave_ping_timeout: "agent_ping_timeout",
  max_slave_ping_timeouts: "max_agent_ping_timeouts",
  slave_reregister_timeout: "agent_reregister_timeout",
  slave_removal_rate_limit: "agent_removal_rate_limit",
  recovery_slave_removal_limit: "recovery_agent_removal_limit",
  authenticate_slaves: "authenticate_agents",
};

export function masterUsage(): string {
  const names = Object.keys(known);
  const width = Math.max(...names.map((name) => name.length)) + 2;
  const lines = Object.entries(known).map(([name, { value, help }]) => {
    return `  ${`--${name}`.padEnd(width)}  ${help}${value === undefined ? "" : ` (default: ${value})`}`;
  });
  return `Usage: margay master --work_dir=DIR [--ip=ADDRESS] [--port=PORT] [OPTIONS]\n\n${lines.join("\n")}\n\nEach may also be given as MESOS_<NAME> in the environment. Durations: 15secs, 1mins, 2hrs.\n`;
}

/** Throws BadInput. */
export function parseMasterFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): MasterFlags {
  const given = new Map<string, string>();
  for (const name of [...Object.keys(known), ...Object.keys(refusedWhenSet)]) {
    const value = env[`MESOS_${name.toUpperCase()}`];
    if (value !== undefined) given.set(name, value);
  }
  for (const [name, value] of readWords(argv)) given.set(name, value);
  for (const [name, because] of Object.entries(refusedWhenSet)) {
    const value = given.get(name);
    if (value !== undefined && value !== "false") throw new BadInput(`--${name}`, because, "the flag to be left out");
  }
  const value = (name: string) => given.get(name) ?? known[name]?.value;
  const required = (name: string) => {
    const text = value(name);
    if (text === undefined || text === "") throw new BadInput(`--${name}`, "not given", "a value");
    return text;
  };
  const ip = required("ip");
  const settings = settingsFrom(value, required);
  return {
    ip,
    port: wholeNumber(required("port"), "--port", 0, 65_535),
    hostname: value("hostname") ?? value("advertise_ip") ?? ip,
    workDir: required("work_dir"),
    store: value("store"),
    settings,
    shown: shownFlags(given, settings),
  };
}

function settingsFrom(value: (name: string) => string | undefined, required: (name: string) => string): MasterSettings {
  const milliseconds = (name: string) => {
    const ms = parseDuration(required(name), `--${name}`);
    if (ms <= 0) throw new BadInput(`--${name}`, "must be longer than nothing", "a duration such as 15secs");
    return ms;
  };
  const list = (name: string) => {
    const text = value(name);
    return text === undefined || text === "" ? undefined : text.split(",").map((one) => one.trim());
  };
  const whitelist = required("whitelist");
  const roles = list("roles");
  return {
    allocationIntervalMs: milliseconds("allocation_interval"),
    agentPingTimeoutMs: milliseconds("agent_ping_timeout"),
    agentPingTimeoutsMax: wholeNumber(required("max_agent_ping_timeouts"), "--max_agent_ping_timeouts", 1, 1_000),
    agentReregisterTimeoutMs: milliseconds("agent_reregister_timeout"),
    offerTimeoutMs: value("offer_timeout") === undefined ? undefined : milliseconds("offer_timeout"),
    minAllocatable: required("min_allocatable_resources")
      .split("|")
      .map((text) => quantitiesOf(parseResources(text, "--min_allocatable_resources"))),
    weights: parseWeights(list("weights") ?? []),
    fairnessExcluded: new Set(list("fair_sharing_excluded_resource_names") ?? []),
    filterGpuResources: truth(required("filter_gpu_resources"), "--filter_gpu_resources"),
    hostsAllowed: whitelist === "*" ? undefined : new Set(whitelist.split(",").map((one) => one.trim())),
    rolesAllowed: roles === undefined ? undefined : new Set([...roles, "*"]),
    rootSubmissions: truth(required("root_submissions"), "--root_submissions"),
  };
}

function* readWords(argv: readonly string[]): Generator<[name: string, value: string]> {
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    const [, no, written, , assigned] = /^--(no-)?([a-z0-9_-]+)(=([\s\S]*))?$/.exec(word) ?? [];
    if (written === undefined) throw new BadInput(word, "not a flag", "--name=value");
    const spelled = written.replaceAll("-", "_");
    const name = Object.hasOwn(oldNames, spelled) ? (oldNames[spelled] ?? spelled) : spelled;
    const isKnown = Object.hasOwn(known, name) || ignored.has(name) || Object.hasOwn(refusedWhenSet, name);
    if (!isKnown) throw new BadInput(`--${written}`, "unknown flag", "a flag of margay master --help");
    if (assigned !== undefined) {
      yield [name, assigned];
      continue;
    }
    const next = argv[index + 1];
    const standsAlone = switches.has(name) || next === undefined || next.startsWith("--");
    if (no !== undefined || standsAlone) {
      if (no === undefined && Object.hasOwn(known, name) && !switches.has(name)) {
        throw new BadInput(`--${name}`, "has no value", `--${name}=VALUE`);
      }
      yield [name, no === undefined ? "true" : "false"];
    } else {
      index += 1;
      yield [name, next];
    }
  }
}

function shownFlags(given: ReadonlyMap<string, string>, settings: MasterSettings): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {};
  for (const [name, { value }] of Object.entries(known)) if (value !== undefined) shown[name] = value;
  for (const [name, value] of given) shown[name] = value;
  shown.allocation_interval = formatDuration(settings.allocationIntervalMs);
  shown.agent_ping_timeout = formatDuration(settings.agentPingTimeoutMs);
  shown.agent_reregister_timeout = formatDuration(settings.agentReregisterTimeoutMs);
  return Object.fromEntries(Object.entries(shown).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function parseWeights(pairs: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    pairs.map((pair) => {
      const [role, text] = pair.split("=");
      const weight = Number(text);
      if (role === undefined || role === "" || !(weight > 0) || !Number.isFinite(weight)) {
        throw new BadInput("--weights", `"${pair}" is not a weight`, "role=weight with a weight above 0");
      }
      return [role, weight];
    }),
  );
}

function wholeNumber(text: string, path: string, low: number, high: number): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < low || value > high) {
    throw new BadInput(path, `"${text}" is not allowed`, `a whole number between ${low} and ${high}`);
  }
  return value;
}

function truth(text: string, path: string): boolean {
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw new BadInput(path, `"${text}" is not allowed`, "true or false");
}
