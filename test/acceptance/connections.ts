/** Real connections between containers, in TCP, UDP and ICMP, with what is expected of each. */

import type { Cluster } from "./cluster.ts";

export type Protocol = "tcp" | "udp" | "icmp";
export const protocols: readonly Protocol[] = ["tcp", "udp", "icmp"];

export interface Place {
  readonly host: string;
  readonly container: string;
  readonly address: string;
}

/** One try of one second: long between neighbours on one machine, short for a test that expects silence. */
const words: Readonly<Record<Protocol, (address: string) => readonly string[]>> = {
  tcp: (address) => ["sh", "-c", `echo hello | socat -t 1 - TCP:${address}:80,connect-timeout=1`],
  udp: (address) => ["sh", "-c", `echo hello | socat -t 1 - UDP:${address}:53`],
  icmp: (address) => ["ping", "-n", "-c", "1", "-W", "1", address],
};

/** True when an answer came back. */
export async function reaches(cluster: Cluster, from: Place, to: Place, protocol: Protocol): Promise<boolean> {
  const said = await cluster.tried(from.host, "docker", "exec", from.container, ...words[protocol](to.address));
  return protocol === "icmp" ? said.exitCode === 0 : said.stdout.includes(to.container);
}

/** Every pair and protocol; the cells that differ from what is allowed, as text. */
export async function wrongCells(
  cluster: Cluster,
  places: readonly Place[],
  allowed: (from: Place, to: Place) => boolean,
): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const from of places) {
    const others = places.filter((to) => to !== from);
    const cells = others.flatMap((to) => protocols.map((protocol) => ({ to, protocol })));
    const got = await Promise.all(cells.map(({ to, protocol }) => reaches(cluster, from, to, protocol)));
    for (const [at, { to, protocol }] of cells.entries()) {
      if (got[at] === allowed(from, to)) continue;
      wrong.push(`${from.container} ${got[at] ? "reaches" : "does not reach"} ${to.container} by ${protocol}`);
    }
  }
  return wrong;
}
