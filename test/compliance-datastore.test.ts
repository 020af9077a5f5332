/**
 * The part of the datastore's compliance checklist (calico-datastore.md 9) that crosses folders: what calicoctl writes, what
 * lies in the store then, and what a node makes of it. One test a number.
 */
import { describe, expect, test } from "bun:test";
import { TestClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { calicoctlCluster } from "../src/cli/calicoctl/testing/cluster.ts";
import { clusterInformationKey, ipPoolKey, kindPrefix, nodeKey, resourceKey } from "../src/model/keys.ts";
import { initializeCluster } from "../src/node/cluster-initialization.ts";
import { ClusterView } from "../src/node/cluster-view.ts";
import { readStartUp } from "../src/node/start-up/calico-environment.ts";
import { localSurroundings } from "../src/node/start-up/host-surroundings.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";
import { WatchedPrefix } from "../src/store/watched-prefix.ts";

const apiVersion = "projectcalico.org/v3";
const document = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion, kind, metadata: { name, ...metadata }, spec });
const node = (name: string, address = "10.0.0.1/24") => document("Node", name, { bgp: { ipv4Address: address } });

describe("keys, revisions and watches", () => {
  test("1: a Node that is created is one key, stamped, without its version", async () => {
    await using at = await calicoctlCluster();
    expect(await at.run("create -f -", node("n1"))).toMatchObject({ code: 0 });
    expect(await at.keys()).toEqual(["nodes/n1"]);
    const stored = JSON.parse((await at.store.get(nodeKey("n1")))?.value ?? "");
    expect(stored).toMatchObject({ kind: "Node", apiVersion, metadata: { name: "n1" } });
    expect(stored.metadata.uid).toMatch(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
    expect(stored.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(stored.metadata.resourceVersion).toBeUndefined();
  });

  test("2: creating it again is refused and changes nothing", async () => {
    await using at = await calicoctlCluster();
    await at.run("create -f -", node("n1"));
    const before = await at.store.get(nodeKey("n1"));
    const said = await at.run("create -f -", node("n1", "10.0.0.2/24"));
    expect(said.stderr).toContain("resource already exists: Node(n1)");
    expect(await at.store.get(nodeKey("n1"))).toEqual(before);
  });

  test("3: creating with a version is refused", async () => {
    await using at = await calicoctlCluster();
    const said = await at.run("create -f -", document("Node", "n1", {}, { resourceVersion: "1234" }));
    expect(said.stderr).toContain("Metadata.ResourceVersion = '1234' (field must not be set for a Create request)");
  });

  test("4, 6: a stale version is a conflict, the present one is not, on update and on removal", async () => {
    await using at = await calicoctlCluster();
    await at.run("create -f -", node("n1"));
    const versioned = async (address: string, shift: number) => {
      const revision = (await at.store.get(nodeKey("n1")))?.modRevision ?? 0;
      const stored = JSON.parse((await at.store.get(nodeKey("n1")))?.value ?? "");
      stored.metadata.resourceVersion = String(revision - shift);
      stored.spec.bgp.ipv4Address = address;
      return JSON.stringify(stored);
    };
    await at.run("replace -f -", node("n1", "10.0.0.2/24"));
    expect((await at.run("replace -f -", await versioned("10.0.0.3/24", 1))).stderr).toContain(
      "update conflict: Node(n1)",
    );
    expect(await at.run("replace -f -", await versioned("10.0.0.3/24", 0))).toMatchObject({ code: 0 });
    expect((await at.run("delete -f -", await versioned("10.0.0.3/24", 1))).stderr).toContain(
      "update conflict: Node(n1)",
    );
    expect(await at.run("delete -f -", await versioned("10.0.0.3/24", 0))).toMatchObject({ code: 0 });
    expect(await at.store.get(nodeKey("n1"))).toBeUndefined();
  });

  test("5: what is not there cannot be replaced", async () => {
    await using at = await calicoctlCluster();
    expect((await at.run("replace -f -", node("n1"))).stderr).toContain("resource does not exist: Node(n1)");
  });

  test("8: what cannot be read is left out of lists and of what a node is told, until it can be", async () => {
    await using at = await calicoctlCluster();
    const key = ipPoolKey("bad");
    await at.store.put(key, "{garbage");
    expect((await at.run("get ippool")).stdout).not.toContain("bad");
    const view = new ClusterView({ log: silentLog, onPoolsChange: () => {} });
    view.update(key, await at.store.get(key));
    expect(view.pools()).toEqual([]);
    await at.store.put(key, document("IPPool", "bad", { cidr: "10.0.0.0/16" }));
    view.update(key, await at.store.get(key));
    expect(view.pools().map(({ name }) => name)).toEqual(["bad"]);
    expect((await at.run("get ippool")).stdout).toContain("bad");
  });

  test("9: an unknown field in the store is read and kept, in a file it is refused", async () => {
    await using at = await calicoctlCluster();
    const later = document("Node", "n1", { bgp: { ipv4Address: "10.0.0.1/24" }, fromTheFuture: 1 });
    await at.store.put(nodeKey("n1"), later);
    expect((await at.run("get nodes")).stdout).toContain("n1");
    expect((await at.run("apply -f -", later)).stderr).toContain("fromTheFuture");
  });

  test("10: a list of nodes is of nodes", async () => {
    await using at = await calicoctlCluster();
    await at.run("create -f -", node("n1"));
    await at.store.put(kindPrefix("Node").replace(/nodes\/$/, "nodesx/foo"), node("foo"));
    expect((await at.run("get nodes")).stdout).toContain("n1");
    expect((await at.run("get nodes")).stdout).not.toContain("foo");
  });

  test("11: a watch lists first, then tells each change, and whether the key was known", async () => {
    const clock = new TestClock();
    await using store = await openSqliteStore({ path: ":memory:", clock });
    await store.put("/calico/a", "1");
    await store.put("/calico/b", "1");
    const told: string[] = [];
    const watched = new WatchedPrefix({
      store,
      prefix: "/calico/",
      clock,
      log: silentLog,
      onChange: (key, value, known) => told.push(`${value === undefined ? "-" : known ? "*" : "+"}${key}`),
      onInSync: () => told.push("in sync"),
    });
    const stop = new AbortController();
    const running = watched.run(stop.signal);
    await clock.advance(1);
    await store.put("/calico/a", "2");
    await store.delete("/calico/b");
    await clock.advance(1);
    expect(told).toEqual(["+/calico/a", "+/calico/b", "in sync", "*/calico/a", "-/calico/b"]);
    stop.abort();
    await running;
  });
});

describe("the cluster's state", () => {
  const { signal } = new AbortController();

  test("16, 17, 18: initialised once, types are merged, a lock stays", async () => {
    const clock = new TestClock();
    await using store = await openSqliteStore({ path: ":memory:", clock });
    const start = async (types: string) => {
      const startUp = readStartUp({ ip: "10.0.0.1" }, { CLUSTER_TYPE: types });
      await initializeCluster({ store, clock, host: "h", startUp, surroundings: localSurroundings, signal });
      return JSON.parse((await store.get(clusterInformationKey))?.value ?? "").spec;
    };
    const first = await start("a");
    expect(first.clusterGUID).toMatch(/^[0-9a-f]{32}$/);
    expect(first).toMatchObject({ clusterType: "margay,a", datastoreReady: true });
    const tiers = (await store.list(kindPrefix("Tier"))).kvs.map(({ value }) => JSON.parse(value));
    expect(tiers.map(({ metadata, spec }) => [metadata.name, spec.order])).toEqual([
      ["default", 1e6],
      ["kube-admin", 1e3],
      ["kube-baseline", 1e7],
    ]);
    expect(await start("b")).toEqual({ ...first, clusterType: "margay,a,b" });
    const locked = JSON.parse((await store.get(clusterInformationKey))?.value ?? "");
    locked.spec.datastoreReady = false;
    await store.put(clusterInformationKey, JSON.stringify(locked));
    expect(await start("a")).toEqual({ ...first, clusterType: "margay,a,b", datastoreReady: false });
  });

  test("20: there is one ClusterInformation, and nobody writes it by hand", async () => {
    await using at = await calicoctlCluster();
    for (const name of ["default", "other"]) {
      const said = await at.run("create -f -", document("ClusterInformation", name, {}));
      expect(said.code).toBe(1);
      expect(said.stderr).toContain("failed to create 'ClusterInformation' resource");
    }
    expect((await at.store.list(kindPrefix("ClusterInformation"))).kvs.map(({ key }) => key)).not.toContain(
      resourceKey({ kind: "ClusterInformation", name: "other" }),
    );
  });

  test("21: the built-in profile is there without being stored, and cannot be touched", async () => {
    await using at = await calicoctlCluster();
    const name = "projectcalico-default-allow";
    const shown = JSON.parse((await at.run(`get profile ${name} -o json`)).stdout);
    const one = Array.isArray(shown.items) ? shown.items[0] : shown;
    expect(one.metadata.resourceVersion).toBe("1");
    expect([one.spec.ingress, one.spec.egress]).toEqual(
      [[{ action: "Allow" }], [{ action: "Allow" }]].map((rules) => rules.map((rule) => expect.objectContaining(rule))),
    );
    expect((await at.run("get profiles")).stdout).toContain(name);
    expect((await at.run("create -f -", document("Profile", name, {}))).stderr).toContain("already exists");
    for (const words of ["replace -f -", "delete -f -"]) {
      expect((await at.run(words, document("Profile", name, {}))).stderr).toContain("is not supported on");
    }
    expect(await at.keys()).toEqual([]);
  });
});

describe("policies", () => {
  const policy = (name: string, spec: object = {}) =>
    document("GlobalNetworkPolicy", name, { selector: "all()", ...spec });

  test("30: stored under the user's name, with annotation and label; the annotation is not shown", async () => {
    await using at = await calicoctlCluster();
    await at.run("create -f -", policy("p"));
    expect(await at.keys()).toEqual(["globalnetworkpolicies/p"]);
    const key = resourceKey({ kind: "GlobalNetworkPolicy", name: "p" });
    expect(JSON.parse((await at.store.get(key))?.value ?? "").metadata).toMatchObject({
      labels: { "projectcalico.org/tier": "default" },
      annotations: { "projectcalico.org/metadata": '{"name":"p"}' },
    });
    expect((await at.run("get gnp p -o yaml")).stdout).not.toContain("projectcalico.org/metadata");
  });

  test("31: one of an older release is shown under its name", async () => {
    await using at = await calicoctlCluster();
    const key = resourceKey({ kind: "GlobalNetworkPolicy", name: "default.p" });
    await at.store.put(key, policy("default.p"));
    const { stdout } = await at.run("get gnp");
    expect(stdout).toMatch(/^p\s/m);
    expect(stdout).not.toContain("default.p");
  });

  test("32: a policy needs its tier, a tier goes only empty, the default one never", async () => {
    await using at = await calicoctlCluster();
    expect((await at.run("create -f -", policy("t.p", { tier: "t" }))).stderr).toContain(
      "resource does not exist: Tier(t)",
    );
    await at.run("create -f -", document("Tier", "t", { order: 5 }));
    await at.run("create -f -", policy("t.p", { tier: "t" }));
    expect((await at.run("delete tier t")).stderr).toContain("Cannot delete a non-empty tier");
    expect((await at.run("delete tier default")).stderr).toContain("Cannot delete default tier");
  });
});

test("24: endpoints of a node are not those of one whose name begins alike", async () => {
  await using at = await calicoctlCluster();
  for (const host of ["a", "a-b"]) {
    const spec = {
      node: host,
      orchestrator: "o",
      workload: "w",
      endpoint: "e",
      interfaceName: "cali1",
      ipNetworks: [],
    };
    const name = `${host.replace("-", "--")}-o-w-e`;
    expect((await at.run("create -f -", document("WorkloadEndpoint", name, spec))).stderr).toBe("");
    await at.run("create -f -", node(host, host === "a" ? "10.0.0.1/24" : "10.0.0.2/24"));
  }
  expect((await at.run("delete node a")).code).toBe(0);
  expect(await at.keys()).toEqual(["nodes/a-b", "workloadendpoints/default/a--b-o-w-e"]);
});
