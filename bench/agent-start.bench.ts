/**
 * The start of `margay node`, compiled as users have it, in a cluster of 100,000 endpoints, 500 of them on its host, from the start of the process until
 * the kernel is as it should be: once with an empty kernel, then again and again over the state that a killed one left.
 * Goal: at most 2 s; while agents die and start, no packet is lost that policy allows, and none passes that it forbids.
 * Peer, in turn with it: reading the same documents from the same store and parsing them as JSON, which is the least that
 * any agent has to do.
 */

import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { connectEtcd } from "../src/store/etcd-client.ts";
import { StoreProcess } from "../src/store/testing/store-process.ts";
import { BuiltProgram } from "./built-program.ts";
import { ClusterDocuments } from "./cluster-documents.ts";
import { judge, printMachine, printSpread, timedMs } from "./figures.ts";
import { NodeHost } from "./node-host.ts";
import { Probe } from "./probe.ts";

const documents = new ClusterDocuments({ endpoints: 100_000, hosts: 200, policies: 2_000, apps: 4_000 });
const starts = 5;
const goalMs = 2_000;

printMachine();
using built = new BuiltProgram();
await using host = new NodeHost(0, { enter: true, program: built.margay });
host.connect();
const local = documents.localTo(0);
const policed = local.find((at) => documents.appOf(at) < documents.size.policies) ?? 0;
const [pinging = 0, pinged = 0] = local.filter((at) => documents.appOf(at) >= documents.size.policies);
const containers = [pinging, pinged, policed];
host.addInterfaces(local.filter((at) => !containers.includes(at)));
const [inside] = containers.map((at) => host.addContainer(at, documents.addressOf(at)));
await using server = await StoreProcess.startMargay();
await using store = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
await documents.putInto(store);
const { revision } = await store.list("/calico/", { limit: 1 });

const first = await host.startNode(server.endpoint, revision);
console.log(`100,000 endpoints, ${local.length} local, ${documents.size.policies} policies`);
console.log(`first start, into an empty kernel: ${first.toFixed(0)} ms`);
const allowed = Probe.start(inside ?? host.namespace, documents.addressOf(pinged));
const forbidden = Probe.start(inside ?? host.namespace, documents.addressOf(policed));
await allowed.goesOn();
const [restarts, processor, readings]: [number[], number[], number[]] = [[], [], []];
for (let round = 0; round < starts; round++) {
  await host.killNode();
  restarts.push(await host.startNode(server.endpoint, revision));
  processor.push(host.processorMs());
  await allowed.goesOn();
  readings.push(await timedMs(readAndParse));
}
const { dataplane } = await host.status();
const memoryMiB = host.residentMiB();
const [good, bad] = [await allowed.stop(), await forbidden.stop()];

const start = printSpread("start over what is there", restarts, "ms");
printSpread("processor time of the agent until then", processor, "ms");
const peer = printSpread("peer: read and parse", readings, "ms");
console.log(`ratio to the peer: ${(start.median / peer.median).toFixed(2)}`);
console.log(`memory after the start: ${memoryMiB.toFixed(0)} MiB`);
console.log(`last pass, ms by step: ${JSON.stringify(dataplane.lastApplyMs)}`);
console.log(`probes: ${good.received} of ${good.sent} allowed arrived, ${bad.received} of ${bad.sent} forbidden`);
if (good.received < good.sent || bad.received > 0 || bad.sent === 0) throw new Error("a wrong verdict");
if (dataplane.filterTransactions > 0) throw new Error("a start that finds everything in place wrote to the kernel");
judge("start, median in ms", start.median, {
  goal: `<= ${goalMs}`,
  met: start.median <= goalMs,
  budgetMet: start.median <= 10 * goalMs,
});

async function readAndParse(): Promise<void> {
  const { kvs } = await store.list("/calico/");
  let parsed = 0;
  for (const { value } of kvs) if (typeof JSON.parse(value) === "object") parsed++;
  if (parsed < documents.size.endpoints) throw new Error(`only ${parsed} documents`);
}
