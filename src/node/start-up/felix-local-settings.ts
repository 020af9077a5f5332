/**
 * Felix' settings that a host is started with: FELIX_<PARAMETER> in its environment, and /etc/calico/felix.cfg below it.
 * They are stronger than what the datastore says. What Felix would not start with stops this node too, with its words.
 */
import { readFileSync } from "node:fs";
import { BadInput } from "../../base/errors.ts";
import type { FelixConfigurationSpec } from "../../model/felix-fields.ts";
import { readRawParameters } from "../../model/felix-parameters.ts";
import type { Environment } from "./environment-words.ts";

export const felixConfigFileDefault = "/etc/calico/felix.cfg";

export interface FelixLocalSettings {
  /** Weakest first. */
  readonly layers: readonly FelixConfigurationSpec[];
  /** What counts as its built-in value because it cannot be read, or is not known. */
  readonly problems: readonly string[];
}

/** @throws BadInput for a setting without which protection would be other than asked for */
export function readFelixSettings(env: Environment, file: string): FelixLocalSettings {
  const sources = [
    [file, fileParameters(file)],
    ["environment", environmentParameters(env)],
  ] as const;
  const layers: FelixConfigurationSpec[] = [];
  const problems: string[] = [];
  for (const [where, raw] of sources) {
    const read = readRawParameters(raw);
    const [first] = read.fatal;
    if (first !== undefined) throw new BadInput(where, first, "a value as Calico's documentation of Felix lists them");
    layers.push(read.spec);
    problems.push(...read.problems.map((problem) => `${where}: ${problem}`));
  }
  return { layers, problems };
}

/** Where Felix looks for the datastore, and what it calls its host, under the names that the rest of the program knows. */
export function withFelixNames(env: Environment, file: string): Environment {
  const raw = new Map([...fileParameters(file), ...environmentParameters(env)]);
  const names = {
    NODENAME: "felixhostname",
    DATASTORE_TYPE: "datastoretype",
    ETCD_ENDPOINTS: "etcdendpoints",
    ETCD_AUTHORITY: "etcdaddr",
    ETCD_SCHEME: "etcdscheme",
    ETCD_KEY_FILE: "etcdkeyfile",
    ETCD_CERT_FILE: "etcdcertfile",
    ETCD_CA_CERT_FILE: "etcdcafile",
  } as const;
  const named = Object.entries(names).flatMap(([name, parameter]) => {
    const value = raw.get(parameter);
    return value === undefined || value.toLowerCase() === "none" || env[name] ? [] : [[name, value] as const];
  });
  return { ...env, ...Object.fromEntries(named) };
}

/** By parameter in lower case. */
function environmentParameters(env: Environment): ReadonlyMap<string, string> {
  const found = Object.entries(env).flatMap(([name, text]) => {
    const match = /^felix_(.+)$/i.exec(name);
    return match?.[1] === undefined || text === undefined ? [] : [[match[1].toLowerCase(), text] as const];
  });
  return new Map(found);
}

/** INI; its sections mean nothing to Felix. */
function fileParameters(file: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [at, line] of textOf(file).split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || /^[#;[]/.test(trimmed)) continue;
    const match = /^([^=:\s]+)\s*[=:]\s*(.*)$/.exec(trimmed);
    if (match?.[1] === undefined) throw new BadInput(`${file}:${at + 1}`, `"${trimmed}" sets nothing`, "Name = value");
    found.set(match[1].toLowerCase(), (match[2] ?? "").replace(/^(["'])(.*)\1$/, "$2"));
  }
  return found;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return "";
    throw error;
  }
}
