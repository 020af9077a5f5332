/** The ipam commands: what they print, what they change, and what they refuse. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cidr, parseCidr, parseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { newIpPool } from "../../../model/ip-pool.ts";
import { blockKey, handleKey, handlesPrefix, ipPoolKey, nodeKey, workloadEndpointKey } from "../../../model/keys.ts";
import { newNode } from "../../../model/node.ts";
import { encode } from "../../../model/resource.ts";
import { calicoctlCluster } from "../testing/cluster.ts";

const folder = mkdtempSync(join(tmpdir(), "calicoctl-ipam-"));
afterAll(() => rmSync(folder, { recursive: true }));
const stamp = { uid: "u", nowMs: 0 };

/** Pool 10.65.0.0/16, hosts h1 and h2; the store is initialised. */
async function plannedCluster(pool = "10.65.0.0/16") {
  const at = await calicoctlCluster();
  await at.run("apply -f -", '{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"t"}}');
  await at.store.put(ipPoolKey("p"), encode(newIpPool({ name: "p", cidr: parseCidr(pool), natOutgoing: true }, stamp)));
  for (const name of ["h1", "h2"]) await at.store.put(nodeKey(name), encode(newNode({ name }, stamp)));
  const ipam = new Ipam({ store: at.store, clock: at.clock });
  const assign = (address: string, handle: string, host = "h1", attributes: Record<string, string> = {}) =>
    ipam.assignAddress({ host, family: 4, address: parseIpAddress(address), handle, attributes });
  const claim = async (name: string, address: string) => {
    const spec = {
      node: "h1",
      orchestrator: "cni",
      containerID: name,
      endpoint: "eth0",
      interfaceName: "cali1",
      ipNetworks: [`${address}/32`],
    };
    const document = {
      kind: "WorkloadEndpoint",
      apiVersion: "projectcalico.org/v3",
      metadata: { name, namespace: "default" },
      spec,
    };
    await at.store.put(workloadEndpointKey("default", name), encode(document));
  };
  return { at, ipam, assign, claim, [Symbol.asyncDispose]: () => at[Symbol.asyncDispose]() };
}

test("75: show --ip before and after; release, and once more", async () => {
  await using cluster = await plannedCluster();
  const { at, assign } = cluster;
  expect(await at.run("ipam show --ip=10.65.0.1")).toEqual({
    code: 0,
    stdout: "10.65.0.1 is not assigned\n",
    stderr: "",
  });
  await assign("10.65.0.1", "h");
  expect((await at.run("ipam show --ip=10.65.0.1")).stdout).toBe(
    "IP 10.65.0.1 is in use\nHandle ID: h\nActive Owner Attributes:\n  node: h1\n",
  );
  expect(await at.run("ipam release --ip=10.65.0.1")).toEqual({
    code: 0,
    stdout: "Successfully released IP address 10.65.0.1\n",
    stderr: "",
  });
  expect(await at.run("ipam release --ip 10.65.0.1")).toEqual({
    code: 1,
    stdout: "",
    stderr: "IP address 10.65.0.1 is not assigned\n",
  });
  expect((await at.run("ipam show --ip=10.65.0.1")).stdout).toBe("10.65.0.1 is not assigned\n");
  expect((await at.store.list(handlesPrefix)).kvs).toEqual([]);
});

