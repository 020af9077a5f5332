/**
 * What one more endpoint costs the agent of a host that has 10, 100, 1,000 or 5,000 of them: from its document being known
 * until its veth, route and policy are in the kernel, and the way back. Policy calculation, data plane and kernel are the
 * real ones; interfaces of all endpoints exist. Goal: at 5,000 at most 1.5 times what it is at 10.
 * Peer, in turn with it, in a namespace of as many interfaces: a veth with a route by the ip command (one process for both),
 * no policy.
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

printMachine();
const medians: number[] = [];
for (const size of sizes) medians.push(await measure(size));
const growth = (medians.at(-1) ?? Number.NaN) / (medians[0] ?? Number.NaN);
judge(`one more at ${sizes.at(-1)} against at ${sizes[0]}`, growth, {
  goal: "<= 1.5",
  met: growth <= 1.5,
  // The kernel itself takes ten times as long for a veth among 5,000.
  budgetMet: growth <= 20,
});

/** @returns the middle of adding one, in ms. */
async function measure(size: number): Promise<number> {
  const documents = new ClusterDocuments({ endpoints: size + 1, hosts: 1, policies: 200, apps: 400 });
  const added = size;
  await using host = new NodeHost(0, { enter: true });
  await using bareHost = new NodeHost(1);
  host.connect(bareHost);
  for (const each of [host, bareHost]) each.addInterfaces(documents.localTo(0).slice(0, size));
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
  const [adding, removing, bare]: [number[], number[], number[]] = [[], [], []];
  for (let round = -warmUps; round < rounds; round++) {
    const addMs = await timedMs(async () => {
      calculator.update(...documents.endpoint(added));
      await apply();
      await dataplane.createVeth(names);
    });
    const inForce =
      host.namespace.must("ip", "route", "show", address).includes(names.hostName) &&
      host.namespace.must("nft", "get", "element", "inet", "margay", "to-endpoint", `{ "${names.hostName}" }`) !== "";
    if (!inForce) throw new Error("the endpoint is not in force");
    const removeMs = await timedMs(async () => {
      await dataplane.removeVeth(names.hostName);
      calculator.update(addedKey, undefined);
      await apply();
    });
    if (host.namespace.must("ip", "route", "show", address) !== "") throw new Error("a route is left");
    const bareMs = await timedMs(async () =>
      bareHost.namespace.run(["ip", "-batch", "-"], { stdin: bareVeth(address) }),
    );
    bareHost.namespace.must("ip", "link", "delete", "bare0");
    if (round < 0) continue;
    adding.push(addMs);
    removing.push(removeMs);
    bare.push(bareMs);
  }
  console.log(`-- ${size} endpoints on the host`);
  const middle = printSpread("one more", adding, "ms").median;
  printSpread("one less", removing, "ms");
  console.log(`ratio to the peer: ${(middle / printSpread("peer: ip", bare, "ms").median).toFixed(2)}`);
  return middle;
}

function bareVeth(address: string): string {
  return [
    "link add bare0 type veth peer name bare1",
    "link set bare0 up",
    "link set bare1 up",
    `route add ${address} dev bare0`,
  ].join("\n");
}
