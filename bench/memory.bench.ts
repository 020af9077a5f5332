/** Resident memory of every Margay process of a cluster, idle and with 50 containers on one host. */

import { readFileSync } from "node:fs";
import { Cluster } from "../test/acceptance/cluster.ts";
import { printMachine } from "./figures.ts";

const containers = 50;

printMachine();
await using cluster = await Cluster.create({ hosts: 1, name: "b-memory" });
await cluster.createNetwork("my-calico-net");
const idle = residentMiB();
const names = Array.from({ length: containers }, (_, at) => `c${at}`);
for (const name of names) {
  await cluster.on("host1", "docker", "run", "-d", "--name", name, "--net", "my-calico-net", "tools", "sleep", "3600");
}
const loaded = residentMiB();
console.log(`process      idle MiB   with ${containers} containers`);
for (const [name, mib] of idle) {
  console.log(
    `${name.padEnd(12)} ${mib.toFixed(0).padStart(8)}   ${(loaded.get(name) ?? Number.NaN).toFixed(0).padStart(8)}`,
  );
}

function residentMiB(): Map<string, number> {
  const services = cluster.lab.state.hosts.flatMap(({ services }) => services).filter(({ name }) => name !== "docker");
  return new Map(
    services.map(({ name, pid }) => {
      const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      return [name, Number(kib) / 1024];
    }),
  );
}
