/**
 * The policy calculation of one host in a cluster at the scale of Felix' own benchmark: 250,000 endpoints (200 of them on
 * this host) and 10,000 policies. Peer: none to run in the same process (Felix is Go); a goal of ours stands instead.
 * - start: every document handed in, in-sync, first flush. Goal 10 s.
 * - one change: update and flush, for each kind of change. Goal 1 ms in the middle.
 * Every endpoint has a label of its own besides shared ones: the worst case for an index by label.
 */

import type { EnforcementSink } from "../src/policy/enforcement.ts";
import { PolicyCalculator } from "../src/policy/policy-calculator.ts";
import { ClusterDocuments, type KeyAndValue } from "./cluster-documents.ts";
import { judge, printMachine, printSpread } from "./figures.ts";

const endpointCount = 250_000;
const localCount = 200;
const policyCount = 10_000;
const rounds = 300;
const cluster = new ClusterDocuments({
  endpoints: endpointCount,
  hosts: endpointCount / localCount,
  policies: policyCount,
});

class CountingSink implements EnforcementSink {
  calls = 0;
  members = 0;
  readonly endpoints = new Set<string>();
  readonly lists = new Set<string>();
  addressSet(_id: string, members: ReadonlySet<string> | undefined): void {
    this.calls++;
    this.members += members?.size ?? 0;
  }
  addressSetDelta(_id: string, added: readonly string[], removed: readonly string[]): void {
    this.calls++;
    this.members += added.length - removed.length;
  }
  ruleList(id: string, list: unknown): void {
    this.calls++;
    if (list === undefined) this.lists.delete(id);
    else this.lists.add(id);
  }
  endpoint(key: string, endpoint: unknown): void {
    this.calls++;
    if (endpoint === undefined) this.endpoints.delete(key);
    else this.endpoints.add(key);
  }
  natPools(): void {}
  remoteRoutes(): void {}
  localBlocks(): void {}
}

printMachine();
const documents = [...cluster.all()];
Bun.gc(true);
const heapBefore = process.memoryUsage().rss;
const sink = new CountingSink();
const calculator = new PolicyCalculator({ host: "host-0", sink });
const startMs = performance.now();
const cpuAtStart = process.cpuUsage();
for (const [key, value] of documents) calculator.update(key, value);
const readMs = performance.now() - startMs;
calculator.inSync();
calculator.flush();
const totalMs = performance.now() - startMs;
const cpu = process.cpuUsage(cpuAtStart);
const cpuMs = (cpu.user + cpu.system) / 1000;
Bun.gc(true);
const memoryMiB = (process.memoryUsage().rss - heapBefore) / 2 ** 20;
if (sink.endpoints.size !== localCount || calculator.invalid.size > 0) throw new Error("the calculation is wrong");

console.log(`${endpointCount} endpoints, ${localCount} local, ${policyCount} policies`);
console.log(
  `start: ${totalMs.toFixed(0)} ms, processor ${cpuMs.toFixed(0)} ms (${(totalMs - readMs).toFixed(0)} ms of it the first flush); memory ${memoryMiB.toFixed(0)} MiB`,
);
console.log(`told: ${sink.lists.size} rule lists, ${sink.members} members of sets`);

const remote = range(rounds)
  .map((round) => 1 + round * 7)
  .filter((at) => at % cluster.size.hosts !== 0);
const local = cluster.localTo(0);
const figures = [
  one("an endpoint of another host changes its labels", remote, (at, round) =>
    cluster.endpoint(at, round % policyCount),
  ),
  one("an endpoint of another host goes and comes back", remote, (at, round) =>
    round % 2 === 0 ? [cluster.endpoint(at)[0], undefined] : cluster.endpoint(remote[round - 1] ?? at),
  ),
  one("a local endpoint changes its labels", range(rounds), (at, round) =>
    cluster.endpoint(local[at % localCount] ?? 0, round),
  ),
  one("a policy of nobody here changes", range(rounds), (at, round) => cluster.policy(at * 7 + 1, { order: round })),
  one("a policy of a local endpoint changes", range(rounds), (at, round) =>
    cluster.policy(cluster.appOf(local[at % localCount] ?? 0), { order: round }),
  ),
];
judge("start, seconds", totalMs / 1000, { goal: "<= 10", met: totalMs <= 10_000, budgetMet: totalMs <= 60_000 });
judge("one change, slowest middle in ms", Math.max(...figures), {
  goal: "<= 1",
  met: Math.max(...figures) <= 1,
  budgetMet: Math.max(...figures) <= 20,
});

function one(
  what: string,
  over: readonly number[],
  change: (at: number, round: number) => KeyAndValue | readonly [key: string, value: undefined],
): number {
  const samples = over.map((at, round) => {
    const [key, value] = change(at, round);
    const beganMs = performance.now();
    calculator.update(key, value);
    calculator.flush();
    return (performance.now() - beganMs) * 1000;
  });
  return printSpread(what, samples, "us").median / 1000;
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => at);
}
