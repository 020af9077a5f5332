/** create, apply, replace and delete as users type them: texts, exit codes and what is stored afterwards. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ipam } from "../../../ipam/ipam.ts";
import {
  blocksPrefix,
  nodeKey,
  parseResourceKey,
  resourceKey,
  resourcesPrefix,
  workloadEndpointKey,
} from "../../../model/keys.ts";
import { isNamespaced, type Kind } from "../../../model/kinds.ts";
import { newNode } from "../../../model/node.ts";
import { encode } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import { calicoctlCluster } from "../testing/cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "calicoctl-"));
afterAll(() => rmSync(folder, { recursive: true }));

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });
const several = (...texts: readonly string[]) => texts.join("\n---\n");
const gnp = (name: string, spec: object = {}) => resource("GlobalNetworkPolicy", name, { selector: "all()", ...spec });
const pool = (name: string, cidr: string, spec: object = {}) => resource("IPPool", name, { cidr, ...spec });

/** Kinds, each with a right document. */
const documents: Readonly<Record<string, string>> = {
  BGPConfiguration: resource("BGPConfiguration", "default", { asNumber: 64512 }),
  BGPFilter: resource("BGPFilter", "f", { exportV4: [{ action: "Accept", matchOperator: "In", cidr: "10.0.0.0/8" }] }),
  BGPPeer: resource("BGPPeer", "p", { peerIP: "10.0.0.1", asNumber: 64512 }),
  KubeControllersConfiguration: resource("KubeControllersConfiguration", "default", { healthChecks: "Enabled" }),
  StagedKubernetesNetworkPolicy: resource("StagedKubernetesNetworkPolicy", "k", {
    podSelector: { matchLabels: { a: "b" } },
  }),
  CalicoNodeStatus: resource("CalicoNodeStatus", "s", { node: "n", classes: ["Agent"], updatePeriodSeconds: 10 }),
  FelixConfiguration: resource("FelixConfiguration", "default", { logSeverityScreen: "Info" }),
  GlobalNetworkPolicy: gnp("g"),
  GlobalNetworkSet: resource("GlobalNetworkSet", "s", { nets: ["10.0.0.0/8"] }),
  HostEndpoint: resource("HostEndpoint", "h", { node: "n", interfaceName: "eth0" }),
  IPAMConfiguration: resource("IPAMConfiguration", "default", { strictAffinity: true, autoAllocateBlocks: true }),
  IPPool: pool("p", "10.0.0.0/16"),
  IPReservation: resource("IPReservation", "r", { reservedCIDRs: ["10.0.0.1"] }),
  NetworkPolicy: resource("NetworkPolicy", "n", { selector: "all()" }),
  NetworkSet: resource("NetworkSet", "s", { nets: ["10.0.0.0/8"] }),
  Node: resource("Node", "n", { bgp: { ipv4Address: "10.0.0.1/24" } }),
  Profile: resource("Profile", "p", { ingress: [{ action: "Allow" }], labelsToApply: { p: "" } }),
  StagedGlobalNetworkPolicy: resource("StagedGlobalNetworkPolicy", "g", { selector: "all()" }),
  StagedNetworkPolicy: resource("StagedNetworkPolicy", "g", { selector: "all()" }),
  Tier: resource("Tier", "t", { order: 5 }),
  WorkloadEndpoint: resource("WorkloadEndpoint", "n-o-w-e", {
    node: "n",
    orchestrator: "o",
    workload: "w",
    endpoint: "e",
    interfaceName: "cali1",
    ipNetworks: ["10.0.0.1/32"],
  }),
};

