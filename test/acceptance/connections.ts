/** Real connections between containers, in TCP, UDP and ICMP, with what is expected of each. */

import { systemClock } from "../../src/base/clock.ts";
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

/** Fetches a page once: wget would try twenty times. */
export function fetchWords(address: string, withinSeconds: number): readonly string[] {
  return ["wget", "-qO-", "-t", "1", "-T", String(withinSeconds), `http://${address}/`];
}

/** True when an answer came back. */
export async function reaches(cluster: Cluster, from: Place, to: Place, protocol: Protocol): Promise<boolean> {
  const said = await cluster.tried(from.host, "docker", "exec", from.container, ...words[protocol](to.address));
  return protocol === "icmp" ? said.exitCode === 0 : said.stdout.includes(to.container);
}

/** How long an allowed connection may take on a machine that is busy with many of them. */
const answerWithinMs = 10_000;

/** Every pair and protocol; the cells that differ from what is allowed, as text. Silence must hold at the first try. */
export async function wrongCells(
  cluster: Cluster,
  places: readonly Place[],
  allowed: (from: Place, to: Place) => boolean,
): Promise<readonly string[]> {
  const wrong: string[] = [];
  const check = async (from: Place, to: Place, protocol: Protocol) => {
    const expected = allowed(from, to);
    const untilMs = systemClock.monotonicMs() + (expected ? answerWithinMs : 0);
    let got = await reaches(cluster, from, to, protocol);
    while (!got && systemClock.monotonicMs() < untilMs) got = await reaches(cluster, from, to, protocol);
    if (got !== expected)
      wrong.push(`${from.container} ${got ? "reaches" : "does not reach"} ${to.container} by ${protocol}`);
  };
  for (const from of places) {
    const others = places.filter((to) => to !== from);
    await Promise.all(others.flatMap((to) => protocols.map((protocol) => check(from, to, protocol))));
  }
  return wrong;
}
