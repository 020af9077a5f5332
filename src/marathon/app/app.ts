/**
 * What an app is, in Marathon's canonical form of 1.5 and later: the stored model and the default output
 * (reference: marathon 5). Older forms are turned into it by migration.ts, absent fields filled by completion.ts.
 */

import type { AppId, Timestamp } from "./app-id.ts";

export type StringMap = Readonly<Record<string, string>>;

export interface Parameter {
  readonly key: string;
  readonly value: string;
}
export interface DockerContainer {
  readonly image: string;
  readonly forcePullImage: boolean;
  readonly privileged: boolean;
  readonly parameters: readonly Parameter[];
}
export type PortProtocol = "tcp" | "udp" | "udp,tcp";

export interface PortMapping {
  readonly containerPort: number;
  /** Absent: no port of the host is used. 0: any. */
  readonly hostPort?: number;
  readonly servicePort: number;
  readonly protocol: PortProtocol;
  readonly name?: string;
  readonly labels: StringMap;
  readonly networkNames: readonly string[];
}
export interface HostVolume {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly mode: "RO" | "RW";
}
export interface Container {
  readonly type: "DOCKER" | "MESOS";
  readonly docker?: DockerContainer;
  readonly volumes: readonly HostVolume[];
  /** Absent in host mode. */
  readonly portMappings?: readonly PortMapping[];
}
export type NetworkMode = "host" | "container/bridge" | "container";

export interface Network {
  readonly mode: NetworkMode;
  readonly name?: string;
  readonly labels: StringMap;
  /** Net-groups of Marathon 0.14 to 1.4 (Calico profiles); dropped upstream in 1.5, kept here. */
  readonly groups: readonly string[];
}
export interface PortDefinition {
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly name?: string;
  readonly labels: StringMap;
}

export const healthProtocols = ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"] as const;
export type HealthProtocol = (typeof healthProtocols)[number];

export interface AppHealthCheck {
  readonly protocol: HealthProtocol;
  readonly path?: string;
  readonly port?: number;
  readonly portIndex?: number;
  readonly command?: { readonly value: string };
  readonly gracePeriodSeconds: number;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly maxConsecutiveFailures: number;
  readonly delaySeconds: number;
  readonly ignoreHttp1xx: boolean;
  readonly ipProtocol: "IPv4" | "IPv6";
}
export interface ReadinessCheck {
  readonly name: string;
  readonly protocol: "HTTP" | "HTTPS";
  readonly path: string;
  readonly portName: string;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly httpStatusCodesForReady: readonly number[];
  readonly preserveLastResponse: boolean;
}
export interface FetchItem {
  readonly uri: string;
  readonly extract: boolean;
  readonly executable: boolean;
  readonly cache: boolean;
  readonly destPath?: string;
}
export interface Constraint {
  readonly field: string;
  readonly operator: string;
  readonly value?: string;
}
export interface UpgradeStrategy {
  readonly minimumHealthCapacity: number;
  readonly maximumOverCapacity: number;
}
export type UnreachableStrategy =
  | "disabled"
  | { readonly inactiveAfterSeconds: number; readonly expungeAfterSeconds: number };

export interface VersionInfo {
  readonly lastScalingAt: Timestamp;
  readonly lastConfigChangeAt: Timestamp;
}

/** What the user decides; everything but identity and versions. */
export interface AppSpec {
  readonly cmd?: string;
  readonly args?: readonly string[];
  readonly container?: Container;
  readonly instances: number;
  readonly cpus: number;
  readonly mem: number;
  readonly disk: number;
  readonly gpus: number;
  readonly executor: string;
  readonly user?: string;
  readonly env: StringMap;
  readonly labels: StringMap;
  readonly constraints: readonly Constraint[];
  readonly acceptedResourceRoles?: readonly string[];
  readonly role: string;
  readonly fetch: readonly FetchItem[];
  /** Only in host mode. */
  readonly portDefinitions?: readonly PortDefinition[];
  readonly requirePorts: boolean;
  readonly networks: readonly Network[];
  readonly healthChecks: readonly AppHealthCheck[];
  readonly readinessChecks: readonly ReadinessCheck[];
  readonly dependencies: readonly AppId[];
  readonly upgradeStrategy: UpgradeStrategy;
  readonly backoffSeconds: number;
  readonly backoffFactor: number;
  readonly maxLaunchDelaySeconds: number;
  readonly taskKillGracePeriodSeconds?: number;
  readonly killSelection: "YOUNGEST_FIRST" | "OLDEST_FIRST";
  readonly unreachableStrategy: UnreachableStrategy;
}

export interface App extends AppSpec {
  readonly id: AppId;
  readonly version: Timestamp;
  readonly versionInfo: VersionInfo;
  /** Instances launched for an older version are to be replaced: the last change of configuration, or restart. */
  readonly replaceBefore: Timestamp;
}

export function networkModeOf(app: Pick<AppSpec, "networks">): NetworkMode {
  return app.networks[0]?.mode ?? "host";
}

/** One way in which the app is reached: a port definition in host mode, else a port mapping. */
export interface AppPort {
  readonly servicePort: number;
  readonly protocol: PortProtocol;
  readonly name?: string;
  readonly labels: StringMap;
  readonly containerPort?: number;
  /** Absent: none wanted. 0: any. */
  readonly hostPort?: number;
}

export function portsOf(
  app: Pick<AppSpec, "networks" | "portDefinitions" | "container" | "requirePorts">,
): readonly AppPort[] {
  if (networkModeOf(app) === "host") {
    return (app.portDefinitions ?? []).map((definition) => ({
      servicePort: definition.port,
      protocol: definition.protocol,
      labels: definition.labels,
      hostPort: app.requirePorts ? definition.port : 0,
      ...(definition.name === undefined ? {} : { name: definition.name }),
    }));
  }
  return app.container?.portMappings ?? [];
}

/** Changed in anything but the number of instances and the versions: running instances no longer are what is wanted. */
export function isUpgrade(from: App, to: AppSpec): boolean {
  return comparable(from) !== comparable(to);
}

function comparable(app: AppSpec): string {
  const { instances: _instances, ...rest } = app;
  return stableJson({ ...rest, id: undefined, version: undefined, versionInfo: undefined, replaceBefore: undefined });
}

/** JSON with sorted keys: equal for equal content, whatever the order it was written in. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
