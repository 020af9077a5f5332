/**
 * Every command of calicoctl as a user who is not root, the real program against a real store: those that need the store only
 * work, those that need root say so and what for in one line, and change nothing (calicoctl.md 7, number 48).
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { connectEtcd } from "../../store/etcd-client.ts";
import type { Store } from "../../store/store.ts";
import { StoreProcess } from "../../store/testing/store-process.ts";
import { everyCommand } from "./testing/every-command.ts";

const source = join(dirname(import.meta.dir), "../..");
const folder = mkdtempSync(join(tmpdir(), "calicoctl-user-"));
const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
let program: StoreProcess;
let store: Store;

beforeAll(async () => {
  program = await StoreProcess.startMargay();
  const log = { debug: () => undefined, warn: () => undefined };
  store = await connectEtcd({ endpoints: [program.endpoint], clock: systemClock, log, callTimeoutMs: 10_000 });
  // The source may lie where only its owner goes: an executable that everybody may read.
  const bin = join(folder, "bin");
  const built = Bun.spawnSync(["node", "scripts/build.mjs", bin], { cwd: source });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  mkdirSync(join(folder, "out"));
  for (const [path, mode] of [
    [folder, 0o755],
    [bin, 0o755],
    [join(bin, "margay"), 0o755],
    [join(folder, "out"), 0o777],
  ] as const)
    chmodSync(path, mode);
}, 120_000);
afterAll(async () => {
  await store?.[Symbol.asyncDispose]();
  await program?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function calicoctl(words: readonly string[], input = "") {
  const child = Bun.spawn([...nobody, join(folder, "bin", "calicoctl"), ...words], {
    cwd: join(folder, "out"),
    env: {
      PATH: process.env.PATH,
      HOSTNAME: "host1",
      ETCD_ENDPOINTS: program.endpoint,
      DOCKER_HOST: `unix://${folder}/no-docker.sock`,
      MARGAY_RUN_DIR: join(folder, "out/run"),
    },
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}

const resource = (kind: string, name: string, spec: unknown) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name }, spec });
const node = resource("Node", "host1", { bgp: { ipv4Address: "172.16.0.1/24" } });
const tier = (order: number) => resource("Tier", "t", { order });
const endpoint = JSON.stringify({
  apiVersion: "projectcalico.org/v3",
  kind: "WorkloadEndpoint",
  metadata: { name: "host1-docker-w-e1", namespace: "default" },
  spec: {
    node: "host1",
    orchestrator: "docker",
    workload: "w",
    endpoint: "e1",
    interfaceName: "cali0123456789a",
    ipNetworks: ["10.1.0.1/32"],
    profiles: ["p"],
  },
});

/** It works, and what it prints. */
const says = (stdout: RegExp, input = "") => ({ code: 0, stdout, stderr: /^/, input, refused: false });
const works = says(/^/);
/** Not for want of rights. */
const fails = (stdout: RegExp, stderr = /^$/, input = "") => ({ code: 1, stdout, stderr, input, refused: false });
const noDocker = fails(/^Unable to run docker commands\. Is the docker daemon running\?\n\n$/);
const root = (why: string) => ({
  classic: { code: 2, stdout: /^$/, stderr: new RegExp(`^This command must be run as root\\. ${why}\\n$`) },
  seed: { code: 2, stdout: new RegExp(`^calicoctl must be run as root: ${why}\\n$`), stderr: /^$/ },
  modern: {
    code: 1,
    stdout: new RegExp(`^Need super user privileges: Operation not permitted \\(${why}\\)\\n$`),
    stderr: /^$/,
  },
});
const needsRoot = (family: "seed" | "classic" | "modern", why: string) => ({
  ...root(why)[family],
  input: "",
  refused: true,
});
const changesContainer = needsRoot("classic", "It changes the network of a container\\.");

