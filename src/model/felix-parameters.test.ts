/** Felix' raw parameters: what each kind of text means, and what happens to one that means nothing. */
import { expect, test } from "bun:test";
import { readFelixConfiguration } from "./felix-configuration.ts";
import { felixFieldNames, felixFields } from "./felix-fields.ts";
import { readRawParameters } from "./felix-parameters.ts";

const read: readonly [name: string, text: string, field: string, value: unknown][] = [
  ["ReportingIntervalSecs", "0", "reportingInterval", "0s"],
  ["reportingintervalsecs", "1.5", "reportingInterval", "1.5s"],
  ["ReportingInterval", "30", "reportingInterval", "30s"],
  ["REPORTINGTTLSECS", "120", "reportingTTL", "120s"],
  ["IptablesLockProbeIntervalMillis", "50", "iptablesLockProbeInterval", "50ms"],
  ["RouteRefreshInterval", "90", "routeRefreshInterval", "90s"],
  ["DEFAULTENDPOINTTOHOSTACTION", "RETURN", "defaultEndpointToHostAction", "Return"],
  ["ChainInsertMode", "APPEND", "chainInsertMode", "APPEND"],
  ["LogSeverityScreen", "warning", "logSeverityScreen", "Warning"],
  ["HealthEnabled", "true", "healthEnabled", true],
  ["HealthEnabled", "YES", "healthEnabled", true],
  ["HealthEnabled", "1", "healthEnabled", true],
  ["HealthEnabled", "f", "healthEnabled", false],
  ["Ipv6Support", "No", "ipv6Support", false],
  ["HealthPort", "19099", "healthPort", 19099],
  ["IptablesMarkMask", "0xffff0000", "iptablesMarkMask", 0xffff0000],
  ["FailsafeInboundHostPorts", "none", "failsafeInboundHostPorts", []],
  [
    "FailsafeInboundHostPorts",
    "22, udp:68,tcp:10.0.0.0/8:2379,tcp:[fd00::/8]:53",
    "failsafeInboundHostPorts",
    [
      { protocol: "tcp", port: 22 },
      { protocol: "udp", port: 68 },
      { protocol: "tcp", port: 2379, net: "10.0.0.0/8" },
      { protocol: "tcp", port: 53, net: "fd00::/8" },
    ],
  ],
  ["ExternalNodesCIDRList", "10.0.0.1,10.1.0.0/16", "externalNodesList", ["10.0.0.1", "10.1.0.0/16"]],
  [
    "RouteTableRanges",
    "1-250,300-400",
    "routeTableRanges",
    [
      { min: 1, max: 250 },
      { min: 300, max: 400 },
    ],
  ],
  ["HealthTimeoutOverrides", "Dataplane=30s", "healthTimeoutOverrides", [{ name: "Dataplane", timeout: "30s" }]],
  ["EndpointStatusPathPrefix", "none", "endpointStatusPathPrefix", ""],
  ["LogFilePath", "None", "logFilePath", ""],
  ["PrometheusMetricsEnabled", "none", "prometheusMetricsEnabled", false],
  ["LogPrefix", " calico: ", "logPrefix", "calico:"],
  ["ClusterType", "openstack,bgp", "clusterType", "openstack,bgp"],
  ["MetadataAddr", "None", "metadataAddr", ""],
  ["MetadataAddr", "metadata_1.example", "metadataAddr", "metadata_1.example"],
  ["MetadataPort", "none", "metadataPort", 0],
];
for (const [name, text, field, value] of read) {
  test(`${name}=${text}`, () => {
    const { spec, problems, fatal } = readRawParameters(new Map([[name, text]]));
    expect([spec[field], problems, fatal]).toEqual([value, [], []]);
  });
}

