/**
 * The value syntaxes of `docker run` options that a Mesos `parameters` list may carry (docker/cli: opts/*.go): sizes,
 * durations, key=value, host[:container[:mode]], and options that take no value. Pure; a value that Docker's command
 * line would refuse is refused with the option's name.
 */

import { LaunchRefused } from "./launch-refused.ts";

export function refuseValue(key: string, value: string, expected: string): never {
  throw new LaunchRefused(`Invalid value "${value}" for docker parameter "${key}": expected ${expected}`);
}

/** `--rm`, `--rm=true`: Mesos prints `--key=value`, and `--key=` with an empty value stands for the bare option. */
export function parseSwitch(key: string, value: string): boolean {
  switch (value.toLowerCase()) {
    case "":
    case "1":
    case "t":
    case "true":
      return true;
    case "0":
    case "f":
    case "false":
      return false;
    default:
      return refuseValue(key, value, "true or false");
  }
}

export function parseInteger(key: string, value: string): number {
  if (!/^-?\d{1,15}$/.test(value)) refuseValue(key, value, "a whole number");
  return Number(value);
}

export function parseDecimal(key: string, value: string): number {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(value)) refuseValue(key, value, "a number such as 1.5");
  return Number(value);
}

const sizeUnits: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `64m`, `1g`, `512kb`, `1024`: binary units, as go-units' RAMInBytes. */
export function parseSize(key: string, value: string): number {
  const found = /^(\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?$/i.exec(value);
  const unit = sizeUnits[found?.[2]?.toLowerCase() ?? "?"];
  if (found?.[1] === undefined || unit === undefined) return refuseValue(key, value, "a size such as 64m");
  return Math.trunc(Number(found[1]) * unit);
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 6e10,
  h: 3.6e12,
};

/** Go's time.ParseDuration, in nanoseconds: `1m30s`, `500ms`. */
export function parseGoDuration(key: string, value: string): number {
  if (value === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(value)) refuseValue(key, value, "a duration such as 1m30s");
  let total = 0;
  for (const part of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(part[1]) * (durationUnits[part[2] ?? ""] ?? 0);
  }
  return Math.round(total);
}

/** `key=value`; a bare `key` has an empty value. */
export function parsePair(key: string, value: string): readonly [name: string, value: string] {
  const at = value.indexOf("=");
  const name = at < 0 ? value : value.slice(0, at);
  if (name === "") refuseValue(key, value, "name=value");
  return [name, at < 0 ? "" : value.slice(at + 1)];
}

/** Lines `NAME=value`; blank lines and lines starting with # are left out; a bare NAME is not taken from the agent. */
export function parseEnvFile(text: string): readonly (readonly [name: string, value: string])[] {
  const variables: (readonly [string, string])[] = [];
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trimStart();
    if (line === "" || line.startsWith("#") || !line.includes("=")) continue;
    variables.push(parsePair("env-file", line));
  }
  return variables;
}

export function parseUlimit(key: string, value: string): { Name: string; Soft: number; Hard: number } {
  const found = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(value);
  if (found?.[1] === undefined || found[2] === undefined) return refuseValue(key, value, "name=soft[:hard]");
  const soft = Number(found[2]);
  return { Name: found[1], Soft: soft, Hard: found[3] === undefined ? soft : Number(found[3]) };
}

export function parseDevice(
  key: string,
  value: string,
): { PathOnHost: string; PathInContainer: string; CgroupPermissions: string } {
  const [host = "", second, third, ...more] = value.split(":");
  if (!host.startsWith("/") || more.length > 0) return refuseValue(key, value, "/host/path[:/container/path[:rwm]]");
  const secondIsMode = second !== undefined && /^[rwm]{1,3}$/.test(second);
  return {
    PathOnHost: host,
    PathInContainer: second === undefined || secondIsMode ? host : second,
    CgroupPermissions: third ?? (secondIsMode ? second : "rwm"),
  };
}

/** `[ip:][host:]container[/protocol]`, single ports only: a range would take ports the task was not given. */
export function parsePublish(key: string, value: string): { port: string; hostIp: string; hostPort: string } {
  const found = /^(?:(?:(\[[0-9a-fA-F:]+\]|[\d.]*):)?(\d{0,5}):)?(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (found?.[3] === undefined) return refuseValue(key, value, "[ip:][hostPort:]containerPort[/protocol]");
  return {
    port: `${found[3]}/${found[4] ?? "tcp"}`,
    hostIp: (found[1] ?? "").replace(/[[\]]/g, ""),
    hostPort: found[2] ?? "",
  };
}
