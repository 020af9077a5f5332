/** One small cluster per case: who reaches whom, and what explain says decided it. */
import { describe, expect, test } from "bun:test";
import { parseIpAddress } from "../../base/addresses.ts";
import {
  block,
  type Documents,
  endpoint,
  globalPolicy,
  network,
  networkSet,
  policy,
  profile,
  tier,
} from "../testing/cluster-documents.ts";
import { addresses, explainBetween, hosts, members, type Name, open } from "../testing/two-hosts.ts";
import { readCluster } from "./cluster-model.ts";
import { explainEndpoint } from "./endpoint.ts";
import { explainFlow, type ModelFlow, partyAt } from "./flow.ts";
import { packetOf, parseTraffic } from "./packet.ts";

const base: Documents = {
  ...hosts,
  ...open,
  ...members(["open"], { a: { role: "web" }, b: { role: "db" }, c: { role: "db" } }),
};

function explain(documents: Documents, from: Name, to: Name, port: string): ModelFlow {
  return explainBetween(documents, [from, to], port);
}

const deny = (spec: object) => globalPolicy("p", { selector: "role == 'db'", types: ["Ingress"], ...spec });
const cases: [name: string, documents: Documents, from: Name, to: Name, port: string, verdict: string, says: string][] =
  [
    ["a profile lets in", base, "a", "b", "tcp/80", "allowed", "inbound allowed by rule 1 of profile open"],
    [
      "across hosts both sides speak",
      base,
      "a",
      "c",
      "tcp/80",
      "allowed",
      "on h2: inbound allowed by rule 1 of profile open",
    ],
    [
      "no profile, no policy",
      { ...hosts, ...members([]) },
      "a",
      "b",
      "tcp/80",
      "denied",
      "outbound denied by the end: the endpoint has no policy and no profile",
    ],
    [
      "a network's members",
      { ...hosts, ...network("red"), ...members(["red"]) },
      "c",
      "a",
      "udp/53",
      "allowed",
      "profile red",
    ],
    [
      "not a network's strangers",
      { ...hosts, ...network("red"), ...members(["red"]) },
      "outside",
      "a",
      "udp/53",
      "denied",
      "the end: no policy or profile lets it pass",
    ],
    [
      "an unknown profile closes",
      { ...hosts, ...members(["gone"]) },
      "a",
      "b",
      "tcp/80",
      "denied",
      "profile gone does not exist",
    ],
    [
      "the end of a tier drops",
      { ...base, ...deny({ ingress: [] }) },
      "a",
      "b",
      "tcp/80",
      "denied",
      "the end of tier default",
    ],
    [
      "a policy's rule, over the profile",
      { ...base, ...deny({ ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80] } }] }) },
      "a",
      "b",
      "tcp/80",
      "allowed",
      "rule 1 of policy p in tier default",
    ],
    [
      "only the port it names",
      { ...base, ...deny({ ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: ["79:81"] } }] }) },
      "a",
      "b",
      "tcp/82",
      "denied",
      "the end of tier default",
    ],
    [
      "Log goes on to the next rule",
      {
        ...base,
        ...deny({
          ingress: [{ action: "Log" }, { action: "Deny", source: { selector: "role == 'web'" } }, { action: "Allow" }],
        }),
      },
      "a",
      "b",
      "tcp/80",
      "denied",
      "rule 2 of policy p",
    ],
    [
      "and its deny is for the one it names",
      {
        ...base,
        ...deny({ ingress: [{ action: "Deny", source: { selector: "role == 'web'" } }, { action: "Allow" }] }),
      },
      "c",
      "b",
      "tcp/80",
      "allowed",
      "rule 2 of policy p",
    ],
    [
      "Pass leads to the profiles",
      { ...base, ...deny({ ingress: [{ action: "Pass" }, { action: "Deny" }] }) },
      "a",
      "b",
      "tcp/80",
      "allowed",
      "profile open",
    ],
    [
      "Pass leads to the next tier",
      {
        ...base,
        ...tier("first", 1),
        ...tier("default", 100),
        ...globalPolicy("x", { tier: "first", selector: "all()", ingress: [{ action: "Pass" }], types: ["Ingress"] }),
        ...deny({ ingress: [{ action: "Deny" }] }),
      },
      "a",
      "b",
      "icmp",
      "denied",
      "rule 1 of policy p in tier default",
    ],
    [
      "a tier that passes by default is no end",
      {
        ...base,
        ...tier("first", 1, "Pass"),
        ...globalPolicy("x", {
          tier: "first",
          selector: "all()",
          ingress: [{ action: "Deny", protocol: "UDP" }],
          types: ["Ingress"],
        }),
      },
      "a",
      "b",
      "tcp/80",
      "allowed",
      "profile open",
    ],
    [
      "the lower order is asked first",
      {
        ...base,
        ...deny({ order: 20, ingress: [{ action: "Deny" }] }),
        ...globalPolicy("z", { order: 10, selector: "all()", types: ["Ingress"], ingress: [{ action: "Allow" }] }),
      },
      "a",
      "b",
      "tcp/80",
      "allowed",
      "rule 1 of policy z",
    ],
    [
      "egress policy stops at the sender",
      {
        ...base,
        ...globalPolicy("e", {
          selector: "role == 'web'",
          types: ["Egress"],
          egress: [{ action: "Deny", destination: { notNets: ["10.0.0.4/30"] } }, { action: "Allow" }],
        }),
      },
      "a",
      "b",
      "tcp/80",
      "denied",
      "outbound denied by rule 1 of policy e",
    ],
    [
      "and says nothing inbound",
      { ...base, ...globalPolicy("e", { selector: "role == 'web'", types: ["Egress"], egress: [{ action: "Deny" }] }) },
      "b",
      "a",
      "tcp/80",
      "allowed",
      "profile open",
    ],
    [
      "a network set is a source",
      {
        ...base,
        ...networkSet("s", ["9.9.9.0/24"], { site: "x" }),
        ...deny({ ingress: [{ action: "Allow", source: { selector: "site == 'x'" } }] }),
      },
      "outside",
      "b",
      "tcp/80",
      "allowed",
      "rule 1 of policy p",
    ],
    [
      "notSelector alone is about everybody",
      { ...base, ...deny({ ingress: [{ action: "Allow", source: { notSelector: "role == 'web'" } }] }) },
      "outside",
      "b",
      "tcp/80",
      "allowed",
      "rule 1 of policy p",
    ],
    [
      "notSelector excludes",
      { ...base, ...deny({ ingress: [{ action: "Allow", source: { notSelector: "role == 'web'" } }] }) },
      "a",
      "b",
      "tcp/80",
      "denied",
      "the end of tier",
    ],
    [
      "a namespaced policy sees its namespace",
      { ...base, ...policy("n", "other", { selector: "all()", ingress: [{ action: "Deny" }] }) },
      "a",
      "b",
      "tcp/80",
      "allowed",
      "profile open",
    ],
    [
      "its sources are of its namespace",
      {
        ...base,
        ...policy("n", "default", {
          selector: "role == 'db'",
          ingress: [{ action: "Allow", source: { selector: "has(role)" } }],
        }),
      },
      "outside",
      "b",
      "tcp/80",
      "denied",
      "the end of tier",
    ],
    [
      "an ICMP type",
      { ...base, ...deny({ ingress: [{ action: "Allow", protocol: "ICMP", icmp: { type: 8 } }] }) },
      "a",
      "b",
      "icmp",
      "allowed",
      "rule 1 of policy p",
    ],
    [
      "another ICMP type",
      { ...base, ...deny({ ingress: [{ action: "Allow", protocol: "ICMP", icmp: { type: 8 } }] }) },
      "a",
      "b",
      "icmp/3/1",
      "denied",
      "the end of tier",
    ],
    [
      "a port that is excluded by name is no matter of ICMP",
      {
        ...base,
        ...deny({ ingress: [{ action: "Deny", destination: { notPorts: ["http"] } }, { action: "Allow" }] }),
      },
      "a",
      "b",
      "icmp",
      "denied",
      "rule 1 of policy p",
    ],
    [
      "a broken policy closes whom it selects",
      { ...base, ...deny({ ingress: [{ action: "Allow", source: { selector: "has(" } }] }) },
      "a",
      "b",
      "tcp/80",
      "denied",
      "the endpoint is closed: policy p",
    ],
    [
      "a host reaches its own endpoints",
      { ...hosts, ...members([]) },
      "h1",
      "a",
      "tcp/80",
      "allowed",
      "a host may always talk to its own endpoints",
    ],
    [
      "but not those of another host",
      { ...hosts, ...members([]) },
      "h2",
      "a",
      "tcp/80",
      "denied",
      "on h1: inbound denied",
    ],
    ["VXLAN may not come from an endpoint", base, "a", "c", "udp/4789", "denied", "VXLAN tunnel packets"],
    [
      "a host without Node resource is not reached",
      { ...base, ...{ "/calico/resources/v3/projectcalico.org/nodes/h2": "{}" } },
      "a",
      "c",
      "tcp/80",
      "unreachable",
      "host h2 of 10.0.0.5 has no Node resource",
    ],
    [
      "an address without block is not reached",
      { ...base, ...block("10.0.0.4/30", "h1", {}) },
      "a",
      "c",
      "tcp/80",
      "unreachable",
      "go to h1",
    ],
    [
      "an endpoint to the world",
      base,
      "a",
      "outside",
      "tcp/443",
      "allowed",
      "outbound allowed by rule 1 of profile open",
    ],
    ["nobody of ours", base, "outside", "h1", "tcp/22", "allowed", "no endpoint is involved"],
  ];

