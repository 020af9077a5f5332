/**
 * etcd by SRV record end to end: calicoctl asks the system's name server, here one of the test's own, and works with the
 * store that it names. In network and mount namespaces of its own, so that the machine's resolv.conf stays.
 */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "margay-srv-"));
const source = join(import.meta.dir, "../..");
afterAll(() => rmSync(folder, { recursive: true }));

/** Answers SRV questions from a zone of one record each, and addresses of the name that it has; everything else does not exist. */
const nameServer = `
import { createSocket } from "node:dgram";
const zone = { "_etcd-client._tcp.good.example": 2379, "_etcd-client._tcp.dead.example": 2380 };
const name = (text) => Buffer.concat([...text.split(".").map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part)])), Buffer.from([0])]);
const server = createSocket("udp4");
server.on("message", (question, from) => {
  let at = 12;
  const parts = [];
  while (question[at] !== 0) {
    parts.push(question.toString("latin1", at + 1, at + 1 + question[at]));
    at += question[at] + 1;
  }
  const asked = parts.join(".").toLowerCase();
  const type = question.readUInt16BE(at + 1);
  const port = zone[asked];
  const data = type === 33 && port !== undefined
    ? Buffer.concat([Buffer.from([0, 10, 0, 5, port >> 8, port & 255]), name("localhost")])
    : undefined;
  const head = Buffer.from([question[0], question[1], 0x85, data === undefined ? 3 : 0, 0, 1, 0, data === undefined ? 0 : 1, 0, 0, 0, 0]);
  const answer = data === undefined ? [] : [Buffer.from([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, data.length]), data];
  server.send(Buffer.concat([head, question.subarray(12, at + 5), ...answer]), from.port, from.address);
});
server.bind(53, "127.0.0.1", () => console.log("up"));
`;

/** Runs a shell script where the name server and a store on 127.0.0.1:2379 are up; both end with it. */
async function run(
  script: string,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const calicoctl = `"${process.execPath}" "${source}/src/main.ts" calicoctl`;
  const text = [
    "set -e",
    "ip link set lo up",
    `mount --bind "${file("resolv.conf", "nameserver 127.0.0.1\n")}" /etc/resolv.conf`,
    `"${process.execPath}" "${file("dns.mjs", nameServer)}" >"${folder}/dns.out" &`,
    `"${process.execPath}" "${source}/src/main.ts" store --data-dir="${folder}/data" 2>/dev/null &`,
    `until grep -q up "${folder}/dns.out" && curl -sf http://127.0.0.1:2379/health >/dev/null; do sleep 0.05; done`,
    `calicoctl() { ${calicoctl} "$@"; }`,
    script,
  ].join("\n");
  const words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", text];
  const env = { PATH: process.env.PATH };
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}

test("the store is found by its SRV record, from the environment and from a file", async () => {
  const config = join(folder, "calicoctl.cfg");
  const spec = "spec: {datastoreType: etcdv3, etcdDiscoverySrv: good.example}\n";
  writeFileSync(config, `apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata: {}\n${spec}`);
  const said = await run(
    `ETCD_DISCOVERY_SRV=good.example calicoctl pool add 10.1.0.0/16; calicoctl -c "${config}" get pools -l info; ` +
      'etcd_key=$(ETCD_DISCOVERY_SRV=good.example calicoctl checksystem --runtime=none 2>&1 || true); echo "[$etcd_key]"',
  );
  expect(said.stderr).toBe(`datastore: etcdv3 at where SRV records of good.example say (from ${config})\n`);
  expect(said.stdout).toContain("10.1.0.0/16");
  expect(said.stdout).toEndWith("[]\n");
  expect(said.code).toBe(0);
}, 60_000);

test("a record that leads nowhere, and a domain without one, are said within the time that was given", async () => {
  const ask = (domain: string) =>
    `ETCD_DISCOVERY_SRV=${domain} calicoctl --request-timeout=3s get nodes || echo "code $?";`;
  const said = await run(`${ask("dead.example")} ${ask("none.example")}`);
  expect(said.stdout).toBe("code 1\ncode 1\n");
  expect(said.stderr).toContain("the store is where SRV records of dead.example say (from ETCD_DISCOVERY_SRV)\n");
  expect(said.stderr).toContain("http://localhost:2380");
  expect(said.stderr).toMatch(
    /DNS names no etcd: _etcd-client-ssl\._tcp\.none\.example: .*; _etcd-client\._tcp\.none\.example: /,
  );
}, 60_000);
