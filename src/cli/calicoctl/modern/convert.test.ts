/** Resources of the releases between the classic ones and today's, converted; what cannot be said is refused. */

import { expect, test } from "bun:test";
import { TestClock } from "../../../base/clock.ts";
import { calicoctlCluster, call } from "../testing/cluster.ts";

const v1 = (kind: string, metadata: object, spec?: object) =>
  JSON.stringify({ apiVersion: "v1", kind, metadata, spec });
const convert = (text: string, words = "") =>
  call(`convert -f - -o json ${words}`, { stdin: text }, new TestClock(), () =>
    Promise.reject(new Error("must not be opened")),
  );

const converted: readonly [old: string, kind: string, name: string, spec: object, metadata?: object][] = [
  [
    v1(
      "policy",
      { name: "allow.web" },
      {
        order: 10,
        selector: "app == 'web'",
        ingress: [
          {
            action: "allow",
            protocol: "tcp",
            source: { tag: "lb", selector: "zone == 'a'", net: "10.0.0.1" },
            destination: { ports: [80, "90:95"] },
          },
          { action: "next-tier", notProtocol: "udp", source: { notTag: "x" } },
        ],
      },
    ),
    "GlobalNetworkPolicy",
    "allow-web-6318df38",
    {
      order: 10,
      selector: "app == 'web'",
      types: ["Ingress", "Egress"],
      ingress: [
        {
          action: "Allow",
          protocol: "TCP",
          source: { selector: "(zone == 'a') && has(lb)", nets: ["10.0.0.1/32"] },
          destination: { ports: [80, "90:95"] },
        },
        { action: "Pass", notProtocol: "UDP", source: { notSelector: "has(x)" } },
      ],
    },
  ],
  [
    v1(
      "policy",
      { name: "pre" },
      {
        preDNAT: true,
        applyOnForward: true,
        selector: "all()",
        ingress: [{ action: "deny", source: { nets: ["10.0.0.0/8"] } }],
      },
    ),
    "GlobalNetworkPolicy",
    "pre",
    {
      preDNAT: true,
      applyOnForward: true,
      selector: "all()",
      types: ["Ingress"],
      ingress: [{ action: "Deny", source: { nets: ["10.0.0.0/8"] } }],
    },
  ],
  [
    v1(
      "profile",
      { name: "Web_1", tags: ["web", "front"], labels: { a: "b" } },
      { ingress: [{ action: "allow", source: { tag: "web" } }], egress: [{ action: "allow" }] },
    ),
    "Profile",
    "web-1-61ba330d",
    {
      ingress: [{ action: "Allow", source: { selector: "has(web)" } }],
      egress: [{ action: "Allow" }],
      labelsToApply: { a: "b", web: "", front: "" },
    },
  ],
  [
    v1("ipPool", { cidr: "10.1.0.0/16" }, { ipip: { enabled: true, mode: "cross-subnet" }, "nat-outgoing": true }),
    "IPPool",
    "10-1-0-0-16",
    { cidr: "10.1.0.0/16", ipipMode: "CrossSubnet", natOutgoing: true, disabled: false },
  ],
  [
    v1("ipPool", { cidr: "fd80::/64" }),
    "IPPool",
    "fd80---64",
    { cidr: "fd80::/64", ipipMode: "Never", natOutgoing: false, disabled: false },
  ],
  [
    v1("bgpPeer", { scope: "global", peerIP: "10.0.0.1" }, { asNumber: 64513 }),
    "BGPPeer",
    "10-0-0-1",
    { peerIP: "10.0.0.1", asNumber: 64513 },
  ],
  [
    v1("bgpPeer", { scope: "node", node: "h1", peerIP: "10.0.0.1" }, { asNumber: "1.1" }),
    "BGPPeer",
    "h1.10-0-0-1",
    { peerIP: "10.0.0.1", asNumber: "1.1", node: "h1" },
  ],
  [
    v1("hostEndpoint", { name: "eth0", node: "h1", labels: { r: "1" } }, { interfaceName: "eth0", profiles: ["p"] }),
    "HostEndpoint",
    "eth0",
    { node: "h1", interfaceName: "eth0", profiles: ["p"] },
    { labels: { r: "1" } },
  ],
  [
    v1("node", { name: "H1" }, { bgp: { asNumber: 64512, ipv4Address: "10.0.0.1/24" } }),
    "Node",
    "h1",
    { bgp: { asNumber: 64512, ipv4Address: "10.0.0.1/24" } },
  ],
  [
    v1(
      "workloadEndpoint",
      {
        name: "eth0",
        node: "h1",
        orchestrator: "cni",
        workload: "abc123",
        labels: { app: "x", "calico/k8s_ns": "prod" },
      },
      { interfaceName: "cali1", ipNetworks: ["10.0.0.1/32"], profiles: ["p"] },
    ),
    "WorkloadEndpoint",
    "h1-cni-abc123-eth0",
    {
      node: "h1",
      orchestrator: "cni",
      containerID: "abc123",
      endpoint: "eth0",
      interfaceName: "cali1",
      ipNetworks: ["10.0.0.1/32"],
      profiles: ["p"],
    },
    { namespace: "prod", labels: { app: "x", "projectcalico.org/namespace": "prod" } },
  ],
];
for (const [old, kind, name, spec, metadata = {}] of converted) {
  test(`${JSON.parse(old).kind} ${name} is converted, and can be applied`, async () => {
    const said = await convert(old, "--ignore-validation");
    expect(said).toMatchObject({ code: 0, stderr: "" });
    const document = JSON.parse(said.stdout);
    expect(document).toEqual({ kind, apiVersion: "projectcalico.org/v3", metadata: { name, ...metadata }, spec });
    expect((await convert(old)).code).toBe(0);
    await using at = await calicoctlCluster();
    expect(await at.run("apply -f -", said.stdout)).toMatchObject({ code: 0, stderr: "" });
  });
}

