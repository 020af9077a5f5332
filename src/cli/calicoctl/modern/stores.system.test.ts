/**
 * calicoctl as a process, on `margay store` and on a real etcd: one script, the same answers on both; stores that do not
 * answer; and the commands about this host.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort, StoreProcess } from "../../../store/testing/store-process.ts";

const root = join(dirname(import.meta.dir), "../../..");
const folder = mkdtempSync(join(tmpdir(), "calicoctl-stores-"));
let margay: StoreProcess;
let etcd: StoreProcess;

beforeAll(async () => {
  [margay, etcd] = await Promise.all([StoreProcess.startMargay(), StoreProcess.startEtcd()]);
}, 60_000);
afterAll(async () => {
  await margay?.[Symbol.asyncDispose]();
  await etcd?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function calicoctl(
  words: readonly string[],
  input = "",
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const program = [process.execPath, join(root, "src/main.ts"), "calicoctl", "--config=/dev/null"];
  const child = Bun.spawn([...program, ...words], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });

const everything = [
  resource("Tier", "platform", { order: 100 }),
  resource("IPPool", "p", { cidr: "10.65.0.0/24", natOutgoing: true }),
  resource("Node", "h1", { bgp: { ipv4Address: "172.16.0.1/24" } }, { labels: { rack: "r1" } }),
  resource("GlobalNetworkPolicy", "platform.web", {
    tier: "platform",
    order: 10,
    selector: "app == 'web'",
    ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80, "8080:8090"] } }],
  }),
  resource("NetworkSet", "blocked", { nets: ["203.0.113.0/24"] }, { namespace: "prod" }),
  resource("Profile", "my-calico-net", {
    ingress: [{ action: "Allow", source: { selector: "has(my-calico-net)" } }],
    egress: [{ action: "Allow" }],
    labelsToApply: { "my-calico-net": "" },
  }),
].join("\n---\n");
const wrong = [
  resource("GlobalNetworkPolicy", "bad", { selector: "a ==", order: 1, ingress: [{ action: "Permit" }] }),
  resource("IPPool", "inside", { cidr: "10.65.0.128/25" }),
].join("\n---\n");

/** In this order; a text after the words is the standard input. */
const script: readonly (readonly [words: string, code: number, input?: string])[] = [
  ["version", 0],
  ["get nodes", 0],
  ["validate -f -", 0, everything],
  ["diff -f -", 1, everything],
  ["apply -f - --dry-run", 0, everything],
  ["create -f -", 0, everything],
  ["create -f -", 1, everything],
  ["diff -f -", 0, everything],
  ["apply -f -", 0, everything],
  ["apply -f -", 1, wrong],
  ["get tiers", 0],
  ["get ippools -o wide", 0],
  ["get nodes h1 nosuch -o wide", 1],
  ["get networksets -A -o yaml", 0],
  ["get gnp platform.web -o json --export", 0],
  ["get profiles -o custom-columns=NAME,LABELS", 0],
  ["get -f - -o name", 0, everything],
  ["label nodes h1 rack=r2", 1],
  ["label nodes h1 rack=r2 --overwrite", 0],
  ['patch node h1 -p {"spec":{"bgp":{"asNumber":65001}}}', 0],
  ['patch gnp platform.web -t json -p [{"op":"replace","path":"/spec/order","value":20}]', 0],
  ['patch pool p -t merge -p {"spec":{"cidr":"10.66.0.0/24"}}', 1],
  ["get gnp -o wide", 0],
  ["ipam show --show-blocks", 0],
  ["ipam configure --strictaffinity=true --max-blocks-per-host=4", 0],
  ["ipam show --show-configuration", 0],
  ["ipam check", 0],
  ["ipam release --ip=10.65.0.1", 1],
  ["ipam split 4 --name=p", 1],
  ["datastore migrate lock", 0],
  ["ipam split 4 --name=p", 0],
  ["datastore migrate export", 0],
  ["datastore migrate unlock", 0],
  ["get ippools", 0],
  ["datastore migrate-policy-names", 0],
  ["delete tier platform", 1],
  ["delete gnp platform.web", 0],
  ["delete -f - --skip-not-exists", 0, resource("Tier", "platform", {})],
  ["delete node h1", 0],
  ["get workloadendpoints -A", 0],
];

test("one script says the same on margay's store and on etcd", async () => {
  for (const [line, code, input] of script) {
    const words = line.split(" ");
    const [ours, theirs] = await Promise.all(
      [margay, etcd].map(({ endpoint }) => calicoctl([`--store=${endpoint}`, ...words], input)),
    );
    expect([line, ours?.code, ours?.stderr]).toEqual([
      line,
      code,
      code === 0 ? (expect.any(String) as unknown as string) : ours?.stderr,
    ]);
    expect([line, normal(ours)]).toEqual([line, normal(theirs)]);
  }
}, 170_000);

/** Without what is each store's or each object's own. */
function normal(said: Said | undefined): unknown {
  const text = (part: string) =>
    part
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UID")
      .replaceAll(/\b[0-9a-f]{32}\b/g, "GUID")
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "TIME")
      .replaceAll(/(resourceVersion"?: "?)\d+/g, "$1N");
  return said === undefined ? undefined : { code: said.code, stdout: text(said.stdout), stderr: text(said.stderr) };
}

