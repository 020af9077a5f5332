/** Two real BIRDs in one network namespace, with sessions named as Calico's configuration names them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { eventually, TestNamespace } from "../../../kernel/testing/test-namespaces.ts";
import { askBird, sessionsIn } from "./bird-status.ts";

const folder = mkdtempSync(join(tmpdir(), "margay-bird-"));
let namespace: TestNamespace;
beforeAll(() => {
  namespace = new TestNamespace("bird");
  for (const address of ["10.9.0.1", "10.9.0.2"]) namespace.must("ip", "addr", "add", `${address}/32`, "dev", "lo");
});
afterAll(() => {
  namespace?.[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

const session = (name: string, own: string, peer: string) => `protocol bgp ${name} {
  local ${own} as 64512;
  neighbor ${peer} as 64512;
  multihop;
  strict bind yes;
  connect delay time 1;
  ipv4 { import none; export none; };
}
`;

async function startBird(name: string, own: string, sessions: string): Promise<string> {
  const [settings, socket] = [join(folder, `${name}.conf`), join(folder, `${name}.ctl`)];
  writeFileSync(settings, `router id ${own};\nprotocol device {}\n${sessions}`);
  namespace.start("bird", "-f", "-c", settings, "-s", socket);
  await eventually(`${name} listens`, () => existsSync(socket));
  return socket;
}

test("sessions of a BIRD that runs are told with their peers, kinds and states", async () => {
  const socket = await startBird(
    "one",
    "10.9.0.1",
    session("Mesh_10_9_0_2", "10.9.0.1", "10.9.0.2") + session("Global_10_9_0_9", "10.9.0.1", "10.9.0.9"),
  );
  await startBird("two", "10.9.0.2", session("Mesh_10_9_0_1", "10.9.0.2", "10.9.0.1"));
  const rows = async () =>
    (sessionsIn(await askBird(socket, systemClock)) ?? []).map(([peer, type, state, _since, info]) => [
      peer,
      type,
      state,
      info?.split(" ")[0],
    ]);
  await eventually(
    "the mesh's session stands",
    async () => (await rows()).some((row) => row.includes("Established")),
    20_000,
  );
  const [mesh, global] = await rows();
  expect(mesh).toEqual(["10.9.0.2", "node-to-node mesh", "up", "Established"]);
  expect(global?.slice(0, 3)).toEqual(["10.9.0.9", "global", "start"]);
}, 40_000);

test("a BIRD that has gone is an error with its reason", async () => {
  await expect(askBird(join(folder, "none.ctl"), systemClock)).rejects.toThrow("ENOENT");
});
