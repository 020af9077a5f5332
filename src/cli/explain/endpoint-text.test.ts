/** What applies to a host's own interface, as it is printed. */
import { expect, test } from "bun:test";
import { readCluster } from "../../policy/explain/cluster-model.ts";
import { explainHostEndpoint } from "../../policy/explain/endpoint.ts";
import {
  felixConfiguration,
  globalPolicy,
  hostEndpoint,
  node,
  profile,
} from "../../policy/testing/cluster-documents.ts";
import { hostEndpointText } from "./endpoint-text.ts";

const base = {
  ...node("h1", "172.31.0.1/24"),
  ...felixConfiguration("default", {
    failsafeInboundHostPorts: [{ protocol: "TCP", port: 22, net: "10.0.0.0/8" }],
    failsafeOutboundHostPorts: [],
  }),
  ...profile("open", { ingress: [{ action: "Allow" }], egress: [] }),
  ...globalPolicy("web", {
    selector: "has(edge)",
    applyOnForward: true,
    types: ["Ingress"],
    ingress: [{ action: "Deny" }],
  }),
  ...globalPolicy("early", {
    selector: "has(edge)",
    applyOnForward: true,
    preDNAT: true,
    ingress: [{ action: "Allow" }],
  }),
};

function printed(spec: object): string {
  const document = hostEndpoint("h1-eth0", { node: "h1", ...spec }, { edge: "" });
  const model = readCluster(Object.entries({ ...base, ...document }));
  const [endpoint] = model.hostEndpoints.values();
  if (endpoint === undefined) throw new Error("there is one");
  return hostEndpointText(explainHostEndpoint(model, endpoint));
}

test("each place where it is asked stands by itself, with its end", () => {
  expect(
    printed({ interfaceName: "*", profiles: ["open"] }),
  ).toBe(`OPEN to what its policies and profiles allow: host endpoint h1-eth0 on h1

name          h1-eth0
host          h1
interface     all that no other host endpoint is for
failsafe in   tcp/22 with 10.0.0.0/8
failsafe out  none

labels
  edge  = ""  from itself

inbound, before DNAT (preDNAT)
  tier default (does not exist), ends in pass
    policy early, selects it by has(edge)
      1  allow
  the end: goes on

inbound, what the host forwards (applyOnForward)
  tier default (does not exist), ends in deny
    policy web, selects it by has(edge)
      1  deny
  the end: goes on

outbound, what the host forwards (applyOnForward)
  the end: goes on

inbound, what the host itself receives or sends
  tier default (does not exist), ends in deny
    policy web, selects it by has(edge)
      1  deny
  profile open
    1  allow
  the end: deny

outbound, what the host itself receives or sends
  profile open
    no rules
  the end: deny
`);
});

test("one that is closed says why first", () => {
  const lines = printed({ expectedIPs: ["172.31.0.1"], profiles: ["gone"] }).split("\n");
  expect(lines.slice(0, 2)).toEqual([
    "CLOSED but for failsafe ports: host endpoint h1-eth0 on h1",
    "  problem: profile gone does not exist",
  ]);
  expect(lines).toContain("interface     by address");
  expect(lines).toContain("address       172.31.0.1");
});