test("a store that refuses, and one that never answers: a sentence, and an end in time", async () => {
  const silent = createServer(() => undefined);
  const port = await freePort();
  await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
  try {
    for (const endpoint of [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${port}`]) {
      for (const words of ["get nodes", "apply -f -", "ipam show"]) {
        const startedMs = performance.now();
        const said = await calicoctl([`--store=${endpoint}`, "--request-timeout=1s", ...words.split(" ")], everything);
        expect([words, said.code, said.stdout]).toEqual([words, 1, ""]);
        expect(said.stderr).toStartWith("Error accessing etcd (");
        expect(said.stderr).toEndWith(`  the store is ${endpoint} (from --store)\n`);
        expect(performance.now() - startedMs).toBeLessThan(6_000);
      }
    }
  } finally {
    silent.close();
  }
}, 60_000);

test("this host, as root", async () => {
  const check = await calicoctl(["node", "checksystem"]);
  expect(check).toMatchObject({ code: 0, stderr: "" });
  expect(check.stdout).toContain("\t\tveth                \t\t\t\t\tOK\n");
  expect(check.stdout).toEndWith("System meets minimum system requirements to run Calico!\n");
  expect(await calicoctl(["node", "status", "--run-dir=/nonexistent"])).toEqual({
    code: 1,
    stdout: "",
    stderr: "Calico process is not running.\n",
  });
  writeFileSync(join(folder, "felix.log"), "etcdPassword: geheim\nall well\n");
  const archive = join(folder, "diags.tar.gz");
  const diags = await calicoctl([
    "node",
    "diags",
    `--log-dir=${folder}`,
    "--run-dir=/nonexistent",
    `--output=${archive}`,
  ]);
  expect(diags).toMatchObject({ code: 0, stderr: "" });
  expect(diags.stdout).toStartWith("Collecting diagnostics\n");
  expect(diags.stdout).toContain(`\nDiags saved to ${archive}\n`);
  expect(statSync(archive).mode & 0o777).toBe(0o600);
  const inside = (...words: readonly string[]) => Bun.spawnSync(["tar", ...words], { cwd: folder }).stdout.toString();
  const names = inside("-tzf", archive).split("\n");
  for (const name of ["date", "hostname", "ipv4_route", "ipv6_addr", "nft_ruleset", "logs/felix.log"]) {
    expect(names).toContain(`diagnostics/${name}`);
  }
  expect(inside("-xzOf", archive, "diagnostics/logs/felix.log")).toBe("etcdPassword: [secret]\nall well\n");
}, 60_000);

test("cluster diags: the cluster and a directory per host, in the working directory", async () => {
  const said = await calicoctl([`--store=${etcd.endpoint}`, "apply", "-f", "-"], everything);
  expect(said.code).toBe(1); // the pool was split: its parts are there
  const diags = await calicoctl([`--store=${etcd.endpoint}`, "cluster", "diags", "--focus-nodes=h1"]);
  expect(diags).toMatchObject({ code: 0, stderr: "" });
  expect(diags.stdout).toStartWith("==== Begin collecting diagnostics. ====\n");
  const file = /Diagnostic bundle produced at \.\/(calico-diagnostics-\d{8}_\d{6})\.tar\.gz\n/.exec(diags.stdout)?.[1];
  const names = Bun.spawnSync(["tar", "-tzf", `${file}.tar.gz`], { cwd: folder })
    .stdout.toString()
    .split("\n");
  for (const name of ["cluster/version", "cluster/ippool.yaml", "cluster/ipam_check", "nodes/h1/datastore.yaml"]) {
    expect(names).toContain(`${file}/${name}`);
  }
  expect(readFileSync(join(folder, `${file}.tar.gz`)).length).toBeGreaterThan(500);
}, 60_000);

test("cluster diags --since: what is older of this host's logs is left out, whole files and the beginnings of others", async () => {
  const logs = join(folder, "log");
  mkdirSync(logs);
  const line = (minutesAgo: number, event: string) => {
    const time = new Date(Date.now() - minutesAgo * 60_000).toISOString();
    return `{"level":30,"time":"${time}","event":"${event}"}\n`;
  };
  writeFileSync(join(logs, "node.log"), line(90, "long-ago") + line(10, "lately") + line(1, "now"));
  writeFileSync(join(logs, "node.log.1"), line(300, "older"));
  const longAgo = new Date(Date.now() - 200 * 60_000);
  utimesSync(join(logs, "node.log.1"), longAgo, longAgo);
  const collect = async (...flags: readonly string[]) => {
    const file = join(folder, "since.tar.gz");
    const words = [`--store=${etcd.endpoint}`, "cluster", "diags", `--output=${file}`, ...flags];
    expect((await calicoctl(words, "", { MARGAY_LOG_DIR: logs })).code).toBe(0);
    const inside = (how: string, ...patterns: readonly string[]) =>
      Bun.spawnSync(["tar", how, file, "--wildcards", ...patterns]).stdout.toString();
    return {
      names: [...inside("-tzf", "*/logs/margay/*").matchAll(/margay\/(\S+)/g)].map(([, name]) => name),
      events: [...inside("-xzOf", "*/logs/margay/*").matchAll(/"event":"([^"]+)"/g)].map(([, event]) => event).sort(),
    };
  };
  expect(await collect("--since=30m")).toEqual({ names: ["node.log"], events: ["lately", "now"] });
  expect(await collect("--since=2h")).toEqual({ names: ["node.log"], events: ["lately", "long-ago", "now"] });
  const all = await collect();
  expect([all.names.toSorted(), all.events]).toEqual([
    ["node.log", "node.log.1"],
    ["lately", "long-ago", "now", "older"],
  ]);
}, 60_000);
