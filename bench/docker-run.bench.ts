/**
 * `docker run` of a small container on a Margay network against Docker's own bridge network, in turns; beside them on a network
 * of Docker's driver that a user has made, where Docker starts its name server for each container, as it does on Margay's.
 * Goal: at most 1.1x of Docker's own bridge. The container must have had its address, or the run does not count.
 */

import { Cluster } from "../test/acceptance/cluster.ts";
import { inTurns, judge, printMachine, printSpread, timedMs } from "./figures.ts";

const rounds = 15;

printMachine();
await using cluster = await Cluster.create({ hosts: 1, name: "b-run" });
await cluster.createNetwork("my-calico-net");
await cluster.on("host1", "docker", "network", "create", "of-a-user");

async function run(network: string, interfaceName: string): Promise<number> {
  let said = "";
  const words = ["docker", "run", "--rm", "--net", network, "tools", "ip", "-4", "-o", "addr", "show", interfaceName];
  const ms = await timedMs(async () => {
    said = await cluster.on("host1", ...words);
  });
  if (!said.includes("inet ")) throw new Error(`no address on ${network}: ${said}`);
  return ms;
}

for (const network of ["bridge", "of-a-user"]) await run(network, "eth0");
await run("my-calico-net", "cali0");
const { a, b } = await inTurns(
  rounds,
  () => run("my-calico-net", "cali0"),
  async () => ({ bridge: await run("bridge", "eth0"), ofAUser: await run("of-a-user", "eth0") }),
);
const margay = printSpread("docker run on a Margay network", a, "ms");
const ofAUser = printSpread(
  "docker run on a user's network of Docker's driver",
  b.map((times) => times.ofAUser),
  "ms",
);
const bridge = printSpread(
  "docker run on Docker's bridge",
  b.map((times) => times.bridge),
  "ms",
);
console.log(`against a user's network of Docker's driver: ${(margay.median / ofAUser.median).toFixed(2)}x`);
const ratio = margay.median / bridge.median;
judge("ratio of the medians", ratio, { goal: "<= 1.1", met: ratio <= 1.1, budgetMet: ratio <= 1.5 });