for (const [kind, text] of Object.entries(documents)) {
  test(`${kind}: created, shown, applied as shown, replaced and deleted`, async () => {
    await using at = await calicoctlCluster();
    const done = (verb: string) => ({
      code: 0,
      stdout: `Successfully ${verb} 1 '${kind}' resource(s)\n`,
      stderr: kind === "IPAMConfiguration" && verb !== "deleted" ? expect.stringContaining("not read") : "",
    });
    const { name } = JSON.parse(text).metadata as { name: string };
    expect(await at.run("create -f -", text)).toEqual(done("created"));
    const [key, ...more] = await at.keys();
    expect(more).toEqual([]);
    expect(parseResourceKey(resourcesPrefix + key)).toMatchObject({ kind, name });
    const stored = async () => JSON.parse((await at.store.get(resourcesPrefix + key))?.value ?? "");
    const before = await stored();
    const shown = await at.run(`get ${kind} ${name} -o yaml`);
    expect(shown.stdout).toContain("resourceVersion:");
    expect(await at.run("apply -f -", shown.stdout)).toEqual(done("applied"));
    expect(await stored()).toEqual(before);
    expect((await at.run("apply -f -", shown.stdout)).stderr).toContain(`[update conflict: ${kind}(`);
    const scoped = isNamespaced(kind as Kind);
    const list = await at.run(`get ${kind}${scoped ? " -A" : ""} -o json`);
    if (!list.stdout.includes("projectcalico-default-allow") && kind !== "Tier") {
      expect(await at.run("replace -f -", list.stdout)).toEqual(done("replaced"));
    }
    expect(await at.run(`delete ${kind} ${name} --dry-run`)).toMatchObject({ code: 0 });
    expect(await at.keys()).toEqual([key as string]);
    expect(await at.run(`delete ${kind} ${name}`)).toEqual(done("deleted"));
    expect(await at.keys()).toEqual([]);
  });
}

test("what is stored has the stamps of a new object, which later writes keep; labels and annotations are replaced", async () => {
  await using at = await calicoctlCluster();
  const forged = {
    uid: "mine",
    creationTimestamp: "2000-01-01T00:00:00Z",
    labels: { a: "1" },
    annotations: { b: "2" },
  };
  await at.run("apply -f -", resource("GlobalNetworkSet", "s", { nets: ["10.0.0.1"] }, forged));
  const read = async () => {
    const kv = await at.store.get(resourceKey({ kind: "GlobalNetworkSet", name: "s" }));
    return JSON.parse(kv?.value ?? "");
  };
  const first = await read();
  expect(first.metadata).toMatchObject({ labels: { a: "1" }, annotations: { b: "2" } });
  expect(first.metadata.uid).not.toBe("mine");
  expect(first.metadata.creationTimestamp).toStartWith("2023-11-14T22:13:2");
  await at.run("apply -f -", resource("GlobalNetworkSet", "s", { nets: ["10.0.0.2"] }, { labels: { c: "3" } }));
  const { uid, creationTimestamp } = first.metadata;
  expect(await read()).toEqual({
    kind: "GlobalNetworkSet",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "s", uid, creationTimestamp, labels: { c: "3" } },
    spec: { nets: ["10.0.0.2"] },
  });
});