const builtIn: readonly [name: string, text: string, problem: string][] = [
  ["ReportingIntervalSecs", "30s", 'ReportingIntervalSecs: "30s" cannot be read'],
  ["HealthEnabled", "maybe", 'HealthEnabled: "maybe" cannot be read'],
  ["HealthPort", "70000", 'HealthPort: "70000" '],
  ["HealthPort", "", 'HealthPort: "" cannot be read'],
  ["NATPortRange", "a:b", 'NATPortRange: "a:b" '],
  ["LogSeverityScreen", "loud", 'LogSeverityScreen: "loud" cannot be read'],
  ["MaxIpsetSize", "none", 'MaxIpsetSize: "none" is no value for it'],
];
for (const [name, text, problem] of builtIn) {
  test(`${name}=${text} is as if built in, whatever a weaker source says`, () => {
    const { spec, problems, fatal } = readRawParameters(new Map([[name, text]]));
    const [field] = Object.keys(spec);
    expect(field?.toLowerCase()).toBe(name.toLowerCase().replace(/secs$/, ""));
    expect(Object.values(spec)).toEqual([undefined]);
    expect({ ...{ [field ?? ""]: "weaker" }, ...spec }).toEqual({ [field ?? ""]: undefined });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(problem);
    expect(fatal).toEqual([]);
  });
}

const fatal: readonly [name: string, text: string][] = [
  ["InterfacePrefix", "none"],
  ["InterfacePrefix", "a/b"],
  ["DefaultEndpointToHostAction", "PASS"],
  ["ChainInsertMode", "prepend"],
  ["FailsafeInboundHostPorts", "tcp:ssh"],
  ["FailsafeOutboundHostPorts", "icmp:1"],
  ["IptablesFilterAllowAction", "DROP"],
  ["NftablesFilterDenyAction", "ACCEPT"],
  ["MetadataPort", "x"],
  ["MetadataAddr", "1.2.3"],
  ["MetadataAddr", "fd00::1"],
  ["MetadataAddr", "a b"],
  ["OpenstackRegion", "a/b"],
  ["IptablesMarkMask", "red"],
];
for (const [name, text] of fatal) {
  test(`an agent must not start with ${name}=${text}`, () => {
    const result = readRawParameters(new Map([[name, text]]));
    expect(result.problems).toEqual([]);
    expect(result.fatal).toHaveLength(1);
    expect(result.fatal[0]).toStartWith(`${name}: "${text}"`);
  });
}

test("an unknown parameter is named, one that is read elsewhere is not", () => {
  const { problems } = readRawParameters(
    new Map([
      ["Nonsense", "1"],
      ["EtcdEndpoints", "http://10.0.0.1:2379"],
    ]),
  );
  expect(problems).toEqual(["Nonsense: is not known"]);
});

test("an annotation of the object sets a raw parameter", () => {
  const { spec, problems } = readFelixConfiguration(
    JSON.stringify({
      kind: "FelixConfiguration",
      apiVersion: "projectcalico.org/v3",
      metadata: {
        name: "default",
        annotations: {
          "config.projectcalico.org/ReportingIntervalSecs": "7",
          "config.projectcalico.org/HealthPort": "many",
          other: "x",
        },
      },
      spec: { reportingInterval: "30s", healthPort: 1 },
    }),
  );
  expect(spec).toEqual({ reportingInterval: "7s", healthPort: undefined });
  expect(problems).toEqual(['HealthPort: "many" cannot be read']);
});

test("every field can be said in a raw text, unless it is for objects only", () => {
  const said = ["1", "true", "Auto", "Enabled", "Drop", "Info", "10.0.0.0/8", "1.2.3.4", "fd00::1", "a", "1-2", "a=1s"];
  const more = [
    "append",
    "Return",
    "Accept",
    "tcp:1",
    "1:2",
    "1/second",
    "IPPoolsOnly",
    "Any",
    "CalicoIPAM",
    "TCP",
    "DoNothing",
  ];
  const unsaid = felixFieldNames.filter((name) => {
    const { raw, schema } = felixFields[name];
    return ![...said, ...more].some((text) => {
      const value = raw.read(text);
      return value !== undefined && schema.safeParse(value).success;
    });
  });
  expect(unsaid).toEqual(["nodeSelector"]);
});
