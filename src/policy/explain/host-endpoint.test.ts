/** What explain says where a host's own interfaces stand under policy. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import { type Documents, felixConfiguration, globalPolicy, hostEndpoint, pool } from "../testing/cluster-documents.ts";
import { addresses, explainBetween, hosts, members, type Name, open } from "../testing/two-hosts.ts";
import { readCluster } from "./cluster-model.ts";
import { explainHostEndpoint } from "./endpoint.ts";
import type { ModelFlow } from "./flow.ts";
import type { HostView } from "./host-endpoint.ts";

/** All open; h1 has an interface eth0 with its address, and eth1. */
const base: Documents = { ...hosts, ...open, ...members(["open"]) };
const view: HostView = {
  inInterface: "eth0",
  outInterface: "eth0",
  interfaceOf: new Map([
    [parseIpAddress(addresses.h1), "eth0"],
    [parseIpAddress("203.0.113.1"), "eth1"],
  ]),
};

function explain(documents: Documents, from: Name, to: Name, port: string, sourcePort?: number): ModelFlow {
  const views = new Map([["h1", view]]);
  const more = sourcePort === undefined ? { views } : { views, sourcePort };
  return explainBetween({ ...base, ...documents }, [from, to], port, more);
}

const eth0 = (spec: object = {}) =>
  hostEndpoint("hep", { node: "h1", interfaceName: "eth0", ...spec }, { role: "host" });
const all = hostEndpoint("all", { node: "h1", interfaceName: "*" }, { role: "host" });
const ofHost = (name: string, spec: object) => globalPolicy(name, { selector: "role == 'host'", ...spec });
const tcp80 = { action: "Deny", protocol: "TCP", destination: { ports: [80] } };
const onForward = { applyOnForward: true };

