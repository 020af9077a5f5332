/**
 * Many tries of connections at once: one command per container, which makes all of its tries side by side and says which
 * were answered.
 */

import { fileURLToPath } from "node:url";
import type { Cluster } from "../cluster.ts";
import { eventually } from "../eventually.ts";
import type { Cell, Endpoint } from "./cells.ts";

const ports = ["tcp/80", "tcp/81", "udp/53"] as const;

/** From the host, in the container's network: it lives as long as the lab. */
export async function listen(cluster: Cluster, { host, container }: Endpoint): Promise<void> {
  const pid = (await cluster.on(host, "docker", "inspect", "-f", "{{.State.Pid}}", container)).trim();
  const words = ["nsenter", "-t", pid, "-n", process.execPath, fileURLToPath(new URL("listener.ts", import.meta.url))];
  const log = `/tmp/listener-${container}`;
  await cluster.on(host, "sh", "-c", `"$@" >${log} 2>&1 </dev/null &`, "sh", ...words, ...ports);
  await eventually(`${container} listens`, () => cluster.on(host, "grep", "-x", "listening", log));
}

/** How long an answer may take: long between neighbours on one machine, short for a try that expects silence. */
const waitSeconds = 1;

/**
 * The senders' ports, none of them used twice: chance would now and then choose one that an earlier round had, and what
 * belongs to an open connection passes, whatever policy has become. Below the ports that the kernel gives, above those that
 * rules know.
 */
const firstPort = 10_000;
const portsMax = 32_768 - firstPort;
let tries = 0;

function tryOf({ to, family, kind }: Cell): string {
  const address = to.addresses[family];
  if (kind === "icmp") return `ping -n -c 1 -W ${waitSeconds} ${address} >/dev/null 2>&1`;
  const [protocol = "", port = ""] = kind.split("/");
  const flags = `${protocol === "udp" ? "-u " : "-N "}-p ${firstPort + (tries++ % portsMax)} -w ${waitSeconds}`;
  return `[ "$(echo hello | nc.openbsd ${flags} ${address} ${port} 2>/dev/null)" = hello ]`;
}

/** The cells that were answered. */
export async function answered(cluster: Cluster, cells: readonly Cell[]): Promise<ReadonlySet<Cell>> {
  const senders = [...new Set(cells.map(({ from }) => from))];
  const found = await Promise.all(
    senders.map(async (sender) => {
      const own = cells.filter(({ from }) => from === sender);
      const script = [...own.map((cell, at) => `{ ${tryOf(cell)} && echo ${at}; } &`), "wait"].join("\n");
      const words = ["docker", "exec", "-i", sender.container, "sh"];
      const said = await cluster.lab.exec(sender.host, words, { stdin: script, timeoutMs: 30_000 });
      if (said.exitCode !== 0) throw new Error(`tries of ${sender.container}: ${said.exitCode} ${said.stderr}`);
      const numbers = new Set(said.stdout.split("\n").filter((line) => line !== ""));
      return own.filter((_, at) => numbers.has(String(at)));
    }),
  );
  return new Set(found.flat());
}
