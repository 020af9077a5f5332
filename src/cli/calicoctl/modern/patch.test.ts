/** patch and label as users type them: what is stored afterwards, and in whose words a refusal comes. */

import { expect, test } from "bun:test";
import { resourceKey } from "../../../model/keys.ts";
import type { Store } from "../../../store/store.ts";
import { calicoctlCluster } from "../testing/cluster.ts";

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });
const node = resource(
  "Node",
  "n",
  { bgp: { ipv4Address: "10.0.0.1/24" } },
  { labels: { a: "1" }, annotations: { b: "2" } },
);

async function nodeCluster() {
  const at = await calicoctlCluster();
  await at.run("create -f -", node);
  await at.run("create -f -", resource("GlobalNetworkPolicy", "g", { selector: "all()", types: ["Ingress"] }));
  const stored = async () => JSON.parse((await at.store.get(resourceKey({ kind: "Node", name: "n" })))?.value ?? "");
  return { at, stored, [Symbol.asyncDispose]: () => at[Symbol.asyncDispose]() };
}

const clusterId = { spec: { bgp: { routeReflectorClusterID: "244.0.0.1" } } };
const patches: readonly [type: string, patch: unknown][] = [
  ["strategic", clusterId],
  ["merge", clusterId],
  ["json", [{ op: "add", path: "/spec/bgp/routeReflectorClusterID", value: "244.0.0.1" }]],
];
for (const [type, steps] of patches) {
  test(`70: a ${type} patch changes what it names and keeps labels, annotations and stamps`, async () => {
    await using cluster = await nodeCluster();
    const before = await cluster.stored();
    const said = await cluster.at.run(["patch", "node", "n", "-t", type, "-p", JSON.stringify(steps)]);
    expect(said).toEqual({ code: 0, stdout: "Successfully patched 1 'Node' resource\n", stderr: "" });
    expect(await cluster.stored()).toEqual({
      ...before,
      spec: { bgp: { ...before.spec.bgp, routeReflectorClusterID: "244.0.0.1" } },
    });
  });
}

test("a patch may be YAML; --dry-run shows what it would do", async () => {
  await using cluster = await nodeCluster();
  const before = await cluster.at.store.list("/");
  const said = await cluster.at.run(["patch", "node", "n", "--dry-run", "-p", "metadata: {labels: {a: null, c: d}}"]);
  expect(said.stdout).toContain("Node(n): changed\n--- Node(n)\n+++ patched\n");
  expect(said.stdout).toContain('-    a: "1"\n+    c: d\n');
  expect(said.stdout).toEndWith("Successfully patched 1 'Node' resource (dry run)\n");
  expect(await cluster.at.store.list("/")).toEqual(before);
  await cluster.at.run(["patch", "node", "n", "-p", "metadata: {labels: {a: null, c: d}}"]);
  expect((await cluster.stored()).metadata.labels).toEqual({ c: "d" });
});

const refused: readonly [words: readonly string[], stderr: string][] = [
  [["node"], "accepts 2 arg(s), received 1\n\nUsage:"],
  [["node", "n"], 'required flag(s) "patch" not set\n\nUsage:'],
  [
    ["node", "n", "-p", "{}", "-t", "other"],
    "failed to execute command: patch type 'other' is not supported: strategic, json, merge\n",
  ],
  [
    ["nodee", "n", "-p", "{}"],
    "failed to execute command: resource type 'nodee' is not supported\n  did you mean node?\n",
  ],
  [["node", "n", "-n", "x", "-p", "{}"], "failed to execute command: Node is not namespaced\n"],
  [["node", "gone", "-p", "{}"], "hit error: resource does not exist: Node(gone) with error: <nil>\n"],
  [["node", "n", "-p", "{a: ["], "hit error: performing strategic patch: "],
  [["node", "n", "-p", "[1]"], "hit error: performing strategic merge patch: patch: is not an object"],
  [["node", "n", "-t", "json", "-p", "{}"], "hit error: performing JSON patch: patch: Invalid input: expected array"],
  [
    ["node", "n", "-p", '{"bogus": 1}'],
    "hit error: creating resource from patched data: field in document is not recognized or is in the wrong location: bogus",
  ],
  [
    ["node", "n", "-p", '{"spec": {"bogus": 1}}'],
    "hit error: creating resource from patched data: error with field Bogus = '1' (unknown field)\n",
  ],
  [
    ["node", "n", "-p", '{"spec": {"bgp": {"asNumber": -1}}}'],
    "hit error: creating resource from patched data: error with field ASNumber = '-1' (AS Number format invalid)\n",
  ],
  [
    ["node", "n", "-p", '{"metadata": {"name": "m"}}'],
    "hit error: creating resource from patched data: error with field Metadata (a patch cannot rename",
  ],
  [
    ["node", "n", "-p", '{"kind": "Tier"}'],
    "hit error: creating resource from patched data: error with field Metadata (a patch cannot rename",
  ],
  [
    ["clusterinfo", "default", "-p", '{"spec": {}}'],
    "hit error: operation update is not supported on ClusterInformation: resource is readonly\n",
  ],
  [
    ["tier", "default", "-p", '{"spec": {"order": 1}}'],
    "hit error: creating resource from patched data: error with field Spec (order and action of tier default are fixed)\n",
  ],
  [
    ["profile", "projectcalico-default-allow", "-p", '{"spec": {"labelsToApply": {"a": "b"}}}'],
    "hit error: operation Update is not supported on projectcalico-default-allow",
  ],
];
for (const [words, stderr] of refused) {
  test(`70: refused: calicoctl patch ${words.join(" ")}`, async () => {
    await using cluster = await nodeCluster();
    const before = await cluster.at.store.list("/");
    const said = await cluster.at.run(["patch", ...words]);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
    expect(await cluster.at.store.list("/")).toEqual(before);
  });
}

