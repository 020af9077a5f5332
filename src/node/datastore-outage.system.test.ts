/**
 * `margay node` while its store is away: a store process that stands still (connections are accepted, and nobody answers), and
 * one that was killed. Real processes and packets, in network namespaces of the test's own.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { eventually, TestNamespace } from "../kernel/testing/test-namespaces.ts";
import { endpoint, network } from "../policy/testing/cluster-documents.ts";
import { connectEtcd } from "../store/etcd-client.ts";
import { pings } from "./dataplane/testing/containers.ts";

const mainFile = join(import.meta.dir, "../main.ts");
const nodeEndpoint = "http://127.0.0.1:2379";
/** Where the store's data is changed while the node cannot see it. */
const otherEndpoint = "http://127.0.0.1:2479";
const startTimeoutMs = 30_000;
/** A ping each 10 s and 5 s for its answer (grpc-channel.ts), 10 s of patience and 5 s for the last attempt (etcd-watch.ts). */
const noticeTimeoutMs = 30_000 + 5_000;
/**
 * An outage ends after so many readings that failed: the first tells that the store is lost, each of the others has tried for
 * 10 s, with the shortest pauses there are. Between readings the pauses only grow (watched-prefix.ts), so a longer outage costs
 * less and less: what holds over these 40 s holds over the minute of the check and over a day.
 */
const failedReadings = 3;
const returnTimeoutMs = 20_000;
const cpuShareMax = 0.1;

const addresses = { a: "10.65.0.1", b: "10.65.0.2", c: "10.65.0.3" } as const;
type Name = keyof typeof addresses;
type Process = ReturnType<typeof Bun.spawn>;

let directory: string;
let host: TestNamespace;
let containers: Readonly<Record<Name, TestNamespace>>;
let storeProcess: Process;
let node: Process;

const container = (name: Name, profile: string) => endpoint(name, addresses[name], { host: "h1", profiles: [profile] });

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "margay-outage-"));
  containers = { a: new TestNamespace("out-a"), b: new TestNamespace("out-b"), c: new TestNamespace("out-c") };
  host = new TestNamespace("outage", { enter: true });
  host.must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth-far");
  host.must("ip", "address", "add", "10.7.0.11/24", "dev", "eth0");
  for (const name of ["eth0", "veth-far"]) host.must("ip", "link", "set", name, "up");
  for (const name of ["a", "b", "c"] as const) {
    const inside = containers[name];
    host.must("ip", "link", "add", `cali${name}`, "type", "veth", "peer", "name", "eth0", "netns", inside.name);
    host.must("ip", "link", "set", `cali${name}`, "up");
    inside.must("ip", "address", "add", `${addresses[name]}/32`, "dev", "eth0");
    inside.must("ip", "link", "set", "eth0", "up");
    inside.must("ip", "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link");
    inside.must("ip", "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
  }
  storeProcess = startStore(nodeEndpoint);
  await change(nodeEndpoint, {
    ...network("net"),
    ...network("other"),
    ...container("a", "net"),
    ...container("b", "net"),
    ...container("c", "other"),
  });
  node = startNode();
  await eventually("ready", () => page("readiness").status === 200, startTimeoutMs);
  await expectReach({ b: true, c: false });
}, 60_000);

