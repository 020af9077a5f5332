/**
 * Turns the fields of Marathon 0.4 to 1.4 into canonical ones (reference: marathon 6.2): `ipAddress`, `docker.network`,
 * the docker parameter `net`, `docker.portMappings`, `ports`, `uris`. Pure; what contradicts itself becomes a problem.
 */

import type { Problems } from "../refusal.ts";
import { stableJson } from "./app.ts";
import type {
  AppInput,
  ContainerInput,
  FetchInput,
  NetworkInput,
  PortDefinitionInput,
  PortMappingInput,
} from "./app-input.ts";

export interface MigrationOptions {
  /** `--mesos_bridge_name`: an ipAddress.networkName that means the agent's bridge. */
  readonly bridgeName: string;
  /** `--default_network_name` */
  readonly defaultNetworkName?: string | undefined;
}

/** @param base the stored app in a partial update: what the new fields are about when they do not say it themselves. */
export function migrateApp(
  input: AppInput,
  base: AppInput | undefined,
  options: MigrationOptions,
  problems: Problems,
): AppInput {
  const networks = migrateNetworks(input, base, options, problems);
  const mode = (networks ?? input.networks ?? base?.networks)?.[0]?.mode ?? "host";
  const container = migrateContainer(input, mode, problems);
  const { ipAddress: _ipAddress, ports: _ports, uris: _uris, ...rest } = input;
  return {
    ...rest,
    networks: networks ?? input.networks,
    container: container && (mode === "host" ? withoutMigratedMappings(container, input) : withPorts(container, input)),
    portDefinitions: migratePorts(input, mode, problems),
    fetch: migrateFetch(input, problems),
  };
}

function migrateNetworks(
  input: AppInput,
  base: AppInput | undefined,
  options: MigrationOptions,
  problems: Problems,
): readonly NetworkInput[] | undefined {
  const { ipAddress, networks } = input;
  const docker = input.container?.docker;
  const legacy = docker?.network?.toUpperCase();
  const named = netParameter(input);
  if (networks !== undefined && networks.length > 0) {
    if (ipAddress !== undefined) problems.add("/", "must not specify both networks and ipAddress");
    if (legacy !== undefined) problems.add("/", "must not specify both container.docker.network and networks");
    return nameNetworks(networks, named, options);
  }
  const stored = base?.networks?.[0];
  const parts: NetworkInput = {
    labels: ipAddress?.labels,
    groups: ipAddress?.groups,
    // Docker's own rule: the last --net wins over what Mesos put first, so the parameter names the network.
    name:
      ipAddress?.networkName ??
      named ??
      (stored?.mode === "container" ? stored.name : undefined) ??
      options.defaultNetworkName,
  };
  switch (legacy) {
    case undefined:
      break;
    case "HOST":
      return named === undefined || ["host", "default"].includes(named)
        ? [{ mode: "host" }]
        : fromNetParameter(named, parts);
    case "BRIDGE":
      return [{ mode: "container/bridge", labels: parts.labels }];
    case "USER":
      return [{ mode: "container", ...parts }];
    default:
      problems.add("/container/docker/network", `unsupported docker network type ${titleCase(legacy)}`);
      return [{ mode: "host" }];
  }
  if (ipAddress !== undefined) {
    if (ipAddress.networkName === options.bridgeName) return [{ mode: "container/bridge", labels: parts.labels }];
    return [{ mode: "container", ...parts }];
  }
  return named === undefined || named === "none" ? undefined : fromNetParameter(named, parts);
}

/** `--net=NAME` alone, with or without `ipAddress`: before 1.2 the only way to a network of one's own. */
function fromNetParameter(name: string, parts: NetworkInput): readonly NetworkInput[] | undefined {
  if (name.startsWith("container:")) return undefined;
  if (name === "host") return [{ mode: "host" }];
  if (name === "bridge" || name === "default") return [{ mode: "container/bridge" }];
  return [{ mode: "container", ...parts, name }];
}

function nameNetworks(
  networks: readonly NetworkInput[],
  named: string | undefined,
  options: MigrationOptions,
): readonly NetworkInput[] {
  return networks.map((network) =>
    network.mode !== "host" && network.mode !== "container/bridge" && network.name === undefined
      ? { ...network, mode: "container", name: named ?? options.defaultNetworkName }
      : network,
  );
}

export function netParameter(input: Pick<AppInput, "container">): string | undefined {
  const parameters = input.container?.docker?.parameters ?? [];
  return parameters.find(({ key }) => key === "net" || key === "network")?.value;
}

