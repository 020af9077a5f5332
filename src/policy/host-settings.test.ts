/** Which FelixConfiguration counts for a host, field by field. */

import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../base/addresses.ts";
import { readFelixConfiguration, withWriteDefaults } from "../model/felix-configuration.ts";
import { builtInSettings, effectiveSettings } from "./host-settings.ts";
import { PolicyCalculator } from "./policy-calculator.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import { clusterInformation, type Documents, felixConfiguration } from "./testing/cluster-documents.ts";

function read(name: string, spec: Record<string, unknown>, creationTimestamp = "2026-06-01T10:00:00Z") {
  const document = {
    kind: "FelixConfiguration",
    apiVersion: "projectcalico.org/v3",
    metadata: { name, creationTimestamp },
    spec,
  };
  return [name, readFelixConfiguration(JSON.stringify(document))] as const;
}

test("without any object the built-in values count", () => {
  const { settings, sourceSpoofing } = effectiveSettings("h1", new Map(), {});
  expect(settings).toEqual(builtInSettings);
  expect(sourceSpoofing).toBe(false);
  expect(settings.failsafeInbound.map(({ protocol, port }) => `${protocol}/${port}`).join(" ")).toBe(
    "6/22 17/68 6/179 6/2379 6/2380 6/5473 6/6443 6/6666 6/6667",
  );
  expect(settings.failsafeOutbound.map(({ protocol, port }) => `${protocol}/${port}`).join(" ")).toBe(
    "17/53 17/67 6/179 6/2379 6/2380 6/5473 6/6443 6/6666 6/6667",
  );
});

test("the nearer object wins, field by field; of several selected ones the oldest", () => {
  const configurations = new Map([
    read("default", { logPrefix: "global", defaultEndpointToHostAction: "Accept", interfacePrefix: "cali,tap" }),
    read("young", { logPrefix: "young", nodeSelector: "rack == 'r1'" }, "2026-06-03T10:00:00Z"),
    read("old", { defaultEndpointToHostAction: "Drop", nodeSelector: "rack == 'r1'" }, "2026-06-02T10:00:00Z"),
    read("others", { logPrefix: "others", nodeSelector: "rack == 'r2'" }),
    read("node.h1", { defaultEndpointToHostAction: "Return", workloadSourceSpoofing: "Any" }),
  ]);
  const here = effectiveSettings("h1", configurations, { rack: "r1" });
  expect(here.settings).toMatchObject({
    endpointToHost: "return",
    logPrefix: "global",
    interfacePrefixes: ["cali", "tap"],
  });
  expect(here.sourceSpoofing).toBe(true);
  const there = effectiveSettings("h2", configurations, { rack: "r1" });
  expect(there.settings).toMatchObject({ endpointToHost: "drop", logPrefix: "global" });
  expect(there.sourceSpoofing).toBe(false);
});

test("each setting is read", () => {
  const net = parseCidr("10.0.0.0/8");
  const configurations = new Map([
    read("default", {
      nftablesFilterAllowAction: "Return",
      iptablesFilterDenyAction: "Reject",
      failsafeInboundHostPorts: [{ protocol: "tcp", port: 2222, net: "10.0.0.0/8" }],
      failsafeOutboundHostPorts: [],
      disableConntrackInvalidCheck: true,
      allowVXLANPacketsFromWorkloads: true,
      allowIPIPPacketsFromWorkloads: true,
      natOutgoingAddress: "192.0.2.1",
      natPortRange: "1000:2000",
      natOutgoingExclusions: "IPPoolsAndHostIPs",
      externalNodesList: ["198.51.100.0/24"],
      logActionRateLimit: "100/minute",
      logActionRateLimitBurst: 20,
      removeExternalRoutes: false,
      deviceRouteSourceAddress: "192.0.2.2",
    }),
  ]);
  expect(effectiveSettings("h1", configurations, {}).settings).toMatchObject({
    allowAction: "return",
    denyAction: "reject",
    failsafeInbound: [{ protocol: 6, port: 2222, net }],
    failsafeOutbound: [],
    dropInvalid: false,
    allowVxlanFromWorkloads: true,
    allowIpipFromWorkloads: true,
    natOutgoingAddress: parseIpAddress("192.0.2.1"),
    natPortRange: { first: 1000, last: 2000 },
    natExcludesHosts: true,
    externalHosts: [parseCidr("198.51.100.0/24")],
    logLimit: { count: 100, per: "minute", burst: 20 },
    removeExternalRoutes: false,
    routeSource: { ipv4: parseIpAddress("192.0.2.2"), ipv6: undefined },
  });
});