test("show --show-borrowed and --show-configuration", async () => {
  await using cluster = await plannedCluster();
  const { at, assign } = cluster;
  await assign("10.65.0.1", "own");
  await assign("10.65.0.2", "lent", "h2");
  await assign("10.65.0.3", "pod", "h2", { pod: "web-1", namespace: "prod" });
  expect((await at.run("ipam show --show-borrowed")).stdout).toBe(
    [
      "+-----------+----------------+--------------+-------------+------+--------------+",
      "|    IP     | BORROWING-NODE |    BLOCK     | BLOCK OWNER | TYPE | ALLOCATED-TO |",
      "+-----------+----------------+--------------+-------------+------+--------------+",
      "| 10.65.0.2 | h2             | 10.65.0.0/26 | h1          |      | lent         |",
      "| 10.65.0.3 | h2             | 10.65.0.0/26 | h1          | pod  | prod/web-1   |",
      "+-----------+----------------+--------------+-------------+------+--------------+\n",
    ].join("\n"),
  );
  expect((await at.run("ipam show --show-configuration")).stdout).toBe(
    [
      "+------------------------------+---------+",
      "|           PROPERTY           |  VALUE  |",
      "+------------------------------+---------+",
      "| StrictAffinity               | false   |",
      "| AutoAllocateBlocks           | true    |",
      "| MaxBlocksPerHost             |       0 |",
      "| KubeVirtVMAddressPersistence | Enabled |",
      "+------------------------------+---------+\n",
    ].join("\n"),
  );
});

test("configure: each setting, together and against each other", async () => {
  await using cluster = await plannedCluster();
  const { at, ipam } = cluster;
  const said = async (line: string) => at.run(`ipam configure ${line}`);
  expect(await said("--max-blocks-per-host=3")).toEqual({
    code: 1,
    stdout: "",
    stderr: "error: MaxBlocksPerHost requires StrictAffinity to be enabled\n",
  });
  expect(await said("--strictaffinity=true --max-blocks-per-host=3")).toEqual({
    code: 0,
    stdout: "Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 3\n",
    stderr: "",
  });
  expect(await ipam.config()).toEqual({ strictAffinity: true, autoAllocateBlocks: true, blocksPerHostMax: 3 });
  expect((await said("--kubevirt-ip-persistence=Disabled --ip-cooldown-seconds=60")).stdout).toBe(
    "Successfully set KubeVirtVMAddressPersistence to: Disabled\nSuccessfully set IPCooldownSeconds to: 60\n",
  );
  const shown = (await at.run("ipam show --show-configuration")).stdout;
  for (const cell of [
    "| KubeVirtVMAddressPersistence | Disabled |",
    "| IPCooldownSeconds            |       60 |",
    "| MaxBlocksPerHost             |        3 |",
  ]) {
    expect(shown).toContain(cell);
  }
});

