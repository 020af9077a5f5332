/**
 * The wires of a lab: a bridge in the switch's namespace, one link pair per host, and on the switch an address that
 * stands for the world beyond. A host's link is cut by taking the switch's end of its pair down.
 */

import type { AddressPlan } from "./address-plan.ts";
import { mustRun } from "./command.ts";
import { enterNetworkWords, enterWords } from "./host-namespaces.ts";
import { commandPath } from "./prerequisites.ts";

const bridgeName = "lan0";

/** The switch's end of a host's link. */
export function portName(host: string): string {
  return `to-${host}`;
}

async function ipBatch(pid: number, lines: readonly string[]): Promise<string> {
  return mustRun([...enterNetworkWords(pid), commandPath("ip") ?? "ip", "-batch", "-"], {
    stdin: `${lines.join("\n")}\n`,
  });
}

export async function wireSwitch(switchPid: number, plan: AddressPlan): Promise<void> {
  await mustRun([...enterWords(switchPid), "hostname", "outside"]);
  await ipBatch(switchPid, [
    "link set lo up",
    `address add ${plan.outside}/32 dev lo`,
    `link add ${bridgeName} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `address add ${plan.gateway}/${plan.prefixLength} dev ${bridgeName}`,
    `link set ${bridgeName} up`,
  ]);
}

/** Connects a host to the switch; both links vanish with either namespace. */
export async function wireHost(
  switchPid: number,
  hostPid: number,
  host: { readonly name: string; readonly address: string },
  plan: AddressPlan,
): Promise<void> {
  const port = portName(host.name);
  await ipBatch(switchPid, [
    `link add ${port} type veth peer name eth0 netns ${hostPid}`,
    `link set ${port} master ${bridgeName} up`,
  ]);
  await ipBatch(hostPid, [
    "link set lo up",
    `address add ${host.address}/${plan.prefixLength} dev eth0`,
    "link set eth0 up",
    `route add default via ${plan.gateway}`,
  ]);
}

export async function setLink(switchPid: number, host: string, up: boolean): Promise<void> {
  await ipBatch(switchPid, [`link set ${portName(host)} ${up ? "up" : "down"}`]);
}
