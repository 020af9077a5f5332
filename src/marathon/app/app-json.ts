/** An app as Marathon 1.11 prints it: defaults written, absent optionals and most empty collections left out. Pure. */

import { type App, networkModeOf } from "./app.ts";

export type Json = Readonly<Record<string, unknown>>;

export function appJson(app: App): Json {
  return {
    id: app.id,
    ...(app.acceptedResourceRoles === undefined ? {} : { acceptedResourceRoles: app.acceptedResourceRoles }),
    ...(app.args === undefined ? {} : { args: app.args }),
    backoffFactor: app.backoffFactor,
    backoffSeconds: app.backoffSeconds,
    ...(app.cmd === undefined ? {} : { cmd: app.cmd }),
    ...unlessEmpty(
      "constraints",
      app.constraints.map(({ field, operator, value }) => [field, operator, ...(value === undefined ? [] : [value])]),
    ),
    ...containerJson(app),
    cpus: app.cpus,
    ...unlessEmpty("dependencies", app.dependencies),
    disk: app.disk,
    ...(Object.keys(app.env).length === 0 ? {} : { env: app.env }),
    executor: app.executor,
    ...unlessEmpty("fetch", app.fetch),
    gpus: app.gpus,
    ...unlessEmpty("healthChecks", app.healthChecks),
    instances: app.instances,
    killSelection: app.killSelection,
    ...(Object.keys(app.labels).length === 0 ? {} : { labels: app.labels }),
    maxLaunchDelaySeconds: app.maxLaunchDelaySeconds,
    mem: app.mem,
    networks: app.networks.map(({ mode, name, labels, groups }) => ({
      ...(name === undefined ? {} : { name }),
      mode,
      ...(mode === "host" || Object.keys(labels).length === 0 ? {} : { labels }),
      ...unlessEmpty("groups", groups),
    })),
    ...(networkModeOf(app) === "host" && app.portDefinitions !== undefined
      ? {
          portDefinitions: app.portDefinitions.map(({ port, protocol, name, labels }) => ({
            port,
            protocol,
            ...(name === undefined ? {} : { name }),
            ...(Object.keys(labels).length === 0 ? {} : { labels }),
          })),
        }
      : {}),
    ...unlessEmpty("readinessChecks", app.readinessChecks),
    requirePorts: app.requirePorts,
    role: app.role,
    ...(app.taskKillGracePeriodSeconds === undefined
      ? {}
      : { taskKillGracePeriodSeconds: app.taskKillGracePeriodSeconds }),
    unreachableStrategy: app.unreachableStrategy,
    upgradeStrategy: app.upgradeStrategy,
    ...(app.user === undefined ? {} : { user: app.user }),
    version: app.version,
    versionInfo: app.versionInfo,
  };
}

function containerJson(app: App): Json {
  const { container } = app;
  if (container === undefined) return {};
  return {
    container: {
      type: container.type,
      ...(container.docker === undefined ? {} : { docker: container.docker }),
      volumes: container.volumes,
      ...(container.portMappings === undefined
        ? {}
        : {
            portMappings: container.portMappings.map(({ networkNames, ...mapping }) => ({
              ...mapping,
              ...unlessEmpty("networkNames", networkNames),
            })),
          }),
    },
  };
}

function unlessEmpty(name: string, values: readonly unknown[]): Json {
  return values.length === 0 ? {} : { [name]: values };
}