test("69: a label's life, in the words of the kind that the user typed", async () => {
  await using cluster = await nodeCluster();
  const { at } = cluster;
  const ok = (stdout: string) => ({ code: 0, stdout, stderr: "" });
  const no = (stderr: string) => ({ code: 1, stdout: "", stderr });
  expect(await at.run("label nodes n rack=r1")).toEqual(ok("Successfully set label rack on nodes n\n"));
  expect(await at.run("label nodes n rack=r1")).toEqual(ok("Successfully updated label rack on nodes n\n"));
  expect(await at.run("label nodes n rack=r2")).toEqual(
    no("failed to update label of nodes n, key rack is already present. please use '--overwrite' to set a new value\n"),
  );
  expect(await at.run("label nodes n rack=r2 --overwrite")).toEqual(ok("Successfully updated label rack on nodes n\n"));
  expect((await cluster.stored()).metadata.labels).toEqual({ a: "1", rack: "r2" });
  expect(await at.run("label nodes n rack --remove")).toEqual(ok("Successfully removed label rack from nodes n\n"));
  expect(await at.run("label nodes n rack --remove")).toEqual(
    no("cannot remove label of nodes n, key rack does not exist\n"),
  );
  expect((await cluster.stored()).metadata.labels).toEqual({ a: "1" });
  expect(await at.run("label gnp g x=")).toEqual(ok("Successfully set label x on gnp g\n"));
});

const badLabels: readonly [words: string, stderr: string][] = [
  ["node n", "accepts 3 arg(s), received 2\n\nUsage:"],
  ["node n rack", "invalid label rack\n"],
  ["node n =x", "invalid label =x\n"],
  ["node n -x=y", "unknown shorthand flag: 'x' in -x=y\n"],
  ["node n a/b/c=d", "invalid label a/b/c=d\n"],
  ["node n a=b/c", "invalid label a=b/c\n"],
  ["node n a=b --remove", "invalid label a=b\n"],
  ["node n a=b --remove --overwrite", "Usage:"],
  ["node gone a=b", "node gone not found\n"],
  ["nodez n a=b", "resource type 'nodez' is not supported\n"],
  ["node n a=b -n x", "Node is not namespaced\n"],
  ["clusterinfo default a=b", "operation label is not supported on ClusterInformation: resource is readonly\n"],
  [
    "profile projectcalico-default-allow a=b",
    "failed to update profile projectcalico-default-allow, label not changed: operation Update",
  ],
  ["wep x a=b", "wep x not found\n"],
];
for (const [words, stderr] of badLabels) {
  test(`69: refused: calicoctl label ${words}`, async () => {
    await using cluster = await nodeCluster();
    const before = await cluster.at.store.list("/");
    const said = await cluster.at.run(`label ${words}`);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
    expect(await cluster.at.store.list("/")).toEqual(before);
  });
}

test("a change by somebody else in between is looked at again, and wins nothing and loses nothing", async () => {
  await using cluster = await nodeCluster();
  const { at } = cluster;
  let others = 2;
  const transact: Store["transact"] = async (...given) => {
    if (others > 0) await at.run(`label node n other${others--}=x`);
    return await at.store.transact(...given);
  };
  expect((await at.run("label node n own=y", { connection: { transact } })).code).toBe(0);
  expect((await cluster.stored()).metadata.labels).toEqual({ a: "1", other1: "x", other2: "x", own: "y" });
});
