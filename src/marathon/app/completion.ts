/**
 * Fills in what was left out: a canonical input becomes a whole AppSpec (reference: marathon 5.1, 6.2 steps 5 to 11).
 * Pure and lenient: it never refuses; what makes no sense is said by validation.ts, which sees the completed app.
 */

import type {
  AppHealthCheck,
  AppSpec,
  Container,
  FetchItem,
  HostVolume,
  Network,
  PortDefinition,
  PortMapping,
  PortProtocol,
  ReadinessCheck,
} from "./app.ts";
import { type AppId, parseAppId, segmentsOf } from "./app-id.ts";
import type {
  AppInput,
  ContainerInput,
  HealthCheckInput,
  NetworkInput,
  PortMappingInput,
  ReadinessCheckInput,
} from "./app-input.ts";

export function completeApp(id: AppId, input: AppInput, defaultRole: string): AppSpec {
  const networks = (input.networks ?? []).length === 0 ? [hostNetwork] : (input.networks ?? []).map(completeNetwork);
  const mode = networks[0]?.mode ?? "host";
  const container = completeContainer(input.container, mode);
  const portDefinitions =
    mode === "host" ? completePortDefinitions(input) : input.portDefinitions?.map(completePortDefinition);
  const hasPorts = (mode === "host" ? (portDefinitions ?? []) : (container?.portMappings ?? [])).length > 0;
  const spec: AppSpec = {
    instances: input.instances ?? 1,
    cpus: input.cpus ?? 1,
    mem: input.mem ?? 128,
    disk: input.disk ?? 0,
    gpus: input.gpus ?? 0,
    executor: input.executor ?? "",
    env: input.env ?? {},
    labels: input.labels ?? {},
    constraints: (input.constraints ?? []).map(([field = "", operator = "", value]) => ({
      field,
      operator: operator.toUpperCase(),
      ...(value === undefined ? {} : { value }),
    })),
    role: input.role ?? defaultRole,
    fetch: (input.fetch ?? []).map(
      (item): FetchItem => ({
        uri: item.uri,
        extract: item.extract ?? true,
        executable: item.executable ?? false,
        cache: item.cache ?? false,
        ...(item.destPath === undefined ? {} : { destPath: item.destPath }),
      }),
    ),
    requirePorts: mode === "host" && (input.requirePorts ?? false),
    networks,
    healthChecks: (input.healthChecks ?? []).map((check) => completeHealthCheck(check, hasPorts)),
    readinessChecks: (input.readinessChecks ?? []).map(completeReadinessCheck),
    dependencies: (input.dependencies ?? []).flatMap((text) => resolveDependency(text, id)),
    upgradeStrategy: {
      minimumHealthCapacity: input.upgradeStrategy?.minimumHealthCapacity ?? 1,
      maximumOverCapacity: input.upgradeStrategy?.maximumOverCapacity ?? 1,
    },
    backoffSeconds: input.backoffSeconds ?? 1,
    backoffFactor: input.backoffFactor ?? 1.15,
    maxLaunchDelaySeconds: input.maxLaunchDelaySeconds ?? 300,
    killSelection: input.killSelection ?? "YOUNGEST_FIRST",
    unreachableStrategy:
      input.unreachableStrategy === "disabled"
        ? "disabled"
        : {
            inactiveAfterSeconds: input.unreachableStrategy?.inactiveAfterSeconds ?? 0,
            expungeAfterSeconds: input.unreachableStrategy?.expungeAfterSeconds ?? 0,
          },
  };
  return {
    ...spec,
    ...(input.cmd === undefined ? {} : { cmd: input.cmd }),
    ...(input.args === undefined ? {} : { args: input.args }),
    ...(input.user === undefined ? {} : { user: input.user }),
    ...(container === undefined ? {} : { container }),
    ...(portDefinitions === undefined ? {} : { portDefinitions }),
    ...(input.acceptedResourceRoles === undefined ? {} : { acceptedResourceRoles: input.acceptedResourceRoles }),
    ...(input.taskKillGracePeriodSeconds === undefined
      ? {}
      : { taskKillGracePeriodSeconds: input.taskKillGracePeriodSeconds }),
  };
}

const hostNetwork: Network = { mode: "host", labels: {}, groups: [] };

