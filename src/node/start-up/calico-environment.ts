/**
 * What calico/node's environment asks for (felix-dataplane.md 6.4). A variable that asks for something this node does not do
 * is refused with the reason: ignoring it would leave hosts unreachable or unprotected. What changes nothing is let pass.
 */
import { BadInput } from "../../base/errors.ts";
import { parseAsNumber } from "../../model/node.ts";
import { parseDetectionMethod } from "./address-detection.ts";
import { type AddressWishes, parseAddressWish } from "./address-wish.ts";
import { type DefaultPools, readDefaultPool } from "./default-pools.ts";
import { booleanOf, type Environment } from "./environment-words.ts";

export interface StartUpSettings {
  readonly addresses: AddressWishes;
  /** So often addresses that were found are looked for anew. */
  readonly redetectEveryMs: number;
  readonly pools: DefaultPools;
  readonly allowDuplicateAddress: boolean;
  readonly asNumber: number | undefined;
  /** Besides "margay". */
  readonly clusterTypes: readonly string[];
}

/** Options of the command line; each wins over its variable. */
export interface StartUpOptions {
  readonly ip?: string | undefined;
  readonly ip6?: string | undefined;
  readonly poolCidr?: string | undefined;
  readonly noDefaultPools?: boolean | undefined;
}

const redetectSecondsDefault = 60;

/** @throws BadInput naming the variable or option */
export function readStartUp(options: StartUpOptions, env: Environment): StartUpSettings {
  refuseWhatIsNotDone(env);
  const addresses = { ipv4: wishOf(options, env, 4), ipv6: wishOf(options, env, 6) };
  return {
    addresses,
    redetectEveryMs: secondsOf(env, "AUTODETECT_POLL_INTERVAL", redetectSecondsDefault) * 1_000,
    pools: poolsOf(options, env, addresses),
    allowDuplicateAddress: booleanOf(env, "DISABLE_NODE_IP_CHECK") ?? false,
    asNumber: asNumberOf(env.AS),
    clusterTypes: (env.CLUSTER_TYPE ?? "").split(",").flatMap((type) => type.trim() || []),
  };
}

const logLevels: Readonly<Record<string, string>> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
  fatal: "fatal",
  panic: "fatal",
};

/** pino's word for Calico's; undefined: unknown. */
export function logLevelOf(text: string): string | undefined {
  return logLevels[text.toLowerCase()];
}

/** Of CALICO_STARTUP_LOGLEVEL: until the configuration is known. @throws BadInput */
export function startUpLogLevel(env: Environment): string | undefined {
  const text = (env.CALICO_STARTUP_LOGLEVEL ?? "").trim();
  if (text === "") return undefined;
  const level = logLevelOf(text);
  if (level !== undefined) return level;
  throw new BadInput("CALICO_STARTUP_LOGLEVEL", `"${text}" is no log level`, "DEBUG, INFO, WARNING, ERROR or FATAL");
}

function wishOf(options: StartUpOptions, env: Environment, family: 4 | 6) {
  const [option, name] = family === 4 ? [options.ip, "IP"] : [options.ip6, "IP6"];
  const methodName = `${name}_AUTODETECTION_METHOD`;
  const method = parseDetectionMethod(env[methodName] ?? "", methodName);
  const path = option === undefined ? name : family === 4 ? "--ip" : "--ip6";
  return parseAddressWish(option ?? env[name] ?? "", { path, family, method });
}

function poolsOf(options: StartUpOptions, env: Environment, { ipv6 }: AddressWishes): DefaultPools {
  if (options.noDefaultPools ?? booleanOf(env, "NO_DEFAULT_POOLS") ?? false) {
    return { ipv4: undefined, ipv6: undefined };
  }
  const usesIpv6 = ipv6.kind === "given" || ipv6.kind === "detect";
  const ipv6Off = booleanOf(env, "FELIX_IPV6SUPPORT") === false;
  return {
    ipv4: readDefaultPool(env, 4, { cidr: options.poolCidr, byDefault: true }),
    ipv6: ipv6Off ? undefined : readDefaultPool(env, 6, { byDefault: usesIpv6 }),
  };
}

function asNumberOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const number = parseAsNumber(text.trim());
  if (number === undefined) throw new BadInput("AS", `"${text}" is no AS number`, "0 to 4294967295, or high.low");
  return number;
}

function secondsOf(env: Environment, name: string, otherwise: number): number {
  const text = (env[name] ?? "").trim();
  if (text === "") return otherwise;
  const seconds = /^\d{1,6}s?$/.test(text) ? Number.parseInt(text, 10) : 0;
  if (seconds < 1) throw new BadInput(name, `"${text}" is no interval`, "seconds, for example 60s");
  return seconds;
}

function refuseWhatIsNotDone(env: Environment): void {
  const backend = (env.CALICO_NETWORKING_BACKEND ?? "").trim().toLowerCase();
  if (backend !== "" && backend !== "none") {
    const problem =
      backend === "bird" || backend === "vxlan"
        ? `${backend}: the node writes the routes to other hosts itself; it speaks no BGP and makes no tunnels`
        : `"${backend}" is not known`;
    throw new BadInput("CALICO_NETWORKING_BACKEND", problem, "none, or not set");
  }
  if (booleanOf(env, "CALICO_NETWORKING") === true) {
    throw new BadInput("CALICO_NETWORKING", "true asks for BGP, which this node does not speak", "false, or not set");
  }
  if (booleanOf(env, "CALICO_DISABLE_FELIX") === true) {
    const problem = "true asks for a host without policy; this node is what enforces it";
    throw new BadInput("CALICO_DISABLE_FELIX", problem, "false, or no margay node on this host");
  }
  if (env.CALICO_K8S_NODE_REF) {
    throw new BadInput("CALICO_K8S_NODE_REF", "there is no Kubernetes here", "not set");
  }
  if (env.FELIX_TYPHAADDR || env.FELIX_TYPHAK8SSERVICENAME) {
    throw new BadInput("FELIX_TYPHAADDR", "this node reads the datastore itself, without Typha", "not set");
  }
}
