/**
 * What an agent offers when `--resources` leaves something out (reference/mesos-behaviour.md 4.1): all processors; memory
 * less 1 GB for the system, or half of less than 2 GB; disk less 5 GB, or half of less than 10 GB; ports 31000 to 32000.
 */

import { statfs } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { parseResources, resourceNames } from "../protocol/resource-grammar.ts";
import type { Resource } from "../protocol/resource-info.ts";
import { addResources, type Resources } from "../protocol/resources.ts";

const mebibyte = 1024 * 1024;
const gigabyteInMb = 1024;

export interface Machine {
  readonly cpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
}

export async function inspectMachine(workDirectory: string): Promise<Machine> {
  const disk = await statfs(workDirectory);
  return {
    cpus: cpus().length,
    memoryMb: Math.trunc(totalmem() / mebibyte),
    diskMb: Math.trunc((disk.blocks * disk.bsize) / mebibyte),
  };
}

export function agentResources(flag: string | undefined, defaultRole: string, machine: Machine): Resources {
  const text = flag ?? "";
  const given = text === "" ? [] : parseResources(text, "--resources", defaultRole);
  const named = /^\s*\[/.test(text) ? new Set(given.map((one) => one.name)) : resourceNames(text);
  const detected: Resource[] = [
    scalar("cpus", machine.cpus, defaultRole),
    scalar("mem", leave(machine.memoryMb, gigabyteInMb, 2 * gigabyteInMb), defaultRole),
    scalar("disk", leave(machine.diskMb, 5 * gigabyteInMb, 10 * gigabyteInMb), defaultRole),
    { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 32_000 }] }, role: defaultRole },
  ];
  return addResources(
    given,
    detected.filter((one) => !named.has(one.name)),
  );
}

function leave(total: number, reserve: number, plenty: number): number {
  return total >= plenty ? total - reserve : Math.trunc(total / 2);
}

function scalar(name: string, value: number, role: string): Resource {
  return { name, type: "SCALAR", scalar: { value }, role };
}
