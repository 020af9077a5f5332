/** get: every output form, kind and refusal, byte for byte where the sheet says so. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resourceKey } from "../../../model/keys.ts";
import { kinds } from "../../../model/kinds.ts";
import { type CalicoctlCluster, calicoctlCluster } from "../testing/cluster.ts";
import { kindViews } from "./get-kinds.ts";

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });

async function clusterWith(...texts: readonly string[]): Promise<CalicoctlCluster> {
  const at = await calicoctlCluster();
  const said = await at.run("create -f -", texts.join("\n---\n"));
  expect(said).toMatchObject({ code: 0 });
  return at;
}

const pools = [
  resource("IPPool", "ippool-name1", { cidr: "10.0.1.0/24", nodeSelector: "foo == 'bar'" }),
  resource("IPPool", "p2", { cidr: "10.1.0.0/16", natOutgoing: true, ipipMode: "Always" }),
];

test("56: named resources are a table each; what is missing comes last, on standard error", async () => {
  await using at = await clusterWith(...pools);
  const both =
    "NAME           CIDR          SELECTOR       \nippool-name1   10.0.1.0/24   foo == 'bar'   \n\n" +
    "NAME   CIDR          SELECTOR   \np2     10.1.0.0/16   all()      \n\n";
  expect(await at.run("get ippool ippool-name1 p2")).toEqual({ code: 0, stdout: both, stderr: "" });
  expect(await at.run("get ippool ippool-name1 blah p2")).toEqual({
    code: 1,
    stdout: both,
    stderr: "resource does not exist: IPPool(blah) with error: <nil>\n",
  });
});

test("57: an empty list is a list of its kind", async () => {
  await using at = await calicoctlCluster();
  const { stdout } = await at.run("get ippool -o yaml");
  expect(stdout).toContain("kind: IPPoolList\n");
  expect(stdout).toContain("items: []\n");
  expect((await at.run("get ippool")).stdout).toBe("NAME   CIDR   SELECTOR   \n\n");
});

test("58: narrow and wide tables, with the blanks at their ends", async () => {
  await using at = await clusterWith(pools[0] ?? "");
  expect((await at.run("get ippools")).stdout).toBe(
    "NAME           CIDR          SELECTOR       \nippool-name1   10.0.1.0/24   foo == 'bar'   \n\n",
  );
  expect((await at.run("get ippools -o wide")).stdout).toBe(
    "NAME           CIDR          NAT     IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR       ASSIGNMENTMODE   \n" +
      "ippool-name1   10.0.1.0/24   false   Never      Never       false      false              foo == 'bar'   Automatic        \n\n",
  );
});

/** 4.6: default columns, then those that only the wide table has, or the whole wide table. */
const headings: Readonly<Record<string, readonly [narrow: string, wide: string]>> = {
  BGPConfiguration: ["NAME LOGSEVERITY MESHENABLED ASNUMBER", "NAME LOGSEVERITY MESHENABLED ASNUMBER"],
  BGPFilter: [
    "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6",
    "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6",
  ],
  BGPPeer: ["NAME PEERIP NODE ASN", "NAME PEERIP NODE ASN"],
  CalicoNodeStatus: ["NAME NODE", "NAME NODE CLASSES"],
  ClusterInformation: [
    "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY",
    "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY",
  ],
  FelixConfiguration: ["NAME", "NAME"],
  GlobalNetworkPolicy: ["NAME TIER", "NAME TIER ORDER SELECTOR"],
  GlobalNetworkSet: ["NAME", "NAME NETS"],
  HostEndpoint: ["NAME NODE", "NAME NODE INTERFACE IPS PROFILES"],
  IPAMConfiguration: [
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS",
    "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST",
  ],
  IPPool: ["NAME CIDR SELECTOR", "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE"],
  IPReservation: ["NAME", "NAME CIDRS"],
  KubeControllersConfiguration: ["NAME", "NAME"],
  NetworkPolicy: ["NAME TIER", "NAME TIER ORDER SELECTOR"],
  NetworkSet: ["NAME", "NAME NETS"],
  Node: ["NAME", "NAME ASN IPV4 IPV6"],
  Profile: ["NAME", "NAME LABELS"],
  StagedGlobalNetworkPolicy: ["NAME TIER", "NAME TIER ORDER SELECTOR"],
  StagedKubernetesNetworkPolicy: ["NAME", "NAME PODSELECTOR"],
  StagedNetworkPolicy: ["NAME TIER", "NAME TIER ORDER SELECTOR"],
  Tier: ["NAME ORDER", "NAME ORDER"],
  WorkloadEndpoint: ["WORKLOAD NODE NETWORKS INTERFACE", "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS"],
};

