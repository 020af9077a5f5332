/**
 * What makes no sense in a complete app, in Marathon's words and at Marathon's paths (reference: marathon 5.4).
 * Pure: reports everything it finds, changes nothing.
 */

import type { Problems } from "../refusal.ts";
import { type AppHealthCheck, type AppSpec, networkModeOf, portsOf } from "./app.ts";
import type { AppInput } from "./app-input.ts";
import { validateConstraints } from "./constraint-validation.ts";
import { validateNetworks, validatePorts } from "./network-validation.ts";

export interface ValidationOptions {
  /** Roles an app may have. */
  readonly roles: readonly string[];
}

/** @param input what was sent, for rules about fields that completion does not keep. */
export function validateApp(app: AppSpec, input: AppInput, options: ValidationOptions, problems: Problems): void {
  validateCommand(app, problems);
  validateNumbers(app, problems);
  validateContainer(app, input, problems);
  validateNetworks(app, problems);
  validatePorts(app, problems);
  validateConstraints(app.constraints, problems);
  for (const [index, check] of app.healthChecks.entries()) {
    validateHealthCheck(app, check, `/healthChecks(${index})`, problems);
  }
  validateHealthChecks(app, problems);
  validateReadiness(app, problems);
  validateStrategies(app, problems);
  validateRoles(app, options, problems);
  for (const [path, error] of input.unsupported ?? []) problems.add(path, error);
}

function validateCommand(app: AppSpec, problems: Problems): void {
  const container = app.container?.docker !== undefined;
  if (app.cmd !== undefined && app.args !== undefined) {
    problems.add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
  } else if (app.cmd === undefined && app.args === undefined && !container) {
    problems.add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
  }
  if (app.cmd === "") problems.add("/cmd", "must not be empty");
  if (app.executor !== "" && app.executor !== "//cmd")
    problems.add("/executor", "custom executors are not supported here; leave it empty");
  app.fetch.forEach((item, index) => {
    if (item.uri === "") problems.add(`/fetch(${index})/uri`, "must not be empty");
    if (item.uri.length > 1024) problems.add(`/fetch(${index})/uri`, "must not be longer than 1024 characters");
    if (item.destPath?.startsWith("/") || item.destPath?.split("/").includes("..")) {
      problems.add(`/fetch(${index})/destPath`, "must be a relative path inside the sandbox");
    }
  });
}

function validateNumbers(app: AppSpec, problems: Problems): void {
  for (const name of ["cpus", "mem", "disk"] as const) atLeast(`/${name}`, app[name], 0, problems);
  for (const name of ["instances", "gpus"] as const) atLeastInteger(`/${name}`, app[name], 0, problems);
  if (app.gpus > 0)
    problems.add("/gpus", "Feature gpu_resources is not enabled. Enable with --enable_features gpu_resources)");
  atLeast("/backoffSeconds", app.backoffSeconds, 0, problems);
  atLeast("/backoffFactor", app.backoffFactor, 1, problems);
  atLeast("/maxLaunchDelaySeconds", app.maxLaunchDelaySeconds, 0, problems);
  if (app.taskKillGracePeriodSeconds !== undefined) {
    atLeast("/taskKillGracePeriodSeconds", app.taskKillGracePeriodSeconds, 0, problems);
  }
}

export function atLeast(path: string, value: number, min: number, problems: Problems): void {
  if (value < min) problems.add(path, `got ${decimal(value)}, expected ${decimal(min)} or more`);
}

export function atLeastInteger(path: string, value: number, min: number, problems: Problems): void {
  if (value < min) problems.add(path, `got ${value}, expected ${min} or more`);
}

