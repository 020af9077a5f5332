/**
 * lab/ makes virtual hosts on one machine: network, mount, process and host-name namespaces with real Docker in each.
 * - Everything a lab makes hangs on its holders: one process per host, the first of a process namespace. When a holder
 *   dies, the kernel ends every process of the host and with the last of them its mounts, interfaces and rules. What
 *   is left are cgroup and state directories, all below one name; the clean-up needs no memory but that name.
 * - Nothing in the machine's own network namespace, mounts or kernel settings is changed.
 * - Only cli/ and tests import lab/.
 * Absent on purpose: a way out to the real network. A lab's addresses mean nothing outside of it, so labs do not clash.
 *
 * This file: who has which name and address in a lab. Pure.
 */

import { BadInput } from "../base/errors.ts";

export interface HostPlan {
  readonly name: string;
  readonly address: string;
}

export interface AddressPlan {
  /** The hosts' own network. */
  readonly subnet: string;
  readonly prefixLength: number;
  /** The switch, every host's default route. */
  readonly gateway: string;
  /** Stands for the world beyond the lab; the switch answers for it. */
  readonly outside: string;
  readonly hosts: readonly HostPlan[];
}

/** The pseudo host behind the switch: the world beyond the lab. */
export const outsideName = "outside";

/** Hosts are .11 and up; below are the switch and room for more of its kind. */
const firstHostByte = 11;
export const hostsMax = 200;
export const planIndexMax = 255;

/** @param index which of the 256 networks below 172.31.0.0/16; only for people's eyes, labs cannot meet. */
export function addressPlan(index: number, hostCount: number): AddressPlan {
  if (!Number.isInteger(index) || index < 0 || index > planIndexMax) {
    throw new BadInput("index", `${index} is no lab network`, `0 to ${planIndexMax}`);
  }
  if (!Number.isInteger(hostCount) || hostCount < 1 || hostCount > hostsMax) {
    throw new BadInput("--hosts", `"${hostCount}" is no number of hosts`, `a number from 1 to ${hostsMax}`);
  }
  return {
    subnet: `172.31.${index}.0/24`,
    prefixLength: 24,
    gateway: `172.31.${index}.1`,
    // TEST-NET-2 of RFC 5737: an address that nobody has.
    outside: "198.51.100.1",
    hosts: Array.from({ length: hostCount }, (_, at) => ({
      name: `host${at + 1}`,
      address: `172.31.${index}.${firstHostByte + at}`,
    })),
  };
}

/** A lab's name becomes a directory, a cgroup and an abstract socket. */
export function parseLabName(text: string, path = "--name"): string {
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(text)) {
    throw new BadInput(path, `"${text}" cannot name a lab`, "1 to 32 small letters, digits and inner dashes");
  }
  return text;
}

/** The contents of a host's /etc/hosts. */
export function hostsFile(plan: AddressPlan): string {
  const lines = plan.hosts.map(({ name, address }) => `${address} ${name}`);
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${lines.join("\n")}\n${plan.outside} ${outsideName}\n`;
}