test("results of several resources, of one kind and mixed", async () => {
  await using at = await calicoctlCluster();
  const two = several(gnp("a"), gnp("b"));
  expect(await at.run("create -f -", two)).toMatchObject({
    stdout: "Successfully created 2 'GlobalNetworkPolicy' resource(s)\n",
  });
  expect(await at.run("create -f -", gnp("a"))).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "failed to create 'GlobalNetworkPolicy' resource: [resource already exists: GlobalNetworkPolicy(a) with error: <nil>]\n  at -, document 1, line 1\n",
  });
  expect((await at.run("create -f -", two)).stderr).toStartWith(
    "failed to create any 'GlobalNetworkPolicy' resources: [resource already exists: GlobalNetworkPolicy(a) with error: <nil> resource already exists: GlobalNetworkPolicy(b) with error: <nil>]\n",
  );
  expect(await at.run("create -f - --skip-exists", two)).toMatchObject({
    code: 0,
    stdout: "Successfully created 2 'GlobalNetworkPolicy' resource(s)\n",
  });
  expect(await at.run("create -f -", several(two, gnp("c")))).toMatchObject({
    code: 1,
    stdout: "Partial success: created the first 1 out of 3 'GlobalNetworkPolicy' resources:\n",
  });
  expect(await at.run("apply -f -", several(gnp("a"), documents.Tier ?? ""))).toMatchObject({
    stdout: "Successfully applied 2 resource(s)\n",
  });
  const some = await at.run("apply -f -", several(gnp("a"), pool("p", "10.0.0.1/16")));
  expect(some.stdout).toBe("Partial success: applied the first 1 out of 2 resources:\n");
  expect(some.stderr).toStartWith("hit error(s): [error with field ");
  expect(await at.run("replace -f -", gnp("zz"))).toMatchObject({
    code: 1,
    stderr:
      "failed to replace 'GlobalNetworkPolicy' resource: [resource does not exist: GlobalNetworkPolicy(zz) with error: <nil>]\n  at -, document 1, line 1\n",
  });
  expect(await at.run("delete gnp a zz b")).toEqual({
    code: 1,
    stdout: "Successfully deleted 2 'GlobalNetworkPolicy' resource(s)\n",
    stderr:
      "Failed to delete 'GlobalNetworkPolicy' resource: resource does not exist: GlobalNetworkPolicy(zz) with error: <nil>\n",
  });
  expect(await at.run("delete gnp a -s")).toMatchObject({ code: 0 });
  expect(await at.run("delete -f -", several(gnp("c"), documents.Tier ?? ""))).toMatchObject({
    stdout: "Successfully deleted 2 resource(s)\n",
  });
  expect(await at.keys()).toEqual([]);
});

const header = "apiVersion: projectcalico.org/v3\n";
const whole = "failed to execute command: ";
/** Input and what is said of it; nothing is written. */
const refused: readonly (readonly [what: string, text: string, stderr: string])[] = [
  ["an empty file", "", `${whole}no resources specified in file -\n`],
  ["only separators", "---\n---\n", `${whole}no resources specified in file -\n`],
  ["a word", "hello", `${whole}a document must be an object (-, document 1)\n`],
  ["half YAML", "a: [1\nb: 2", `${whole}`],
  ["a key twice", `${header}kind: Tier\nkind: Tier`, `${whole}Map keys must be unique (-, document 1, line 3)\n`],
  [
    "an unknown kind",
    several(gnp("a"), `\n${header}kind: IpPool`),
    `${whole}unknown resource type (IpPool) and/or version (projectcalico.org/v3) (-, document 2, line 5)\n`,
  ],
  [
    "an old version",
    "apiVersion: v1\nkind: ippool",
    `${whole}unknown resource type (ippool) and/or version (v1) (-, document 1, line 2)\n`,
  ],
  [
    "a field misspelt in a rule of the second document",
    several(
      gnp("a"),
      `${header}kind: GlobalNetworkPolicy\nmetadata: {name: b}\nspec:\n  ingress:\n  - action: Allow\n    sorce: {}`,
    ),
    `${whole}field in document is not recognized or is in the wrong location: spec.ingress[0].sorce (-, document 2, line 9)\n`,
  ],
  [
    "a field beside the spec",
    `${header}kind: Tier\nmetadata: {name: a}\norder: 1`,
    `${whole}field in document is not recognized or is in the wrong location: order (-, document 1, line 4)\n`,
  ],
  [
    "a field in metadata",
    `${header}kind: Tier\nmetadata:\n  nam: a`,
    `${whole}field in document is not recognized or is in the wrong location: metadata.nam (-, document 1, line 4)\n`,
  ],
  [
    "a number as name",
    `${header}kind: Tier\nmetadata:\n  name: 1`,
    `${whole}metadata.name must be a string: put it in quotes (-, document 1, line 4)\n`,
  ],
  [
    "no name",
    `${header}kind: Tier`,
    "failed to create 'Tier' resource: [error with field Metadata.Name = '' (field must be set for a Create request)]\n",
  ],
  [
    "a version given",
    resource("Tier", "a", {}, { resourceVersion: "12" }),
    "failed to create 'Tier' resource: [error with field Metadata.ResourceVersion = '12' (field must not be set for a Create request)]\n",
  ],
  [
    "a namespace of what has none",
    resource("Tier", "a", {}, { namespace: "x" }),
    "failed to create 'Tier' resource: [namespace should not be specified for a non-namespaced resource. Tier is not a namespaced resource]\n",
  ],
  [
    "a tier that is not there",
    gnp("a", { tier: "nowhere" }),
    "failed to create 'GlobalNetworkPolicy' resource: [resource does not exist: Tier(nowhere) with error: <nil>]\n",
  ],
  [
    "an address that is none",
    resource("BGPPeer", "a", { peerIP: "badpeerIP" }),
    "failed to create 'BGPPeer' resource: [error with field",
  ],
  [
    "cluster information",
    resource("ClusterInformation", "default", {}),
    "failed to create 'ClusterInformation' resource: [operation create is not supported on ClusterInformation: resource is readonly]\n",
  ],
  [
    "the built-in profile",
    resource("Profile", "projectcalico-default-allow", {}),
    "failed to create 'Profile' resource: [resource already exists: Profile(projectcalico-default-allow) with error: <nil>]\n",
  ],
];

