/**
 * What a packet between two containers of one host costs, with 10 and with 10,000 endpoints and policies, and what it costs
 * - bare: the same wires and routes without any filter;
 * - with connection tracking and one rule, the least that any firewall with memory does;
 * - with iptables: the same source check and policies, open connections first, a chain for each endpoint.
 * All paths stand side by side and are measured in turn, in short bursts. Both ends share a processor, so that the time is
 * the work done: "send" is one packet of an open connection, "ask" a question and its answer, "dial" a connection's first.
 * Goals: 10,000 endpoints and policies change it by at most 3 %; and at least 0.97 of the bare path.
 */

import { judge, printMachine, type Spread, spreadOf } from "./figures.ts";
import { type Filter, ForwardingPath } from "./forwarding-path.ts";
import { requirePrograms } from "./required-programs.ts";

const [few, many] = [10, 10_000];
const bursts = { send: 300, ask: 300, dial: 100 };
const packets = { send: 1_000, ask: 300, dial: 100 };
const warmUps = 20;
const throughputRounds = 5;
const kinds: readonly (readonly [Filter, number])[] = [
  ["none", 2],
  ["conntrack", 2],
  ["iptables-legacy", few],
  ["iptables-nft", few],
  ["iptables-nft", many],
  ["margay", few],
  ["margay", many],
];

requirePrograms("iperf3", "iptables-legacy-restore", "iptables-nft-restore");
printMachine();
using paths = new DisposableStack();
const all: ForwardingPath[] = [];
for (const [filter, endpoints] of kinds) all.push(paths.use(await ForwardingPath.create(filter, endpoints)));
for (const path of all) {
  // ICMP is in nobody's policy.
  if (path.letsEverythingPass() !== /^(bare|conntrack)$/.test(path.name))
    throw new Error(`${path.name} filters wrongly`);
}

for (const role of ["send", "ask", "dial"] as const) {
  const figures = await inBursts(role);
  const bare = figures.get("bare");
  console.log(`-- ${role}, ns                median     min     p99   bare / this (p10 to p90)`);
  for (const [name, { spread, ratios }] of figures) {
    const cells = [spread.median, spread.min, spread.p99].map((value) => value.toFixed(0).padStart(8)).join("");
    console.log(`${name.padEnd(24)}${cells}   ${ratioText(ratios)}`);
  }
  const of = (name: string) => figures.get(name)?.spread.median ?? Number.NaN;
  const [small, big] = [of(`margay ${few}`), of(`margay ${many}`)];
  judge(`${role}: ${many} endpoints against ${few}`, big / small, {
    goal: "<= 1.03",
    met: big / small <= 1.03,
    budgetMet: big / small <= 1.3,
  });
  const toBare = (bare?.spread.median ?? Number.NaN) / small;
  if (role !== "dial")
    judge(`${role}: bare / margay`, toBare, { goal: ">= 0.97", met: toBare >= 0.97, budgetMet: toBare >= 0.5 });
  console.log(`${role}: conntrack alone / margay ${(of("conntrack") / small).toFixed(2)}`);
  console.log(
    `${role}: iptables / margay, ${few} endpoints: legacy ${(of(`iptables-legacy ${few}`) / small).toFixed(2)}, nft ${(of(`iptables-nft ${few}`) / small).toFixed(2)}; ${many}: nft ${(of(`iptables-nft ${many}`) / big).toFixed(2)}`,
  );
}

const throughput = new Map(all.map((path) => [path.name, [] as number[]]));
for (let round = 0; round < throughputRounds; round++)
  for (const path of all) throughput.get(path.name)?.push(path.gigabits());
console.log("-- TCP throughput, Gbit/s   median   (min to max)");
for (const [name, samples] of throughput) {
  const { median, min, max } = spreadOf(samples);
  console.log(`${name.padEnd(24)}${median.toFixed(1).padStart(8)}   (${min.toFixed(1)} to ${max.toFixed(1)})`);
}

interface Figure {
  readonly spread: Spread;
  /** The bare path's time by this one's, burst by burst. */
  readonly ratios: readonly number[];
}

async function inBursts(role: "send" | "ask" | "dial"): Promise<Map<string, Figure>> {
  const samples = new Map(all.map((path) => [path.name, [] as number[]]));
  for (let burst = -warmUps; burst < bursts[role]; burst++)
    for (const path of all) {
      const ns = await path.measure(role, packets[role]);
      if (burst >= 0) samples.get(path.name)?.push(ns);
    }
  const bare = samples.get("bare") ?? [];
  return new Map(
    [...samples].map(([name, ns]) => [
      name,
      { spread: spreadOf(ns), ratios: ns.map((value, at) => (bare[at] ?? Number.NaN) / value) },
    ]),
  );
}

function ratioText(ratios: readonly number[]): string {
  const sorted = [...ratios].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN).toFixed(2);
  return `${at(0.5)} (${at(0.1)} to ${at(0.9)})`;
}
