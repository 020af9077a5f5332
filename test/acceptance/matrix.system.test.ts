/**
 * Random policies around containers of several networks on two hosts and around these hosts themselves (host endpoints of
 * one interface or of all, applyOnForward, preDNAT, doNotTrack), and real packets: every pair of containers and hosts, TCP
 * to two ports, UDP and ICMP, by IPv4 and by IPv6, connects exactly when the oracle says so, after each of several changes
 * of everything.
 * MARGAY_MATRIX_SEED=<number> repeats a run, MARGAY_MATRIX_ROUNDS=<number> makes it longer.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { parseCidr } from "../../src/base/addresses.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newIpPool } from "../../src/model/ip-pool.ts";
import { ipPoolKey, kindPrefix, nodeKey } from "../../src/model/keys.ts";
import { decodeNode } from "../../src/model/node.ts";
import { encode } from "../../src/model/resource.ts";
import { forcedLabels } from "../../src/model/workload-endpoint.ts";
import type { OracleCluster } from "../../src/policy/testing/oracle.ts";
import { documentsOf } from "../../src/policy/testing/random-clusters.ts";
import { Cluster } from "./cluster.ts";
import { eventually } from "./eventually.ts";
import { allowed, type Cell, cellsOf, type Endpoint } from "./matrix/cells.ts";
import { answered, listen } from "./matrix/probes.ts";
import { randomRounds } from "./matrix/rounds.ts";

const seed = Number(process.env.MARGAY_MATRIX_SEED ?? systemClock.nowMs() % 1_000_000);
const roundCount = Number(process.env.MARGAY_MATRIX_ROUNDS ?? 6);
const pool = "fd80:24e2:f998:72d6::/64";
const endpoints: Endpoint[] = [];
/** As the nodes made them, by container. */
const workloads = new Map<string, { readonly key: string; readonly document: Record<string, never> }>();
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-matrix" });
  for (const [at, host] of cluster.hosts.entries()) {
    const address = `fd00:32::${at + 1}`;
    await cluster.on(host, "ip", "-6", "addr", "add", `${address}/64`, "dev", "eth0", "nodad");
    const node = decodeNode(await cluster.on("host1", "etcdctl", "get", "--print-value-only", nodeKey(host)));
    const bgp = { ...node.spec.bgp, ipv6Address: `${address}/128` };
    await write({ [nodeKey(host)]: encode({ ...node, spec: { ...node.spec, bgp } }) });
  }
  const six = newIpPool({ name: "six", cidr: parseCidr(pool) }, { uid: "six", nowMs: 0 });
  await enforced(await write({ [ipPoolKey("six")]: encode(six) }));
  for (const network of ["red", "green", "blue"]) await cluster.createNetwork(network, "--ipv6");
  await Promise.all(
    ["host1", "host2"].map(async (host) => {
      for (const network of ["red", "green", "blue"]) endpoints.push(await start(host, `${network}-${host}`, network));
      endpoints.push(await standIn(host));
    }),
  );
  endpoints.sort((a, b) => (a.container < b.container ? -1 : 1));
  await eventually("every endpoint is written with its network's profile", readWorkloads);
}, 120_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

async function start(host: string, container: string, network: string): Promise<Endpoint> {
  await cluster.on(host, "docker", "run", "-d", "--name", container, "--net", network, "tools", "sleep", "86400");
  const format = `{{with index .NetworkSettings.Networks "${network}"}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}`;
  const said = await cluster.on(host, "docker", "inspect", "-f", format, container);
  const [four = "", six = ""] = said.trim().split(" ");
  const addresses = { 4: four, 6: six };
  const kind = "container" as const;
  const endpoint: Endpoint = { kind, host, container, network, addresses, hostAddresses: await addressesOf(host) };
  await listen(cluster, endpoint);
  return endpoint;
}

