/**
 * What FelixConfiguration says to the agent itself, not to packets: what it reports, where it listens, how loud it is
 * (felix-dataplane.md 1.6, 6.5, 6.6, 10). One built-in value differs from Felix': health is on, because it listens on the
 * loopback only and everybody who starts a node asks it.
 */
import { parseGoDuration } from "../base/go-duration.ts";
import type { FelixConfigurationSpec } from "../model/felix-fields.ts";

/** Where a server of the node listens; undefined: nowhere. */
export interface ListenAddress {
  readonly hostname: string;
  readonly port: number;
}

export interface AgentSettings {
  /** 0: the process says nothing of itself in the store. */
  readonly reportingIntervalMs: number;
  readonly reportingTtlSeconds: number;
  readonly endpointReporting: boolean;
  readonly endpointReportingDelayMs: number;
  /** undefined: no status files. */
  readonly endpointStatusDirectory: string | undefined;
  /** Undefined: none. */
  readonly region: string | undefined;
  readonly health: ListenAddress | undefined;
  readonly metrics: ListenAddress | undefined;
  readonly processMetrics: boolean;
  /** By component of the health table, in milliseconds; 0: none. */
  readonly healthTimeoutsMs: ReadonlyMap<string, number>;
  readonly logLevel: string;
}

const watchdogLeastMs = 20_000;

export function agentSettings(spec: FelixConfigurationSpec): AgentSettings {
  const prefix = spec.endpointStatusPathPrefix ?? "/var/run/calico";
  const timeouts = (spec.healthTimeoutOverrides ?? []).flatMap(({ name, timeout }) => {
    const ms = durationMs(timeout);
    return ms === undefined ? [] : [[componentNames[name] ?? name, ms] as const];
  });
  const watchdog = Math.max(watchdogLeastMs, durationMs(spec.dataplaneWatchdogTimeout) ?? 90_000);
  return {
    reportingIntervalMs: durationMs(spec.reportingInterval) ?? 30_000,
    reportingTtlSeconds: Math.max(1, Math.round((durationMs(spec.reportingTTL) ?? 90_000) / 1_000)),
    endpointReporting: spec.endpointReportingEnabled ?? false,
    endpointReportingDelayMs: durationMs(spec.endpointReportingDelay) ?? 1_000,
    endpointStatusDirectory: prefix === "" ? undefined : `${prefix.replace(/\/+$/, "")}/endpoint-status`,
    region: spec.openstackRegion || undefined,
    health:
      spec.healthEnabled === false
        ? undefined
        : { hostname: listenOn(spec.healthHost, "127.0.0.1"), port: spec.healthPort ?? 9099 },
    metrics:
      spec.prometheusMetricsEnabled === true
        ? { hostname: listenOn(spec.prometheusMetricsHost, "0.0.0.0"), port: spec.prometheusMetricsPort ?? 9091 }
        : undefined,
    processMetrics: spec.prometheusProcessMetricsEnabled ?? true,
    healthTimeoutsMs: new Map([["Dataplane", watchdog], ...timeouts]),
    logLevel: spec.logSeverityScreen ?? "Info",
  };
}

/** Felix' names of the parts that have others here. */
const componentNames: Readonly<Record<string, string>> = {
  FelixStartup: "NodeStartup",
  InternalDataplaneMainLoop: "Dataplane",
};

function listenOn(host: string | undefined, otherwise: string): string {
  if (host === undefined || host === "") return otherwise;
  return host === "localhost" ? "127.0.0.1" : host;
}

function durationMs(text: string | undefined): number | undefined {
  const ms = parseGoDuration(text);
  return ms === undefined ? undefined : Math.max(0, ms);
}