test("check finds what the plan and its users disagree on, and a report lets exactly the leaks go", async () => {
  await using cluster = await plannedCluster();
  const { at, assign, claim, ipam } = cluster;
  await assign("10.65.0.1", "used");
  await claim("used", "10.65.0.1");
  await assign("10.65.0.2", "leaked");
  await assign("10.65.0.3", "reassigned");
  await assign("10.65.0.4", "docker-h1-network-n1");
  // Time runs fast while a command of this fixture works.
  const soon = `${new Date(at.clock.nowMs() + 3_600_000).toISOString().replace("T", " ").replace("Z", "456789")} +0000 UTC`;
  await assign("10.65.0.5", "young", "h1", { timestamp: soon });
  await claim("stray", "10.65.0.9");
  await claim("outside", "172.16.0.1");
  await at.store.put(handleKey("empty"), '{"block":{"10.65.0.0/26":1},"deleted":false}');
  await at.store.delete(handleKey("used"));
  const before = await at.store.list("/");
  const said = await at.run("ipam check --show-problem-ips");
  expect(said).toMatchObject({ code: 0, stderr: "" });
  for (const line of [
    "Checking IPAM for inconsistencies...",
    "Found 1 IPAM blocks.",
    " IPAM block 10.65.0.0/26 affinity=host:h1:",
    "IPAM blocks record 5 allocations.",
    "  10.65.0.0/16",
    "Found 1 active IP pools.",
    "Found 0 node tunnel IPs.",
    "Found 3 workload IPs.",
    "Workloads and nodes are using 3 IPs.",
    "  h1 has 5 allocations",
    "  10.65.0.2 allocated; handle=leaked; used by nobody; node=h1",
    "Found 2 IPs that are allocated in IPAM but not actually in use.",
    "Another 1 were assigned less than a minute ago and may be about to be used.",
    "Found 1 in-use IPs that are not in active IP pools.",
    "Found 1 in-use IPs that are in active IP pools but have no corresponding IPAM allocation.",
    "Found 1 handles with no matching IPs.",
    "Found 1 handles mentioned in blocks with no matching handle resource.",
    "Check complete; found 6 problems.",
  ]) {
    expect(said.stdout.split("\n")).toContain(line);
  }
  expect(said.stdout).toEndWith(
    "calicoctl ipam release --from-report=report.json; calicoctl datastore migrate unlock\n",
  );
  expect((await at.run("ipam check --exit-code")).code).toBe(1);
  expect(await at.store.list("/")).toEqual(before);

  const file = join(folder, "report.json");
  await at.run("datastore migrate lock");
  expect((await at.run(`ipam check -o ${file}`)).stdout).toEndWith(`calicoctl ipam release --from-report=${file}\n`);
  const report = JSON.parse(readFileSync(file, "utf8"));
  expect(report).toMatchObject({ version: "v3.32.1", datastoreLocked: true, leakedHandles: [{ ID: "empty" }] });
  expect(report.clusterGUID).toMatch(/^[0-9a-f]{32}$/);
  expect(report.allocations["10.65.0.1"]).toMatchObject([{ handle: "used", inUse: true, node: "h1", borrowed: false }]);
  await ipam.releaseAddress(parseIpAddress("10.65.0.3"));
  await assign("10.65.0.3", "reassigned");
  expect(await at.run(`ipam release --from-report=${file}`)).toEqual({
    code: 0,
    stderr: "",
    stdout:
      "Releasing 2 old IPs...\nReleased 1 IPs successfully\n" +
      "1 addresses marked as leaked in the report had already been cleaned up.\n" +
      "Deleting 1 handles...\nKey: '.' = Deleted OK; 'x' = skip, handle missing/changed.\n.\n" +
      "Released 1 handles; 0 skipped; 0 errors.\nYou may now unlock the data store.\n",
  });
  const held = (await ipam.listHeld()).map(({ address }) => address as string).sort();
  expect(held).toEqual(["10.65.0.1", "10.65.0.3", "10.65.0.4", "10.65.0.5"]);
  expect(await at.store.get(handleKey("empty"))).toBeUndefined();
  expect((await at.run(`ipam release --from-report=${file}`)).stdout).toContain(
    "Released 0 IPs successfully\n2 addresses",
  );
});

test("check says what is wrong with the structure of a block", async () => {
  await using cluster = await plannedCluster("10.65.0.0/26");
  const { at, assign } = cluster;
  await assign("10.65.0.1", "a");
  const key = blockKey("10.65.0.0/26" as Cidr);
  const block = JSON.parse((await at.store.get(key))?.value ?? "");
  block.unallocated = [1, ...block.unallocated.filter((ordinal: number) => ordinal !== 2), 5];
  await at.store.put(key, JSON.stringify({ ...block, affinity: "host:h9", deleted: true }));
  await at.store.put(blockKey("10.66.0.0/26" as Cidr), "{}");
  const { stdout } = await at.run("ipam check");
  for (const line of [
    `  ${key}: allocated and free at once: ordinals 1`,
    `  ${key}: neither allocated nor free: ordinals 2`,
    `  ${key}: an ordinal is free twice`,
    `  ${key}: is marked as deleted`,
    `  ${key}: belongs to h9, which has no affinity to it`,
    "Found 6 problems of structure.",
  ]) {
    expect(stdout.split("\n")).toContain(line);
  }
});