cases.push(
  [
    "a named port is a port some endpoint calls so",
    {
      ...base,
      ...endpoint("b", addresses.b, {
        profiles: ["open"],
        labels: { role: "db" },
        ports: [{ name: "sql", protocol: "TCP", port: 5432 }],
      }),
      ...deny({ ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: ["sql"] } }] }),
    },
    "a",
    "b",
    "tcp/5432",
    "allowed",
    "rule 1 of policy p",
  ],
  [
    "endpoints may not reach their host unless it is configured",
    base,
    "a",
    "h1",
    "tcp/22",
    "denied",
    "defaultEndpointToHostAction",
  ],
);

describe("explain from the resources", () => {
  for (const [name, documents, from, to, port, verdict, says] of cases)
    test(name, () => {
      const flow = explain(documents, from, to, port);
      expect([flow.verdict as string, flow.reason]).toEqual([verdict, expect.stringContaining(says)]);
    });

  test("an address of a pool that nobody has is unreachable, whoever owns the block", () => {
    const model = readCluster(Object.entries(base));
    const from = partyAt(model, parseIpAddress(addresses.a));
    const free = parseIpAddress("10.0.0.3");
    const flow = explainFlow(
      model,
      from,
      partyAt(model, free),
      packetOf(from.address, free, parseTraffic("icmp", ""), 1),
    );
    expect([flow.verdict as string, flow.reason]).toEqual(["unreachable", expect.stringContaining("10.0.0.3 is free")]);
  });

  test("a closed endpoint gets what its host sends, and cannot answer", () => {
    const flow = explain({ ...hosts, ...members(["gone"]) }, "h1", "a", "tcp/80");
    expect([flow.verdict as string, flow.notes]).toEqual([
      "allowed",
      ["it arrives, and no answer comes back: the endpoint is closed, profile gone does not exist"],
    ]);
  });

  test("a forged source stops at the source check", () => {
    const model = readCluster(Object.entries(base));
    const from = partyAt(model, parseIpAddress(addresses.a));
    const to = partyAt(model, parseIpAddress(addresses.b));
    const packet = packetOf(parseIpAddress("1.2.3.4"), to.address, parseTraffic("tcp/80", ""), 1);
    const flow = explainFlow(model, from, to, packet);
    expect([flow.verdict as string, flow.reason]).toEqual(["denied", expect.stringContaining("source check")]);
  });

  test("consulted rules are told with the reason why they do not match", () => {
    const flow = explain(
      {
        ...base,
        ...deny({
          ingress: [
            { action: "Allow", protocol: "UDP" },
            { action: "Deny", source: { nets: ["10.0.0.0/8"] } },
            { action: "Allow" },
          ],
        }),
      },
      "a",
      "b",
      "tcp/80",
    );
    const rules = flow.hosts[0]?.inbound?.tiers[0]?.policies[0]?.rules ?? [];
    expect(rules.map(({ number, matched, because }) => [number, matched, because])).toEqual([
      [1, false, "protocol is not UDP"],
      [2, true, undefined],
    ]);
  });
});

