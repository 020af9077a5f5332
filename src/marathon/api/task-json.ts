/** Instances as the API's tasks (reference: marathon 4.1), as text lines for load-balancer glue (4.2), and summed up. Pure. */

import { type App, networkModeOf, portsOf } from "../app/app.ts";
import { safeId, timestamp } from "../app/app-id.ts";
import type { HealthResult } from "../health/health-results.ts";
import type { Health, Instance } from "../plan/instance.ts";
import { isOutdated } from "../plan/planner.ts";

type Json = Readonly<Record<string, unknown>>;

export interface SeenInstance {
  readonly instance: Instance;
  readonly health: Health;
  readonly results: readonly (HealthResult | undefined)[];
  readonly hasChecks: boolean;
}

export function taskJson({ instance, results }: SeenInstance, app: App | undefined): Json {
  return {
    appId: instance.appId,
    healthCheckResults: results.flatMap((result) => (result === undefined ? [] : [healthResultJson(result, instance)])),
    host: instance.hostname,
    id: instance.taskId,
    ipAddresses: instance.networkAddresses,
    localVolumes: [],
    ports: instance.hostPorts,
    role: instance.role,
    servicePorts: app === undefined ? [] : portsOf(app).map(({ servicePort }) => servicePort),
    slaveId: instance.agentId,
    stagedAt: timestamp(instance.stagedAtMs),
    ...(instance.startedAtMs === undefined ? {} : { startedAt: timestamp(instance.startedAtMs) }),
    state: instance.state,
    version: instance.runSpecVersion,
    ...placeJson(instance),
  };
}

function placeJson(instance: Instance): Json {
  const { "@region": region, "@zone": zone } = instance.attributes;
  return { ...(region === undefined ? {} : { region }), ...(zone === undefined ? {} : { zone }) };
}

function healthResultJson(result: HealthResult, instance: Instance): Json {
  const time = (name: string, ms: number | undefined) => (ms === undefined ? {} : { [name]: timestamp(ms) });
  return {
    alive: result.alive,
    consecutiveFailures: result.consecutiveFailures,
    ...time("firstSuccess", result.firstSuccessMs),
    ...time("lastSuccess", result.lastSuccessMs),
    ...time("lastFailure", result.lastFailureMs),
    ...(result.lastFailureCause === undefined ? {} : { lastFailureCause: result.lastFailureCause }),
    instanceId: instance.id,
  };
}

export function countsJson(seen: readonly SeenInstance[]): Json {
  const { staged, running, healthy, unhealthy } = countStates(seen);
  return { tasksStaged: staged, tasksRunning: running, tasksHealthy: healthy, tasksUnhealthy: unhealthy };
}

function countStates(seen: readonly SeenInstance[]) {
  const count = (holds: (one: SeenInstance) => boolean) => seen.filter(holds).length;
  return {
    staged: count(({ instance }) => ["Provisioned", "Staging", "Starting"].includes(instance.condition)),
    running: count(({ instance }) => instance.condition === "Running"),
    healthy: count(({ health, hasChecks }) => hasChecks && health === "healthy"),
    unhealthy: count(({ health, hasChecks }) => hasChecks && health === "unhealthy"),
  };
}

/** Keys without tasks are left out. */
export function taskStatsJson(app: App, seen: readonly SeenInstance[], nowMs: number): Json {
  const { lastScalingAt } = app.versionInfo;
  const groups: readonly (readonly [string, readonly SeenInstance[]])[] = [
    ["startedAfterLastScaling", seen.filter(({ instance }) => timestamp(instance.stagedAtMs) >= lastScalingAt)],
    ["withLatestConfig", seen.filter(({ instance }) => !isOutdated(instance, app))],
    ["withOutdatedConfig", seen.filter(({ instance }) => isOutdated(instance, app))],
    ["totalSummary", seen],
  ];
  return Object.fromEntries(
    groups.flatMap(([name, group]) => (group.length === 0 ? [] : [[name, { stats: statsJson(group, nowMs) }]])),
  );
}

function statsJson(seen: readonly SeenInstance[], nowMs: number): Json {
  const ages = seen
    .flatMap(({ instance }) => (instance.startedAtMs === undefined ? [] : [(nowMs - instance.startedAtMs) / 1000]))
    .sort((a, b) => a - b);
  const middle = (ages[Math.floor((ages.length - 1) / 2)] ?? 0) + (ages[Math.ceil((ages.length - 1) / 2)] ?? 0);
  const lifeTime = { averageSeconds: ages.reduce((sum, age) => sum + age, 0) / ages.length, medianSeconds: middle / 2 };
  return { counts: countStates(seen), ...(ages.length === 0 ? {} : { lifeTime }) };
}

/** One line per service port, even without a backend (reference: marathon 4.2, the rules of 1.10). */
export function taskLines(app: App, instances: readonly Instance[], containerNetworks: ReadonlySet<string>): string {
  const running = instances.filter(({ condition }) => condition === "Running");
  const name = safeId(app.id);
  const ports = portsOf(app);
  if (ports.length === 0) {
    return `${name}\t \t${running.map(({ hostname }) => `${hostname}\t`).join("")}\n`;
  }
  const shown = containerNetworks.has("*") || app.networks.some((network) => containerNetworks.has(network.name ?? ""));
  const lines = ports.map((port, index) => {
    const backends = running.flatMap((instance) => {
      if (networkModeOf(app) !== "container" || port.hostPort !== undefined)
        return [`${instance.hostname}:${instance.ports[index]}`];
      const address = instance.networkAddresses[0]?.ipAddress;
      return shown && address !== undefined ? [`${address}:${instance.ports[index]}`] : [];
    });
    return `${name}\t${port.servicePort}\t${backends.map((backend) => `${backend}\t`).join("")}\n`;
  });
  return lines.join("");
}