test("reports are refused for the reasons of the original; several are cut to what all of them say", async () => {
  await using cluster = await plannedCluster();
  const { at, assign, ipam } = cluster;
  await assign("10.65.0.1", "a");
  await at.run("datastore migrate lock");
  const report = async (name: string, change: object = {}) => {
    const file = join(folder, name);
    await at.run(`ipam check -o ${file}`);
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
    return file;
  };
  const first = await report("first");
  await assign("10.65.0.2", "b");
  const second = await report("second");
  const release = async (words: string) => at.run(`ipam release ${words}`);
  const foreign = await report("foreign", { clusterGUID: "other" });
  expect((await release(`--from-report=${foreign} --force`)).stderr).toBe(
    `cluster does not match the provided report (${foreign}): mismatched cluster GUID. Refusing to release\n`,
  );
  const older = await report("older", { version: "v3.1.0" });
  const olderText = `the provided report (${older}) was produced using a different version (v3.1.0) of calicoctl. Refusing to release\n`;
  expect(await release(`--from-report=${older}`)).toEqual({ code: 1, stdout: "", stderr: olderText });
  const stale = await report("stale", { clusterInformationRevision: "1" });
  expect((await release(`--from-report=${stale}`)).stderr).toStartWith(
    "the provided reports are all stale - at least one",
  );
  await at.run("datastore migrate unlock");
  expect((await release(`--from-report=${first}`)).stderr).toBe(
    "data store is not locked. Either lock the data store, or re-run with --force\n",
  );
  const forced = await release(`--from-report=${first} --from-report=${second} --from-report=${older} --force`);
  expect(forced.stdout).toContain(`WARNING: ${olderText}`);
  expect(forced.stdout).toContain("WARNING: data store is not locked.");
  expect(forced.stdout).toContain("Releasing 1 old IPs...\nReleased 1 IPs successfully\n");
  expect((await ipam.listHeld()).map(({ handle }) => handle)).toEqual(["b"]);
  const none = await report("none", { allocations: {}, leakedHandles: null });
  expect((await release(`--from-report=${none} --force`)).stdout).toEndWith(
    "Report didn't contain any leaked IPs to clean up.\nReport didn't contain any handles to clean up.\nYou may now unlock the data store.\n",
  );
});

test("76: split needs the lock, a pool and a power of two that leaves room for blocks", async () => {
  await using cluster = await plannedCluster("10.65.0.0/24");
  const { at, ipam, assign } = cluster;
  await assign("10.65.0.1", "a");
  const refused = async (words: string, stderr: string) => {
    const before = await at.store.list("/");
    expect(await at.run(`ipam split ${words}`)).toEqual({ code: 1, stdout: "", stderr });
    expect(await at.store.list("/")).toEqual(before);
  };
  await refused(
    "4 --name=p",
    "datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools\n",
  );
  await at.run("datastore migrate lock");
  await refused("4", "no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split\n");
  await refused("4 --cidr=10.9.0.0/24", "unable to find IP pool covering the specified CIDR 10.9.0.0/24\n");
  await refused(
    "4 --name=q",
    "unable to find IP pool with name q: resource does not exist: IPPool(q) with error: <nil>\n",
  );
  const error = (number: string) => `error splitting the CIDR 10.65.0.0/24 into ${number} CIDRs: `;
  await refused("3 --name=p", `${error("3")}number to split CIDR into is not a valid power of 2: 3\n`);
  await refused("0 --name=p", `${error("0")}number to split CIDR into is not a valid power of 2: 0\n`);
  await refused(
    "512 --name=p",
    `${error("512")}the CIDR 10.65.0.0/24 is not large enough to be split into 512 parts\n`,
  );
  await refused("8 --name=p", `${error("8")}the CIDR 10.65.0.0/24 is not large enough to be split into 8 parts\n`);
  expect(await at.run("ipam split 4 --cidr=10.65.0.0/24")).toEqual({
    code: 0,
    stderr: "",
    stdout:
      "IP Pool p was successfully split into 4 smaller pools.Created split-p-0 with CIDR 10.65.0.0/26.\n" +
      "Created split-p-1 with CIDR 10.65.0.64/26.\nCreated split-p-2 with CIDR 10.65.0.128/26.\n" +
      "Created split-p-3 with CIDR 10.65.0.192/26.\nPlease refer to the documentation for final steps.\n",
  });
  const pools = await ipam.pools();
  expect(pools.map(({ name, cidr, natOutgoing }) => `${name} ${cidr} ${natOutgoing}`)).toEqual(
    [0, 64, 128, 192].map((last, at) => `split-p-${at} 10.65.0.${last}/26 true`),
  );
  expect((await ipam.lookup(parseIpAddress("10.65.0.1")))?.handle).toBe("a");
});

