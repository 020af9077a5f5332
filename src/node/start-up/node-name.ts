/**
 * The name of this host in the cluster (felix-dataplane.md 6.1, step 2). It stands in keys of everything the host has, so it
 * must not change: once known it is kept in a file, which wins over what the machine is called today.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { checkHostName } from "../../model/names.ts";
import type { Environment } from "./environment-words.ts";

export interface NodeNameSources {
  /** Of an option. */
  readonly option: string | undefined;
  readonly env: Environment;
  readonly file: string;
  /** What the kernel says. */
  readonly machine: () => string;
}

/** @throws BadInput naming the source of a name that cannot be one */
export function determineNodeName({ option, env, file, machine }: NodeNameSources): string {
  if (option !== undefined) return checkHostName(option, "--name");
  if (env.NODENAME) return checkHostName(env.NODENAME, "NODENAME");
  const kept = readNodeName(file);
  if (kept !== undefined) return checkHostName(kept, file);
  if (env.HOSTNAME) return checkHostName(env.HOSTNAME.trim().toLowerCase(), "HOSTNAME");
  return checkHostName(machine().trim().toLowerCase(), "the host's name");
}

/** Other programs of the host (CNI plug-ins) read it there. */
export function keepNodeName(file: string, name: string): void {
  if (readNodeName(file) === name) return;
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  writeFileSync(`${file}.new`, name, { mode: 0o644 });
  renameSync(`${file}.new`, file);
}

function readNodeName(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return;
    throw error;
  }
}
