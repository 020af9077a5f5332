/** What Mesos is asked to run for one instance (reference: marathon 6.4, docker 6). Pure. */

import type { CommandInfo } from "../../mesos/protocol/command-info.ts";
import type {
  ContainerInfo,
  NetworkInfo,
  PortMapping as WirePortMapping,
} from "../../mesos/protocol/container-info.ts";
import type { DiscoveryInfo } from "../../mesos/protocol/discovery-info.ts";
import type { HealthCheck } from "../../mesos/protocol/health-check.ts";
import type { Resource } from "../../mesos/protocol/resource-info.ts";
import type { TaskInfo } from "../../mesos/protocol/task-info.ts";
import type { Labels } from "../../mesos/protocol/values.ts";
import { type App, type AppHealthCheck, networkModeOf, portsOf, type StringMap } from "../app/app.ts";
import { dottedName } from "../app/app-id.ts";
import { isDelegated } from "../app/validation.ts";
import type { Instance } from "./instance.ts";
import { type EnvironmentOptions, taskEnvironment } from "./task-environment.ts";

/** Of an unsigned 32-bit field; stands for "never kill", which Mesos does not know. */
const failuresUnlimited = 4_294_967_295;

export function taskInfo(
  app: App,
  instance: Instance,
  resources: readonly Resource[],
  options: EnvironmentOptions,
): TaskInfo {
  const variables = taskEnvironment(
    app,
    { id: instance.taskId, hostname: instance.hostname, ports: instance.ports },
    options,
  );
  const container = containerInfo(app, instance);
  const delegated = app.healthChecks.find((check) => isDelegated(app, check));
  return {
    name: dottedName(app.id),
    task_id: { value: instance.taskId },
    agent_id: { value: instance.agentId },
    resources,
    command: commandInfo(app, variables),
    ...(container === undefined ? {} : { container }),
    ...(delegated === undefined ? {} : { health_check: healthCheck(app, delegated, instance) }),
    ...(app.taskKillGracePeriodSeconds === undefined
      ? {}
      : { kill_policy: { grace_period: { nanoseconds: Math.round(app.taskKillGracePeriodSeconds * 1e9) } } }),
    labels: wireLabels(app.labels),
    discovery: discoveryInfo(app, instance),
  };
}

function commandInfo(app: App, variables: Readonly<Record<string, string>>): CommandInfo {
  const docker = app.container?.docker !== undefined;
  return {
    environment: { variables: Object.entries(variables).map(([name, value]) => ({ name, value })) },
    ...(app.fetch.length === 0
      ? {}
      : {
          uris: app.fetch.map(({ uri, extract, executable, cache, destPath }) => ({
            value: uri,
            extract,
            executable,
            cache,
            ...(destPath === undefined ? {} : { output_file: destPath }),
          })),
        }),
    ...(app.user === undefined ? {} : { user: app.user }),
    // The task's own shell, inside its container: Mesos' word for `/bin/sh -c value`.
    shell: app.cmd !== undefined,
    ...(app.cmd !== undefined
      ? { value: app.cmd }
      : // Of an image the arguments go to its entrypoint; without one the first of them is what is executed.
        {
          ...(docker || app.args?.[0] === undefined ? {} : { value: app.args[0] }),
          ...(app.args === undefined ? {} : { arguments: app.args }),
        }),
  };
}

function containerInfo(app: App, instance: Instance): ContainerInfo | undefined {
  const { container } = app;
  const mode = networkModeOf(app);
  if (container === undefined) return undefined;
  const mappings = wireMappings(app, instance);
  const networks =
    mode === "container" ? app.networks.map((network): NetworkInfo => networkInfo(network, container.type)) : [];
  const volumes = container.volumes.map(({ containerPath, hostPath, mode: access }) => ({
    container_path: containerPath,
    host_path: hostPath,
    mode: access,
  }));
  const { docker } = container;
  if (container.type === "MESOS") {
    return {
      type: "MESOS",
      volumes,
      ...(docker === undefined
        ? {}
        : {
            mesos: {
              image: { type: "DOCKER" as const, docker: { name: docker.image }, cached: !docker.forcePullImage },
            },
          }),
      network_infos:
        mode === "container/bridge"
          ? [{ name: "mesos-bridge", port_mappings: mappings }]
          : networks.map((network) => (mappings.length === 0 ? network : { ...network, port_mappings: mappings })),
    };
  }
  return {
    type: "DOCKER",
    volumes,
    docker: {
      image: docker?.image ?? "",
      network: mode === "host" ? "HOST" : mode === "container" ? "USER" : "BRIDGE",
      privileged: docker?.privileged ?? false,
      force_pull_image: docker?.forcePullImage ?? false,
      parameters: [...(docker?.parameters ?? []), { key: "label", value: `MESOS_TASK_ID=${instance.taskId}` }],
      ...(mappings.length === 0 ? {} : { port_mappings: mappings }),
    },
    ...(networks.length === 0 ? {} : { network_infos: networks }),
  };
}