test("76: a split into more pools than fit into a transaction", async () => {
  await using cluster = await plannedCluster("10.64.0.0/14");
  const { at, ipam } = cluster;
  await at.run("datastore migrate lock");
  expect((await at.run("ipam split 256 --name=p")).code).toBe(0);
  const pools = await ipam.pools();
  expect(pools).toHaveLength(256);
  expect(pools.some(({ name, disabled }) => name === "p" || disabled)).toBe(false);
});

const bad: readonly [words: string, stdout: string, stderr: string][] = [
  ["show --ip=1.2.3", "Error executing command: invalid IP address specified: 1.2.3\n", ""],
  ["show --ip=10.0.0.1 --show-blocks", "", "Usage:\n  calicoctl ipam show"],
  ["show something", "", "Usage:\n  calicoctl ipam show"],
  ["show --bogus", "", "unknown flag: --bogus\n\nUsage:"],
  ["check extra", "", "Usage:\n  calicoctl ipam check"],
  [
    "check -o /nonexistent/x",
    expect.any(String) as unknown as string,
    "failed to write the report to /nonexistent/x: ",
  ],
  ["release", "", "Usage:\n  calicoctl ipam release --ip"],
  ["release --ip=10.0.0.1 --from-report=x", "", "Usage:\n  calicoctl ipam release --ip"],
  ["release --ip=abc", "Error executing command: invalid IP address specified: abc\n", ""],
  ["release --from-report=/nonexistent", "", "cannot read the report /nonexistent: "],
  ["release --from-report=/dev/null", "", "/dev/null: not JSON"],
  ["configure", "", "at least one configuration option must be specified\n"],
  ["configure --strictaffinity=perhaps", "", "invalid value. Use true or false to set strictaffinity\n"],
  ["configure --strictaffinity", "", "flag needs an argument: --strictaffinity\n"],
  ["configure --max-blocks-per-host=many", "", "invalid value for maxblockhost. Use a valid number\n"],
  ["configure --max-blocks-per-host=-1", "", "invalid value for maxblockhost. Use a valid number\n"],
  [
    "configure --kubevirt-ip-persistence=On",
    "",
    "invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled\n",
  ],
  [
    "configure --ip-cooldown-seconds=1201",
    "",
    "invalid value for --ip-cooldown-seconds. Use a number from 0 to 1200\n",
  ],
  ["configure strict", "", "Usage:\n  calicoctl ipam configure"],
  ["split", "", "accepts 1 arg(s), received 0\n\nUsage:"],
  ["split 4 5 --name=p", "", "accepts 1 arg(s), received 2\n\nUsage:"],
  ["split 4 --name=p --cidr=10.65.0.0/16", "", "Usage:\n  calicoctl ipam split"],
];
for (const [words, stdout, stderr] of bad) {
  test(`refused: calicoctl ipam ${words}`, async () => {
    await using cluster = await plannedCluster();
    const before = await cluster.at.store.list("/");
    const said = await cluster.at.run(`ipam ${words}`);
    expect(said).toMatchObject({ code: 1, stdout });
    expect(said.stderr).toStartWith(stderr);
    expect(await cluster.at.store.list("/")).toEqual(before);
  });
}
