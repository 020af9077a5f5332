/**
 * From a write to the store until the kernel of a host enforces it: two hosts with 500 endpoints each in a cluster of 10,000,
 * a real store process on the first of them, a real `margay node` on both, and every change seen in both kernels. The time
 * begins before the write, and ends with the kernel's report of the transaction after which it has what was written.
 * Goals: p99 at most 10 ms on the store's host, at most 50 ms on the other.
 * Peer, in turn with it: the same write seen by a client that only watches the store, and then one run of nft that
 * replaces one rule; what a script on top of etcd's and nftables' own tools could reach at best.
 */

import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { connectEtcd } from "../src/store/etcd-client.ts";
import { StoreProcess } from "../src/store/testing/store-process.ts";
import { ClusterDocuments, type KeyAndValue } from "./cluster-documents.ts";
import { judge, printMachine, printSpread, type Spread, timedMs } from "./figures.ts";
import { KernelReports } from "./kernel-reports.ts";
import { NodeHost } from "./node-host.ts";

const documents = new ClusterDocuments({ endpoints: 10_000, hosts: 20, policies: 200, apps: 400 });
const rounds = 150;
const warmUps = 30;
const goalMs = { own: 10, other: 50 };

interface Change {
  readonly document: KeyAndValue;
  readonly holds: (host: NodeHost) => boolean;
}

printMachine();
await using own = new NodeHost(0, { enter: true });
await using other = new NodeHost(1);
own.connect(other);
const hosts = [own, other] as const;
for (const [number, host] of hosts.entries()) host.addInterfaces(documents.localTo(number));
await using server = await StoreProcess.startMargay([], own.address);
await using store = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
await documents.putInto(store);
const { revision } = await store.list("/calico/", { limit: 1 });
for (const host of hosts)
  console.log(`agent ready after ${(await host.startNode(server.endpoint, revision)).toFixed(0)} ms`);
const reports = await Promise.all(hosts.map((host) => KernelReports.of(host.namespace)));
console.log(`10,000 endpoints, 500 on each of the two hosts, ${documents.size.policies} policies`);

const figures = [
  await measure("a policy's rule changes", (round) => {
    const [policy, port] = [round % documents.size.policies, 2_000 + round];
    return {
      document: documents.policy(policy, { port }),
      holds: (host) => host.namespace.must(...listChain(policy)).includes(`dport ${port} `),
    };
  }),
  await measure("an endpoint elsewhere changes its labels", (round) => {
    const joined = joins(6, round);
    return { document: joined.document, holds: (host) => isMember(host, joined) };
  }),
  await measure("an endpoint of the own host changes its labels", (round) => {
    const joined = joins(0, round);
    const dispatch = () => own.namespace.must(...getElement("to-endpoint", `"${joined.interfaceName}"`));
    const before = dispatch();
    // The host of the endpoint has another chain for it, the other host a member more.
    return {
      document: joined.document,
      holds: (host) => (host === own ? dispatch() !== before : isMember(host, joined)),
    };
  }),
];
console.log(`memory of the agents: ${hosts.map((host) => host.residentMiB().toFixed(0)).join(", ")} MiB`);
for (const host of hosts) {
  const { node, dataplane } = await host.status();
  if (dataplane.failures > 0 || Object.keys(node.invalid).length > 0) throw new Error("the agent reports failures");
}
for (const [at, what] of (["own", "other"] as const).entries()) {
  const worst = Math.max(...figures.map((spreads) => spreads[at]?.p99 ?? Number.NaN));
  judge(`${what} host, worst p99 in ms`, worst, {
    goal: `<= ${goalMs[what]}`,
    met: worst <= goalMs[what],
    budgetMet: worst <= 10 * goalMs[what],
  });
}

interface Joined {
  readonly document: KeyAndValue;
  readonly policy: number;
  readonly address: string;
  readonly interfaceName: string;
}