test("58: every kind has the columns of 4.6, under each of its names in any case", async () => {
  await using at = await calicoctlCluster();
  expect(Object.keys(headings).sort()).toEqual([...kinds].sort());
  for (const { kind, aliases } of kindViews) {
    const [narrow = "", wide = ""] = headings[kind] ?? [];
    for (const alias of aliases) {
      const words = async (line: string) =>
        (await at.run(line)).stdout
          .split("\n")[0]
          ?.split(/ +/)
          .filter((word) => word !== "")
          .join(" ");
      expect([alias, await words(`get ${alias.toUpperCase()}`)]).toEqual([alias, narrow]);
      expect([alias, await words(`get ${alias} -o wide`)]).toEqual([alias, wide]);
    }
  }
});

const rows: readonly [kind: string, name: string, spec: object, metadata: object, wide: string][] = [
  ["BGPConfiguration", "default", { asNumber: 64513, nodeToNodeMeshEnabled: false }, {}, "default Info false 64513"],
  ["BGPConfiguration", "node.a", {}, {}, "node.a Info - -"],
  [
    "BGPFilter",
    "f",
    { exportV4: [{ action: "Accept" }, { action: "Reject" }], importV6: [{ action: "Accept" }] },
    {},
    "f 2 0 0 1",
  ],
  ["BGPPeer", "p", { peerIP: "10.0.0.1", asNumber: 64512 }, {}, "p 10.0.0.1 (global) 64512"],
  ["BGPPeer", "p", { peerIP: "10.0.0.1", asNumber: 64512, node: "n" }, {}, "p 10.0.0.1 n 64512"],
  ["CalicoNodeStatus", "s", { node: "n", classes: ["Agent", "BGP"], updatePeriodSeconds: 10 }, {}, "s n Agent,BGP"],
  ["GlobalNetworkPolicy", "g", { selector: "all()", order: 1_000_000 }, {}, "g default 1e+06 all()"],
  ["GlobalNetworkPolicy", "g", { selector: "a=='b'", order: 100 }, {}, "g default 100 a=='b'"],
  ["GlobalNetworkPolicy", "g", { selector: "all()", order: 0.5 }, {}, "g default 0.5 all()"],
  ["NetworkPolicy", "g", { selector: "all()" }, {}, "g default <nil> all()"],
  [
    "HostEndpoint",
    "h",
    { node: "n", interfaceName: "eth0", expectedIPs: ["10.0.0.1", "10.0.0.2"], profiles: ["a"] },
    {},
    "h n eth0 10.0.0.1,10.0.0.2 a",
  ],
  [
    "IPAMConfiguration",
    "default",
    { strictAffinity: true, autoAllocateBlocks: true, maxBlocksPerHost: 4 },
    {},
    "default true true 4",
  ],
  ["IPReservation", "r", { reservedCIDRs: ["10.0.0.0/24", "10.0.1.1"] }, {}, "r 10.0.0.0/24,10.0.1.1"],
  ["Profile", "p", { labelsToApply: { b: "2", a: "" } }, {}, "p a=,b=2"],
  [
    "StagedKubernetesNetworkPolicy",
    "k",
    {
      podSelector: {
        matchLabels: { b: "2", a: "1" },
        matchExpressions: [{ key: "x", operator: "In", values: ["1", "2"] }],
      },
    },
    {},
    "k &LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:x,Operator:In,Values:[1 2],},},}",
  ],
  [
    "WorkloadEndpoint",
    "",
    {
      orchestrator: "cni",
      node: "n",
      containerID: "abc",
      endpoint: "eth0",
      interfaceName: "cali1",
      ipNetworks: ["10.0.0.1/32"],
      profiles: ["a", "b"],
      ipNATs: [{ internalIP: "10.0.0.1", externalIP: "192.0.2.1" }],
    },
    {},
    "n-cni-abc-eth0 abc n 10.0.0.1/32 cali1 a,b 10.0.0.1/192.0.2.1",
  ],
];
for (const [kind, name, spec, metadata, wide] of rows) {
  test(`the wide row of a ${kind}: ${wide.slice(0, 60)}`, async () => {
    await using at = await clusterWith(resource(kind, name, spec, metadata));
    const { stdout } = await at.run(`get ${kind} -o wide`);
    const own = stdout
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/ {2,}/).join(" "));
    expect(own).toContain(wide);
  });
}