test("an endpoint's explanation names labels with their origin, and what selects it", () => {
  const documents = {
    ...hosts,
    ...profile("open", { ingress: [{ action: "Allow" }], labelsToApply: { role: "hidden", zone: "z" } }),
    ...members(["open"], { a: { role: "web" } }),
    ...globalPolicy("p", { selector: "zone == 'z'", ingress: [{ action: "Allow", protocol: "TCP" }] }),
    ...globalPolicy("q", { selector: "role == 'hidden'" }),
  };
  const model = readCluster(Object.entries(documents));
  const party = partyAt(model, parseIpAddress(addresses.a));
  if (party.kind !== "endpoint") throw new Error("a is an endpoint");
  const explanation = explainEndpoint(model, party.endpoint);
  expect(explanation.labels.filter(({ label }) => !label.includes("/"))).toEqual([
    { label: "role", value: "web", origin: "itself" },
    { label: "zone", value: "z", origin: "profile open" },
  ]);
  expect(explanation.tiers.flatMap(({ policies }) => policies.map(({ name, inbound }) => [name, inbound]))).toEqual([
    ["p", ["allow tcp"]],
  ]);
  expect([explanation.problems, explanation.warnings]).toEqual([[], []]);
  expect(explanation.addresses).toEqual([{ address: "10.0.0.1", place: "pool 10.0.0.0/16, block 10.0.0.0/30 of h1" }]);
});

const refused = ["", "tcp", "tcp/0", "tcp/65536", "tcp/80/1", "smtp/25", "icmp/256", "icmp/1/2/3", "256", "0", "47/80"];
for (const text of refused)
  test(`"${text}" names no traffic`, () => expect(() => parseTraffic(text, "--port")).toThrow("--port"));