for (const [what, text, stderr] of refused) {
  test(`create refuses ${what} and writes nothing`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run("create -f -", text);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
    expect(await at.keys()).toEqual([]);
  });
}

test("other refusals by word, file and namespace", async () => {
  await using at = await calicoctlCluster();
  expect((await at.run("apply")).stderr).toStartWith("Usage:\n  calicoctl apply -f");
  expect((await at.run("apply -f x --skip-exists")).stderr).toStartWith("unknown flag: --skip-exists\n\nUsage:");
  expect((await at.run("delete gnp")).stderr).toStartWith("calicoctl: delete requires a name or a file\n");
  expect((await at.run("delete foo x")).stderr).toBe(`${whole}resource type 'foo' is not supported\n`);
  expect((await at.run("delete pool x -n y")).stderr).toBe(`${whole}IPPool is not namespaced\n`);
  expect((await at.run("apply -f /nonexistent")).stderr).toBe(`${whole}open /nonexistent: no such file or directory\n`);
  expect(await at.run("apply -f - --skip-empty")).toEqual({ code: 0, stdout: "No resources specified\n", stderr: "" });
  const own = resource("NetworkSet", "s", {}, { namespace: "a" });
  expect((await at.run("apply -n b -f -", own)).stderr).toStartWith(
    "failed to apply 'NetworkSet' resource: [resource namespace does not match client namespace. a != b]\n",
  );
  await at.run("apply -n b -f -", resource("NetworkSet", "s", {}));
  expect(await at.keys()).toEqual(["networksets/b/s"]);
  expect((await at.run("delete netsets s")).stderr).toContain("resource does not exist: NetworkSet(default/s)");
  expect((await at.run("delete netsets s -n b")).code).toBe(0);
  expect((await at.run("delete profile projectcalico-default-allow")).stderr).toContain(
    "operation Delete is not supported on projectcalico-default-allow",
  );
  const mirrored = resource("NetworkPolicy", "knp.default.x", {});
  expect((await at.run("create -f -", mirrored)).stderr).toContain("must be managed through the kubernetes API");
  expect((await at.run("apply -f -", mirrored)).stderr).toContain("resource does not exist: NetworkPolicy(default/knp");
});