/** Scala prints doubles with a point. */
function decimal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function validateContainer(app: AppSpec, input: AppInput, problems: Problems): void {
  const { container } = app;
  if (container === undefined) return;
  if (container.type === "DOCKER" && (container.docker?.image ?? "") === "") {
    problems.add("/container/docker/image", container.docker === undefined ? "not defined" : "must not be empty");
  }
  if (container.docker !== undefined && /[\s\0]|^-/.test(container.docker.image)) {
    problems.add("/container/docker/image", "is not the name of an image");
  }
  if (container.type === "MESOS" && container.docker !== undefined) {
    if (container.docker.privileged)
      problems.add("/container/docker/privileged", "is only allowed with the Docker containerizer");
    if (container.docker.parameters.length > 0) {
      problems.add("/container/docker/parameters", "is only allowed with the Docker containerizer");
    }
  }
  if (input.container?.docker?.pullConfig === true) {
    problems.add("/container/docker/pullConfig", "pullConfig is not supported with Docker containerizer");
  }
  container.docker?.parameters.forEach(({ key, value }, index) => {
    const path = `/container/docker/parameters(${index})`;
    if (key === "") problems.add(`${path}/key`, "must not be empty");
    if (key === "name") problems.add(`${path}/key`, "the name of the container is not yours to choose");
    const network = app.networks[0];
    if ((key === "net" || key === "network") && network?.mode === "container" && network.name !== value) {
      problems.add(
        `${path}/value`,
        `got ${value}, expected ${network.name ?? "the name of the network"}: the network of the app`,
      );
    }
  });
  container.volumes.forEach((volume, index) => {
    const path = `/container/volumes(${index})`;
    const unsupported = input.container?.volumes?.[index]?.unsupported;
    if (unsupported !== undefined) {
      problems.add(`${path}/${unsupported}`, `${unsupported} volumes are not supported here`);
      return;
    }
    if (volume.containerPath === "") problems.add(`${path}/containerPath`, "must not be empty");
    if (volume.hostPath === "") problems.add(`${path}/hostPath`, "must not be empty");
    if (volume.mode !== "RO" && volume.mode !== "RW") problems.add(`${path}/mode`, "must be one of RO, RW");
  });
}

function validateHealthCheck(app: AppSpec, check: AppHealthCheck, path: string, problems: Problems): void {
  atLeast(`${path}/gracePeriodSeconds`, check.gracePeriodSeconds, 0, problems);
  if (check.intervalSeconds <= 0)
    problems.add(`${path}/intervalSeconds`, `got ${check.intervalSeconds}, expected more than 0`);
  if (check.timeoutSeconds <= 0)
    problems.add(`${path}/timeoutSeconds`, `got ${check.timeoutSeconds}, expected more than 0`);
  atLeastInteger(`${path}/maxConsecutiveFailures`, check.maxConsecutiveFailures, 0, problems);
  atLeast(`${path}/delaySeconds`, check.delaySeconds, 0, problems);
  if (check.protocol === "COMMAND") {
    if (check.command === undefined) problems.add(`${path}/command`, "COMMAND health checks must have a command");
    else if (check.command.value === "") problems.add(`${path}/command/value`, "must not be empty");
    return;
  }
  if (check.command !== undefined) problems.add(`${path}/command`, "is only allowed with protocol COMMAND");
  const mesos = check.protocol.startsWith("MESOS_");
  const ports = portsOf(app).length;
  if (check.port !== undefined && (check.port < 1 || check.port > 65535)) {
    problems.add(`${path}/port`, `got ${check.port}, expected 1 to 65535`);
  }
  if (check.port !== undefined && check.portIndex !== undefined) {
    problems.add(path, "HealthCheck must specify either a port or a portIndex");
  } else if (check.port === undefined && check.portIndex === undefined) {
    problems.add(path, "HealthCheck must specify either a port or a portIndex");
  } else if (check.portIndex !== undefined && (check.portIndex < 0 || check.portIndex >= ports)) {
    problems.add(
      path,
      "Health check port indices must address an element of the ports array or container port mappings.",
    );
  }
  if (check.ipProtocol === "IPv6" && !(mesos && app.container?.type === "DOCKER")) {
    problems.add(path, "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks");
  }
}

