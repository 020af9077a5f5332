/**
 * One script of classic and seed commands, run as a program against `margay store` and a real etcd: the same output and
 * exit codes on both, and a bounded wait when the store is away (calicoctl.md 7, numbers 2, 9 to 12, 15, 16, 26, 44, 46, 47, 50).
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { StoreProcess } from "../../store/testing/store-process.ts";

let margay: StoreProcess;
let etcd: StoreProcess;

beforeAll(async () => {
  [margay, etcd] = await Promise.all([StoreProcess.startMargay(), StoreProcess.startEtcd()]);
}, 30_000);
afterAll(async () => {
  await margay[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

const mainFile = join(import.meta.dir, "../../main.ts");

async function calicoctl(endpoint: string, line: string): Promise<string> {
  const [words = "", input] = line.split(" < ");
  const child = Bun.spawn([process.execPath, mainFile, "calicoctl", ...words.split(" ")], {
    env: { ...process.env, ETCD_AUTHORITY: endpoint.replace("http://", ""), ETCD_ENDPOINTS: "", HOSTNAME: "node1" },
    stdin: Buffer.from(input ?? ""),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return `${await child.exited}\n${stdout}${stderr}`;
}

/** What differs from run to run. */
const plain = (text: string) => text.replaceAll(/\b[0-9a-f]{32}\b/g, "ID");

const script: readonly (readonly [line: string, said: string | RegExp])[] = [
  ["bgp default-node-as", "0\n64511\n"],
  ["pool add 10.0.0.0/16 --ipip --nat-outgoing", "0\n"],
  ["pool add 10.0.1.0/24", "1\nCannot add IP pool 10.0.1.0/24 - pool overlaps with an existing pool 10.0.0.0/16\n"],
  ["pool show --ipv4", /\|\s+10\.0\.0\.0\/16 \| ipip,nat-outgoing \|/],
  ["bgp default-node-as", "0\n64511\n"],
  ["bgp node-mesh off", "0\n"],
  ["bgp node-mesh", "0\noff\n"],
  ["bgp peer add 10.9.9.9 as 65001", "0\n"],
  ["node bgp peer add fd80::5 as 1.1", "0\n"],
  ["bgp peer show --ipv4", /\| 10\.9\.9\.9 +\| 65001 +\|/],
  ["node bgp peer show --ipv6", /\| fd80::5 +\| 65537 +\|/],
  ["config felix loglevel debug", "0\n"],
  ["config felix loglevel", "0\ndebug\n"],
  ["config felix loglevel silly", /^1\nThe configuration value 'silly'/],
  ["profile add web", "0\nCreated profile web\n"],
  ["profile add web", "0\nProfile web already exists.\n"],
  ["profile web rule add inbound --at=1 deny udp to ports 53", "0\n"],
  [
    "profile web rule show",
    "0\nInbound rules:\n   1 deny udp to ports 53\n   2 allow from tag web\nOutbound rules:\n   1 allow\n",
  ],
  [
    'profile web rule update < {"inbound_rules":[],"outbound_rules":[{"action":"allow"}]}',
    "0\nSuccessfully updated rules on profile web\n",
  ],
  ["addgroup GROUP_A", "0\nCreated group GROUP_A with ID ID\n"],
  ["addgroup GROUP_A", "0\nGroup GROUP_A already exists.\n"],
  ["showgroups", /^0\n.*\n\|.*ID.*\| +Name +\|\n.*\n\| +ID +\| GROUP_A \|\n/],
  ["removegroup GROUP_A", "0\nDeleted group GROUP_A with ID ID\n"],
  ["endpoint show", /^0\n.*\n\| Hostname \|/],
  [
    "endpoint nosuch profile append web",
    "1\nFailed to append profiles to endpoint.\n\nEndpoint nosuch is unknown to Calico.\n\n",
  ],
  ["ipam info 10.0.0.1", "0\nIP 10.0.0.1 is not currently assigned\n"],
  ["node show", /^0\n.*\n\| Hostname \| Bird IPv4 \|/],
  ["profile remove web", "0\nDeleted profile web\n"],
  ["pool remove 10.0.0.0/16", "0\nDisabling IP Pool\nRemoving IPAM configuration for pool\nDeleted IP Pool\n"],
  ["bgp peer remove 10.9.9.9", "0\nBGP peer removed from global configuration\n"],
  ["bgp peer remove 10.9.9.9", "1\n10.9.9.9 is not a globally configured peer.\n"],
  [
    "conatiner add x ipv4",
    '1\ncalicoctl: unknown command "conatiner"; did you mean "container"?\nSee: calicoctl --help\n',
  ],
];

test("a script of the classic releases says and does the same on both stores", async () => {
  for (const [line, said] of script) {
    const [onMargay, onEtcd] = await Promise.all([calicoctl(margay.endpoint, line), calicoctl(etcd.endpoint, line)]);
    if (typeof said === "string") expect([line, plain(onMargay)]).toEqual([line, said]);
    else expect([line, plain(onMargay)]).toEqual([line, expect.stringMatching(said)]);
    expect([line, plain(onEtcd)]).toEqual([line, plain(onMargay)]);
  }
}, 120_000);

test("a store that is away is named within a bounded time; what needs none does not ask", async () => {
  const startedMs = systemClock.monotonicMs();
  const said = await calicoctl("http://127.0.0.1:1", "pool show");
  expect(said.replaceAll("\n", " ")).toMatch(
    /^1 pool: Error accessing etcd \(.*127\.0\.0\.1:1.*\)\. {2}Is etcd running\?/,
  );
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(15_000);
  expect(await calicoctl("http://127.0.0.1:1", "version --client")).toMatch(/^0\nClient Version:/);
  expect(await calicoctl("http://127.0.0.1:1", "container --help")).toMatch(/^0\nGives containers/);
}, 60_000);
