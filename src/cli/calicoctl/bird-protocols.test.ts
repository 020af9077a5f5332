/** BIRD's control dialogue (calicoctl.md 4.8), answered by a socket that says what BIRD says. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askBird, parseProtocols } from "./bird-protocols.ts";

const answer = [
  "2002-name     proto    table    state  since       info",
  "1002-static1  Static   master   up     2016-05-01  ",
  " kernel1  Kernel   master   up     2016-05-01  ",
  " Mesh_172_17_8_102 BGP      master   up     2016-05-01  Established   ",
  " Node_10_0_0_1 BGP      master   start  10:23:30    Connect       Socket: Connection refused",
  " Global_10_0_0_2 BGP      master   up     10:23:30    Established   ",
  "0000 ",
  "",
].join("\n");

const sessions = [
  { peer: "172.17.8.102", kind: "node-to-node mesh", state: "up", since: "2016-05-01", info: "Established" },
  {
    peer: "10.0.0.1",
    kind: "node specific",
    state: "start",
    since: "10:23:30",
    info: "Connect Socket: Connection refused",
  },
  { peer: "10.0.0.2", kind: "global", state: "up", since: "10:23:30", info: "Established" },
] as const;

test("sessions are those of BGP with names of Calico's", () => {
  expect(parseProtocols(answer, 4)).toEqual([...sessions]);
  expect(parseProtocols(answer.replace("Mesh_172_17_8_102", "Mesh_fd80__5"), 6)?.[0]?.peer).toBe("fd80::5");
  expect(parseProtocols(answer.replace("since", "when"), 4)).toBeUndefined();
  expect(parseProtocols("", 4)).toBeUndefined();
});

async function withBird<T>(reply: string | undefined, ask: (socket: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "margay-bird-"));
  const socket = join(folder, "bird.ctl");
  using _server = Bun.listen({
    unix: socket,
    socket: {
      open: (opened) => void opened.write("0001 BIRD 1.4.5 ready.\n"),
      data: (opened, bytes) => {
        if (new TextDecoder().decode(bytes) !== "show protocols\n" || reply === undefined) opened.end();
        else opened.write(reply);
      },
    },
  });
  try {
    return await ask(socket);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a daemon is asked; one that hangs up or is not there is told apart from one that says something strange", async () => {
  expect(await withBird(answer, (socket) => askBird(4, socket))).toMatchObject({ kind: "sessions", sessions });
  expect(await withBird(undefined, (socket) => askBird(4, socket))).toEqual({ kind: "unreachable" });
  expect(await withBird("0013 strange\n0000 \n", (socket) => askBird(4, socket))).toMatchObject({ kind: "unreadable" });
  expect(await askBird(4, "/nonexistent/bird.ctl")).toEqual({ kind: "unreachable" });
});
