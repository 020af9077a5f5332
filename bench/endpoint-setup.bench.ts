/**
 * What `margay node` itself takes to set up one container's network, by call and step, as its own metrics tell: address,
 * endpoint record, veth, and the wait until the kernel enforces. Containers are started one at a time. Embedded store.
 * Goal: at most 15 ms in all.
 */

import { Cluster } from "../test/acceptance/cluster.ts";
import { judge, printMachine } from "./figures.ts";

const containers = 40;
/** A node that has just started runs its code uncompiled; the figure is that of one at work. */
const warmUps = 20;
/** The calls Docker makes on the way to a running container. */
const calls = ["IpamDriver.RequestAddress", "NetworkDriver.CreateEndpoint", "NetworkDriver.Join"];

printMachine();
await using cluster = await Cluster.create({ hosts: 1, name: "b-setup" });
await cluster.createNetwork("my-calico-net");
const run = (name: string) =>
  cluster.on("host1", "docker", "run", "-d", "--name", name, "--net", "my-calico-net", "tools", "sleep", "3600");
for (let at = 0; at < warmUps; at++) await run(`warm-up-${at}`);
const before = await means();
for (let at = 0; at < containers; at++) await run(`c${at}`);
const after = await means();

let total = 0;
for (const [name, { sum, count }] of after) {
  const ran = count - (before.get(name)?.count ?? 0);
  if (ran < containers) continue;
  const ms = ((sum - (before.get(name)?.sum ?? 0)) / ran) * 1000;
  const isCall = calls.some((call) => name.includes(`"${call}"`));
  if (isCall) total += ms;
  console.log(`${isCall ? "" : "  "}${name}: mean ${ms.toFixed(2)} ms (n=${ran})`);
}
if (total === 0) throw new Error(`the metrics do not name ${calls.join(", ")}`);
judge("endpoint set-up in ms", total, { goal: "<= 15", met: total <= 15, budgetMet: total <= 60 });

/** Sum (seconds) and count of each of the plug-in's histograms. */
async function means(): Promise<Map<string, { sum: number; count: number }>> {
  const text = await cluster.on("host1", "curl", "-sS", "http://127.0.0.1:9099/metrics");
  const found = new Map<string, { sum: number; count: number }>();
  for (const [, metric, part, labels, value] of text.matchAll(
    /^(margay_docker_\w+?_seconds)_(sum|count)(\{[^}]*\})? (\S+)$/gm,
  )) {
    const name = `${metric}${labels ?? ""}`;
    const entry = found.get(name) ?? { sum: 0, count: 0 };
    found.set(name, { ...entry, [part ?? "sum"]: Number(value) });
  }
  return found;
}
