/**
 * An app document as a user sent it: every generation's fields, types checked, nothing filled in yet.
 * Unknown keys are ignored (as Marathon 1.5+ does), read-only ones (`version`, `tasks`, `deployments` ...) too.
 */

import { Problems, wrongTypes } from "../refusal.ts";
import { healthProtocols, type StringMap } from "./app.ts";
import { isObject, JsonReader } from "./json-reader.ts";

export interface PortMappingInput {
  readonly containerPort?: number | undefined;
  readonly hostPort?: number | undefined;
  readonly servicePort?: number | undefined;
  readonly protocol?: string | undefined;
  readonly name?: string | undefined;
  readonly labels?: StringMap | undefined;
  readonly networkNames?: readonly string[] | undefined;
}
export interface DockerInput {
  readonly image?: string | undefined;
  readonly forcePullImage?: boolean | undefined;
  readonly privileged?: boolean | undefined;
  readonly parameters?: readonly { readonly key: string; readonly value: string }[] | undefined;
  /** Deprecated: HOST, BRIDGE, USER or NONE. */
  readonly network?: string | undefined;
  /** Deprecated place. */
  readonly portMappings?: readonly PortMappingInput[] | undefined;
  readonly pullConfig?: boolean | undefined;
}
export interface VolumeInput {
  readonly containerPath?: string | undefined;
  readonly hostPath?: string | undefined;
  readonly mode?: string | undefined;
  readonly unsupported?: string | undefined;
}
export interface ContainerInput {
  readonly type?: "DOCKER" | "MESOS" | undefined;
  readonly docker?: DockerInput | undefined;
  readonly volumes?: readonly VolumeInput[] | undefined;
  readonly portMappings?: readonly PortMappingInput[] | undefined;
}
export interface NetworkInput {
  readonly mode?: "host" | "container/bridge" | "container" | undefined;
  readonly name?: string | undefined;
  readonly labels?: StringMap | undefined;
  readonly groups?: readonly string[] | undefined;
}
export interface IpAddressInput {
  readonly groups?: readonly string[] | undefined;
  readonly labels?: StringMap | undefined;
  readonly networkName?: string | undefined;
  readonly discoveryPorts?:
    | readonly {
        readonly number: number;
        readonly name?: string | undefined;
        readonly protocol?: string | undefined;
        readonly labels?: StringMap | undefined;
      }[]
    | undefined;
}
export interface PortDefinitionInput {
  readonly port?: number | undefined;
  readonly protocol?: string | undefined;
  readonly name?: string | undefined;
  readonly labels?: StringMap | undefined;
}
export interface FetchInput {
  readonly uri: string;
  readonly extract?: boolean | undefined;
  readonly executable?: boolean | undefined;
  readonly cache?: boolean | undefined;
  readonly destPath?: string | undefined;
}
export type HealthCheckInput = Partial<ReturnType<typeof readHealthCheck>>;
export type ReadinessCheckInput = Partial<ReturnType<typeof readReadinessCheck>>;

export interface AppInput {
  readonly id?: string | undefined;
  readonly cmd?: string | undefined;
  readonly args?: readonly string[] | undefined;
  readonly container?: ContainerInput | undefined;
  readonly instances?: number | undefined;
  readonly cpus?: number | undefined;
  readonly mem?: number | undefined;
  readonly disk?: number | undefined;
  readonly gpus?: number | undefined;
  readonly executor?: string | undefined;
  readonly user?: string | undefined;
  readonly env?: StringMap | undefined;
  readonly labels?: StringMap | undefined;
  readonly constraints?: readonly (readonly string[])[] | undefined;
  readonly acceptedResourceRoles?: readonly string[] | undefined;
  readonly role?: string | undefined;
  readonly fetch?: readonly FetchInput[] | undefined;
  readonly uris?: readonly string[] | undefined;
  readonly portDefinitions?: readonly PortDefinitionInput[] | undefined;
  readonly ports?: readonly number[] | undefined;
  readonly requirePorts?: boolean | undefined;
  readonly networks?: readonly NetworkInput[] | undefined;
  readonly ipAddress?: IpAddressInput | undefined;
  readonly healthChecks?: readonly HealthCheckInput[] | undefined;
  readonly readinessChecks?: readonly ReadinessCheckInput[] | undefined;
  readonly dependencies?: readonly string[] | undefined;
  readonly upgradeStrategy?:
    | { readonly minimumHealthCapacity?: number | undefined; readonly maximumOverCapacity?: number | undefined }
    | undefined;
  readonly backoffSeconds?: number | undefined;
  readonly backoffFactor?: number | undefined;
  readonly maxLaunchDelaySeconds?: number | undefined;
  readonly taskKillGracePeriodSeconds?: number | undefined;
  readonly killSelection?: "YOUNGEST_FIRST" | "OLDEST_FIRST" | undefined;
  readonly unreachableStrategy?:
    | "disabled"
    | { readonly inactiveAfterSeconds?: number | undefined; readonly expungeAfterSeconds?: number | undefined }
    | undefined;
  /** Features of Marathon that are not here: `[path, what]`, refused by validation rather than ignored. */
  readonly unsupported?: readonly (readonly [path: string, error: string])[] | undefined;
}