function completeNetwork(network: NetworkInput): Network {
  return {
    mode: network.mode ?? "container",
    labels: network.labels ?? {},
    groups: network.groups ?? [],
    ...(network.name === undefined ? {} : { name: network.name }),
  };
}

function completeContainer(input: ContainerInput | undefined, mode: string): Container | undefined {
  if (input === undefined && mode === "host") return undefined;
  const given = input?.portMappings;
  const mappings = mode === "host" ? given : (given ?? [{ containerPort: 0, servicePort: 0, name: "default" }]);
  const docker = input?.docker;
  return {
    type: input?.type ?? (docker === undefined ? "MESOS" : "DOCKER"),
    volumes: (input?.volumes ?? []).map(
      (volume): HostVolume => ({
        containerPath: volume.containerPath ?? "",
        hostPath: volume.hostPath ?? "",
        mode: (volume.mode ?? "") as HostVolume["mode"],
      }),
    ),
    ...(docker === undefined
      ? {}
      : {
          docker: {
            image: docker.image ?? "",
            forcePullImage: docker.forcePullImage ?? false,
            privileged: docker.privileged ?? false,
            parameters: docker.parameters ?? [],
          },
        }),
    ...(mappings === undefined ? {} : { portMappings: mappings.map((mapping) => completeMapping(mapping, mode)) }),
  };
}

function completeMapping(mapping: PortMappingInput, mode: string): PortMapping {
  const hostPort = mapping.hostPort ?? (mode === "container/bridge" ? 0 : undefined);
  return {
    containerPort: mapping.containerPort ?? 0,
    servicePort: mapping.servicePort ?? 0,
    protocol: (mapping.protocol ?? "tcp") as PortProtocol,
    labels: mapping.labels ?? {},
    networkNames: mapping.networkNames ?? [],
    ...(hostPort === undefined ? {} : { hostPort }),
    ...(mapping.name === undefined ? {} : { name: mapping.name }),
  };
}

function completePortDefinitions(input: AppInput): readonly PortDefinition[] {
  return (input.portDefinitions ?? [{ port: 0, name: "default" }]).map(completePortDefinition);
}

function completePortDefinition(definition: NonNullable<AppInput["portDefinitions"]>[number]): PortDefinition {
  return {
    port: definition.port ?? 0,
    protocol: (definition.protocol ?? "tcp") as PortProtocol,
    labels: definition.labels ?? {},
    ...(definition.name === undefined ? {} : { name: definition.name }),
  };
}

function completeHealthCheck(check: HealthCheckInput, hasPorts: boolean): AppHealthCheck {
  const protocol = check.protocol ?? "HTTP";
  const byIndex = protocol !== "COMMAND" && check.port === undefined && check.portIndex === undefined && hasPorts;
  const portIndex = check.portIndex ?? (byIndex ? 0 : undefined);
  return {
    protocol,
    gracePeriodSeconds: check.gracePeriodSeconds ?? 300,
    intervalSeconds: check.intervalSeconds ?? 60,
    timeoutSeconds: check.timeoutSeconds ?? 20,
    maxConsecutiveFailures: check.maxConsecutiveFailures ?? 3,
    delaySeconds: check.delaySeconds ?? 15,
    ignoreHttp1xx: check.ignoreHttp1xx ?? false,
    ipProtocol: check.ipProtocol ?? "IPv4",
    ...(check.path === undefined ? {} : { path: check.path }),
    ...(check.port === undefined ? {} : { port: check.port }),
    ...(portIndex === undefined ? {} : { portIndex }),
    ...(check.command === undefined ? {} : { command: check.command }),
  };
}

function completeReadinessCheck(check: ReadinessCheckInput): ReadinessCheck {
  return {
    name: check.name ?? "readinessCheck",
    protocol: check.protocol ?? "HTTP",
    path: check.path ?? "/",
    portName: check.portName ?? "http-api",
    intervalSeconds: check.intervalSeconds ?? 30,
    timeoutSeconds: check.timeoutSeconds ?? 10,
    httpStatusCodesForReady: check.httpStatusCodesForReady ?? [200],
    preserveLastResponse: check.preserveLastResponse ?? false,
  };
}

/** Relative dependencies are relative to the app itself: `../db` of `/prod/web` is `/prod/db`. */
function resolveDependency(text: string, id: AppId): readonly AppId[] {
  const parsed = parseAppId(text, segmentsOf(id));
  return parsed.ok ? [parsed.id] : [];
}