test("a directory's YAML and JSON files are read in order of name, arrays and JSON with tabs too", async () => {
  await using at = await calicoctlCluster();
  writeFileSync(join(folder, "b.json"), `[\n\t${gnp("b")},\n\t${gnp("c")}\n]`);
  writeFileSync(join(folder, "a.yaml"), gnp("a"));
  writeFileSync(join(folder, "c.txt"), "no resource");
  expect(await at.run(`create -f ${folder}`)).toMatchObject({
    stdout: "Successfully created 3 'GlobalNetworkPolicy' resource(s)\n",
  });
});

test("policies of older releases are changed and deleted where they lie", async () => {
  await using at = await calicoctlCluster();
  const key = resourceKey({ kind: "GlobalNetworkPolicy", name: "default.old" });
  await at.store.put(key, resource("GlobalNetworkPolicy", "default.old", { selector: "all()" }));
  expect((await at.run("create -f -", gnp("old"))).stderr).toContain("already exists: GlobalNetworkPolicy(old)");
  expect((await at.run("apply -f -", gnp("old", { order: 7 }))).code).toBe(0);
  expect(await at.keys()).toEqual(["globalnetworkpolicies/default.old"]);
  expect(JSON.parse((await at.store.get(key))?.value ?? "")).toMatchObject({
    metadata: {
      name: "default.old",
      labels: { "projectcalico.org/tier": "default" },
      annotations: { "projectcalico.org/metadata": '{"name":"old"}' },
    },
    spec: { order: 7, tier: "default" },
  });
  expect((await at.run("delete gnp old")).code).toBe(0);
  expect(await at.keys()).toEqual([]);
});

test("a tier goes when it is empty, a built-in one never", async () => {
  await using at = await calicoctlCluster();
  const both = several(documents.Tier ?? "", gnp("t.g", { tier: "t" }));
  expect((await at.run("apply --dry-run -f -", both)).code).toBe(0);
  expect(await at.keys()).toEqual([]);
  expect((await at.run("apply -f -", both)).code).toBe(0);
  expect((await at.run("delete tier t")).stderr).toContain(
    "operation delete is not supported on t: Cannot delete a non-empty tier",
  );
  expect((await at.run("delete tier default")).stderr).toContain(
    "operation Delete is not supported on default: Cannot delete default tier",
  );
  await at.run("delete gnp t.g");
  expect((await at.run("delete tier t")).code).toBe(0);
});

test("pools share no address, keep what cannot change, and give back their blocks when they go", async () => {
  await using at = await calicoctlCluster();
  await at.run("apply -f -", pool("a", "10.0.0.0/16"));
  expect((await at.run("apply -f -", pool("b", "10.0.128.0/24"))).stderr).toContain(
    "(IPPool(b) CIDR overlaps with IPPool(a) CIDR 10.0.0.0/16)",
  );
  expect((await at.run("apply -f -", pool("a", "10.1.0.0/16"))).stderr).toContain("(IPPool CIDR cannot be modified)");
  expect((await at.run("apply -f -", pool("a", "10.0.0.0/16", { blockSize: 28 }))).stderr).toContain(
    "(IPPool BlockSize cannot be modified)",
  );
  await at.store.put(nodeKey("h1"), encode(newNode({ name: "h1" }, { uid: "u", nowMs: 0 })));
  await new Ipam({ store: at.store, clock: at.clock }).assignAddress({ host: "h1", family: 4, handle: "x" });
  expect((await at.run("delete pool a")).code).toBe(0);
  const [block] = (await at.store.list(blocksPrefix)).kvs;
  expect(JSON.parse(block?.value ?? "")).toMatchObject({ affinity: null });
  expect((await at.run("create -f -", pool("c", "10.0.0.0/16", { blockSize: 28 }))).stderr).toContain(
    "(IPPool blocksSize conflicts with existing allocations that use a different blockSize)",
  );
  expect((await at.run("create -f -", pool("c", "10.0.0.0/16"))).code).toBe(0);
});

