/**
 * The policy calculation of one host in a cluster at the scale of Felix' own benchmark: 250,000 endpoints (200 of them on
 * this host) and 10,000 policies. Peer: none to run in the same process (Felix is Go); a goal of ours stands instead.
 * - start: every document handed in, in-sync, first flush. Goal 10 s.
 * - one change: update and flush, for each kind of change. Goal 1 ms in the middle.
 * Every endpoint has a label of its own besides shared ones: the worst case for an index by label.
 */

import { hostCidr, parseIpAddress } from "../src/base/addresses.ts";
import type { EnforcementSink } from "../src/policy/enforcement.ts";
import { PolicyCalculator } from "../src/policy/policy-calculator.ts";
import { judge, printMachine, printSpread } from "./figures.ts";

const endpointCount = 250_000;
const localCount = 200;
const policyCount = 10_000;
const rounds = 300;
const prefix = "/calico/resources/v3/projectcalico.org/";
const apiVersion = "projectcalico.org/v3";

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

const onHost = endpointCount / localCount;

function endpoint(at: number, app = Math.floor(at / 25) % policyCount): readonly [key: string, value: string] {
  const node = `host-${at % onHost}`;
  const name = `${node.replaceAll("-", "--")}-libnetwork-libnetwork-e${at}`;
  const labels = {
    app: `app-${app}`,
    tier: at % 3 === 0 ? "web" : "db",
    name: `endpoint-${at}`,
    "projectcalico.org/namespace": "libnetwork",
    "projectcalico.org/orchestrator": "libnetwork",
  };
  const address = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
  const spec = {
    orchestrator: "libnetwork",
    workload: "libnetwork",
    node,
    endpoint: `e${at}`,
    ipNetworks: [hostCidr(parseIpAddress(address))],
    profiles: ["my-calico-net"],
    interfaceName: `cali${at}`,
  };
  const metadata = { name, namespace: "libnetwork", labels };
  const value = JSON.stringify({ kind: "WorkloadEndpoint", apiVersion, metadata, spec });
  return [`${prefix}workloadendpoints/libnetwork/${name}`, value];
}

function policy(at: number, order = at): readonly [key: string, value: string] {
  const name = `policy-${at}`;
  const from = `app == 'app-${(at + 1) % policyCount}' && tier == 'web'`;
  const spec = {
    order,
    selector: `app == 'app-${at}'`,
    types: ["Ingress"],
    ingress: [
      { action: "Allow", protocol: "TCP", source: { selector: from }, destination: { ports: [80 + (order % 8)] } },
    ],
  };
  return [
    `${prefix}globalnetworkpolicies/${name}`,
    JSON.stringify({ kind: "GlobalNetworkPolicy", apiVersion, metadata: { name }, spec }),
  ];
}

function profile(): readonly [key: string, value: string] {
  const metadata = { name: "my-calico-net" };
  const spec = {
    ingress: [{ action: "Allow", source: { selector: "has(my-calico-net)" } }],
    egress: [{ action: "Allow" }],
    labelsToApply: { "my-calico-net": "" },
  };
  return [`${prefix}profiles/my-calico-net`, JSON.stringify({ kind: "Profile", apiVersion, metadata, spec })];
}

printMachine();
const documents = [
  profile(),
  ...range(policyCount).map((at) => policy(at)),
  ...range(endpointCount).map((at) => endpoint(at)),
];
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
  .filter((at) => at % onHost !== 0);
const figures = [
  one("an endpoint of another host changes its labels", remote, (at, round) => endpoint(at, round % policyCount)),
  one("an endpoint of another host goes and comes back", remote, (at, round) =>
    round % 2 === 0 ? [endpoint(at)[0], undefined] : endpoint(remote[round - 1] ?? at),
  ),
  one("a local endpoint changes its labels", range(rounds), (at, round) => endpoint((at % localCount) * onHost, round)),
  one("a policy of nobody here changes", range(rounds), (at, round) => policy(at * 7 + 1, round)),
  one("a policy of a local endpoint changes", range(rounds), (at, round) =>
    policy(((at % localCount) * onHost) / 25, round),
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
  change: (at: number, round: number) => readonly [string, string | undefined],
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