test("several documents, YAML, and resources of today among them", async () => {
  const today = '{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"t"}}';
  const text = `${v1("node", { name: "a" })}\n---\n[${v1("node", { name: "b" })},${today}]`;
  const { stdout } = await call("convert -f -", { stdin: text }, new TestClock(), () =>
    Promise.reject(new Error("must not be opened")),
  );
  expect(stdout.split("---\n").map((part) => /\n {2}name: (\w+)/.exec(part)?.[1])).toEqual(["a", "b", "t"]);
});

const refused: readonly [text: string, stderr: string][] = [
  ["", "failed to execute command: no resources specified in file -\n"],
  [
    v1("tier", { name: "t" }),
    "failed to execute command: unknown resource type (tier) and/or version (v1) (-, document 1, line 1)\n",
  ],
  [
    v1("policy", { name: "p" }, { selector: "a ==" }),
    "failed to execute command: error with field Selector = 'a ==' (",
  ],
  [
    v1("policy", { name: "p" }, { ingress: [{ action: "permit" }] }),
    "failed to execute command: error with field Action = 'permit' (unknown action permit) (",
  ],
  [v1("policy", { name: "p" }, { ingres: [] }), "failed to execute command: error with field Spec (Unrecognized key"],
  [
    v1("profile", { name: "p", tags: ["a"], labels: { a: "b" } }),
    "failed to execute command: error with field Tags (tag a is also a label",
  ],
  [
    v1("policy", { name: "p" }, { ingress: [{ source: { net: "x" } }] }),
    'failed to execute command: error with field Nets ("x" is not a CIDR) (',
  ],
];
for (const [text, stderr] of refused) {
  test(`convert refuses ${text.slice(0, 90)}`, async () => {
    const said = await convert(text);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
  });
}

test("convert is refused without a file and in a format it has not", async () => {
  await using at = await calicoctlCluster();
  expect((await at.run("convert")).stderr).toStartWith("Usage:\n  calicoctl convert");
  expect((await at.run("convert -f - -o wide", "")).stderr).toStartWith("unrecognized output format 'wide'\n");
});
