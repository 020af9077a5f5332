/** BGP sessions as a BIRD daemon of this host tells them over its control socket (calicoctl.md 4.8). */

import { existsSync } from "node:fs";

export interface BirdSession {
  readonly peer: string;
  readonly kind: "node-to-node mesh" | "node specific" | "global";
  readonly state: string;
  readonly since: string;
  readonly info: string;
}

export type BirdAnswer =
  | { readonly kind: "absent" }
  | { readonly kind: "unreachable" }
  | { readonly kind: "sessions"; readonly sessions: readonly BirdSession[]; readonly text: string }
  | { readonly kind: "unreadable"; readonly text: string };

const answerWithinMs = 2_000;
const folders = ["/var/run/calico", "/var/run/bird"];

/** undefined when no BIRD has a socket there. */
export function birdSocket(family: 4 | 6): string | undefined {
  const name = family === 4 ? "bird.ctl" : "bird6.ctl";
  return folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
}

export async function askBird(family: 4 | 6, socket = birdSocket(family)): Promise<BirdAnswer> {
  if (socket === undefined) return { kind: "absent" };
  let text: string;
  try {
    text = await dialogue(socket, "show protocols");
  } catch {
    return { kind: "unreachable" };
  }
  const sessions = parseProtocols(text, family);
  return sessions === undefined ? { kind: "unreadable", text } : { kind: "sessions", sessions, text };
}

async function dialogue(socket: string, command: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  // Awaited below, unless there is no connection in the first place.
  done.promise.catch(() => undefined);
  let text = "";
  const timer = setTimeout(() => done.reject(new Error("no answer")), answerWithinMs);
  try {
    const connection = await Bun.connect({
      unix: socket,
      socket: {
        open: (opened) => void opened.write(`${command}\n`),
        data: (_opened, bytes) => {
          text += new TextDecoder().decode(bytes);
          // 0001 greets; codes of 0000 or from 8000 end an answer.
          if (/^(0000|[89]\d{3})[ \n]/m.test(text)) done.resolve(text);
        },
        close: () => done.reject(new Error("closed")),
        error: (_opened, error) => done.reject(error),
      },
    });
    return await done.promise.finally(() => connection.end());
  } finally {
    clearTimeout(timer);
  }
}

const kinds = { Mesh: "node-to-node mesh", Node: "node specific", Global: "global" } as const;

/** undefined: the heading is another one than BIRD 1 and 2 print. */
export function parseProtocols(text: string, family: 4 | 6): readonly BirdSession[] | undefined {
  const lines = text.split("\n");
  const heading = lines.find((line) => line.startsWith("2002-"));
  if (heading === undefined || !/^2002-name\s+proto\s+table\s+state\s+since\s+info$/i.test(heading.trim()))
    return undefined;
  return lines.flatMap((line): readonly BirdSession[] => {
    if (!/^(1002-| )/.test(line)) return [];
    const [name = "", protocol, _table, state = "", since = "", ...info] = line
      .replace(/^1002-/, "")
      .trim()
      .split(/\s+/);
    const [, kind, address] = /^(Global|Node|Mesh)_(.+)$/.exec(name) ?? [];
    if (protocol !== "BGP" || kind === undefined || address === undefined) return [];
    const peer = address.replaceAll("_", family === 4 ? "." : ":");
    return [{ peer, kind: kinds[kind as keyof typeof kinds], state, since, info: info.join(" ") }];
  });
}
