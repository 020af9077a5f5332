/** calicoctl's account of a host at work: its node, its addresses and their plan, its diagnostics; and a policy by patch. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "./cluster.ts";
import { eventually } from "./eventually.ts";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-cchost" });
  await cluster.createNetwork("red");
  await cluster.run("host1", "r1", "red");
  await cluster.run("host2", "r2", "red");
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

test("node status says that the node works and whose blocks it has routes to", async () => {
  const said = await cluster.on("host1", "calicoctl", "node", "status");
  expect(said).toStartWith("Calico process is running.\n\nThe BGP backend process (BIRD) is not running.\n");
  expect(said).toContain("\nNode host1, ");
  expect(said).toMatch(/\nDatastore: in-sync, revision \d+, /);
  expect(said).toContain("\nAll components are ready.\n");
  expect(said).toMatch(
    /\nRoutes made by the node itself, without BGP: \d+ to interfaces of this host, 1 blocks of this host, 1 blocks of other hosts\n {2}[\d.]+\/26 via [\d.]+\n/,
  );
});

test("a host in use passes checksystem, and the address plan has no problems: gateways of networks are in use", async () => {
  expect(await cluster.on("host1", "calicoctl", "node", "checksystem")).toContain(
    "System meets minimum system requirements",
  );
  const said = await cluster.on("host1", "calicoctl", "ipam", "check", "--show-problem-ips", "--exit-code");
  expect(said).toContain("Found 2 workload IPs.\n");
  expect(said).toContain("Check complete; found 0 problems.\n");
});

test("diagnostics of the host hold what the node says of itself", async () => {
  const said = await cluster.on("host2", "calicoctl", "node", "diags", "--output=/tmp/t-cchost.tar.gz");
  expect(said).toContain("\nDiags saved to /tmp/t-cchost.tar.gz\n");
  const status = await cluster.on("host2", "tar", "-xzOf", "/tmp/t-cchost.tar.gz", "diagnostics/node_status");
  expect(JSON.parse(status)).toMatchObject({ node: { name: "host2", datastore: "in-sync" } });
  await cluster.on("host2", "rm", "/tmp/t-cchost.tar.gz");
});

test("endpoints are shown with a template, and a label that calicoctl sets on the node is there", async () => {
  const template = '{{range .}}{{range .Items}}{{.Spec.Node}} {{join .Spec.IPNetworks ","}};{{end}}{{end}}';
  const said = await cluster.on("host1", "calicoctl", "get", "wep", "-A", "-o", `go-template=${template}`);
  expect(said).toMatch(/^host1 [\d.]+\/32;host2 [\d.]+\/32;$/);
  await cluster.on("host1", "calicoctl", "label", "node", "host2", "rack=r2");
  await eventually("the other host reads the label", async () => {
    expect(await cluster.on("host2", "calicoctl", "get", "node", "host2", "-o", "yaml")).toContain("rack: r2");
  });
});