/** Speaks and listens for the host. */
async function standIn(host: string): Promise<Endpoint> {
  const container = `self-${host}`;
  // As in a container: the kernel numbers echo requests one after the other, where ping itself would throw dice, and now and
  // then choose a number of an earlier round, which belongs to an open connection.
  await cluster.on(host, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647");
  await cluster.on(host, "docker", "run", "-d", "--name", container, "--net", "host", "tools", "sleep", "86400");
  const addresses = await addressesOf(host);
  const endpoint: Endpoint = { kind: "host", host, container, network: "", addresses, hostAddresses: addresses };
  await listen(cluster, endpoint);
  return endpoint;
}

async function addressesOf(host: string): Promise<Readonly<Record<4 | 6, string>>> {
  const { spec } = decodeNode(await cluster.on(host, "etcdctl", "get", "--print-value-only", nodeKey(host)));
  const of = (address: string | undefined) => address?.split("/")[0] ?? "";
  return { 4: of(spec.bgp?.ipv4Address), 6: of(spec.bgp?.ipv6Address) };
}

async function readWorkloads(): Promise<void> {
  const prefix = kindPrefix("WorkloadEndpoint");
  const said = await cluster.on("host1", "etcdctl", "get", "--prefix", "-w", "json", prefix);
  const { kvs } = JSON.parse(said) as { kvs: readonly { key: string; value: string }[] };
  const written = kvs.map(({ key, value }) => ({ key: atob(key), document: JSON.parse(atob(value)) }));
  for (const { kind, container, network, addresses } of endpoints) {
    if (kind === "host") continue;
    const one = written.find(({ document }) => document.spec.ipNetworks.includes(`${addresses[4]}/32`));
    expect(one?.document.spec.profiles).toEqual([network]);
    if (one !== undefined) workloads.set(container, one);
  }
}

/** Writes one after the other as an operator's tools do; answers the revision of the last. */
async function write(documents: Readonly<Record<string, string | undefined>>): Promise<number> {
  const lines = Object.entries(documents).flatMap(([key, value]) =>
    value === undefined
      ? [`etcdctl del -w json '${key}'`]
      : [`etcdctl put -w json '${key}' <<'DOCUMENT'`, value, "DOCUMENT"],
  );
  const said = await cluster.lab.mustExec("host1", ["sh", "-e"], { stdin: lines.join("\n") });
  const last = said.trim().split("\n").at(-1) ?? "";
  return (JSON.parse(last) as { header: { revision: number } }).header.revision;
}

/** Until every host's kernel enforces what was written up to the revision. */
async function enforced(revision: number): Promise<void> {
  const ask = ["curl", "-sS", "--unix-socket", "/run/margay/node.sock", "http://node/v1/status"];
  await Promise.all(
    cluster.hosts.map((host) =>
      eventually(`${host} enforces revision ${revision}`, async () => {
        const { node } = JSON.parse(await cluster.on(host, ...ask));
        expect(node.invalid).toEqual({});
        if (node.enforcedRevision < revision) throw new Error(JSON.stringify(node));
      }),
    ),
  );
}

/** The round's documents, with what the nodes wrote of each endpoint kept but for its labels, profiles and ports. */
function documentsOfRound(round: OracleCluster): Readonly<Record<string, string>> {
  const own = round.items.flatMap(({ id, labels, profiles, ports }) => {
    const workload = workloads.get(id);
    if (workload === undefined) return [];
    const { metadata, spec, ...rest } = workload.document as unknown as Record<"metadata" | "spec", object>;
    const forced = forcedLabels(labels, "libnetwork", "libnetwork");
    const edited = { ...rest, metadata: { ...metadata, labels: forced }, spec: { ...spec, profiles, ports } };
    return [[workload.key, JSON.stringify(edited)] as const];
  });
  const others = documentsOf({ ...round, items: round.items.filter(({ kind }) => kind !== "workload") });
  return { ...others, ...Object.fromEntries(own) };
}

/** Silence must hold at the first try; an answer may take its time on a busy machine. */
async function wrongCells(round: OracleCluster, cells: readonly Cell[]): Promise<readonly string[]> {
  const expected = new Set(cells.filter((cell) => allowed(round, cell)));
  const got = new Set(await answered(cluster, cells));
  const untilMs = systemClock.monotonicMs() + 15_000;
  for (;;) {
    const missing = [...expected].filter((cell) => !got.has(cell));
    if (missing.length === 0 || systemClock.monotonicMs() > untilMs) break;
    for (const cell of await answered(cluster, missing)) got.add(cell);
  }
  return cells
    .filter((cell) => got.has(cell) !== expected.has(cell))
    .map((cell) => {
      const { from, to, family, kind } = cell;
      const said = `${from.container} ${got.has(cell) ? "reaches" : "does not reach"} ${to.container}`;
      return `${said} by ${kind} over IPv${family} (${from.addresses[family]} to ${to.addresses[family]})`;
    });
}

test(
  "every cell of every round is what the oracle says",
  async () => {
    const cells = cellsOf(endpoints);
    const rounds = randomRounds(endpoints, seed, roundCount);
    let before: Readonly<Record<string, string>> = {};
    let open = 0;
    for (const [at, round] of rounds.entries()) {
      const after = documentsOfRound(round);
      const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
      const changed = keys.filter((key) => before[key] !== after[key]);
      await enforced(await write(Object.fromEntries(changed.map((key) => [key, after[key]]))));
      before = after;
      const wrong = await wrongCells(round, cells);
      if (wrong.length > 0) {
        const again = `MARGAY_MATRIX_SEED=${seed}`;
        throw new Error(`round ${at} (again with ${again}):\n${wrong.join("\n")}\n${JSON.stringify(round, null, 1)}`);
      }
      open += cells.filter((cell) => allowed(round, cell)).length;
    }
    process.stderr.write(
      `connectivity matrix: seed ${seed}, ${rounds.length} rounds of ${cells.length} cells, ${open} of them open\n`,
    );
  },
  60_000 + 30_000 * roundCount,
);