test("a node without an AS number shows the cluster's in brackets, also when it cannot be read", async () => {
  await using at = await clusterWith(
    resource("Node", "n", { bgp: { ipv4Address: "10.0.0.1/24" } }),
    resource("Node", "o", { bgp: { asNumber: "1.1" } }),
  );
  const asns = async () =>
    (await at.run("get nodes -o custom-columns=asn")).stdout.split("\n").map((line) => line.trim());
  expect(await asns()).toEqual(["ASN", "(64512)", "65537", "", ""]);
  await at.run("create -f -", resource("BGPConfiguration", "default", { asNumber: 65001 }));
  expect(await asns()).toEqual(["ASN", "(65001)", "65537", "", ""]);
  await at.store.put(resourceKey({ kind: "BGPConfiguration", name: "default" }), "{");
  expect(await asns()).toEqual(["ASN", "(unknown)", "65537", "", ""]);
});

test("64: namespaces: a column first, and refused where there are none", async () => {
  await using at = await clusterWith(
    resource("NetworkSet", "a", {}, { namespace: "x" }),
    resource("NetworkSet", "b", {}),
  );
  expect((await at.run("get netsets -A")).stdout).toBe(
    "NAMESPACE   NAME   \ndefault     b      \nx           a      \n\n",
  );
  expect((await at.run("get netsets -a")).stdout).toStartWith("NAMESPACE");
  expect((await at.run("get netsets -n x")).stdout).toBe("NAMESPACE   NAME   \nx           a      \n\n");
  expect((await at.run("get netsets")).stdout).toBe("NAME   \nb      \n\n");
  expect((await at.run("get netsets a -n x")).stdout).toBe("NAMESPACE   NAME   \nx           a      \n\n");
  for (const line of ["get ippool -n x", "get ippool -A"]) {
    expect(await at.run(line)).toEqual({ code: 1, stdout: "", stderr: "IPPool is not namespaced\n" });
  }
  expect((await at.run("get netsets -n x -A")).stderr).toBe(
    "cannot use both --namespace and --all-namespaces flags at the same time\n",
  );
  expect((await at.run("get netsets a -A")).stderr).toBe(
    "cannot use --all-namespace flag for getting a single resource\n",
  );
});

test("67: --export of a name leaves out what only holds here, of a list nothing; the file applies as it is", async () => {
  await using at = await clusterWith(resource("NetworkSet", "a", { nets: ["10.0.0.1"] }, { labels: { x: "y" } }));
  const one = (await at.run("get netsets a -o yaml --export")).stdout;
  for (const field of ["uid", "namespace", "resourceVersion", "creationTimestamp"])
    expect(one).not.toContain(`${field}:`);
  expect(one).toContain("x: y");
  expect((await at.run("get netsets -o yaml --export")).stdout).toContain("uid:");
  await at.run("apply -f -", resource("NetworkSet", "a", { nets: ["10.0.0.2"] }));
  expect((await at.run("apply -f -", one)).code).toBe(0);
});

test("68: tiers by order; long lists are cut at 80", async () => {
  await using at = await clusterWith(
    resource("Tier", "late", { order: 5_000_000 }),
    resource("Tier", "early", { order: 3 }),
  );
  await at.store.put(resourceKey({ kind: "Tier", name: "none" }), resource("Tier", "none", {}));
  const names = (await at.run("get tiers")).stdout.split("\n").map((line) => line.trim().split(/ +/).join(" "));
  expect(names.filter((line) => line !== "")).toEqual([
    "NAME ORDER",
    "early 3",
    "kube-admin 1000",
    "default 1e+06",
    "late 5e+06",
    "kube-baseline 1e+07",
    "none <nil>",
  ]);
  const nets = Array.from({ length: 10 }, (_, at) => `10.0.${at}.0/24`);
  await at.run("create -f -", resource("GlobalNetworkSet", "s", { nets }));
  const wide = (await at.run("get gnetsets -o custom-columns=NETS")).stdout.split("\n")[1]?.trim();
  expect(wide).toHaveLength(80);
  expect(wide).toEndWith("...");
});

test("documents: one alone, several as an array, a kind as a list; JSON without a newline at its end", async () => {
  await using at = await clusterWith(...pools);
  const json = async (line: string) => JSON.parse((await at.run(line)).stdout);
  expect(await json("get pool p2 -o json")).toMatchObject({ kind: "IPPool", metadata: { name: "p2" } });
  expect(await json("get pool p2 ippool-name1 -o json")).toMatchObject([{ metadata: { name: "p2" } }, {}]);
  const list = await json("get pool -o json");
  expect(list).toMatchObject({ kind: "IPPoolList", apiVersion: "projectcalico.org/v3" });
  expect(list.metadata.resourceVersion).toMatch(/^\d+$/);
  expect((await at.run("get pool p2 -o json")).stdout).toEndWith("\n}");
  expect((await at.run("get pool p2 -o yml")).stdout).toStartWith("apiVersion: ");
  expect((await at.run("get pool -o name")).stdout).toBe("ippool/ippool-name1\nippool/p2\n");
});

