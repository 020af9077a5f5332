/** The datastore commands and version: a whole cluster out and in again, the lock, policies of older releases. */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { TestClock } from "../../../base/clock.ts";
import { BadInput, OperationError } from "../../../base/errors.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { clusterInformationKey, resourceKey } from "../../../model/keys.ts";
import { runCalicoctl } from "../../calicoctl.ts";
import { type CalicoctlCluster, calicoctlCluster, call } from "../testing/cluster.ts";

const resource = (kind: string, name: string, spec: unknown, metadata: object = {}) =>
  JSON.stringify({ apiVersion: "projectcalico.org/v3", kind, metadata: { name, ...metadata }, spec });

async function everything(at: CalicoctlCluster): Promise<Record<string, unknown>> {
  const { kvs } = await at.store.list("/");
  return Object.fromEntries(kvs.map(({ key, value }) => [key, JSON.parse(value)]));
}

async function filledCluster(): Promise<CalicoctlCluster> {
  const at = await calicoctlCluster();
  const many = Array.from({ length: 150 }, (_, one) =>
    resource("GlobalNetworkSet", `s${one}`, { nets: [`10.1.${one}.0/24`] }),
  );
  await at.run(
    "create -f -",
    [
      resource("IPPool", "p", { cidr: "10.0.0.0/16" }),
      resource("Node", "h1", { bgp: { ipv4Address: "172.16.0.1/24" } }),
      resource(
        "GlobalNetworkPolicy",
        "g",
        {
          selector: "app == 'x'",
          order: 1e6 + 0.5,
          ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80, "90:95"] } }],
        },
        { labels: { yes: "no", n: "1" }, annotations: { text: '---\n===\nlines: "quoted"' } },
      ),
      resource("NetworkSet", "n", { nets: ["10.0.0.1"] }, { namespace: "prod" }),
      ...many,
    ].join("\n---\n"),
  );
  await at.store.put(
    resourceKey({ kind: "GlobalNetworkPolicy", name: "default.old" }),
    resource("GlobalNetworkPolicy", "default.old", { selector: "all()" }),
  );
  await new Ipam({ store: at.store, clock: at.clock }).assignAddress({
    host: "h1",
    family: 4,
    address: parseIpAddress("10.0.0.5"),
    handle: "h",
  });
  return at;
}

test("a whole cluster comes back as it was, numbers beyond 2^53 and all; the target stays locked", async () => {
  await using from = await filledCluster();
  await using to = await calicoctlCluster();
  await from.run("datastore migrate lock");
  const exported = await from.run("datastore migrate export");
  expect(exported).toMatchObject({ code: 0, stderr: "" });
  expect(exported.stdout.split("\n===\n")).toHaveLength(3);
  const said = await to.run("datastore migrate import -f -", exported.stdout);
  expect(said).toMatchObject({ code: 0, stderr: "" });
  expect(said.stdout).toMatch(/^Datastore information successfully imported: \d+ keys\. The datastore is locked/);
  expect(await everything(to)).toEqual(await everything(from));
  const raw = async (at: CalicoctlCluster) => (await at.store.list("/calico/ipam/")).kvs.map(({ value }) => value);
  expect(await raw(to)).toEqual(await raw(from));
  expect((await to.run("datastore migrate import -f -", exported.stdout)).code).toBe(0);
  await to.run("datastore migrate unlock");
  expect((await to.run("ipam show --ip=10.0.0.5")).stdout).toContain("Handle ID: h\n");
});

test("an import that was cut off goes on; one into another cluster is refused and changes nothing", async () => {
  await using from = await filledCluster();
  await using to = await calicoctlCluster();
  await from.run("datastore migrate lock");
  const { stdout } = await from.run("datastore migrate export");
  let parts = 0;
  const transact: typeof to.store.transact = (...given) => {
    if (++parts > 1) throw new OperationError("STORE_UNAVAILABLE", "cut off");
    return to.store.transact(...given);
  };
  expect((await to.run("datastore migrate import -f -", { stdin: stdout, connection: { transact } })).code).toBe(1);
  expect(await everything(to)).not.toEqual(await everything(from));
  expect((await to.run("datastore migrate import -f -", stdout)).code).toBe(0);
  expect(await everything(to)).toEqual(await everything(from));

  await using other = await filledCluster();
  const before = await everything(other);
  const refused = await other.run("datastore migrate import -f -", stdout);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/^the datastore is not empty: it has \d+ other keys, for example \/calico\//);
  expect(await everything(other)).toEqual(before);
});

test("lock and unlock set what hosts heed, and keep the rest of it", async () => {
  await using at = await filledCluster();
  const spec = async () => JSON.parse((await at.store.get(clusterInformationKey))?.value ?? "").spec;
  const before = await spec();
  expect(await at.run("datastore migrate lock")).toEqual({ code: 0, stdout: "Datastore locked.\n", stderr: "" });
  expect(await spec()).toEqual({ ...before, datastoreReady: false });
  expect((await at.run("datastore migrate lock")).code).toBe(0);
  expect(await at.run("datastore migrate unlock")).toEqual({ code: 0, stdout: "Datastore unlocked.\n", stderr: "" });
  expect(await spec()).toEqual(before);
});

