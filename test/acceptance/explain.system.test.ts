/**
 * `margay explain` against real packets: every cell it calls allowed connects, every one it calls denied does not; and
 * when somebody changes the kernel behind the node's back, it says so.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { FlowReport } from "../../src/cli/explain/flow-report.ts";
import { resourceKey } from "../../src/model/keys.ts";
import { apiVersion } from "../../src/model/resource.ts";
import { Cluster } from "./cluster.ts";
import { type Place, type Protocol, protocols, reaches } from "./connections.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;
const places: Place[] = [];
const port: Readonly<Record<Protocol, string>> = { tcp: "tcp/80", udp: "udp/53", icmp: "icmp" };

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-explain" });
  for (const network of ["red", "blue"]) await cluster.createNetwork(network);
  for (const [host, container, network] of [
    ["host1", "r1", "red"],
    ["host2", "r2", "red"],
    ["host1", "b1", "blue"],
  ] as const)
    places.push({ host, container, address: await cluster.run(host, container, network) });
  // Blue lets everybody in by TCP, whatever the network: the cells differ by protocol, too.
  const add = ["calicoctl", "profile", "blue", "rule", "add", "inbound", "allow", "tcp", "to", "ports", "80"];
  await cluster.on("host1", ...add);
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

async function explain(host: string, ...words: readonly string[]): Promise<{ code: number; report: FlowReport }> {
  const said = await cluster.tried(host, "margay", "explain", "flow", ...words, "-o", "json");
  if (said.stdout === "") throw new Error(`margay explain flow ${words.join(" ")}: ${said.exitCode} ${said.stderr}`);
  return { code: said.exitCode, report: JSON.parse(said.stdout) as FlowReport };
}

test("what it says of every pair and protocol is what packets do, on the resources' side and on the kernels'", async () => {
  const check = async (from: Place, to: Place, protocol: Protocol) => {
    const words = ["--from", from.address, "--to", to.address, "--port", port[protocol]];
    const { code, report } = await explain(protocol === "udp" ? "host2" : "host1", ...words);
    const cell = `${from.container} to ${to.container} by ${protocol}`;
    expect([cell, report.kernel, report.notes]).toEqual([cell, "agrees", []]);
    const allowed = report.verdict === "allowed";
    expect([cell, code]).toEqual([cell, allowed ? 0 : 2]);
    // Silence must hold at the first try; an answer may take its time on a busy machine.
    if (!allowed) expect([cell, await reaches(cluster, from, to, protocol)]).toEqual([cell, false]);
    else await eventually(cell, async () => expect(await reaches(cluster, from, to, protocol)).toBe(true));
    return allowed;
  };
  const verdicts = new Map<string, boolean>();
  for (const from of places)
    for (const to of places) {
      if (from === to) continue;
      await Promise.all(
        protocols.map(async (protocol) => {
          verdicts.set(`${from.container} ${to.container} ${protocol}`, await check(from, to, protocol));
        }),
      );
    }
  const allowed = [...verdicts].flatMap(([cell, verdict]) => (verdict ? [cell] : [])).sort();
  const members = ["r1 r2", "r2 r1"].flatMap((pair) => protocols.map((protocol) => `${pair} ${protocol}`));
  expect(allowed).toEqual([...members, "r1 b1 tcp", "r2 b1 tcp"].sort());
}, 180_000);

test("containers, endpoints, hosts and the world are known by their names, and the text says first what matters", async () => {
  const [r1, , b1] = places as [Place, Place, Place];
  const denied = await cluster.tried(
    "host1",
    "margay",
    "explain",
    "flow",
    "--from",
    "b1",
    "--to",
    "r1",
    "--port",
    "tcp/80",
  );
  expect(denied.exitCode).toBe(2);
  expect(denied.stdout.split("\n")[0]).toBe(
    `DENIED: tcp/80 from b1 (${b1.address}) on host1 to r1 (${r1.address}) on host1`,
  );
  expect(denied.stdout).toContain("inbound denied by the end: no policy or profile lets it pass");
  expect(denied.stdout).toContain("does not match has(red)");
  const world = await explain("host1", "--from", "r1", "--to", "8.8.8.8", "--port", "udp/53");
  expect([world.code, world.report.notes]).toEqual([
    0,
    ["it leaves with its host's address (pool 192.168.0.0/16 has natOutgoing)"],
  ]);
  expect((await explain("host2", "--from", "host1", "--to", r1.address, "--port", "tcp/80")).code).toBe(0);
  const forged = await explain(
    "host1",
    "--from",
    "r1",
    "--to",
    "b1",
    "--port",
    "tcp/80",
    "--source-address",
    "1.2.3.4",
  );
  expect([forged.code, forged.report.kernel]).toEqual([2, "agrees"]);
  const unknown = await cluster.tried(
    "host1",
    "margay",
    "explain",
    "flow",
    "--from",
    "nobody",
    "--to",
    "r1",
    "--port",
    "tcp/80",
  );
  expect([unknown.exitCode, unknown.stdout]).toEqual([1, ""]);
  expect(unknown.stderr).toContain('nobody is called "nobody"');
  const endpoint = await cluster.on("host1", "margay", "explain", "endpoint", "r1");
  expect(endpoint).toStartWith(`OPEN to what its policies and profiles allow: endpoint ${r1.address} on host1`);
  expect(endpoint).toMatch(/red +=\s+"" +from profile red/);
}, 60_000);

test("a kernel changed behind the node's back is a disagreement; the node repairs it, and they agree again", async () => {
  const [r1, r2] = places as [Place, Place];
  const words = ["--from", r2.address, "--to", r1.address, "--port", "icmp", "--timeout", "1"];
  const node = cluster.lab.state.hosts[0]?.services.find(({ name }) => name === "node")?.pid;
  if (node === undefined) throw new Error("host1 has a node");
  process.kill(node, "SIGSTOP");
  try {
    // Hung, it cannot repair; root on its host can look all the same.
    const before = await explain("host1", ...words);
    expect([before.code, before.report.kernels.map(({ asked }) => asked)]).toEqual([
      0,
      ["its node, through the store", "directly"],
    ]);
    const listing = await cluster.on("host1", "nft", "list", "sets", "inet");
    const sets = [...listing.matchAll(/set (a4-\S+) \{[^}]*?elements = \{([^}]*)\}/g)];
    const set = sets.find(([, , elements]) => elements?.includes(r2.address))?.[1];
    await cluster.on("host1", "nft", "delete", "element", "inet", "margay", String(set), `{ ${r2.address} }`);
    const tampered = await explain("host1", ...words);
    expect([tampered.code, tampered.report.kernel, tampered.report.verdict]).toEqual([3, "disagrees", "denied"]);
    expect(tampered.report.disagreements[0]).toStartWith("host1: the resources say allowed, its kernel says denied");
    expect(await reaches(cluster, r2, r1, "icmp")).toBe(false);
    // From elsewhere nobody can look into it: that is said, and not passed over.
    const elsewhere = await explain("host2", ...words);
    expect([elsewhere.code, elsewhere.report.kernel]).toEqual([0, "partly"]);
    expect(elsewhere.report.notes[0]).toContain("the kernel of host1 was not asked");
  } finally {
    process.kill(node, "SIGCONT");
  }
  await eventually("the node has repaired it", async () => {
    const after = await explain("host1", ...words);
    expect([after.code, after.report.kernel]).toEqual([0, "agrees"]);
  });
  expect(await reaches(cluster, r2, r1, "icmp")).toBe(true);
}, 60_000);

test("a host's own interface under policy: what it says of hosts and of what they forward is what packets do", async () => {
  const [r1, r2] = places as [Place, Place];
  const key = resourceKey({ kind: "HostEndpoint", name: "edge" });
  const spec = { node: "host1", interfaceName: "eth0" };
  const document = JSON.stringify({ kind: "HostEndpoint", apiVersion, metadata: { name: "edge" }, spec });
  await cluster.lab.mustExec("host1", ["etcdctl", "put", key], { stdin: document });
  const told = await explain("host1", "--from", "host2", "--to", "host1", "--port", "tcp/80", "--no-kernel");
  const ping = async () =>
    (await cluster.tried("host2", "ping", "-n", "-c", "1", "-W", "1", told.report.to.address)).exitCode;
  const ask = (port: string, from = "host2", to = "host1") =>
    explain("host2", "--from", from, "--to", to, "--port", port);
  await eventually("it is closed, on both accounts", async () => {
    const { code, report } = await ask("icmp");
    expect([code, report.kernel]).toEqual([2, "agrees"]);
    expect(report.reason).toBe(
      "on host1: inbound denied by host endpoint edge (normal): the end: the endpoint has no policy and no profile",
    );
  });
  expect(await ping()).toBe(1);
  const failsafe = await ask("tcp/22");
  expect([failsafe.code, failsafe.report.kernel]).toEqual([0, "agrees"]);
  expect(failsafe.report.reason).toContain("host endpoint edge (normal): failsafe port tcp/22");
  const forwarded = await ask("tcp/80", r2.address, r1.address);
  expect([forwarded.code, forwarded.report.kernel]).toEqual([0, "agrees"]);
  expect(await reaches(cluster, r2, r1, "tcp")).toBe(true);
  const endpoint = await cluster.on("host1", "margay", "explain", "endpoint", "edge");
  expect(endpoint).toStartWith("OPEN to what its policies and profiles allow: host endpoint edge on host1");
  expect(endpoint).toContain("tcp/22 udp/68");
  await cluster.on("host1", "etcdctl", "del", key);
  await eventually("it is open again", async () => expect(await ping()).toBe(0));
}, 60_000);

test("questions leave nothing in the store", async () => {
  const keys = await cluster.on(
    "host1",
    "env",
    "ETCDCTL_API=3",
    "etcdctl",
    "get",
    "/margay/explain/",
    "--prefix",
    "--keys-only",
  );
  expect(keys).toBe("");
});