test("the resources of a file, where they are", async () => {
  await using at = await clusterWith(...pools);
  const file = [pools[0], resource("Tier", "default", {}), resource("NetworkSet", "gone", {})].join("\n---\n");
  const said = await at.run("get -f - -o name", file);
  expect(said).toEqual({
    code: 1,
    stdout: "ippool/ippool-name1\ntier/default\n",
    stderr: "resource does not exist: NetworkSet(default/gone) with error: <nil>\n",
  });
  expect((await at.run("get -f - --skip-empty", "")).stdout).toBe("No resources specified\n");
});

test("columns and templates of the user's own", async () => {
  await using at = await clusterWith(...pools);
  expect((await at.run("get pools -o custom-columns=CIDR,NAME")).stdout).toBe(
    "CIDR          NAME           \n10.0.1.0/24   ippool-name1   \n10.1.0.0/16   p2             \n\n",
  );
  const template = "{{range .}}{{range .Items}}{{.ObjectMeta.Name}} {{.Spec.CIDR}};{{end}}{{end}}";
  expect((await at.run(["get", "pools", "-o", `go-template=${template}`])).stdout).toBe(
    "ippool-name1 10.0.1.0/24;p2 10.1.0.0/16;",
  );
  const named = `{{range .}}{{.Name}} {{config "asnumber"}};{{end}}`;
  expect((await at.run(["get", "pools", "p2", "-o", `go-template=${named}`])).stdout).toBe("p2 64512;");
  const folder = mkdtempSync(join(tmpdir(), "calicoctl-"));
  writeFileSync(join(folder, "t"), named);
  expect((await at.run(`get pool p2 -o go-template-file=${join(folder, "t")}`)).stdout).toBe("p2 64512;");
  rmSync(folder, { recursive: true });
});

const refused: readonly [words: readonly string[], stderr: string][] = [
  [["somekind", "somename"], "failed to get resources: resource type 'somekind' is not supported\n"],
  [["policy", ""], "failed to get resources: resource name may not be empty\n"],
  [["pool", "a/b"], 'failed to get resources: "a/b" cannot be a name\n'],
  [["nodse"], "failed to get resources: resource type 'nodse' is not supported\n  did you mean node?\n"],
  [[], "resource kind or --filename required; valid kinds: workloadendpoint, ippool, node, "],
  [["pool", "-o", "strange"], "unrecognized output format 'strange'\n"],
  [["pool", "-o", "yaml=x"], "unrecognized output format 'yaml=x'\n"],
  [["pool", "-o", "custom-columns="], "need to specify at least one column\n"],
  [["pool", "-o", "custom-columns"], "need to specify at least one column\n"],
  [["pool", "-o", "custom-columns=NAME,COLOUR"], "unknown heading COLOUR, valid values are: NAME, CIDR, NAT, "],
  [["pool", "-o", "go-template"], "need to specify a template\n"],
  [["pool", "-o", "go-template-file="], "need to specify a template file\n"],
  [["pool", "-o", "go-template-file=/nonexistent"], "cannot read template file /nonexistent: "],
  [["pool", "-o", "go-template={{range .}}"], "template:1: {{range}} without {{end}}"],
  [["pool", "-o", "go-template={{.Name}}"], ".Name: can't evaluate field Name in a list"],
  [["pool", "-f", "-"], "Usage:\n  calicoctl get KIND"],
  [["pool", "--bogus"], "unknown flag: --bogus\n\nUsage:"],
  [["pool", "-x"], "unknown shorthand flag: 'x' in -x\n\nUsage:"],
  [["-f", "/nonexistent"], "failed to execute command: open /nonexistent: no such file or directory\n"],
];
for (const [words, stderr] of refused) {
  test(`59: refused: calicoctl get ${words.join(" ")}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(["get", ...words]);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
  });
}

test("an object of somebody else's, however odd, does not break a table", async () => {
  await using at = await calicoctlCluster();
  for (const { kind } of kindViews) {
    const scoped =
      ["NetworkPolicy", "NetworkSet", "WorkloadEndpoint"].includes(kind) ||
      kind.startsWith("StagedK") ||
      kind === "StagedNetworkPolicy";
    const key = resourceKey({ kind, name: "odd", ...(scoped ? { namespace: "default" } : {}) });
    await at.store.put(
      key,
      JSON.stringify({
        kind,
        apiVersion: "x",
        metadata: { name: "odd" },
        spec: { order: {}, nets: 3, bgp: [], podSelector: 1, ipNATs: "x", labelsToApply: [] },
      }),
    );
    for (const form of ["ps", "wide", "yaml", "json", "name", "go-template={{range .}}{{.Items}}{{end}}"]) {
      expect([kind, (await at.run(["get", kind, "-o", form])).code]).toEqual([kind, 0]);
    }
  }
});
