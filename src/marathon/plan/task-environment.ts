/** Environment variables that a task finds (reference: marathon-behaviour 5). The user's own win over all of them. Pure. */

import { type App, portsOf } from "../app/app.ts";
import type { TaskId } from "../app/app-id.ts";

export interface EnvironmentOptions {
  /** `--env_vars_prefix`: renames HOST and PORT* only. */
  readonly prefix?: string | undefined;
}

const labelMaxLength = 512;

export function taskEnvironment(
  app: App,
  task: { readonly id: TaskId; readonly hostname: string; readonly ports: readonly number[] },
  options: EnvironmentOptions,
): Readonly<Record<string, string>> {
  const labels = exportedLabels(app);
  return {
    MESOS_TASK_ID: task.id,
    MARATHON_APP_ID: app.id,
    MARATHON_APP_VERSION: app.version,
    ...(app.container?.docker === undefined ? {} : { MARATHON_APP_DOCKER_IMAGE: app.container.docker.image }),
    MARATHON_APP_RESOURCE_CPUS: decimal(app.cpus),
    MARATHON_APP_RESOURCE_MEM: decimal(app.mem),
    MARATHON_APP_RESOURCE_DISK: decimal(app.disk),
    MARATHON_APP_RESOURCE_GPUS: String(app.gpus),
    MARATHON_APP_LABELS: [...labels.keys()].join(" "),
    ...Object.fromEntries([...labels].map(([name, value]) => [`MARATHON_APP_LABEL_${name}`, value])),
    MARATHON_APP_ENFORCE_GROUP_ROLE: "false",
    ...withPrefix({ HOST: task.hostname, ...portVariables(app, task.ports) }, options.prefix ?? ""),
    ...app.env,
  };
}

function portVariables(app: App, ports: readonly number[]): Record<string, string> {
  const variables: Record<string, string> = {};
  if (ports.length === 0) return variables;
  variables.PORT = String(ports[0]);
  variables.PORTS = ports.join(",");
  portsOf(app).forEach((port, index) => {
    const effective = String(ports[index] ?? 0);
    variables[`PORT${index}`] = effective;
    // What the user wrote as the port: the container's in mappings, the requested one in host mode.
    const requested = port.containerPort ?? port.servicePort;
    variables[`PORT_${requested === 0 ? effective : requested}`] = effective;
    if (port.name !== undefined) variables[`PORT_${variableName(port.name)}`] = effective;
  });
  return variables;
}

function exportedLabels(app: App): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (const [key, value] of Object.entries(app.labels)) {
    const name = variableName(key);
    if (name !== "" && name !== "_" && value.length <= labelMaxLength) labels.set(name, value);
  }
  return labels;
}

function variableName(text: string): string {
  return text.toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_");
}

function withPrefix(variables: Record<string, string>, prefix: string): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [prefix + name, value]));
}

/** As Scala prints doubles: `64.0`. */
function decimal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