function migrateContainer(input: AppInput, mode: string, problems: Problems): ContainerInput | undefined {
  const { container, ipAddress } = input;
  const discovered = ipAddress?.discoveryPorts ?? [];
  if (container === undefined) {
    if (ipAddress === undefined) return undefined;
    // ipAddress without a container was the Mesos containerizer's way (0.14).
    return { type: "MESOS", portMappings: mappingsOf(discovered) };
  }
  const inner = container.docker?.portMappings;
  const outer = container.portMappings;
  if (
    inner !== undefined &&
    inner.length > 0 &&
    outer !== undefined &&
    outer.length > 0 &&
    stableJson(inner) !== stableJson(outer)
  ) {
    problems.add("/container", "cannot specify both container.docker.portMappings and container.portMappings");
  }
  let portMappings = outer ?? inner;
  if (discovered.length > 0) {
    if (container.docker !== undefined && container.type !== "MESOS") {
      problems.add("/ipAddress", "ipAddress/discovery is not allowed for Docker containers");
    } else portMappings = [...(portMappings ?? []), ...(mappingsOf(discovered) ?? [])];
  }
  if (mode === "container/bridge") {
    portMappings = portMappings?.map((mapping) => ({ ...mapping, hostPort: mapping.hostPort ?? 0 }));
  }
  const { network: _network, portMappings: _portMappings, ...docker } = container.docker ?? {};
  return { ...container, portMappings, docker: container.docker && docker };
}

function mappingsOf(
  ports: NonNullable<AppInput["ipAddress"]>["discoveryPorts"],
): readonly PortMappingInput[] | undefined {
  if (ports === undefined || ports.length === 0) return undefined;
  return ports.map(({ number, name, protocol, labels }) => ({
    containerPort: number,
    name,
    protocol,
    labels,
    servicePort: 0,
  }));
}

/** In host mode legacy mappings were never used: dropped. Canonical ones are kept, for validation to refuse them. */
function withoutMigratedMappings(container: ContainerInput, input: AppInput): ContainerInput {
  return { ...container, portMappings: input.container?.portMappings };
}

/** `ports` of an app with mappings are its service ports, position by position; what is over becomes mappings. */
function withPorts(container: ContainerInput, input: AppInput): ContainerInput {
  const ports = input.ports ?? input.portDefinitions?.map((definition) => definition.port ?? 0) ?? [];
  if (container.portMappings === undefined || container.portMappings.length === 0) return container;
  return {
    ...container,
    portMappings: container.portMappings.map((mapping, index) => ({
      ...mapping,
      servicePort: (mapping.servicePort ?? 0) === 0 ? (ports[index] ?? 0) : mapping.servicePort,
    })),
  };
}

function migratePorts(input: AppInput, mode: string, problems: Problems): readonly PortDefinitionInput[] | undefined {
  const { ports, portDefinitions, ipAddress } = input;
  if (ports !== undefined && portDefinitions !== undefined) {
    const given = portDefinitions.map((definition) => definition.port ?? 0);
    // What an old GET printed must be accepted by PUT: both are there and agree.
    if (mode === "host" && stableJson(given) !== stableJson(ports)) {
      problems.add("/", "cannot specify both ports and port definitions");
    }
  }
  if (
    ipAddress !== undefined &&
    mode === "container" &&
    ((ports ?? []).length > 0 || (portDefinitions ?? []).length > 0)
  ) {
    problems.add("/", "cannot specify both an IP address and port");
  }
  if (mode !== "host") {
    // Given canonically together with canonical networks it is a mistake; beside old fields it is an echo.
    return input.networks !== undefined && ports === undefined ? portDefinitions : undefined;
  }
  return portDefinitions ?? ports?.map((port) => ({ port }));
}

const archive = /\.(tgz|tar\.gz|tbz2|tar\.bz2|txz|tar\.xz|zip)$/;

function migrateFetch(input: AppInput, problems: Problems): readonly FetchInput[] | undefined {
  const { uris, fetch } = input;
  if (uris === undefined || uris.length === 0) return fetch;
  if (fetch !== undefined && fetch.length > 0) {
    if (stableJson(fetch.map(({ uri }) => uri)) === stableJson(uris)) return fetch;
    problems.add("/uris", "may not be set in conjunction with fetch");
  }
  return uris.map((uri) => ({ uri, extract: archive.test(uri.replace(/[?#].*$/, "")) }));
}

function titleCase(word: string): string {
  return word.slice(0, 1) + word.slice(1).toLowerCase();
}