afterAll(async () => {
  node.kill("SIGTERM");
  await node.exited;
  // One that stands still ends by this only.
  storeProcess.kill("SIGKILL");
  for (const namespace of [host, ...Object.values(containers)]) namespace[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

function startStore(at: string): Process {
  const words = ["store", `--listen=${at}`, `--data-dir=${join(directory, "store")}`];
  return host.start(process.execPath, mainFile, ...words);
}

function startNode(): Process {
  const words = [
    ...[process.execPath, mainFile, "node", "--name=h1", `--store=${nodeEndpoint}`, "--no-docker"],
    ...[`--run-dir=${join(directory, "run")}`, `--state-dir=${join(directory, "state")}`],
    ...[`--nodename-file=${join(directory, "nodename")}`, `--felix-config=${join(directory, "felix.cfg")}`],
  ];
  const env = { PATH: process.env.PATH, FELIX_ENDPOINTSTATUSPATHPREFIX: directory };
  return Bun.spawn(words, { env, stdout: "ignore", stderr: Bun.file(join(directory, "node.log")) });
}

/** What is in the store at this place becomes as the documents say; undefined: nothing. */
async function change(at: string, documents: Readonly<Record<string, string | undefined>>): Promise<void> {
  await using store = await connectEtcd({ endpoints: [at], clock: systemClock, log: silentLog });
  const success = Object.entries(documents).map(([key, value]) =>
    value === undefined ? { delete: key } : { put: key, value },
  );
  await store.transact({ compare: [], success });
}

/** By a program: this process' own requests are made by a thread that is not in the namespace. */
function page(what: "liveness" | "readiness" | "metrics"): { status: number; text: string } {
  const { stdout } = host.run(["curl", "-s", "-w", "\n%{http_code}", `http://127.0.0.1:9099/${what}`]);
  const at = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(at + 1)), text: stdout.slice(0, at) };
}

const inSync = () => page("metrics").text.includes("felix_resync_state 3");

/** Whom a reaches, and who reaches it. */
async function expectReach(wanted: Readonly<Record<"b" | "c", boolean>>, withinMs = startTimeoutMs): Promise<void> {
  for (const name of ["b", "c"] as const) {
    const as = () => [pings(containers.a, addresses[name]), pings(containers[name], addresses.a)];
    const holds = () => as().every((reached) => reached === wanted[name]);
    await eventually(`a and ${name} reach each other: ${wanted[name]}`, holds, withinMs);
  }
}

/** Seconds of processor time the node has used. proc_pid_stat(5): utime and stime, in hundredths. */
function cpuSeconds(): number {
  const stat = readFileSync(`/proc/${node.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of what is enforced; other things of the store are followed too. */
function readingsFailed(): number {
  const lines = readFileSync(join(directory, "node.log"), "utf8").split("\n");
  return lines.filter((line) => line.includes('"store-watch-failed"') && line.includes('"prefix":"/calico/"')).length;
}

/** From before the store goes: it goes, this is noticed, and lasts. The node is left alone for as long as its cost is measured. */
async function outage(begin: () => void): Promise<void> {
  const failedBefore = readingsFailed();
  const [cpuBefore, startMs] = [cpuSeconds(), performance.now()];
  const failed = (count: number) => () => readingsFailed() - failedBefore >= count;
  begin();
  await eventually("it is noticed", failed(1), noticeTimeoutMs);
  const noticed = { report: page("readiness").text, metrics: page("metrics").text };
  await eventually("it lasts", failed(failedReadings), failedReadings * 20_000);
  const share = (cpuSeconds() - cpuBefore) / ((performance.now() - startMs) / 1_000);
  expect(share).toBeLessThan(cpuShareMax);
  expect(noticed.report).toContain("out of reach; the last known state is enforced");
  expect(noticed.metrics).toContain("felix_resync_state 2");
  expect(page("liveness").status).toBe(200);
}

test("54: a store that accepts and does not answer is noticed, costs little, and policy stays in force", async () => {
  await outage(() => storeProcess.kill("SIGSTOP"));
  await expectReach({ b: true, c: false }, 1_000);
  storeProcess.kill("SIGCONT");
  await eventually("in sync again", inSync, returnTimeoutMs);
}, 120_000);

test("54: what was changed while the store was gone is in force soon after it is back, and not before", async () => {
  await outage(() => storeProcess.kill("SIGKILL"));
  await storeProcess.exited;
  const elsewhere = startStore(otherEndpoint);
  const [goneKey = ""] = Object.keys(container("b", "net"));
  await change(otherEndpoint, { ...container("c", "net"), [goneKey]: undefined });
  await expectReach({ b: true, c: false }, 1_000);
  elsewhere.kill("SIGTERM");
  await elsewhere.exited;
  storeProcess = startStore(nodeEndpoint);
  await expectReach({ b: false, c: true }, returnTimeoutMs);
  await eventually("in sync again", inSync, returnTimeoutMs);
}, 120_000);
