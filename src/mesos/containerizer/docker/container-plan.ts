/**
 * From a TaskInfo to the container Docker is asked for: a pure function, so that every row of the reference sheet
 * (docker.md 6.2, 6.3) is a line in a table of tests. Refuses with the texts Mesos uses (LaunchRefused).
 * Absent on purpose: reading files, asking Docker, deciding when.
 */

import type { Environment } from "../../protocol/command-info.ts";
import type { ContainerInfo, DockerInfo } from "../../protocol/container-info.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import { containerName, taskLabels } from "./container-names.ts";
import type { ContainerCreateBody } from "./create-body.ts";
import { type DefaultContainerDns, dnsForNetwork } from "./default-dns.ts";
import { LaunchRefused } from "./launch-refused.ts";
import { chooseNetwork, endpointDriverOptions, type NetworkChoice, requestedAddresses } from "./network-choice.ts";
import { applyRunParameter, type ContainerDraft, parameterName } from "./run-parameters.ts";
import { containerResources, dockerLimits, includesPort } from "./task-resources.ts";
import { type SandboxPaths, volumeBinds } from "./task-volumes.ts";

export interface PlanContext extends SandboxPaths {
  /** The uuid that names sandbox run and Docker container. */
  readonly containerId: string;
  readonly agentId: string;
  readonly frameworkId: string;
  readonly allocationRole: string;
  readonly hostMemoryBytes: number;
  readonly cfsEnabled: boolean;
  readonly defaultDns: readonly DefaultContainerDns[];
  /** Contents of the files `envFilesOf` names. */
  readonly envFiles: ReadonlyMap<string, string>;
}

export interface ContainerPlan {
  readonly name: string;
  readonly image: string;
  readonly forcePull: boolean;
  readonly body: ContainerCreateBody;
  readonly network: NetworkChoice;
  readonly notices: readonly string[];
}

/** Files on the agent that the plan needs the text of. */
export function envFilesOf(task: TaskInfo): readonly string[] {
  return (task.container?.docker?.parameters ?? [])
    .filter((parameter) => parameterName(parameter.key) === "env-file")
    .map((parameter) => parameter.value);
}

export function planContainer(task: TaskInfo, context: PlanContext): ContainerPlan {
  const container = task.container;
  const docker = container?.docker;
  if (container === undefined || container.type !== "DOCKER" || docker === undefined) {
    throw new LaunchRefused("No docker info found in container info");
  }
  const network = chooseNetwork(container, docker);
  const limits = dockerLimits(task, { memoryBytes: context.hostMemoryBytes, cfsEnabled: context.cfsEnabled });
  const { binds, driver } = volumeBinds(container.volumes ?? [], docker, context);

  const draft: ContainerDraft = {
    body: {
      Image: docker.image,
      Env: [],
      Labels: {},
      HostConfig: { NetworkMode: network.network, RestartPolicy: { Name: "no" }, ...limits, Binds: [] },
    },
    env: new Map(environmentOf(task.command?.environment)),
    endpoint: {},
    envFiles: context.envFiles,
    notices: [],
  };
  const { body } = draft;
  if (docker.privileged === true) body.HostConfig.Privileged = true;
  if (driver !== undefined) body.HostConfig.VolumeDriver = driver;
  setCommand(body, task);
  setHostname(body, container, network);
  setPorts(body, task, docker);
  setShm(body, container);
  setDefaultDns(draft, docker, network, context.defaultDns);
  for (const parameter of docker.parameters ?? []) {
    if (parameterName(parameter.key) !== "network") applyRunParameter(draft, parameter.key, parameter.value);
  }
  // The sandbox comes last, so that no volume hides it.
  body.HostConfig.Binds = [...binds.slice(0, -1), ...(body.HostConfig.Binds ?? []), ...binds.slice(-1)];
  setEndpoint(draft, task, network);

  draft.env.set("MESOS_SANDBOX", context.mappedDirectory);
  draft.env.set("MESOS_CONTAINER_NAME", containerName(context.containerId));
  draft.env.set("MESOS_ALLOCATION_ROLE", context.allocationRole);
  body.Env = [...draft.env].map(([name, value]) => `${name}=${value}`);
  // Last: a task must not claim to be another agent's.
  body.Labels[taskLabels.agent] = context.agentId;
  body.Labels[taskLabels.framework] = context.frameworkId;
  body.Labels[taskLabels.task] = task.task_id.value;
  body.Labels[taskLabels.container] = context.containerId;
  return {
    name: containerName(context.containerId),
    image: docker.image,
    forcePull: docker.force_pull_image === true,
    body,
    network,
    notices: draft.notices,
  };
}

