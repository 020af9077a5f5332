/** What a lab must leave as it found it, as text that can be compared. For tests. */

import { readdirSync, readFileSync } from "node:fs";
import { mustRun, runCommand } from "../command.ts";

export interface MachineState {
  readonly addresses: string;
  readonly routes: string;
  readonly rules: string;
  readonly nftables: string;
  readonly iptables: string;
  readonly sysctls: string;
  readonly mounts: string;
  readonly namespaces: string;
}

export async function machineState(): Promise<MachineState> {
  const [addresses, routes, rules, nftables, iptables] = await Promise.all([
    mustRun(["ip", "-o", "addr", "show"]),
    mustRun(["ip", "route", "show", "table", "all"]),
    mustRun(["ip", "rule", "show"]),
    mustRun(["nft", "list", "ruleset"]),
    // Prints nothing, and makes no table, where there is none.
    runCommand(["iptables-save"]).then(({ stdout }) => stdout.replaceAll(/^#.*$/gm, "")),
  ]);
  return {
    addresses,
    routes,
    rules,
    nftables,
    iptables,
    sysctls: [...settingsBelow("/proc/sys/net"), ...settingsBelow("/proc/sys/kernel/keys")].join("\n"),
    mounts: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes("margay"))
      .join("\n"),
    namespaces: readdirSync("/sys/class/net").sort().join(" "),
  };
}

/** Counters and what the kernel tunes by itself. */
const restless = /nf_conntrack_count|\/(random|uuid)$|ipfrag_|\/route\/flush$|stat_refresh|tcp_fastopen_key/;

function settingsBelow(folder: string): readonly string[] {
  const names = readdirSync(folder, { withFileTypes: true });
  return names.flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return settingsBelow(path);
    if (restless.test(path)) return [];
    try {
      return [`${path}=${readFileSync(path, "utf8").trim()}`];
    } catch {
      // Some can only be written.
      return [];
    }
  });
}