const cases: readonly [
  name: string,
  documents: Documents,
  from: Name,
  to: Name,
  port: string,
  verdict: string,
  says: string,
][] = [
  ["without any host endpoint nothing is asked", {}, "outside", "h1", "tcp/80", "allowed", "nothing here filters it"],
  [
    "without policy and profile it is closed",
    eth0(),
    "outside",
    "h1",
    "tcp/80",
    "denied",
    "host endpoint hep (normal): the end",
  ],
  ["but for failsafe ports, in", eth0(), "outside", "h1", "tcp/22", "allowed", "hep (normal): failsafe port tcp/22"],
  ["and out", eth0(), "h1", "outside", "udp/53", "allowed", "failsafe port udp/53"],
  [
    "to which it does not speak else",
    eth0(),
    "h1",
    "outside",
    "tcp/80",
    "denied",
    "outbound denied by host endpoint hep",
  ],
  ["a profile opens it", eth0({ profiles: ["open"] }), "outside", "h1", "tcp/80", "allowed", "rule 1 of profile open"],
  [
    "failsafe ports can be bound to a peer",
    {
      ...eth0(),
      ...felixConfiguration("default", {
        failsafeInboundHostPorts: [{ protocol: "tcp", port: 22, net: "10.0.0.0/8" }],
      }),
    },
    "outside",
    "h1",
    "tcp/22",
    "denied",
    "hep (normal): the end",
  ],
  [
    "what is forwarded is no business of its normal policy",
    eth0(),
    "outside",
    "a",
    "tcp/80",
    "allowed",
    "profile open",
  ],
  [
    "policy on forwarding is asked, in",
    { ...eth0(), ...ofHost("p", { ...onForward, types: ["Ingress"], ingress: [tcp80, { action: "Allow" }] }) },
    "outside",
    "a",
    "tcp/80",
    "denied",
    "inbound denied by host endpoint hep (applyOnForward): rule 1 of policy p",
  ],
  [
    "and its failsafe ports do not count there",
    { ...eth0(), ...ofHost("p", { ...onForward, types: ["Ingress"], ingress: [] }) },
    "outside",
    "a",
    "tcp/22",
    "denied",
    "(applyOnForward): the end of tier default",
  ],
  [
    "and out",
    { ...all, ...ofHost("p", { ...onForward, types: ["Egress"], egress: [tcp80] }) },
    "a",
    "c",
    "tcp/80",
    "denied",
    "outbound denied by host endpoint all (applyOnForward): rule 1 of policy p",
  ],
  [
    "not between containers of the host",
    { ...all, ...ofHost("p", { ...onForward, egress: [{ action: "Deny" }], ingress: [{ action: "Deny" }] }) },
    "a",
    "b",
    "tcp/80",
    "allowed",
    "profile open",
  ],
  [
    "the host always reaches its own",
    { ...all, ...ofHost("p", { egress: [{ action: "Deny" }] }) },
    "h1",
    "a",
    "tcp/80",
    "allowed",
    "a host may always",
  ],
  [
    "a container reaches its host past them",
    { ...all, ...felixConfiguration("default", { defaultEndpointToHostAction: "Return" }) },
    "a",
    "h1",
    "tcp/80",
    "allowed",
    "profile open",
  ],
  [
    "policy before DNAT may say no",
    { ...eth0({ profiles: ["open"] }), ...ofHost("p", { ...onForward, preDNAT: true, ingress: [tcp80] }) },
    "outside",
    "h1",
    "tcp/80",
    "denied",
    "host endpoint hep (preDNAT): rule 1 of policy p",
  ],
  [
    "does not say no at its end",
    { ...eth0({ profiles: ["open"] }), ...ofHost("p", { ...onForward, preDNAT: true, ingress: [tcp80] }) },
    "outside",
    "h1",
    "tcp/81",
    "allowed",
    "hep (preDNAT): the end: none of its policies says no",
  ],
  [
    "and its yes is the last word",
    {
      ...eth0(),
      ...ofHost("p", { ...onForward, preDNAT: true, ingress: [{ action: "Allow" }] }),
      ...ofHost("q", { ...onForward, ingress: [{ action: "Deny" }] }),
    },
    "outside",
    "a",
    "tcp/80",
    "allowed",
    "hep (preDNAT): rule 1 of policy p",
  ],
  [
    "so is that of policy without tracking",
    { ...eth0(), ...ofHost("p", { ...onForward, doNotTrack: true, ingress: [{ action: "Allow" }] }) },
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "hep (doNotTrack): rule 1 of policy p",
  ],
  [
    "which leaves failsafe ports to what follows",
    { ...eth0(), ...ofHost("p", { ...onForward, doNotTrack: true, ingress: [{ action: "Deny" }] }) },
    "outside",
    "h1",
    "tcp/22",
    "allowed",
    "hep (normal): failsafe port tcp/22",
  ],
  [
    "and is not for the endpoint of all others",
    { ...all, ...ofHost("p", { ...onForward, doNotTrack: true, ingress: [{ action: "Allow" }] }) },
    "outside",
    "h1",
    "tcp/80",
    "denied",
    "host endpoint all (normal): the end",
  ],
  [
    "one that is found by its address",
    hostEndpoint("by-address", { node: "h1", expectedIPs: [addresses.h1], profiles: ["open"] }),
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "host endpoint by-address (normal): rule 1 of profile open",
  ],
  [
    "one of another interface is not asked",
    hostEndpoint("other", { node: "h1", expectedIPs: ["203.0.113.1"] }),
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "none of its host endpoints is asked",
  ],
  [
    "its own goes before the one for all",
    { ...all, ...eth0({ profiles: ["open"] }) },
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "host endpoint hep",
  ],
  [
    "of two for one interface the smaller name",
    { ...eth0(), ...hostEndpoint("a-hep", { node: "h1", interfaceName: "eth0", profiles: ["open"] }) },
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "host endpoint a-hep",
  ],
  [
    "a missing profile closes it, to forwarding too",
    eth0({ profiles: ["gone"] }),
    "outside",
    "a",
    "tcp/80",
    "denied",
    "profile gone does not exist",
  ],
  [
    "but for failsafe ports",
    eth0({ profiles: ["gone"] }),
    "outside",
    "h1",
    "tcp/22",
    "allowed",
    "failsafe port tcp/22",
  ],
  [
    "another host's is none of this one's",
    hostEndpoint("far", { node: "h2", interfaceName: "eth0" }),
    "outside",
    "h1",
    "tcp/80",
    "allowed",
    "nothing here",
  ],
];
for (const [name, documents, from, to, port, verdict, says] of cases)
  test(`host endpoints: ${name}`, () => {
    const flow = explain(documents, from, to, port);
    expect([flow.verdict as string, flow.reason]).toEqual([verdict, expect.stringContaining(says)]);
  });