/** What a request says: the fields given, those cleared with an explicit null, and a version to go back to. */
export interface AppDocument {
  readonly input: AppInput;
  readonly cleared: ReadonlySet<keyof AppInput>;
  readonly given: ReadonlySet<string>;
  readonly rollbackTo?: string;
}

const clearable: readonly (keyof AppInput)[] = [
  "cmd",
  "args",
  "container",
  "user",
  "acceptedResourceRoles",
  "taskKillGracePeriodSeconds",
  "networks",
  "ipAddress",
];

/** @param path prefix of problem paths, e.g. `(0)` in a list. Throws a 400 with every wrong type. */
export function readAppDocument(value: unknown, path = ""): AppDocument {
  const problems = new Problems();
  const document = readDocument(value, path, problems);
  if (document === undefined || !problems.empty) throw wrongTypes(problems.list);
  return document;
}

function readDocument(value: unknown, path: string, problems: Problems): AppDocument | undefined {
  if (!isObject(value)) {
    problems.add(path === "" ? "/" : path, "error.expected.jsobject");
    return undefined;
  }
  const reader = new JsonReader(value, path, problems);
  const rollbackTo = reader.string("version");
  return {
    input: readApp(reader),
    cleared: new Set(clearable.filter((name) => reader.isNull(name))),
    given: new Set(
      Object.entries(value).flatMap(([name, field]) => (field === null || field === undefined ? [] : [name])),
    ),
    ...(rollbackTo === undefined ? {} : { rollbackTo }),
  };
}

function readApp(reader: JsonReader): AppInput {
  const unsupported: [string, string][] = [];
  const strategy = reader.object("upgradeStrategy");
  for (const [name, error] of unsupportedFields) {
    const value = reader.raw(name);
    const empty = value === false || (isObject(value) && Object.keys(value).length === 0);
    if (value !== undefined && !empty) unsupported.push([reader.pathOf(name), error]);
  }
  return {
    id: reader.string("id"),
    cmd: reader.string("cmd"),
    args: reader.strings("args"),
    container: readContainer(reader.object("container")),
    instances: reader.integer("instances"),
    cpus: reader.number("cpus"),
    mem: reader.number("mem"),
    disk: reader.number("disk"),
    gpus: reader.integer("gpus"),
    executor: reader.string("executor"),
    user: reader.string("user"),
    env: readEnv(reader, unsupported),
    labels: reader.stringMap("labels"),
    constraints: reader.list("constraints", (value, path) => readConstraint(value, path, reader.problems)),
    acceptedResourceRoles: reader.strings("acceptedResourceRoles"),
    role: reader.string("role"),
    fetch: reader.objects("fetch", readFetch),
    uris: reader.strings("uris"),
    portDefinitions: reader.objects("portDefinitions", readPortDefinition),
    ports: reader.integers("ports"),
    requirePorts: reader.boolean("requirePorts"),
    networks: reader.objects("networks", readNetwork),
    ipAddress: readIpAddress(reader.object("ipAddress")),
    healthChecks: reader.objects("healthChecks", readHealthCheck),
    readinessChecks: reader.objects("readinessChecks", readReadinessCheck),
    dependencies: reader.strings("dependencies"),
    upgradeStrategy: strategy && {
      minimumHealthCapacity: strategy.number("minimumHealthCapacity"),
      maximumOverCapacity: strategy.number("maximumOverCapacity"),
    },
    backoffSeconds: reader.number("backoffSeconds"),
    backoffFactor: reader.number("backoffFactor"),
    maxLaunchDelaySeconds: reader.number("maxLaunchDelaySeconds"),
    taskKillGracePeriodSeconds: reader.number("taskKillGracePeriodSeconds"),
    killSelection: reader.oneOf("killSelection", ["YOUNGEST_FIRST", "OLDEST_FIRST"]),
    unreachableStrategy: readUnreachableStrategy(reader),
    unsupported,
  };
}

const unsupportedFields: readonly (readonly [string, string])[] = [
  ["secrets", "Feature secrets is not enabled. Enable with --enable_features secrets)"],
  ["check", "general checks are not supported here; use healthChecks"],
  ["residency", "apps with reserved resources are not supported here"],
  ["resourceLimits", "resource limits are not supported here"],
  ["tty", "tty is not supported here"],
];

/** Strings, or references to secrets: these need a feature that is off. */
function readEnv(reader: JsonReader, unsupported: [string, string][]): StringMap | undefined {
  const raw = reader.raw("env");
  if (!isObject(raw)) return reader.stringMap("env");
  const texts: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw)) {
    if (isObject(value) && "secret" in value) {
      const error = "use of secret-references in the environment requires the secrets feature to be enabled";
      unsupported.push([reader.pathOf("env"), error]);
    } else texts[name] = value;
  }
  return new JsonReader({ env: texts }, reader.pathOf("").slice(0, -1), reader.problems).stringMap("env");
}

