/** Felix' settings of environment and file: which wins, what is fatal, what names the datastore. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFelixConfiguration } from "../../model/felix-configuration.ts";
import { effectiveSettings } from "../../policy/host-settings.ts";
import { agentSettings } from "../agent-settings.ts";
import type { Environment } from "./environment-words.ts";
import { readFelixSettings, withFelixNames } from "./felix-local-settings.ts";

function withFile<Result>(text: string, work: (file: string) => Result): Result {
  const directory = mkdtempSync(join(tmpdir(), "margay-felix-"));
  try {
    const file = join(directory, "felix.cfg");
    writeFileSync(file, text);
    return work(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const noFile = "/nonexistent/felix.cfg";

function stored(name: string, spec: Record<string, unknown>) {
  const metadata = { name };
  const document = { kind: "FelixConfiguration", apiVersion: "projectcalico.org/v3", metadata, spec };
  return [name, readFelixConfiguration(JSON.stringify(document))] as const;
}

describe("precedence", () => {
  const configurations = new Map([
    stored("default", { logPrefix: "default", reportingInterval: "1s", healthPort: 1, natPortRange: "1:2" }),
    stored("node.h", { logPrefix: "node", reportingInterval: "2s", healthPort: 2 }),
  ]);
  const effective = (env: Environment, text: string) =>
    withFile(text, (file) => effectiveSettings("h", configurations, {}, readFelixSettings(env, file).layers).spec);

  test("environment over file over the host's object over the global one", () => {
    const spec = effective(
      { FELIX_LOGPREFIX: "environment", felix_LogSeverityScreen: "DEBUG" },
      "[global]\nLogPrefix = file\nReportingIntervalSecs = 3\n# comment\n; comment\n[other]\nMetadataAddr = None\n",
    );
    expect(spec).toMatchObject({
      logPrefix: "environment",
      reportingInterval: "3s",
      healthPort: 2,
      natPortRange: "1:2",
      logSeverityScreen: "Debug",
      metadataAddr: "",
    });
  });

  test("what cannot be read has its built-in value, whatever is said below", () => {
    const spec = effective({ FELIX_HEALTHPORT: "many" }, "HealthPort: 7\n");
    expect(agentSettings(spec).health).toEqual({ hostname: "127.0.0.1", port: 9099 });
  });

  test("packets obey it as the agent does", () => {
    const { layers } = readFelixSettings({ FELIX_DEFAULTENDPOINTTOHOSTACTION: "ACCEPT" }, noFile);
    const own = new Map([stored("node.h", { defaultEndpointToHostAction: "Drop" })]);
    expect(effectiveSettings("h", own, {}, layers).settings.endpointToHost).toBe("accept");
  });
});

test("problems say where they are; what Felix would not start with is refused", () => {
  withFile("HealthPort = x\nNonsense = 1\n", (file) => {
    expect(readFelixSettings({ FELIX_NATPORTRANGE: "x" }, file).problems).toEqual([
      `${file}: healthport: "x" cannot be read`,
      `${file}: nonsense: is not known`,
      expect.stringContaining('environment: natportrange: "x" '),
    ]);
  });
  expect(() => readFelixSettings({ FELIX_CHAININSERTMODE: "sideways" }, noFile)).toThrow(
    'environment: chaininsertmode: "sideways" must be insert or append',
  );
  withFile("nothing at all here", (file) => {
    expect(() => readFelixSettings({}, file)).toThrow(`${file}:1: "nothing at all here" sets nothing`);
  });
});

test("Felix' names of host and datastore are known under the usual ones, which win", () => {
  withFile("EtcdEndpoints = http://10.0.0.1:2379\nFelixHostname = h1\n", (file) => {
    const env = withFelixNames({ FELIX_FELIXHOSTNAME: "h2" }, file);
    expect(env).toMatchObject({ NODENAME: "h2", ETCD_ENDPOINTS: "http://10.0.0.1:2379" });
    expect(withFelixNames({ ETCD_ENDPOINTS: "http://10.0.0.2:2379" }, file)).toMatchObject({
      ETCD_ENDPOINTS: "http://10.0.0.2:2379",
      NODENAME: "h1",
    });
  });
});

describe("what the configuration says to the agent", () => {
  test("built in", () => {
    expect(agentSettings({})).toEqual({
      reportingIntervalMs: 30_000,
      reportingTtlSeconds: 90,
      endpointReporting: false,
      endpointReportingDelayMs: 1_000,
      endpointStatusDirectory: "/var/run/calico/endpoint-status",
      region: undefined,
      health: { hostname: "127.0.0.1", port: 9099 },
      metrics: undefined,
      processMetrics: true,
      healthTimeoutsMs: new Map([["Dataplane", 90_000]]),
      logLevel: "Info",
    });
  });

  test("each setting", () => {
    expect(
      agentSettings({
        reportingInterval: "0s",
        reportingTTL: "2m",
        endpointReportingEnabled: true,
        endpointReportingDelay: "500ms",
        endpointStatusPathPrefix: "/run/x/",
        openstackRegion: "europe",
        healthEnabled: false,
        prometheusMetricsEnabled: true,
        prometheusMetricsHost: "localhost",
        prometheusMetricsPort: 9191,
        prometheusProcessMetricsEnabled: false,
        dataplaneWatchdogTimeout: "5s",
        healthTimeoutOverrides: [
          { name: "FelixStartup", timeout: "10s" },
          { name: "Datastore", timeout: "1m" },
          { name: "Bad", timeout: "soon" },
        ],
        logSeverityScreen: "Warning",
      }),
    ).toEqual({
      reportingIntervalMs: 0,
      reportingTtlSeconds: 120,
      endpointReporting: true,
      endpointReportingDelayMs: 500,
      endpointStatusDirectory: "/run/x/endpoint-status",
      region: "europe",
      health: undefined,
      metrics: { hostname: "127.0.0.1", port: 9191 },
      processMetrics: false,
      healthTimeoutsMs: new Map([
        ["Dataplane", 20_000],
        ["NodeStartup", 10_000],
        ["Datastore", 60_000],
      ]),
      logLevel: "Warning",
    });
    expect(agentSettings({ endpointStatusPathPrefix: "" }).endpointStatusDirectory).toBeUndefined();
  });
});
