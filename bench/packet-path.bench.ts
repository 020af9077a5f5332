/**
 * Container to container across two hosts, against the same path without Margay: two bare hosts in a second lab, with a
 * namespace behind each and static routes. TCP throughput (iperf3) and latency of one-byte requests, in turns.
 * Goal: at least 0.95x of the bare path.
 */

import { join } from "node:path";
import { Lab } from "../src/lab/lab.ts";
import { Cluster } from "../test/acceptance/cluster.ts";
import { eventually } from "../test/acceptance/eventually.ts";
import { inTurns, judge, printMachine, printSpread } from "./figures.ts";

const rounds = 7;
const secondsEach = "3";
const roundTrips = "5000";

interface End {
  readonly lab: Lab;
  readonly host: string;
  readonly enter: readonly string[];
  readonly address: string;
}

printMachine();
await using cluster = await Cluster.create({ hosts: 2, name: "b-path" });
await using bare = await Lab.create({ hosts: 2, name: "b-bare", parts: "none" });
const policed = await containers();
const plain = await namespaces();

for (const { server } of [policed, plain]) serve(server);
for (const { client, server } of [policed, plain]) {
  await eventually("the servers answer", () => roundTripUs(client, server, "10"), { withinMs: 20_000 });
}

const throughput = await inTurns(
  rounds,
  () => gigabits(policed.client, policed.server),
  () => gigabits(plain.client, plain.server),
);
const a = printSpread("throughput through Margay", throughput.a, "Gbit/s");
const b = printSpread("throughput bare", throughput.b, "Gbit/s");
judge("throughput ratio", a.median / b.median, {
  goal: ">= 0.95",
  met: a.median / b.median >= 0.95,
  budgetMet: a.median / b.median >= 0.7,
});

const latency = await inTurns(
  rounds,
  () => roundTripUs(policed.client, policed.server, roundTrips),
  () => roundTripUs(plain.client, plain.server, roundTrips),
);
const c = printSpread("request latency through Margay", latency.a, "us");
const d = printSpread("request latency bare", latency.b, "us");
judge("latency ratio (bare / Margay)", d.median / c.median, {
  goal: ">= 0.95",
  met: d.median / c.median >= 0.95,
  budgetMet: d.median / c.median >= 0.7,
});

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
async function namespaces(): Promise<{ client: End; server: End }> {
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
