/**
 * What one more endpoint costs the agent of a host that has 10, 100, 1,000 or 5,000 of them: from its document being known
 * until its veth, route and policy are in the kernel, and the way back. Policy calculation, data plane and kernel are the
 * real ones; interfaces of all endpoints exist. The one that comes is of an app that is there, or the first of its app: then
 * its policy's sets and chains come with it. Goal: at 5,000 at most 1.5 times what it is at 10.
 * Peer, in turn with it, in a namespace of as many interfaces as ip makes them, that is with IPv6: a veth with a route by the
 * ip command (one process for both), no policy.
 */

import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { Dataplane } from "../src/node/dataplane/dataplane.ts";
import { PolicyCalculator } from "../src/policy/policy-calculator.ts";
import { ClusterDocuments } from "./cluster-documents.ts";
import { judge, printMachine, printSpread, timedMs } from "./figures.ts";
import { NodeHost } from "./node-host.ts";

const sizes = [10, 100, 1_000, 5_000];
const rounds = 40;
const warmUps = 10;
const apps = 400;
/** Of all endpoints the first 25; and an app of none of them. */
const appsOfAdded = { "of an app that is there": 0, "first of its app": 300 } as const;
type Kind = keyof typeof appsOfAdded;
const kinds: readonly Kind[] = ["of an app that is there", "first of its app"];

printMachine();
const middles: Record<Kind, number>[] = [];
for (const size of sizes) middles.push(await measure(size));
for (const kind of kinds) {
  const growth = (middles.at(-1)?.[kind] ?? Number.NaN) / (middles[0]?.[kind] ?? Number.NaN);
  judge(`one more at ${sizes.at(-1)} against at ${sizes[0]}, ${kind}`, growth, {
    goal: "<= 1.5",
    met: growth <= 1.5,
    budgetMet: growth <= 5,
  });
}

/** @returns the middle of adding one of each kind, in ms. */
async function measure(size: number): Promise<Record<Kind, number>> {
  const documents = new ClusterDocuments({ endpoints: size + 1, hosts: 1, policies: apps });
  const added = size;
  await using host = new NodeHost(0, { enter: true });
  await using bareHost = new NodeHost(1);
  host.connect(bareHost);
  host.addInterfaces(documents.localTo(0).slice(0, size));
  bareHost.addInterfaces(documents.localTo(0).slice(0, size), { ipv6: true });
  await using dataplane = await Dataplane.open({
    clock: systemClock,
    log: silentLog,
    host: { name: ClusterDocuments.hostName(0), address: host.address },
  });
  const calculator = new PolicyCalculator({ host: ClusterDocuments.hostName(0), sink: dataplane });
  const [addedKey] = documents.endpoint(added);
  for (const [key, value] of documents.all()) if (key !== addedKey) calculator.update(key, value);
  calculator.inSync();
  dataplane.setInSync();
  const apply = async () => {
    calculator.flush();
    await dataplane.apply();
  };
  await apply();

  const names = { hostName: ClusterDocuments.interfaceOf(added), containerName: `far${added}` };
  const address = documents.addressOf(added);
  const add = async (kind: Kind) => {
    const addMs = await timedMs(async () => {
      calculator.update(...documents.endpoint(added, appsOfAdded[kind]));
      await apply();
      await dataplane.createVeth(names);
    });
    const inForce =
      host.namespace.must("ip", "route", "show", address).includes(names.hostName) &&
      host.namespace.must("nft", "get", "element", "inet", "margay", "to-endpoint", `{ "${names.hostName}" }`) !== "";
    if (!inForce) throw new Error("the endpoint is not in force");
    return addMs;
  };
  const remove = async () => {
    const removeMs = await timedMs(async () => {
      await dataplane.removeVeth(names.hostName);
      calculator.update(addedKey, undefined);
      await apply();
    });
    if (host.namespace.must("ip", "route", "show", address) !== "") throw new Error("a route is left");
    return removeMs;
  };
  const adding: Record<Kind, number[]> = { "of an app that is there": [], "first of its app": [] };
  const removing: number[] = [];
  const bare: number[] = [];
  for (let round = -warmUps; round < rounds; round++) {
    for (const kind of kinds) {
      const [addMs, removeMs] = [await add(kind), await remove()];
      if (round < 0) continue;
      adding[kind].push(addMs);
      removing.push(removeMs);
    }
    const bareMs = await timedMs(async () =>
      bareHost.namespace.run(["ip", "-batch", "-"], { stdin: bareVeth(address) }),
    );
    bareHost.namespace.must("ip", "link", "delete", "bare0");
    if (round >= 0) bare.push(bareMs);
  }
  console.log(`-- ${size} endpoints on the host`);
  const [known, first] = kinds.map((kind) => printSpread(`one more, ${kind}`, adding[kind], "ms").median);
  printSpread("one less", removing, "ms");
  const peer = printSpread("peer: ip", bare, "ms").median;
  console.log(`ratio to the peer: ${((known ?? Number.NaN) / peer).toFixed(2)}`);
  return { "of an app that is there": known ?? Number.NaN, "first of its app": first ?? Number.NaN };
}

function bareVeth(address: string): string {
  return [
    "link add bare0 type veth peer name bare1",
    "link set bare0 up",
    "link set bare1 up",
    `route add ${address} dev bare0`,
  ].join("\n");
}
