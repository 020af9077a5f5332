/**
 * BIRD's own account of its BGP sessions, asked over its control socket (calicoctl.md 4.8): `show protocols`, answered by
 * lines with a four-digit code, of which 0000 is the last.
 */

import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { Clock } from "../../../base/clock.ts";
import { boxedTable } from "./boxed-table.ts";

const answerTimeoutMs = 2_000;
const answerBytesMax = 4 * 1024 * 1024;

export interface BirdFamily {
  readonly family: 4 | 6;
  readonly sockets: readonly string[];
}

export const birdFamilies: readonly BirdFamily[] = [
  { family: 4, sockets: ["/var/run/calico/bird.ctl", "/var/run/bird/bird.ctl"] },
  { family: 6, sockets: ["/var/run/calico/bird6.ctl", "/var/run/bird/bird6.ctl"] },
];

/** Undefined: there is no such BIRD. */
export function birdSocket(wanted: 4 | 6): string | undefined {
  const sockets = birdFamilies.find(({ family }) => family === wanted)?.sockets ?? [];
  return sockets.find((path) => existsSync(path));
}

/** Undefined: there is no such BIRD. */
export async function birdSection({ family }: BirdFamily, clock: Clock): Promise<string | undefined> {
  const socket = birdSocket(family);
  if (socket === undefined) return undefined;
  let answer: string;
  try {
    answer = await askBird(socket, clock);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `Error querying BIRD: unable to connect to BIRDv${family} socket: ${why}`;
  }
  const sessions = sessionsIn(answer);
  if (sessions === undefined) return "Error querying BIRD: unknown BIRD table output format";
  const table =
    sessions.length === 0
      ? `No IPv${family} peers found.\n`
      : boxedTable(["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"], sessions);
  return `\nIPv${family} BGP status\n${table}`;
}

/** Its answer to `show protocols`. @throws when nobody listens, or nobody answers in time */
export function askBird(path: string, clock: Clock): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(path);
    const timer = clock.timer(answerTimeoutMs, () => socket.destroy(new Error("no answer within 2 s")));
    socket.setEncoding("utf8");
    socket.on("data", (text) => {
      const greeted = answer.includes("\n");
      answer += text;
      if (!greeted && answer.includes("\n")) socket.write("show protocols\n");
      if (/^0000/m.test(answer) || answer.length > answerBytesMax) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      timer[Symbol.dispose]();
      resolve(answer);
    });
  });
}

const peerTypes: Readonly<Record<string, string>> = {
  Global: "global",
  Node: "node specific",
  Mesh: "node-to-node mesh",
};

/** The sessions Calico's configuration makes, by the names it gives them. Undefined: not a table that is known. */
export function sessionsIn(answer: string): readonly (readonly string[])[] | undefined {
  const lines = answer.split("\n");
  const heading = lines.find((line) => line.startsWith("2002"));
  if (heading?.slice(5).trim().toLowerCase().split(/\s+/).join(" ") !== "name proto table state since info")
    return undefined;
  return lines.flatMap((line) => {
    const text = /^1002[- ](.*)$/.exec(line)?.[1] ?? (line.startsWith(" ") ? line.slice(1) : undefined);
    const [name = "", proto, _table, state = "", since = "", ...info] = text?.trim().split(/\s+/) ?? [];
    const [, type = "", address = ""] = /^(Global|Node|Mesh)_(.+)$/.exec(name) ?? [];
    if (proto !== "BGP" || address === "") return [];
    // A colon of IPv6 and a dot of IPv4 are both underscores in a name.
    const peer = /^\d+(_\d+){3}$/.test(address) ? address.replaceAll("_", ".") : address.replaceAll("_", ":");
    return [[peer, peerTypes[type] ?? type, state, since, info.join(" ")]];
  });
}