test("policies of older releases get their own names, once", async () => {
  await using at = await filledCluster();
  const tiered = resourceKey({ kind: "GlobalNetworkPolicy", name: "default.taken" });
  await at.store.put(tiered, resource("GlobalNetworkPolicy", "default.taken", { selector: "a == 'b'" }));
  await at.store.put(tiered.replace("default.", ""), resource("GlobalNetworkPolicy", "taken", { selector: "all()" }));
  expect((await at.run("datastore migrate-policy-names --dry-run")).stdout).toContain("default.old -> ");
  expect(await at.store.get(resourceKey({ kind: "GlobalNetworkPolicy", name: "default.old" }))).toBeDefined();
  const said = await at.run("datastore migrate-policy-names");
  expect(said).toMatchObject({ code: 0, stdout: "Policy name migration complete, migrated 1 policies.\n" });
  expect(said.stderr).toStartWith(`left as it is: ${tiered}: `);
  expect((await at.run("get gnp old -o name")).code).toBe(0);
  expect(await at.store.get(resourceKey({ kind: "GlobalNetworkPolicy", name: "default.old" }))).toBeUndefined();
  expect((await at.run("datastore migrate-policy-names")).stdout).toContain("migrated 0 policies");
});

const bad: readonly [words: string, stdin: string, stderr: string][] = [
  ["migrate lock now", "", "Usage:\n  calicoctl datastore migrate lock"],
  ["migrate lock", "", "the datastore is empty: there is nothing to lock\n"],
  ["migrate unlock --force", "", "unknown flag: --force\n\nUsage:"],
  ["migrate export", "", "datastore is not locked. Run the `calicoctl datastore migrate lock` command"],
  ["migrate export all", "", "Usage:\n  calicoctl datastore migrate export"],
  ["migrate import", "", "Usage:\n  calicoctl datastore migrate import"],
  ["migrate import -f /nonexistent", "", "cannot read /nonexistent: "],
  ["migrate import -f -", "", "the file is no export: three parts"],
  ["migrate import -f -", "a\n===\nb\n===\nc\n", "the file is no export: document 1"],
  ["migrate import -f -", "===\n{}\n===\n{}\n", "the file is no export: part 2"],
  ["migrate import -f -", "===\n{}\n===\n{]\n", "the file is no export: part 3"],
  [
    "migrate import -f -",
    '===\n{"kind":"ClusterInformation"}\n===\n{"/etc/passwd":1}\n',
    'the file is no export: part 3: "/etc/passwd" is no key',
  ],
  [
    "migrate import -f -",
    "kind: Pod\napiVersion: v1\nmetadata: {name: a}\n===\n{}\n===\n{}\n",
    "the file is no export: document 1: unknown resource type (Pod)",
  ],
  ["migrate-policy-names now", "", "Usage:\n  calicoctl datastore migrate-policy-names"],
];
for (const [words, stdin, stderr] of bad) {
  test(`refused: calicoctl datastore ${words} ${stdin.slice(0, 20)}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(`datastore ${words}`, stdin);
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toStartWith(stderr);
    expect((await at.store.list("/")).kvs).toEqual([]);
  });
}

test("version tells both sides; without a datastore only its own", async () => {
  await using at = await filledCluster();
  const own = "Client Version:    v3.32.1\nGit commit:        margay\n";
  expect(await at.run("version")).toEqual({
    code: 0,
    stdout: `${own}Cluster Version:   unknown\nCluster Type:      margay\n`,
    stderr: "",
  });
  const away = (error: Error) => call("version", {}, new TestClock(), () => Promise.reject(error));
  expect(await away(new OperationError("STORE_UNAVAILABLE", "no answer"))).toEqual({
    code: 1,
    stdout: own,
    stderr: "unable to retrieve Cluster Version or Type: no answer\n",
  });
  const unsettled = await away(new BadInput("ETCD_ENDPOINTS", "is odd", "a URL"));
  expect(unsettled).toMatchObject({ code: 0, stderr: "" });
  expect(unsettled.stdout).toStartWith(`${own}Unable to detect installed Calico version`);
  await at.store.put(clusterInformationKey, "{");
  expect((await at.run("version")).stderr).toStartWith("unable to retrieve Cluster Version or Type: ");
  for (const poll of ["soon", "0s", "-1s", "5"]) {
    expect(await at.run(`version --poll=${poll}`)).toEqual({
      code: 1,
      stdout: "",
      stderr: `invalid poll duration specified: ${poll}\n`,
    });
  }
  expect((await at.run("version now")).stderr).toStartWith("Usage:\n  calicoctl version");
});

test("version --poll prints what has changed, until it is stopped", async () => {
  await using at = await filledCluster();
  const stop = new AbortController();
  const said: string[] = [];
  const io = {
    stdout: (text: string) => void said.push(text),
    stderr: () => undefined,
    stdin: async () => "",
    env: {},
    signal: stop.signal,
  };
  const openStore = async () => at.store;
  const polling = runCalicoctl(["--config=/dev/null", "version", "--poll=5s"], io, { clock: at.clock, openStore });
  const until = async (count: number) => {
    while (said.length < count) {
      await at.clock.advance(1_000);
      await new Promise(setImmediate);
    }
  };
  await until(2);
  const stored = JSON.parse((await at.store.get(clusterInformationKey))?.value ?? "");
  await at.store.put(
    clusterInformationKey,
    JSON.stringify({ ...stored, spec: { ...stored.spec, calicoVersion: "v3.30.0" } }),
  );
  await until(3);
  expect(said.slice(1)).toEqual([
    "Cluster Version:   unknown\nCluster Type:      margay\n",
    "Cluster Version:   v3.30.0\nCluster Type:      margay\n",
  ]);
  stop.abort();
  expect(await polling).toBe(0);
});
