/**
 * Container to container across two hosts, TCP throughput (iperf3) and latency of one-byte requests, in turn with two peers:
 * - bare: two bare hosts in a second lab, with a namespace behind each and static routes. Goal: at least 0.95x of it.
 * - with memory: the same, and on each host the least that a firewall with memory does, one rule that lets open
 *   connections pass. What is left between this and the containers is Margay's rules and what Docker adds: its rules in
 *   the host's FORWARD chain, and address translation for its name server in every container.
 * Ratios are of neighbouring runs, so that whatever else the machine does falls on both.
 */

import { join } from "node:path";
import { Lab } from "../src/lab/lab.ts";
import { Cluster } from "../test/acceptance/cluster.ts";
import { eventually } from "../test/acceptance/eventually.ts";
import { judge, printMachine, printSpread, spreadOf } from "./figures.ts";
import { requirePrograms } from "./required-programs.ts";

const rounds = 15;
const secondsEach = "1";
const roundTrips = "5000";
const openConnectionsPass =
  "table ip memory { chain f { type filter hook forward priority 0; ct state established accept; }; }";

interface End {
  readonly lab: Lab;
  readonly host: string;
  readonly enter: readonly string[];
  readonly address: string;
}

requirePrograms("iperf3");
printMachine();
await using cluster = await Cluster.create({ hosts: 2, name: "b-path" });
await using bareLab = await Lab.create({ hosts: 2, name: "b-bare", parts: "none" });
await using memoryLab = await Lab.create({ hosts: 2, name: "b-memory", parts: "none" });
const paths = {
  "through Margay": await containers(),
  bare: await namespaces(bareLab),
  "with memory": await namespaces(memoryLab),
};
for (const { name } of memoryLab.plan.hosts) await memoryLab.mustExec(name, ["nft", openConnectionsPass]);

for (const { server } of Object.values(paths)) serve(server);
for (const { client, server } of Object.values(paths)) {
  await eventually("the servers answer", () => roundTripUs(client, server, "10"), { withinMs: 20_000 });
  await eventually("iperf3 answers", () => gigabits(client, server), { withinMs: 20_000 });
}

const throughput = await measure("throughput", "Gbit/s", gigabits);
const latency = await measure("request latency", "us", (client, server) => roundTripUs(client, server, roundTrips));
compare("throughput", (peer) => ratios(throughput["through Margay"], throughput[peer]));
compare("latency (peer / Margay)", (peer) => ratios(latency[peer], latency["through Margay"]));

type PathName = keyof typeof paths;

async function measure(
  what: string,
  unit: string,
  run: (client: End, server: End) => Promise<number>,
): Promise<Record<PathName, readonly number[]>> {
  const samples: Record<PathName, number[]> = { "through Margay": [], bare: [], "with memory": [] };
  const names = Object.keys(samples) as PathName[];
  for (let round = 0; round < rounds; round++)
    for (const name of names) samples[name].push(await run(paths[name].client, paths[name].server));
  for (const name of names) printSpread(`${what} ${name}`, samples[name], unit);
  return samples;
}

function ratios(of: readonly number[], to: readonly number[]): readonly number[] {
  return of.map((value, round) => value / (to[round] ?? Number.NaN));
}

function compare(what: string, ratiosTo: (peer: PathName) => readonly number[]): void {
  const { median: toBare } = spreadOf(ratiosTo("bare"));
  judge(`${what}, of bare`, toBare, { goal: ">= 0.95", met: toBare >= 0.95, budgetMet: toBare >= 0.7 });
  for (const peer of ["bare", "with memory"] as const) {
    const { min, median, max } = spreadOf(ratiosTo(peer));
    console.log(`${what}, of ${peer}: ${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}, n=${rounds})`);
  }
}

/** A container of one network on each host. */
async function containers(): Promise<{ client: End; server: End }> {
  await cluster.createNetwork("my-calico-net");
  const end = async (host: string): Promise<End> => {
    await cluster.on(host, "docker", "run", "-d", "--name", "end", "--net", "my-calico-net", "tools", "sleep", "3600");
    const pid = (await cluster.on(host, "docker", "inspect", "-f", "{{.State.Pid}}", "end")).trim();
    const address = await cluster.addressOf(host, "end", "my-calico-net");
    return { lab: cluster.lab, host, enter: ["nsenter", `--net=/proc/${pid}/ns/net`], address };
  };
  return { client: await end("host1"), server: await end("host2") };
}

/** A namespace behind each bare host, wired and routed as a container is, with nothing in the way. */
async function namespaces(bare: Lab): Promise<{ client: End; server: End }> {
  const hosts = bare.plan.hosts;
  for (const [at, { name }] of hosts.entries()) {
    const commands = [
      "ip netns add end",
      "ip link add bare0 type veth peer name eth0 netns end",
      "ip link set bare0 up",
      `ip addr add 10.201.${at}.1/24 dev bare0`,
      "ip -n end link set lo up",
      "ip -n end link set eth0 up",
      `ip -n end addr add 10.201.${at}.2/24 dev eth0`,
      `ip -n end route add default via 10.201.${at}.1`,
      "sysctl -qw net.ipv4.ip_forward=1",
      ...hosts.flatMap((other, index) =>
        index === at ? [] : [`ip route add 10.201.${index}.0/24 via ${other.address}`],
      ),
    ];
    for (const command of commands) await bare.mustExec(name, command.split(" "));
  }
  const end = (at: number): End => ({
    lab: bare,
    host: hosts[at]?.name ?? "",
    enter: ["nsenter", "--net=/run/netns/end"],
    address: `10.201.${at}.2`,
  });
  return { client: end(0), server: end(1) };
}

/** Both servers end with the lab. */
function serve({ lab, host, enter, address }: End): void {
  const servers = [
    ["iperf3", "-s", "-B", address, "-p", "5201"],
    [process.execPath, join(import.meta.dir, "round-trips.ts"), "serve", address, "5202"],
  ];
  // They end when the lab is torn down; how they end does not matter.
  for (const words of servers) lab.exec(host, [...enter, ...words]).catch(() => undefined);
}

async function gigabits(client: End, server: End): Promise<number> {
  const words = ["iperf3", "-c", server.address, "-p", "5201", "-t", secondsEach, "-J"];
  const report = JSON.parse(await client.lab.mustExec(client.host, [...client.enter, ...words]));
  return report.end.sum_received.bits_per_second / 1e9;
}

async function roundTripUs(client: End, server: End, count: string): Promise<number> {
  const words = [process.execPath, join(import.meta.dir, "round-trips.ts"), "ask", server.address, "5202", count];
  return Number(await client.lab.mustExec(client.host, [...client.enter, ...words]));
}
