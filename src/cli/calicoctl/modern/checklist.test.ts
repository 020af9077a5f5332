/** The modern part of the compliance checklist (calicoctl.md 7) that no other test file here names by number. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../../base/clock.ts";
import { OperationError } from "../../../base/errors.ts";
import { clusterInformationKey } from "../../../model/keys.ts";
import { calicoctlCluster, call } from "../testing/cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "calicoctl-list-"));
afterAll(() => rmSync(folder, { recursive: true }));

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });
const several = (...texts: readonly string[]) => texts.join("\n---\n");
const node = (name: string) => resource("Node", name, { bgp: { ipv4Address: "10.0.0.1/24" } });

test("60: create what exists, delete what is missing, and the flags that let both pass", async () => {
  await using at = await calicoctlCluster();
  const pool = resource("IPPool", "p", { cidr: "10.0.0.0/16" });
  expect((await at.run("create -f -", pool)).code).toBe(0);
  expect(await at.run("create -f -", pool)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("resource already exists"),
  });
  expect((await at.run("create -f - --skip-exists", pool)).code).toBe(0);
  expect((await at.run("delete pool p")).code).toBe(0);
  expect((await at.run("delete pool p")).code).toBe(1);
  expect((await at.run("delete pool p -s")).code).toBe(0);
  expect((await at.run("delete -f - --skip-not-exists", pool)).code).toBe(0);
});

test("62: a wrong address of one peer, and of several", async () => {
  await using at = await calicoctlCluster();
  const peer = (name: string) => resource("BGPPeer", name, { peerIP: "badpeerIP", asNumber: 64512 });
  const one = await at.run("create -f -", peer("a"));
  expect(one.stderr).toContain("failed to create 'BGPPeer' resource");
  expect(one.stderr).toContain("PeerIP = 'badpeerIP'");
  const two = await at.run("create -f -", several(peer("a"), peer("b")));
  expect(two.stderr).toContain("failed to create any 'BGPPeer' resources");
  expect(two.stdout + two.stderr).not.toContain("Partial success");
  expect(await at.keys()).toEqual([]);
});

test("63: one document, a list, an array, several documents, YAML, JSON, a file and standard input are the same", async () => {
  const [a, b] = [
    resource("GlobalNetworkSet", "a", { nets: ["10.0.0.0/8"] }),
    resource("GlobalNetworkSet", "b", { nets: ["11.0.0.0/8"] }),
  ];
  const yaml = (name: string, net: string) =>
    `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:\n  name: ${name}\nspec:\n  nets: [${net}]\n`;
  const forms = [
    several(a, b),
    `[${a},${b}]`,
    `{"kind":"GlobalNetworkSetList","apiVersion":"projectcalico.org/v3","items":[${a},${b}]}`,
    `---\n${yaml("a", "10.0.0.0/8")}---\n${yaml("b", "11.0.0.0/8")}`,
    `- ${yaml("a", "10.0.0.0/8").replaceAll("\n", "\n  ")}\n- ${b}\n`,
  ];
  const results = new Set<string>();
  for (const [number, text] of forms.entries()) {
    for (const source of ["-", join(folder, `form${number}.yaml`)]) {
      await using at = await calicoctlCluster();
      if (source !== "-") writeFileSync(source, text);
      const said = await at.run(`create -f ${source}`, source === "-" ? text : "");
      expect([number, said.stdout]).toEqual([number, "Successfully created 2 'GlobalNetworkSet' resource(s)\n"]);
      const list = JSON.parse((await at.run("get gnetsets -o json")).stdout);
      results.add(
        JSON.stringify(list.items.map(({ metadata, spec }: never) => [(metadata as { name: string }).name, spec])),
      );
    }
  }
  expect(results.size).toBe(1);
});

const defaultOnly = [
  ["nodeToNodeMeshEnabled", true],
  ["asNumber", 64512],
  ["serviceClusterIPs", [{ cidr: "10.0.0.0/16" }]],
] as const;
for (const [field, value] of defaultOnly) {
  test(`65: ${field} belongs to the default BGP configuration only`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run("create -f -", resource("BGPConfiguration", "node.a", { [field]: value }));
    expect(said).toMatchObject({ code: 1, stderr: expect.stringContaining("Cannot set") });
  });
}

test("66: cluster information is nobody's to write; the first node makes one, the second keeps it", async () => {
  await using at = await calicoctlCluster();
  const information = resource("ClusterInformation", "default", { clusterGUID: "x" });
  expect((await at.run("create -f -", information)).stderr).toContain("is not supported on");
  expect((await at.run("delete clusterinfo default")).stderr).toContain("is not supported on");
  const guid = async () => JSON.parse((await at.store.get(clusterInformationKey))?.value ?? "").spec.clusterGUID;
  await at.run("create -f -", node("a"));
  const first = await guid();
  expect(first).toMatch(/^[a-f0-9]{32}$/);
  await at.run("create -f -", node("b"));
  expect(await guid()).toBe(first);
});

test("72: uid and creation time of a file never change the stored ones", async () => {
  await using at = await calicoctlCluster();
  const forged = resource("Tier", "t", {}, { uid: "forged", creationTimestamp: "2001-01-01T00:00:00Z" });
  const stamps = async () => {
    const { metadata } = JSON.parse((await at.run("get tier t -o json")).stdout);
    return [metadata.uid, metadata.creationTimestamp];
  };
  await at.run("create -f -", forged);
  const first = await stamps();
  expect(first).not.toContain("forged");
  for (const command of ["apply", "replace"]) {
    expect((await at.run(`${command} -f -`, forged)).code).toBe(0);
    expect(await stamps()).toEqual(first);
  }
});

test("73: another release's cluster is told of, by the commands that the original refuses", async () => {
  await using at = await calicoctlCluster();
  await at.run("create -f -", node("n"));
  const stored = JSON.parse((await at.store.get(clusterInformationKey))?.value ?? "");
  const release = (calicoVersion: string) =>
    at.store.put(clusterInformationKey, JSON.stringify({ ...stored, spec: { ...stored.spec, calicoVersion } }));
  await release("v0.0.0");
  const text =
    "version mismatch.\nClient Version:   v3.32.1\nCluster Version:  v0.0.0\nUse --allow-version-mismatch to override\n";
  for (const line of ["get nodes", "apply -f -", "label node n a=b --overwrite", "ipam show", "patch node n -p {}"]) {
    const said = await at.run(line, node("n"));
    expect([line, said.code, said.stderr]).toEqual([line, 0, text]);
    expect((await at.run(`${line} --allow-version-mismatch`, node("n"))).stderr).toBe("");
  }
  for (const line of ["version", "validate -f -"]) expect((await at.run(line, node("n"))).stderr).toBe("");
  await release("3.32.1-0.dev");
  expect((await at.run("get nodes")).stderr).toBe("");
  await at.store.put(clusterInformationKey, "{");
  expect((await at.run("get nodes")).stderr).toStartWith(
    "unable to get Cluster Information to verify version mismatch: ",
  );
});

const online = [
  "get nodes",
  "create -f -",
  "apply -f -",
  "replace -f -",
  "label node n a=b",
  "ipam show",
  "diff -f -",
  "patch node n -p {}",
  "ipam check",
  "datastore migrate lock",
  "cluster diags",
  "delete node n",
];
for (const line of online) {
  test(`77: ${line} on settings that lead nowhere ends with 1 and a sentence`, async () => {
    const away = () => Promise.reject(new OperationError("STORE_UNAVAILABLE", "no answer from http://10.0.0.1:2379"));
    const options = { stdin: node("n"), env: { ETCD_ENDPOINTS: "http://10.0.0.1:2379" } };
    const said = await call(line, options, new TestClock(), away);
    expect(said.code).toBe(1);
    expect(said.stderr).toBe(
      "Error accessing etcd (no answer from http://10.0.0.1:2379).  Is etcd running?\n" +
        "  the store is http://10.0.0.1:2379 (from ETCD_ENDPOINTS)\n",
    );
    const odd = await call(line, { stdin: node("n"), env: { ETCD_ENDPOINTS: "ftp://x" } }, new TestClock(), away);
    expect([odd.code, odd.stderr]).toEqual([1, expect.stringContaining("ETCD_ENDPOINTS")]);
  });
}

const globalFlags: readonly [line: string, stdout: string, stderr: string][] = [
  [
    "get nodes --log-level=loud",
    "",
    "unknown log level: loud, expected one of: panic, fatal, error, warn, info, debug\n",
  ],
  ["get nodes --request-timeout=soon", "", "invalid --request-timeout: soon: a time such as 10s is expected\n"],
  ["get nodes --request-timeout=0", "", "invalid --request-timeout: 0: a time such as 10s is expected\n"],
  ["get nodes -c /nonexistent/x", "Error reading config file: /nonexistent/x\n", ""],
  ["node status extra", "", "Usage:\n  calicoctl node status"],
  ["node status --bogus", "", "unknown flag: --bogus\n"],
  ["node diags extra", "", "Usage:\n  calicoctl node diags"],
  ["node checksystem extra", "", "Usage:\n  calicoctl node checksystem"],
  ["node checksystem -f /nonexistent", "", "cannot read the kernel's configuration /nonexistent: "],
  ["cluster diags extra", "", "Usage:\n  calicoctl cluster diags"],
  [
    "cluster diags --since=ever",
    "Error executing command: invalid duration for since flag (try 10s, 5m, or 1h): ever\n",
    "",
  ],
  ["cluster diags --max-logs=-1", "Error executing command: negative value for max-logs flag\n", ""],
  ["cluster diags --max-parallelism=x", "Error executing command: invalid number for max-parallelism flag: x\n", ""],
];
for (const [line, stdout, stderr] of globalFlags) {
  test(`refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(line);
    expect(said).toMatchObject({ code: 1, stdout });
    expect(said.stderr).toStartWith(stderr);
  });
}

test("--context is of Kubernetes: today's commands say that it has no effect, the classic ones do not know it", async () => {
  await using at = await calicoctlCluster();
  const warning = "WARNING: --context names a Kubernetes context; the datastore is etcd, where it has no effect\n";
  for (const words of ["--context=prod get tiers", "get tiers --context prod"]) {
    expect(await at.run(words)).toMatchObject({ code: 0, stderr: warning });
  }
  expect(await at.run("pool show --context=prod")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("calicoctl pool show"),
  });
  expect((await at.run("get tiers --context")).stderr).toContain("--context needs a value");
});

test("--log-level info says which store and why, whatever the command's outcome", async () => {
  await using at = await calicoctlCluster();
  const said = await at.run("get nodes -l info", { env: { ETCD_ENDPOINTS: "http://a:1,b:2" } });
  expect(said.stderr).toBe("datastore: etcdv3 at http://a:1,http://b:2 (from ETCD_ENDPOINTS)\n");
  expect((await at.run("get nodes -l debug")).stderr).toContain("(by default: no --store, ETCD_ENDPOINTS or ");
});