test("a wrong field counts as not given and is named", () => {
  const wrong = {
    defaultEndpointToHostAction: "drop",
    natOutgoingAddress: "fd00::1",
    nodeSelector: "has(",
    reportingInterval: "30",
    failsafeInboundHostPorts: [{ protocol: "icmp", port: 1 }],
    logPrefix: "fine",
  };
  const [name, configuration] = read("default", wrong);
  expect(configuration.problems.map((problem) => problem.split(":")[0]).sort()).toEqual([
    "spec.defaultEndpointToHostAction",
    "spec.failsafeInboundHostPorts",
    "spec.natOutgoingAddress",
    "spec.nodeSelector",
    "spec.reportingInterval",
  ]);
  const { settings } = effectiveSettings("h1", new Map([[name, configuration]]), {});
  expect(settings).toEqual({ ...builtInSettings, logPrefix: "fine" });
});

test("a write fills in what agents of other makes heed", () => {
  expect(withWriteDefaults({ logSeverityScreen: "Info" })).toEqual({
    logSeverityScreen: "Info",
    nftablesMode: "Auto",
    floatingIPs: "Disabled",
    bpfLogLevel: "",
    bpfConnectTimeLoadBalancing: "TCP",
    bpfHostNetworkedNATWithoutCTLB: "Enabled",
  });
  expect(withWriteDefaults({ bpfConnectTimeLoadBalancingEnabled: false })).toMatchObject({
    bpfConnectTimeLoadBalancing: "Disabled",
    bpfHostNetworkedNATWithoutCTLB: "Disabled",
  });
});

const defaults = { host: "127.0.0.1", port: 8775 };
const clouds: readonly [
  name: string,
  spec: Record<string, unknown>,
  clusterType: string | undefined,
  openStack: ReturnType<typeof effectiveSettings>["settings"]["openStack"],
][] = [
  ["no type", {}, undefined, undefined],
  ["another type", { metadataAddr: "10.0.0.1", metadataPort: 80 }, "margay,bgp", undefined],
  ["the cluster's type", {}, "margay,OpenStack", { metadata: defaults }],
  ["the configured type wins over the cluster's", { clusterType: "k8s" }, "openstack", undefined],
  ["the configured type", { clusterType: "my-OPENSTACK-cloud" }, undefined, { metadata: defaults }],
  ["interfaces of its older plug-in", { interfacePrefix: "cali,tap" }, undefined, { metadata: defaults }],
  ["interfaces that only begin so", { interfacePrefix: "tapestry" }, undefined, undefined],
  [
    "another service",
    { metadataAddr: "metadata.example", metadataPort: 80 },
    "openstack",
    { metadata: { host: "metadata.example", port: 80 } },
  ],
  ["no service", { metadataAddr: "none" }, "openstack", { metadata: undefined }],
  ["no service, as Felix' file says it", { metadataAddr: "" }, "openstack", { metadata: undefined }],
  ["no port", { metadataPort: 0 }, "openstack", { metadata: undefined }],
  ["an address that is none counts as not given", { metadataAddr: "1.2.3" }, "openstack", { metadata: defaults }],
];
for (const [name, spec, clusterType, expected] of clouds)
  test(`OpenStack: ${name}`, () => {
    const { settings } = effectiveSettings("h1", new Map([read("default", spec)]), {}, [], clusterType);
    expect(settings.openStack).toEqual(expected as never);
  });

const onlyOf = (documents: Documents) => Object.entries(documents)[0] ?? ["", ""];

test("the cluster becomes an OpenStack, and stops to be one, while the host runs", () => {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  const told = (key: string, value: string | undefined) => {
    calculator.update(key, value);
    calculator.flush();
    return sink.settings?.openStack;
  };
  calculator.inSync();
  const [key, openStack] = onlyOf(clusterInformation("openstack,margay"));
  const [, other] = onlyOf(clusterInformation("margay"));
  expect(told(key, openStack)).toEqual({ metadata: defaults });
  expect(told(key, other)).toBeUndefined();
  expect(told(key, openStack)).toEqual({ metadata: defaults });
  // What cannot be read is as if it were not there: closed, and named.
  expect(told(key, "{")).toBeUndefined();
  expect([...calculator.invalid.keys()]).toEqual([key]);
  const [own, metadata] = onlyOf(felixConfiguration("node.h1", { metadataAddr: "10.0.0.9" }));
  told(key, openStack);
  expect(told(own, metadata)).toEqual({ metadata: { host: "10.0.0.9", port: 8775 } });
  expect(told(key, undefined)).toBeUndefined();
});