test("a host that is deleted takes its endpoints, addresses and configuration along, and nobody else's", async () => {
  await using at = await calicoctlCluster();
  const all = several(
    documents.Node ?? "",
    documents.WorkloadEndpoint ?? "",
    documents.HostEndpoint ?? "",
    resource("FelixConfiguration", "node.n", {}),
    resource("HostEndpoint", "other", { node: "m", interfaceName: "eth0" }),
  );
  expect((await at.run("apply -f -", all)).code).toBe(0);
  expect((await at.run("delete node n")).code).toBe(0);
  expect(await at.keys()).toEqual(["hostendpoints/other"]);
});

test("a host that is deleted leaves an address that an endpoint of another host claims", async () => {
  await using at = await calicoctlCluster();
  await at.run("apply -f -", several(pool("a", "10.0.0.0/16"), documents.Node ?? ""));
  const ipam = new Ipam({ store: at.store, clock: at.clock });
  const moved = await ipam.assignAddress({ host: "n", family: 4, handle: "moved", attributes: { node: "n" } });
  await ipam.assignAddress({ host: "n", family: 4, handle: "own", attributes: { node: "n" } });
  const wep = { ...JSON.parse(documents.WorkloadEndpoint ?? ""), metadata: { name: "m-k8s-p-e" } };
  const spec = { ...wep.spec, node: "m", ipNetworks: [`${moved}/32`] };
  await at.store.put(workloadEndpointKey("default", "m-k8s-p-e"), JSON.stringify({ ...wep, spec }));
  expect((await at.run("delete node n")).code).toBe(0);
  expect((await ipam.listHeld()).map(({ handle }) => handle)).toEqual(["moved"]);
});

test("a host whose Node is written anew while its things are taken away keeps what it still has", async () => {
  await using at = await calicoctlCluster();
  const all = several(documents.Node ?? "", documents.WorkloadEndpoint ?? "", documents.HostEndpoint ?? "");
  await at.run("apply -f -", all);
  const { stdout: versioned } = await at.run("get node n -o yaml");
  const node = (await at.store.get(nodeKey("n")))?.value ?? "";
  let changed = false;
  const transact: Store["transact"] = async (...given) => {
    const outcome = await at.store.transact(...given);
    // The first of its things, the endpoint, has just gone.
    const first = !changed && given[0].success.some((operation) => "delete" in operation);
    changed ||= first;
    if (first) await at.store.put(nodeKey("n"), node);
    return outcome;
  };
  const said = await at.run("delete -f -", { stdin: versioned, connection: { transact } });
  expect(said.stderr).toContain("update conflict: Node(n)");
  expect(await at.keys()).toEqual(["hostendpoints/h", "nodes/n"]);
  // Who does not say which version he means wants it gone all the same.
  changed = false;
  expect((await at.run("delete node n", { connection: { transact } })).code).toBe(0);
  expect(await at.keys()).toEqual([]);
});

test("a change by somebody else in between is written over after another look, five times at most", async () => {
  await using at = await calicoctlCluster();
  await at.run("apply -f -", gnp("a"));
  let losses = 4;
  const transact: Store["transact"] = async (...given) => {
    if (losses-- > 0) return { succeeded: false, revision: 0, responses: [] };
    return await at.store.transact(...given);
  };
  expect((await at.run("replace -f -", { stdin: gnp("a", { order: 1 }), connection: { transact } })).code).toBe(0);
  losses = 5;
  expect((await at.run("replace -f -", { stdin: gnp("a", { order: 2 }), connection: { transact } })).stderr).toContain(
    "[update conflict: GlobalNetworkPolicy(a)]",
  );
  losses = 1;
  const { stdout } = await at.run("get gnp a -o yaml");
  expect((await at.run("replace -f -", { stdin: stdout, connection: { transact } })).stderr).toContain(
    "update conflict",
  );
  expect((await at.run("delete -f -", stdout)).code).toBe(0);
});
