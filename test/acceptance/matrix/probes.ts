/**
 * Many tries of connections at once: one command per container, which makes all of its tries side by side and says which
 * were answered.
 */

import type { Cluster } from "../cluster.ts";
import type { Cell, Endpoint } from "./rounds.ts";

/** Gives back what it is sent, by both families. */
const listeners = ["TCP6-LISTEN:80", "TCP6-LISTEN:81", "UDP6-RECVFROM:53"];

export async function listen(cluster: Cluster, { host, container }: Endpoint): Promise<void> {
  for (const listener of listeners) {
    const options = `${listener},fork,ipv6only=0${listener.startsWith("TCP") ? ",reuseaddr,backlog=100" : ""}`;
    await cluster.on(host, "docker", "exec", "-d", container, "socat", options, "PIPE");
  }
}

/** How long an answer may take: long between neighbours on one machine, short for a try that expects silence. */
const waitSeconds = 1;

function tryOf({ to, family, kind }: Cell): string {
  const address = to.addresses[family];
  if (kind === "icmp") return `ping -n -c 1 -W ${waitSeconds} ${address} >/dev/null 2>&1`;
  const [protocol = "", port = ""] = kind.split("/");
  const flags = `${protocol === "udp" ? "-u " : "-N "}-w ${waitSeconds}`;
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
