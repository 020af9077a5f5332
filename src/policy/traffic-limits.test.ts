/** qosControls of an endpoint: what they mean on its host, and what is refused. */
import { expect, test } from "bun:test";
import { PolicyCalculator } from "./policy-calculator.ts";
import { CheckingSink } from "./testing/checking-sink.ts";
import { endpoint, hostEndpoint, network } from "./testing/cluster-documents.ts";
import { endpointLimits } from "./traffic-limits.ts";

const cases: readonly [name: string, controls: Parameters<typeof endpointLimits>[0], expected: unknown][] = [
  ["none", undefined, undefined],
  ["nothing in it", {}, undefined],
  ["0 is no limit", { ingressBandwidth: 0, egressPacketRate: 0, ingressMaxConnections: 0 }, undefined],
  [
    "defaults of bursts",
    { ingressPacketRate: 100, egressBandwidth: 8_000_000 },
    {
      inbound: { packets: { perSecond: 100, burst: 5 } },
      outbound: { bandwidth: { bitsPerSecond: 8_000_000, burstBits: 4_294_967_296 } },
    },
  ],
  [
    "everything given",
    {
      egressPacketRate: 10,
      egressPacketBurst: 20,
      egressMaxConnections: 30,
      egressBandwidth: 1_000,
      egressBurst: 2_000,
      egressPeakrate: 4_000,
      egressMinburst: 5_000,
    },
    {
      outbound: {
        packets: { perSecond: 10, burst: 20 },
        connections: 30,
        bandwidth: { bitsPerSecond: 1_000, burstBits: 2_000, peakBitsPerSecond: 4_000, minBurstBytes: 5_000 },
      },
    },
  ],
  ["a burst without a rate", { ingressBurst: 2_000, ingressPacketBurst: 7 }, undefined],
];
for (const [name, controls, expected] of cases)
  test(`49: qosControls: ${name}`, () => expect(endpointLimits(controls)).toEqual(expected as never));

/** What this host enforces on the endpoint with these qosControls, and why it does not know it. */
function enforced(qosControls: Record<string, unknown>, profiles = ["red"]) {
  const sink = new CheckingSink();
  const calculator = new PolicyCalculator({ host: "h1", sink });
  const documents = { ...network("red"), ...endpoint("a", "10.0.0.1", { profiles }) };
  for (const [key, value] of Object.entries(documents)) {
    const document = JSON.parse(value);
    if (document.kind === "WorkloadEndpoint") document.spec.qosControls = qosControls;
    calculator.update(key, JSON.stringify(document));
  }
  calculator.inSync();
  calculator.flush();
  return { told: [...sink.endpoints.values()][0], invalid: [...calculator.invalid.values()] };
}

test("49: limits are told with the endpoint; a closed one has none", () => {
  expect(enforced({ ingressMaxConnections: 7 }).told?.limits).toEqual({ inbound: { connections: 7 } });
  expect(enforced({}).told).not.toHaveProperty("limits");
  const closed = enforced({ ingressMaxConnections: 7 }, ["gone"]).told;
  expect(closed?.problems).toEqual(["profile gone does not exist"]);
  expect(closed).not.toHaveProperty("limits");
});

test("dscp is told with the endpoint by its number; a closed one has none", () => {
  expect(enforced({ dscp: "AF31" }).told?.dscp).toBe(26);
  expect(enforced({ dscp: 0 }).told?.dscp).toBe(0);
  expect(enforced({}).told).not.toHaveProperty("dscp");
  expect(enforced({ dscp: 46 }, ["gone"]).told).not.toHaveProperty("dscp");
});

test("dscp of a host endpoint is its annotation; one that cannot be read counts as not given", () => {
  const told = (annotations: Record<string, string>) => {
    const sink = new CheckingSink();
    const calculator = new PolicyCalculator({ host: "h1", sink });
    for (const [key, value] of Object.entries(hostEndpoint("eth0", { node: "h1", interfaceName: "eth0" }))) {
      const document = JSON.parse(value);
      document.metadata.annotations = annotations;
      calculator.update(key, JSON.stringify(document));
    }
    calculator.inSync();
    calculator.flush();
    return [...sink.hostEndpoints.values()][0];
  };
  expect(told({ "qos.projectcalico.org/dscp": "CS1" })?.dscp).toBe(8);
  expect(told({ "qos.projectcalico.org/dscp": "fast" })?.problems).toEqual([]);
  expect(told({ "qos.projectcalico.org/dscp": "fast" })).not.toHaveProperty("dscp");
  expect(told({})).not.toHaveProperty("dscp");
});

for (const [field, value] of [
  ["dscp", 64],
  ["dscp", "AF14"],
  ["dscp", true],
  ["ingressBandwidth", 999],
  ["egressBandwidth", 1e15 + 1],
  ["egressBurst", 34_359_738_361],
  ["ingressPeakrate", 1_009],
  ["ingressMinburst", 999],
  ["ingressPacketRate", 10_001],
  ["egressPacketBurst", -1],
  ["egressMaxConnections", 4_294_967_296],
  ["ingressPacketRate", 1.5],
  ["ingressPacketRate", "100"],
] as const)
  test(`49: ${field} ${JSON.stringify(value)} is refused by name, and its endpoint stays unknown`, () => {
    const { told, invalid } = enforced({ [field]: value });
    expect(told).toBeUndefined();
    expect(invalid).toEqual([expect.stringContaining(`spec.qosControls.${field}`)]);
  });