function readContainer(reader: JsonReader | undefined): ContainerInput | undefined {
  if (reader === undefined) return undefined;
  const docker = reader.object("docker");
  return {
    type: reader.oneOf("type", ["DOCKER", "MESOS"]),
    docker: docker && {
      image: docker.string("image"),
      forcePullImage: docker.boolean("forcePullImage"),
      privileged: docker.boolean("privileged"),
      parameters: docker.objects("parameters", (item) => ({
        key: item.requiredString("key"),
        value: item.requiredString("value"),
      })),
      network: docker.string("network"),
      portMappings: docker.objects("portMappings", readPortMapping),
      pullConfig: docker.has("pullConfig") || docker.has("credential") || undefined,
    },
    volumes: reader.objects("volumes", (item) => ({
      containerPath: item.string("containerPath"),
      hostPath: item.string("hostPath"),
      mode: item.string("mode"),
      unsupported: ["persistent", "external", "secret"].find((kind) => item.has(kind)),
    })),
    portMappings: reader.objects("portMappings", readPortMapping),
  };
}

function readPortMapping(reader: JsonReader): PortMappingInput {
  return {
    containerPort: reader.integer("containerPort"),
    hostPort: reader.integer("hostPort"),
    servicePort: reader.integer("servicePort"),
    protocol: reader.string("protocol"),
    name: reader.string("name"),
    labels: reader.stringMap("labels"),
    networkNames: reader.strings("networkNames"),
  };
}

function readPortDefinition(reader: JsonReader): PortDefinitionInput {
  return {
    port: reader.integer("port"),
    protocol: reader.string("protocol"),
    name: reader.string("name"),
    labels: reader.stringMap("labels"),
  };
}

function readNetwork(reader: JsonReader): NetworkInput {
  return {
    mode: reader.oneOf("mode", ["host", "container/bridge", "container"]),
    name: reader.string("name"),
    labels: reader.stringMap("labels"),
    groups: reader.strings("groups"),
  };
}

function readIpAddress(reader: JsonReader | undefined): IpAddressInput | undefined {
  if (reader === undefined) return undefined;
  return {
    groups: reader.strings("groups"),
    labels: reader.stringMap("labels"),
    networkName: reader.string("networkName"),
    discoveryPorts: reader.object("discovery")?.objects("ports", (port) => ({
      number: port.integer("number") ?? 0,
      name: port.string("name"),
      protocol: port.string("protocol"),
      labels: port.stringMap("labels"),
    })),
  };
}

function readFetch(reader: JsonReader): FetchInput {
  return {
    uri: reader.requiredString("uri"),
    extract: reader.boolean("extract"),
    executable: reader.boolean("executable"),
    cache: reader.boolean("cache"),
    destPath: reader.string("destPath"),
  };
}

/** `["hostname","UNIQUE"]`, or a pod's `{"fieldName","operator","value"}`, which is taken for the same. */
function readConstraint(value: unknown, path: string, problems: Problems): readonly string[] | undefined {
  if (!isObject(value)) {
    if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
    problems.add(path, Array.isArray(value) ? "error.expected.jsstring" : "error.expected.jsarray");
    return undefined;
  }
  const reader = new JsonReader(value, path, problems);
  const words = [reader.requiredString("fieldName"), reader.requiredString("operator")];
  const last = reader.string("value");
  return last === undefined ? words : [...words, last];
}

function readHealthCheck(reader: JsonReader) {
  const command = reader.object("command");
  return {
    protocol: reader.oneOf("protocol", healthProtocols),
    path: reader.string("path"),
    port: reader.integer("port"),
    portIndex: reader.integer("portIndex"),
    command: command && { value: command.requiredString("value") },
    gracePeriodSeconds: reader.number("gracePeriodSeconds"),
    intervalSeconds: reader.number("intervalSeconds"),
    timeoutSeconds: reader.number("timeoutSeconds"),
    maxConsecutiveFailures: reader.integer("maxConsecutiveFailures"),
    delaySeconds: reader.number("delaySeconds"),
    ignoreHttp1xx: reader.boolean("ignoreHttp1xx"),
    ipProtocol: reader.oneOf("ipProtocol", ["IPv4", "IPv6"]),
  };
}

function readReadinessCheck(reader: JsonReader) {
  return {
    name: reader.string("name"),
    protocol: reader.oneOf("protocol", ["HTTP", "HTTPS"]),
    path: reader.string("path"),
    portName: reader.string("portName"),
    intervalSeconds: reader.number("intervalSeconds"),
    timeoutSeconds: reader.number("timeoutSeconds"),
    httpStatusCodesForReady: reader.integers("httpStatusCodesForReady"),
    preserveLastResponse: reader.boolean("preserveLastResponse"),
  };
}

function readUnreachableStrategy(reader: JsonReader): AppInput["unreachableStrategy"] {
  if (typeof reader.raw("unreachableStrategy") === "string")
    return reader.oneOf("unreachableStrategy", ["disabled"] as const);
  const strategy = reader.object("unreachableStrategy");
  return (
    strategy && {
      inactiveAfterSeconds: strategy.number("inactiveAfterSeconds"),
      expungeAfterSeconds: strategy.number("expungeAfterSeconds"),
    }
  );
}