/** An endpoint of the web tier, which is whom policies let in, leaves its app for another. */
function joins(first: number, round: number): Joined {
  const [step, turns] = [60, 160];
  const at = first + step * (round % turns);
  const policy = (documents.appOf(at) + 7 + Math.floor(round / turns)) % (documents.size.policies - 1);
  return {
    document: documents.endpoint(at, policy + 1),
    policy,
    address: documents.addressOf(at),
    interfaceName: ClusterDocuments.interfaceOf(at),
  };
}

/** Of the set of those whom the policy lets in. */
function isMember({ namespace }: NodeHost, { policy, address }: Joined): boolean {
  const set = /@(a4-\S+)/.exec(namespace.must(...listChain(policy)))?.[1] ?? "";
  return namespace.run(getElement(set, address)).exitCode === 0;
}

function listChain(policy: number): readonly string[] {
  return ["nft", "list", "chain", "inet", "margay", `in/policy/default/policy-${policy}`];
}

function getElement(set: string, element: string): readonly string[] {
  return ["nft", "get", "element", "inet", "margay", set, `{ ${element} }`];
}

/** Both kernels' times, and the peer's. */
async function measure(what: string, change: (round: number) => Change): Promise<readonly Spread[]> {
  const times: { kernels: [number[], number[]]; watcher: number[]; nft: number[] } = {
    kernels: [[], []],
    watcher: [],
    nft: [],
  };
  for (let round = -warmUps; round < rounds; round++) {
    const { document, holds } = change(round + warmUps);
    const took = await timesOf(document, holds);
    const nft = await timedMs(async () => own.namespace.must("nft", peerChange(round + warmUps)));
    if (round < 0) continue;
    for (const [at, ms] of took.kernels.entries()) times.kernels[at]?.push(ms);
    times.watcher.push(took.watcher);
    times.nft.push(nft);
  }
  console.log(`-- ${what}`);
  const spreads = times.kernels.map((ms, at) => printSpread(`to the ${at === 0 ? "own" : "other"} kernel`, ms, "ms"));
  const agent = (times.kernels[0] ?? []).map((ms, round) => ms - (times.watcher[round] ?? Number.NaN));
  printSpread("own kernel, after the watcher was told", agent, "ms");
  const watcher = printSpread("peer: to a watcher", times.watcher, "ms").median;
  const nft = printSpread("peer: nft", times.nft, "ms").median;
  console.log(
    `ratio to the peer (watcher + nft): ${((spreads[0]?.median ?? Number.NaN) / (watcher + nft)).toFixed(2)}`,
  );
  return spreads;
}

async function timesOf([key, value]: KeyAndValue, holds: Change["holds"]) {
  const abort = new AbortController();
  const watch = store.watch(key, { fromRevision: 0, signal: abort.signal })[Symbol.asyncIterator]();
  const seen = watch.next().then(() => performance.now());
  await store.get(key); // asked after the watch: the server has that one, too
  for (const report of reports) report.forget();
  const startMs = performance.now();
  const written = store.put(key, value);
  const kernels = await Promise.all(hosts.map((host, at) => reports[at]?.transaction(host.nodePid, 1) ?? Number.NaN));
  await written;
  const watcher = await seen;
  // Looking takes longer than a change, so it is done when all times are taken. Seldom a second transaction is the one.
  for (const [at, host] of hosts.entries())
    for (let nth = 2; !holds(host); nth++)
      kernels[at] = (await reports[at]?.transaction(host.nodePid, nth)) ?? Number.NaN;
  abort.abort();
  await watch.return?.();
  return { kernels: kernels.map((atMs) => atMs - startMs), watcher: watcher - startMs };
}

/** A rule replaced in a table of its own: in that of the agents it would be repaired. */
function peerChange(round: number): string {
  const rule = `tcp dport ${3_000 + round} accept`;
  return `add table ip peer; add chain ip peer c; flush chain ip peer c; add rule ip peer c ${rule}`;
}
