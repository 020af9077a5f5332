/** From Docker's inspection of a container to what the agent needs of it. Pure. */

import { type ContainerInspection, NEVER } from "../../../plugins/docker/engine/container-shapes.ts";
import type { IPAddress } from "../../protocol/container-info.ts";
import type { ContainerReport } from "../containerizer.ts";

export function reportOf(inspection: ContainerInspection): ContainerReport {
  const { State } = inspection;
  return {
    phase: phaseOf(State.Status, State.Running, State.StartedAt, State.FinishedAt),
    inspection: JSON.stringify([inspection]),
    addresses: addressesOf(inspection),
    hostNetwork: inspection.HostConfig.NetworkMode === "host",
    pid: State.Pid,
    startedAtMs: timeMs(State.StartedAt),
    finishedAtMs: timeMs(State.FinishedAt),
    exitCode: State.ExitCode,
    outOfMemory: State.OOMKilled,
    error: State.Error,
  };
}

/** A container that failed to start is back in "created" with an error; one that ran once is not "created" any more. */
function phaseOf(status: string, running: boolean, startedAt: string, finishedAt: string): ContainerReport["phase"] {
  if (running) return "running";
  return status === "created" || (startedAt === NEVER && finishedAt === NEVER) ? "created" : "exited";
}

/**
 * The address on the network the container was started with. A top-level IPAddress is the default bridge's only and goes
 * away with API 1.52. A container started on a network's id is listed under the network's name: there is one, then.
 */
export function addressesOf(inspection: ContainerInspection): readonly IPAddress[] {
  const mode = inspection.HostConfig.NetworkMode;
  if (mode === "host" || mode === "none") return [];
  const networks = inspection.NetworkSettings.Networks;
  const byId = Object.values(networks).find((network) => network.NetworkID === mode);
  const network = networks[mode === "default" ? "bridge" : mode] ?? byId;
  const addresses: IPAddress[] = [];
  if (network !== undefined) {
    if (network.IPAddress !== "") addresses.push({ protocol: "IPv4", ip_address: network.IPAddress });
    if (network.GlobalIPv6Address !== "") addresses.push({ protocol: "IPv6", ip_address: network.GlobalIPv6Address });
    return addresses;
  }
  const top = inspection.NetworkSettings.IPAddress;
  return typeof top === "string" && top !== "" ? [{ protocol: "IPv4", ip_address: top }] : [];
}

function timeMs(text: string): number {
  const ms = text === NEVER ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? 0 : ms;
}
