/**
 * Which Docker network a task's container joins, and what is said to that network's driver. Pure.
 * Order of checks and texts: reference/docker.md 6.2 (mesos:src/docker/docker.cpp, Docker::RunOptions::create).
 */

import type { ContainerInfo, DockerInfo, NetworkInfo } from "../../protocol/container-info.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import type { Labels } from "../../protocol/values.ts";
import { LaunchRefused } from "./launch-refused.ts";
import { parameterName } from "./run-parameters.ts";

export interface NetworkChoice {
  /** What goes into `--net`: host, bridge, none, container:<id>, or a network's name. */
  readonly network: string;
  /** A network a user made: it takes labels and fixed addresses. */
  readonly userDefined: boolean;
  readonly requested: NetworkInfo | undefined;
}

/** Calico's prefix: the network driver puts what follows it on the workload endpoint. */
const endpointLabelPrefix = "org.projectcalico.label.";
const labelKeyPattern = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/;
const labelValuePattern = /^([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)?$/;

export function chooseNetwork(container: ContainerInfo, docker: DockerInfo): NetworkChoice {
  const infos = container.network_infos ?? [];
  const byMode = networkOfMode(docker, infos);
  if ((docker.port_mappings?.length ?? 0) > 0 && (byMode === "host" || byMode === "none")) {
    throw new LaunchRefused("Port mappings are only supported for bridge and user-defined networks");
  }
  const named = (docker.parameters ?? []).filter((parameter) => parameterName(parameter.key) === "network");
  if (named.length > 1) throw new LaunchRefused("Only a single network can be defined in Docker run");
  const network = named[0]?.value ?? byMode;
  if (network === "") throw new LaunchRefused("No network name found in network info");
  const userDefined = !["host", "bridge", "none", "default"].includes(network) && !network.startsWith("container:");
  return { network, userDefined, requested: infos[0] };
}

function networkOfMode(docker: DockerInfo, infos: readonly NetworkInfo[]): string {
  const mode = docker.network ?? "HOST";
  if (mode !== "USER") return mode.toLowerCase();
  const [info, ...others] = infos;
  if (info === undefined) throw new LaunchRefused("No network info found in container info");
  if (others.length > 0) throw new LaunchRefused("Only a single network can be defined in Docker run");
  if (info.name === undefined || info.name === "") throw new LaunchRefused("No network name found in network info");
  return info.name;
}

/**
 * Labels for the endpoint: the task's, then the network's own, which win. A task label that is not a valid endpoint label
 * is left out, because task labels are free text; one of the network's is passed on for the driver to refuse.
 */
export function endpointDriverOptions(task: TaskInfo, requested: NetworkInfo | undefined): Record<string, string> {
  const options: Record<string, string> = {};
  for (const [key, value] of pairs(task.labels)) {
    if (labelKeyPattern.test(key) && labelValuePattern.test(value)) options[`${endpointLabelPrefix}${key}`] = value;
  }
  for (const [key, value] of pairs(requested?.labels)) options[`${endpointLabelPrefix}${key}`] = value;
  return options;
}

function pairs(labels: Labels | undefined): readonly (readonly [key: string, value: string])[] {
  return (labels?.labels ?? []).map((label) => [label.key, label.value ?? ""] as const);
}

/** An address asked for in the NetworkInfo; Mesos ignores it for Docker, here it becomes `--ip`. */
export function requestedAddresses(requested: NetworkInfo | undefined): { ipv4?: string; ipv6?: string } {
  const addresses: { ipv4?: string; ipv6?: string } = {};
  for (const { ip_address: text } of requested?.ip_addresses ?? []) {
    if (text === undefined || text === "") continue;
    if (text.includes(":")) addresses.ipv6 ??= text;
    else addresses.ipv4 ??= text;
  }
  return addresses;
}