/** In this order; by the command's name in the tables. */
const table: readonly (readonly [command: string, line: string, outcome: ReturnType<typeof says>])[] = [
  ["seed: master", "master --ip=10.0.0.1", needsRoot("seed", "it starts the store of this host")],
  ["seed: node", "node --ip=10.0.0.1 --etcd=ENDPOINT", needsRoot("seed", "it starts the node of this host")],
  ["seed: reset", "reset --force", needsRoot("seed", "it stops the node and changes the kernel of this host")],
  ["classic: node", "node --ip=10.0.0.1", needsRoot("classic", "It starts the node of this host\\.")],
  ["classic: node", "node --node-image=x", needsRoot("classic", "It starts the node of this host\\.")],
  ["classic: node stop", "node stop --force", needsRoot("classic", "It stops the node of this host\\.")],
  [
    "classic: node remove",
    "node remove --remove-endpoints",
    needsRoot("classic", "It takes interfaces, routes and rules out of this host's kernel\\."),
  ],
  ["classic: checksystem", "checksystem", needsRoot("classic", "It tries what this host's kernel can do\\.")],
  ["classic: container add CONTAINER IP", "container add c ipv4", changesContainer],
  ["classic: container remove CONTAINER", "container remove c", changesContainer],
  ["classic: container CONTAINER ip add IP", "container c ip add 10.1.0.1", changesContainer],
  ["classic: container CONTAINER ip remove IP", "container c ip remove 10.1.0.1", changesContainer],
  ["modern: node run", "node run", needsRoot("modern", "starts the node of this host")],
  ["modern: node run", "node run --node-image=x", needsRoot("modern", "starts the node of this host")],
  ["modern: node status", "node status", needsRoot("modern", "asks the node over its socket")],
  ["modern: node checksystem", "node checksystem", needsRoot("modern", "tries what this host's kernel can do")],
  ["modern: node diags", "node diags", needsRoot("modern", "reads this host's firewall, node and logs")],
  ["modern: node run", "node run --dryrun", says(/margay node --name=/)],

  ["modern: create", "create -f -", says(/^Successfully created 1 'Node'/, node)],
  ["modern: apply", "apply -f -", says(/^Successfully applied 1 'Tier'/, tier(1))],
  ["modern: replace", "replace -f -", says(/^Successfully replaced 1 'Tier'/, tier(2))],
  ["modern: diff", "diff -f -", says(/^$/, tier(2))],
  ["modern: validate", "validate -f -", says(/^Successfully validated 1/, tier(1))],
  [
    "modern: convert",
    "convert -f -",
    says(/kind: IPPool/, "apiVersion: v1\nkind: ipPool\nmetadata: {cidr: 10.9.0.0/16}\n"),
  ],
  ["modern: patch", 'patch tier t -p {"spec":{"order":5}}', says(/^Successfully patched 1 'Tier' resource\n/)],
  ["modern: label", "label node host1 a=b", says(/^Successfully set label a on node host1\n/)],
  ["modern: get", "get tier t", says(/t {2,}5/)],
  ["modern: delete", "delete tier t", says(/^Successfully deleted 1 'Tier'/)],
  ["classic: pool add CIDRS...", "pool add 10.1.0.0/16", says(/^$/)],
  ["classic: pool range add START END", "pool range add 10.2.0.0 10.2.0.127", says(/^$/)],
  ["classic: pool show", "pool show --ipv4", says(/10\.1\.0\.0\/16/)],
  ["modern: ipam", "ipam", says(/^Usage:/)],
  ["modern: ipam show", "ipam show", says(/10\.1\.0\.0\/16/)],
  ["modern: ipam check", "ipam check", says(/Check complete; found 0 problems/)],
  ["modern: ipam configure", "ipam configure --strictaffinity=false", says(/Successfully/)],
  ["modern: ipam release", "ipam release --ip=10.1.0.9", fails(/^$/, /^IP address 10\.1\.0\.9 is not assigned\n$/)],
  ["classic: ipam info IP", "ipam info 10.1.0.1", says(/is not currently assigned/)],
  ["classic: ipam release IP", "ipam release 10.1.0.1", says(/^Failed to release address\n$/)],
  ["modern: datastore", "datastore", says(/^Usage:/)],
  ["modern: datastore migrate", "datastore migrate", says(/^Usage:/)],
  ["modern: datastore migrate lock", "datastore migrate lock", says(/^Datastore locked\.\n/)],
  ["modern: ipam split", "ipam split 2 --name=10-2-0-0-25", says(/was successfully split into 2 smaller pools/)],
  ["modern: datastore migrate export", "datastore migrate export", says(/kind: IPPool/)],
  ["modern: datastore migrate unlock", "datastore migrate unlock", says(/^Datastore unlocked\.\n/)],
  [
    "modern: datastore migrate import",
    "datastore migrate import -f /dev/null",
    fails(/^$/, /^the file is no export: /),
  ],
  ["modern: datastore migrate-policy-names", "datastore migrate-policy-names", says(/migrated 0 policies/)],
  ["modern: cluster", "cluster", says(/^Usage:/)],
  ["modern: cluster diags", "cluster diags", says(/Not run as root: nothing of this host's kernel and logs\n/)],
  ["modern: completion", "completion bash", says(/^# bash completion/)],
  ["modern: version", "version", says(/^Client Version: /)],

  ["seed: addgroup GROUP", "addgroup web", says(/^Created group web with ID [0-9a-f]{32}\n$/)],
  ["seed: showgroups", "showgroups", says(/\| web/)],
  ["seed: addtogroup CONTAINER GROUP", "addtogroup c web", noDocker],
  ["seed: removegroup GROUP", "removegroup web", says(/^Deleted group web/)],
  ["seed: status", "status --etcd=ENDPOINT", says(/^Currently configured master is None\n/)],
  ["classic: status", "status", fails(/^calico-node container not running\n$/)],
  ["classic: diags", "diags --output=host.tar.gz", says(/\nDiags saved to \S+host\.tar\.gz\n/)],
  ["classic: node show", "node show", says(/host1/)],
  ["classic: node bgp peer add PEER_IP as AS_NUM", "node bgp peer add 10.0.0.9 as 65001", works],
  ["classic: node bgp peer show", "node bgp peer show --ipv4", says(/10\.0\.0\.9/)],
  ["classic: node bgp peer remove PEER_IP", "node bgp peer remove 10.0.0.9", works],
  ["classic: bgp peer add PEER_IP as AS_NUM", "bgp peer add 10.0.0.8 as 65001", works],
  ["classic: bgp peer show", "bgp peer show --ipv4", says(/10\.0\.0\.8/)],
  ["classic: bgp peer remove PEER_IP", "bgp peer remove 10.0.0.8", works],
  ["classic: bgp node-mesh off", "bgp node-mesh off", works],
  ["classic: bgp node-mesh", "bgp node-mesh", says(/^off\n$/)],
  ["classic: bgp node-mesh on", "bgp node-mesh on", works],
  ["classic: bgp default-node-as AS_NUM", "bgp default-node-as 64999", works],
  ["classic: bgp default-node-as", "bgp default-node-as", says(/^64999\n$/)],
  ["classic: config felix NAME VALUE", "config felix loglevel debug", works],
  ["classic: config felix NAME", "config felix loglevel", says(/^debug\n$/)],
  ["classic: config bgp NAME VALUE", "config bgp loglevel debug", works],
  ["classic: config bgp NAME", "config bgp loglevel", says(/^debug\n$/)],
  ["classic: config node bgp NAME VALUE", "config node bgp loglevel debug", works],
  ["classic: config node bgp NAME", "config node bgp loglevel", says(/^debug\n$/)],
  ["classic: profile add PROFILE", "profile add p", says(/^Created profile p\n$/)],
  ["classic: profile show", "profile show", says(/\| +p +\|/)],
  ["classic: profile PROFILE tag add TAG", "profile p tag add t", works],
  ["classic: profile PROFILE tag show", "profile p tag show", says(/^p\nt\n$/)],
  ["classic: profile PROFILE tag remove TAG", "profile p tag remove t", works],
  ["classic: profile PROFILE rule add inbound|outbound RULE*", "profile p rule add inbound deny udp", works],
  ["classic: profile PROFILE rule show", "profile p rule show", says(/ 2 deny udp\n/)],
  ["classic: profile PROFILE rule remove inbound|outbound RULE*", "profile p rule remove inbound deny udp", works],
  ["classic: profile PROFILE rule json", "profile p rule json", says(/"inbound_rules"/)],
  [
    "classic: profile PROFILE rule update",
    "profile p rule update",
    says(/Successfully updated rules/, '{"id":"p","inbound_rules":[],"outbound_rules":[{"action":"allow"}]}'),
  ],
  ["modern: apply", "apply -f -", says(/^Successfully applied 1 'WorkloadEndpoint'/, endpoint)],
  ["classic: endpoint show", "endpoint show", says(/host1/)],
  ["classic: endpoint ENDPOINT profile set PROFILES*", "endpoint e1 profile set", works],
  ["classic: endpoint ENDPOINT profile append PROFILES*", "endpoint e1 profile append p", works],
  ["classic: endpoint ENDPOINT profile show", "endpoint e1 profile show", says(/p/)],
  ["classic: endpoint ENDPOINT profile remove PROFILES*", "endpoint e1 profile remove p", works],
  ["classic: container CONTAINER endpoint show", "container c endpoint show", noDocker],
  ["classic: container CONTAINER endpoint-id show", "container c endpoint-id show", noDocker],
  ["classic: container CONTAINER profile append PROFILES*", "container c profile append p", noDocker],
  ["classic: container CONTAINER profile remove PROFILES*", "container c profile remove p", noDocker],
  ["classic: container CONTAINER profile set PROFILES*", "container c profile set p", noDocker],
  ["classic: node remove", "node remove --hostname=host7", works],
  ["classic: profile remove PROFILE", "profile remove p", works],
  ["classic: pool remove CIDRS...", "pool remove 10.1.0.0/16", works],
];

test("every command of the tables is here", async () => {
  expect([...new Set(table.map(([command]) => command))].sort()).toEqual([...(await everyCommand())].sort());
});

for (const [command, line, { code, stdout, stderr, input, refused }] of table) {
  test(`${command}, as a user: ${line}`, async () => {
    const before = refused ? (await store.list("/")).kvs : undefined;
    const said = await calicoctl(line.replace("ENDPOINT", program.endpoint.slice("http://".length)).split(" "), input);
    expect(said).toEqual({ code, stdout: expect.stringMatching(stdout), stderr: expect.stringMatching(stderr) });
    if (before === undefined) return;
    expect((await store.list("/")).kvs).toEqual(before);
    expect([...new Bun.Glob("**").scanSync(join(folder, "out"))]).toEqual([]);
    expect(existsSync(join(folder, "out/run"))).toBe(false);
  });
}