test("host endpoints: answers of failsafe ports pass the policy without tracking", () => {
  const documents = {
    ...eth0({ profiles: ["open"] }),
    ...ofHost("p", { ...onForward, doNotTrack: true, egress: [{ action: "Deny" }] }),
  };
  const flow = explain(documents, "h1", "outside", "tcp/50000", 22);
  expect([flow.verdict as string, flow.hosts[0]?.hostEndpoints?.[0]?.trace.decidedBy]).toEqual([
    "allowed",
    "failsafe port tcp/22",
  ]);
});

test("host endpoints: what is not tracked needs rules for its answers, and that is said", () => {
  const untracked = { ...onForward, doNotTrack: true, ingress: [{ action: "Allow", protocol: "TCP" }] };
  const documents = { ...eth0({ profiles: ["open"] }), ...ofHost("p", untracked) };
  expect(explain(documents, "outside", "h1", "tcp/80").notes.join()).toContain("h1 does not track it (doNotTrack)");
  expect(explain(documents, "outside", "h1", "udp/80").notes.join()).not.toContain("doNotTrack");
});

test("host endpoints: of a host that was not asked the interface is guessed, and that is said", () => {
  const flow = explain(hostEndpoint("far", { node: "h2", interfaceName: "bond0" }), "outside", "h2", "tcp/80");
  expect(flow.reason).toContain("host endpoint far (normal): the end");
  expect(flow.notes.join()).toContain("which interface of h2 it takes is not known");
});

test("a host endpoint's explanation tells what is asked at each place, and who comes first", () => {
  const documents = {
    ...base,
    ...eth0({ profiles: ["open"] }),
    ...hostEndpoint("a-hep", { node: "h1", interfaceName: "eth0" }),
    ...ofHost("p", { ...onForward, ingress: [{ action: "Allow" }] }),
    ...ofHost("q", { ...onForward, preDNAT: true, ingress: [tcp80] }),
    ...ofHost("r", {}),
  };
  const model = readCluster(Object.entries(documents));
  const hep = [...model.hostEndpoints.values()].find(({ name }) => name === "hep");
  if (hep === undefined) throw new Error("there is one");
  const explanation = explainHostEndpoint(model, hep);
  const byStage = explanation.stages.map(({ stage, tiers }) => [
    stage,
    tiers.flatMap(({ policies }) => policies.map(({ name }) => name)),
  ]);
  expect(byStage).toEqual([
    ["doNotTrack", []],
    ["preDNAT", ["q"]],
    ["applyOnForward", ["p"]],
    ["normal", ["p", "r"]],
  ]);
  expect(explanation.problems).toEqual([]);
  expect(explanation.warnings).toEqual(["a-hep is for the same interface and comes first"]);
  expect(explanation.failsafe.inbound[0]).toEqual({ protocol: 6, port: 22, net: undefined });
});

test("host endpoints: another host sees a container under its host's address, or its own where NAT excludes hosts", () => {
  const from = { nets: [`${addresses.a}/32`] };
  const documents = {
    ...pool("10.0.0.0/16", true),
    ...hostEndpoint("far", { node: "h2", interfaceName: "eth0" }, { role: "host" }),
    ...ofHost("p", { types: ["Ingress"], ingress: [{ action: "Allow", source: from }] }),
  };
  const translated = explain(documents, "a", "h2", "tcp/80");
  expect([translated.verdict as string, translated.notes.join()]).toEqual([
    "denied",
    expect.stringContaining("leaves as 172.31.0.1"),
  ]);
  const excluding = felixConfiguration("default", { natOutgoingExclusions: "IPPoolsAndHostIPs" });
  const asItIs = explain({ ...documents, ...excluding }, "a", "h2", "tcp/80");
  expect([asItIs.verdict as string, asItIs.reason]).toEqual(["allowed", expect.stringContaining("rule 1 of policy p")]);
});