function validateHealthChecks(app: AppSpec, problems: Problems): void {
  if (app.healthChecks.filter((check) => check.protocol.startsWith("MESOS_")).length > 1) {
    problems.add("/", "AppDefinition can contain at most one Mesos health check");
  }
  // The agent carries out what Marathon cannot reach, and a task has room for one check of the agent's.
  if (app.healthChecks.filter((check) => isDelegated(app, check)).length > 1) {
    problems.add(
      "/healthChecks",
      "only one health check can be carried out by the agent, as COMMAND checks and all checks of apps on a container network are",
    );
  }
}

/** Carried out by the agent in the container's place: Marathon itself may not reach a container's own network. */
export function isDelegated(app: AppSpec, check: AppHealthCheck): boolean {
  return check.protocol === "COMMAND" || check.protocol.startsWith("MESOS_") || networkModeOf(app) === "container";
}

function validateReadiness(app: AppSpec, problems: Problems): void {
  if (app.readinessChecks.length > 1) problems.add("/readinessChecks", "must contain at most one readiness check");
  const names = portsOf(app).flatMap((port) => (port.name === undefined ? [] : [port.name]));
  app.readinessChecks.forEach((check, index) => {
    const path = `/readinessChecks(${index})`;
    if (!names.includes(check.portName)) {
      problems.add(`${path}/portName`, `No port definition reference for portName ${check.portName}`);
    }
    if (check.timeoutSeconds >= check.intervalSeconds)
      problems.add(`${path}/timeoutSeconds`, "must be less than intervalSeconds");
    if (networkModeOf(app) === "container") {
      problems.add(path, "readiness checks are not supported on a container network; use healthChecks");
    }
  });
}

function validateStrategies(app: AppSpec, problems: Problems): void {
  for (const name of ["minimumHealthCapacity", "maximumOverCapacity"] as const) {
    const value = app.upgradeStrategy[name];
    if (value < 0 || value > 1)
      problems.add(`/upgradeStrategy/${name}`, `got ${decimal(value)}, expected between 0.0 and 1.0`);
  }
  if (app.labels.MARATHON_SINGLE_INSTANCE_APP === "true") {
    if (app.instances > 1) problems.add("/", "Single instance app may only have one instance");
    const { minimumHealthCapacity, maximumOverCapacity } = app.upgradeStrategy;
    if (minimumHealthCapacity !== 0 || maximumOverCapacity !== 0) {
      problems.add(
        "/upgradeStrategy",
        "Single instance app must have 0 as minimumHealthCapacity and maximumOverCapacity",
      );
    }
  }
  if (app.unreachableStrategy === "disabled") return;
  const { inactiveAfterSeconds: inactive, expungeAfterSeconds: expunge } = app.unreachableStrategy;
  atLeast("/unreachableStrategy/inactiveAfterSeconds", inactive, 0, problems);
  atLeast("/unreachableStrategy/expungeAfterSeconds", expunge, 0, problems);
  if (inactive > expunge) {
    problems.add(
      "/unreachableStrategy",
      `inactiveAfterSeconds (${inactive}) must be less or equal to expungeAfterSeconds, which is ${expunge}`,
    );
  }
}

function validateRoles(app: AppSpec, options: ValidationOptions, problems: Problems): void {
  if (!options.roles.includes(app.role)) {
    problems.add("/role", `got ${app.role}, expected one of: [${options.roles.join(", ")}]`);
  }
  if (app.acceptedResourceRoles === undefined) return;
  if (app.acceptedResourceRoles.length === 0) problems.add("/acceptedResourceRoles", "must not be empty");
  const roles = ["*", app.role];
  app.acceptedResourceRoles.forEach((role, index) => {
    if (!roles.includes(role)) {
      problems.add(
        `/acceptedResourceRoles(${index})`,
        `got ${role}, expected one of: [${[...new Set(roles)].join(", ")}]`,
      );
    }
  });
}