function environmentOf(environment: Environment | undefined): readonly (readonly [string, string])[] {
  return (environment?.variables ?? []).map((variable) => {
    if (variable.type !== "SECRET") return [variable.name, variable.value ?? ""] as const;
    const data = variable.secret?.value?.data;
    if (data === undefined) {
      throw new LaunchRefused(`Secret of environment variable '${variable.name}' cannot be resolved by this agent`);
    }
    return [variable.name, Buffer.from(data, "base64").toString("utf8")] as const;
  });
}

function setCommand(body: ContainerCreateBody, task: TaskInfo): void {
  const command = task.command;
  if (command?.shell ?? true) {
    if (command?.value === undefined) throw new LaunchRefused("Shell specified but no command value provided");
    body.Entrypoint = ["/bin/sh"];
    body.Cmd = ["-c", command.value];
    return;
  }
  const words = [...(command?.value === undefined ? [] : [command.value]), ...(command?.arguments ?? [])];
  // No words at all: the image's own command runs, which an empty list would also mean, but absence says it.
  if (words.length > 0) body.Cmd = words;
}

function setHostname(body: ContainerCreateBody, container: ContainerInfo, network: NetworkChoice): void {
  if (container.hostname === undefined) return;
  if (network.network === "host") throw new LaunchRefused("Unable to set hostname with host network mode");
  body.Hostname = container.hostname;
}

function setPorts(body: ContainerCreateBody, task: TaskInfo, docker: DockerInfo): void {
  const mappings = docker.port_mappings ?? [];
  if (mappings.length === 0) return;
  const resources = containerResources(task);
  if (resources.length === 0) throw new LaunchRefused("Port mappings require resources");
  if (!resources.some((one) => one.name === "ports")) throw new LaunchRefused("Port mappings require port resources");
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  const exposed: Record<string, Record<string, never>> = {};
  for (const mapping of mappings) {
    if (!includesPort(resources, mapping.host_port)) {
      throw new LaunchRefused(`Port [${mapping.host_port}] not included in resources`);
    }
    for (const protocol of (mapping.protocol ?? "tcp").toLowerCase().split(",")) {
      const port = `${mapping.container_port}/${protocol}`;
      exposed[port] = {};
      bindings[port] = [...(bindings[port] ?? []), { HostIp: "", HostPort: String(mapping.host_port) }];
    }
  }
  body.ExposedPorts = exposed;
  body.HostConfig.PortBindings = bindings;
}

function setShm(body: ContainerCreateBody, container: ContainerInfo): void {
  const megabytes = container.linux_info?.shm_size;
  if (megabytes !== undefined) body.HostConfig.ShmSize = megabytes * 1024 * 1024;
}

function setDefaultDns(
  draft: ContainerDraft,
  docker: DockerInfo,
  network: NetworkChoice,
  defaults: readonly DefaultContainerDns[],
): void {
  if ((docker.parameters ?? []).some((parameter) => parameterName(parameter.key).startsWith("dns"))) return;
  const dns = dnsForNetwork(defaults, network);
  if (dns === undefined) return;
  draft.body.HostConfig.Dns = [...dns.nameservers];
  if (dns.search.length > 0) draft.body.HostConfig.DnsSearch = [...dns.search];
  if (dns.options.length > 0) draft.body.HostConfig.DnsOptions = [...dns.options];
}

/** Address, aliases and labels belong to the one network; Docker takes them for user-defined networks only. */
function setEndpoint(draft: ContainerDraft, task: TaskInfo, network: NetworkChoice): void {
  const { endpoint, body } = draft;
  if (!network.userDefined) {
    if (endpoint.IPAMConfig !== undefined || endpoint.Aliases !== undefined || endpoint.DriverOpts !== undefined) {
      throw new LaunchRefused(
        `An address, alias or driver option can only be given on a user-defined network, not on "${network.network}"`,
      );
    }
    return;
  }
  const requested = requestedAddresses(network.requested);
  const addresses = {
    ...(requested.ipv4 === undefined ? {} : { IPv4Address: requested.ipv4 }),
    ...(requested.ipv6 === undefined ? {} : { IPv6Address: requested.ipv6 }),
    ...endpoint.IPAMConfig,
  };
  if (Object.keys(addresses).length > 0) endpoint.IPAMConfig = addresses;
  const options = { ...endpointDriverOptions(task, network.requested), ...endpoint.DriverOpts };
  if (Object.keys(options).length > 0) endpoint.DriverOpts = options;
  body.NetworkingConfig = { EndpointsConfig: { [network.network]: endpoint } };
}
