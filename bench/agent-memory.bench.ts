/**
 * Resident memory of `margay node`, compiled as users have it, in a cluster of 10,000 endpoints, 500 of them on its host: after the start, and while
 * 200 labels and policies change a second. Goals: at most 150 MiB, and no growth that goes on.
 * The slope is that of the second half of the run, when what a busy agent needs has been taken. A run of minutes tells a
 * leak of some bytes a change, not one of 1 MB an hour: the soak test does that.
 * Peer, in the same run: the store process that serves the same documents.
 */

import { readFileSync } from "node:fs";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { connectEtcd } from "../src/store/etcd-client.ts";
import { StoreProcess } from "../src/store/testing/store-process.ts";
import { BuiltProgram } from "./built-program.ts";
import { ClusterDocuments } from "./cluster-documents.ts";
import { judge, printMachine, spreadOf } from "./figures.ts";
import { NodeHost } from "./node-host.ts";

const documents = new ClusterDocuments({ endpoints: 10_000, hosts: 20, policies: 200, apps: 400 });
const soakMs = 60_000;
const samples = 30;
const changesAtOnce = 20;
const batchEveryMs = 100;
const goalMiB = 150;

printMachine();
using built = new BuiltProgram();
await using host = new NodeHost(0, { enter: true, program: built.margay });
host.connect();
host.addInterfaces(documents.localTo(0));
await using server = await StoreProcess.startMargay();
await using store = await connectEtcd({ endpoints: [server.endpoint], clock: systemClock, log: silentLog });
await documents.putInto(store);
const { revision } = await store.list("/calico/", { limit: 1 });
await host.startNode(server.endpoint, revision);
// The engine gives memory back some hundred milliseconds after it has found it unused.
await Bun.sleep(2_000);
const started = host.residentMiB();
console.log(
  `10,000 endpoints, 500 local: agent ${started.toFixed(0)} MiB after its start, store ${storeMiB().toFixed(0)} MiB`,
);

const [atMs, sizes]: [number[], number[]] = [[], []];
let changes = 0;
let last = 0;
const startMs = performance.now();
while (sizes.length < samples) {
  const sampleAtMs = startMs + ((sizes.length + 1) * soakMs) / samples;
  while (performance.now() < sampleAtMs) {
    const batchAtMs = performance.now();
    last = await change();
    await Bun.sleep(Math.max(0, batchAtMs + batchEveryMs - performance.now()));
  }
  atMs.push(performance.now() - startMs);
  sizes.push(host.residentMiB());
}
while ((await host.status()).node.enforcedRevision < last) await Bun.sleep(20);
const { dataplane } = await host.status();
if (dataplane.failures > 0) throw new Error("the agent reports failures");

const { median, max } = spreadOf(sizes);
const half = samples / 2;
const slope = slopeOf(atMs.slice(half), sizes.slice(half)) * 1_000;
console.log(
  `${changes} changes in ${soakMs / 1_000} s: agent ${median.toFixed(0)} MiB (max ${max.toFixed(0)}), store ${storeMiB().toFixed(0)} MiB`,
);
console.log(
  `second half: ${slope.toFixed(3)} MiB a second, ${((slope * 1_048_576 * soakMs) / 1_000 / changes).toFixed(0)} bytes a change`,
);
const worst = Math.max(started, max);
judge("agent, MiB", worst, { goal: `<= ${goalMiB}`, met: worst <= goalMiB, budgetMet: worst <= 3 * goalMiB });

/** Some endpoints and policies anew, each as one write. @returns the last revision. */
async function change(): Promise<number> {
  const writes = Array.from({ length: changesAtOnce }, () => {
    const at = changes++;
    const [key, value] =
      at % 4 === 0
        ? documents.policy(at % documents.size.policies, { port: 1_000 + (at % 50_000) })
        : documents.endpoint((at * 7) % documents.size.endpoints, at % documents.size.apps);
    return store.put(key, value);
  });
  return Math.max(...(await Promise.all(writes)));
}

function storeMiB(): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Least squares. */
function slopeOf(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x0, y0] = [mean(xs), mean(ys)];
  const covariance = xs.reduce((sum, x, at) => sum + (x - x0) * ((ys[at] ?? 0) - y0), 0);
  return covariance / xs.reduce((sum, x) => sum + (x - x0) ** 2, 0);
}