function networkInfo(network: App["networks"][number], type: "DOCKER" | "MESOS"): NetworkInfo {
  return {
    ...(network.name === undefined ? {} : { name: network.name }),
    ...(Object.keys(network.labels).length === 0 ? {} : { labels: wireLabels(network.labels) }),
    ...(network.groups.length === 0 ? {} : { groups: network.groups }),
    ...(type === "MESOS" ? { ip_addresses: [{}] } : {}),
  };
}

/** Only mappings with a host port; `udp,tcp` becomes two. */
function wireMappings(app: App, instance: Instance): readonly WirePortMapping[] {
  const mappings = app.container?.portMappings ?? [];
  return mappings.flatMap((mapping, index) => {
    const hostPort = mapping.hostPort === undefined ? undefined : instance.ports[index];
    if (hostPort === undefined) return [];
    const containerPort = mapping.containerPort === 0 ? hostPort : mapping.containerPort;
    return mapping.protocol
      .split(",")
      .map((protocol) => ({ host_port: hostPort, container_port: containerPort, protocol }));
  });
}

/** Where the container itself listens; in host mode that is the host's port. */
export function listeningPort(app: App, check: Pick<AppHealthCheck, "port" | "portIndex">, instance: Instance): number {
  if (check.port !== undefined) return check.port;
  const index = check.portIndex ?? 0;
  const containerPort = portsOf(app)[index]?.containerPort ?? 0;
  return containerPort === 0 ? (instance.ports[index] ?? 0) : containerPort;
}

function healthCheck(app: App, check: AppHealthCheck, instance: Instance): HealthCheck {
  const mesos = check.protocol.startsWith("MESOS_");
  const kind = check.protocol.replace("MESOS_", "");
  const port = listeningPort(app, check, instance);
  return {
    ...(kind === "COMMAND"
      ? { type: "COMMAND" as const, command: { value: check.command?.value ?? "" } }
      : kind === "TCP"
        ? { type: "TCP" as const, tcp: { port, protocol: check.ipProtocol } }
        : {
            type: "HTTP" as const,
            http: { port, path: pathOf(check), scheme: kind.toLowerCase(), protocol: check.ipProtocol },
          }),
    // Only Mesos' own kinds know a delay: the others are tried at once, or "healthy" would wait for nothing.
    delay_seconds: mesos ? check.delaySeconds : 0,
    interval_seconds: check.intervalSeconds,
    timeout_seconds: check.timeoutSeconds,
    grace_period_seconds: check.gracePeriodSeconds,
    consecutive_failures: check.maxConsecutiveFailures === 0 ? failuresUnlimited : check.maxConsecutiveFailures,
  };
}

/** A path without a leading slash gets one; none is the root. */
export function pathOf(check: Pick<AppHealthCheck, "path">): string {
  const path = check.path ?? "/";
  return path.startsWith("/") ? path : `/${path}`;
}

function discoveryInfo(app: App, instance: Instance): DiscoveryInfo {
  const scope = networkModeOf(app) === "container" ? "container" : "host";
  const network = app.networks[0]?.name;
  return {
    visibility: "FRAMEWORK",
    name: dottedName(app.id),
    ports: {
      ports: portsOf(app).flatMap((port, index) =>
        port.protocol.split(",").map((protocol) => ({
          number: instance.ports[index] ?? 0,
          protocol,
          ...(port.name === undefined ? {} : { name: port.name }),
          labels: wireLabels({
            ...port.labels,
            "network-scope": scope,
            ...(scope === "container" && network !== undefined ? { "network-name": network } : {}),
          }),
        })),
      ),
    },
  };
}

function wireLabels(labels: StringMap): Labels {
  return { labels: Object.entries(labels).map(([key, value]) => ({ key, value })) };
}
