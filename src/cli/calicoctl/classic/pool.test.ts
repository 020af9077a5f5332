/** `calicoctl pool`, byte for byte (calicoctl.md 7, numbers 1 to 6 and 8). */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { decodeIpPool, defaultIpPool } from "../../../model/ip-pool.ts";
import { blocksPrefix, ipPoolKey, nodeKey } from "../../../model/keys.ts";
import { newNode } from "../../../model/node.ts";
import { encode } from "../../../model/resource.ts";
import { type CalicoctlCluster, calicoctlCluster } from "../testing/cluster.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const silent = { code: 0, stdout: "", stderr: "" };
const removed = {
  code: 0,
  stdout: "Disabling IP Pool\nRemoving IPAM configuration for pool\nDeleted IP Pool\n",
  stderr: "",
};
const empty = (family: 4 | 6) => {
  const rule = "+-----------+---------+\n";
  return `${rule}| IPv${family} CIDR | Options |\n${rule}${rule}`;
};

test("1: an empty store shows two tables with a header only", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("pool show")).toEqual({ code: 0, stdout: empty(4) + empty(6), stderr: "" });
  expect((await at.run("pool show --ipv6")).stdout).toBe(empty(6));
});

test("2: pools of both versions come and go; a second removal is refused", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("pool add 10.0.1.0/24")).toEqual(silent);
  const shown = async () => (await at.run("pool show")).stdout;
  expect(await shown()).toContain("10.0.1.0/24");
  expect(await shown()).not.toContain("fed0:8001::/64");
  expect(await at.run("pool add fed0:8001::/64")).toEqual(silent);
  expect(await shown()).toContain("10.0.1.0/24");
  expect(await shown()).toContain("fed0:8001::/64");
  expect(await at.keys()).toEqual(
    expect.arrayContaining(["ippools/10-0-1-0-24", "ippools/fed0-8001---64", "bgpconfigurations/default"]),
  );
  expect(await at.run("pool remove 10.0.1.0/24")).toEqual(removed);
  expect(await at.run("pool remove fed0:8001::/64")).toEqual(removed);
  expect(await shown()).toBe(empty(4) + empty(6));
  const again = await at.run("pool remove 10.0.1.0/24");
  expect(again).toEqual({ code: 1, stdout: "10.0.1.0/24 is not a configured pool.\n", stderr: "" });
});

test("3: the same CIDR again sets the options, and without them takes them away", async () => {
  await using at = await calicoctlCluster();
  await at.run("pool add 10.1.2.3/16 192.168.0.0/16");
  expect(await at.run("pool add --nat-out 10.1.0.0/16 --ipip")).toEqual(silent);
  expect((await at.run("pool show --ipv4")).stdout).toBe(
    [
      "+----------------+-------------------+",
      "|   IPv4 CIDR    |      Options      |",
      "+----------------+-------------------+",
      "|  10.1.0.0/16   | ipip,nat-outgoing |",
      "| 192.168.0.0/16 |                   |",
      "+----------------+-------------------+\n",
    ].join("\n"),
  );
  const felix = JSON.parse(
    (await at.store.get("/calico/resources/v3/projectcalico.org/felixconfigurations/default"))?.value ?? "",
  );
  expect(felix.spec.ipipEnabled).toBe(true);
  expect(await at.run("pool add 10.1.0.0/16")).toEqual(silent);
  expect((await at.run("pool show --ipv4")).stdout).not.toContain("ipip");
  const stored = await at.store.get(ipPoolKey("10-1-0-0-16"));
  expect(decodeIpPool(stored?.value ?? "")).toMatchObject({ cidr: "10.1.0.0/16", natOutgoing: false });
});

test("3: a pool that has another name is changed, not doubled", async () => {
  await using at = await calicoctlCluster();
  await at.store.put(ipPoolKey("default-ipv4-ippool"), encode(defaultIpPool(stamp)));
  expect(await at.run("pool add 192.168.0.0/16")).toEqual(silent);
  expect((await at.keys()).filter((key) => key.startsWith("ippools/"))).toEqual(["ippools/default-ipv4-ippool"]);
});

const small = (cidr: string) =>
  `An IPv4 pool must have a prefix length of 26 or lower.\nGiven: ${cidr}.\nNo pools added.\n`;
const refused: readonly [number: string, line: string, said: string][] = [
  ["4", "pool add 192.168.0.0/27", small("192.168.0.0/27")],
  ["4", "pool add 192.168.1.1", small("192.168.1.1/32")],
  [
    "4",
    "pool add fd80::/123",
    "An IPv6 pool must have a prefix length of 122 or lower.\nGiven: fd80::/123.\nNo pools added.\n",
  ],
  ["4", "pool add abcd", "Invalid CIDR specified abcd\n"],
  ["4", "pool remove abcd", "Invalid CIDR specified abcd\n"],
  ["5", "pool add 10.0.1.0/24", "Cannot add IP pool 10.0.1.0/24 - pool overlaps with an existing pool 10.0.0.0/16\n"],
  [
    "5",
    "pool add 10.1.0.0/16 10.1.1.0/24",
    "Cannot add IP pool 10.1.0.0/16 - pool overlaps with another new pool 10.1.1.0/24\n",
  ],
  ["6", "pool add fd80::/64 --ipip", "IP in IP not supported for IPv6 pools\n"],
  ["6", "pool range add 10.2.0.127 10.2.0.0", "START_IP must be a smaller ip address than END_IP\n"],
  ["6", "pool range add 10.2.0.0 fd80::1", "START_IP and END_IP must be the same ip version\n"],
  ["6", "pool range add 10.2.0 10.2.0.127", "Invalid START_IP specified.\n"],
  ["6", "pool range add 10.2.0.0 x", "Invalid END_IP specified.\n"],
  ["6", "pool range add fd80:: fd80::ffff --ipip", "IP in IP not supported for IPv6 pools\n"],
  ["6", "pool range add 9.255.0.0 10.0.0.255", "Cannot add range - range conflicts with pool 10.0.0.0/16\n"],
  [
    "6",
    "pool range add 10.2.0.0 10.2.0.64",
    "IPv4 ranges are split into pools, with the smallest pool size allowed having a prefix length of /26. One or more of the generated pools is too small (prefix length is too high).\nRange given: 10.2.0.0 - 10.2.0.64\nPools: [10.2.0.0/26, 10.2.0.64/32]\nNo pools added.\n",
  ],
  [
    "6",
    "pool add 10.3.0.0/16 fd80::/64",
    "All pools of one command must be of the same IP version.\nNo pools added.\n",
  ],
];
for (const [number, line, said] of refused) {
  test(`${number}: refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    await at.run("pool add 10.0.0.0/16");
    const before = await at.store.list("/");
    expect(await at.run(line)).toEqual({ code: 1, stdout: said, stderr: "" });
    expect(await at.store.list("/")).toEqual(before);
  });
}

for (const line of [
  "pool",
  "pool add",
  "pool remove",
  "pool show --ipv4 --ipv6",
  "pool show x",
  "pool range add 1.1.1.1",
  "pool add 10.0.0.0/16 --bogus",
]) {
  test(`a usage error: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(line);
    expect([said.code, said.stdout]).toEqual([1, ""]);
    expect(said.stderr).toContain("Usage:\n  calicoctl pool add");
    expect(await at.keys()).toEqual([]);
  });
}

test("6: a range becomes the fewest pools that are exactly it", async () => {
  await using at = await calicoctlCluster();
  const pools = async () => [...(await at.run("pool show --ipv4")).stdout.matchAll(/[\d.]+\/\d+/g)].map(String);
  expect(await at.run("pool range add 10.2.0.0 10.2.0.127")).toEqual(silent);
  expect(await pools()).toEqual(["10.2.0.0/25"]);
  expect(await at.run("pool range add 10.3.0.64 10.3.2.255 --nat-outgoing")).toEqual(silent);
  expect(await pools()).toEqual(["10.2.0.0/25", "10.3.0.128/25", "10.3.0.64/26", "10.3.1.0/24", "10.3.2.0/24"]);
});

async function blocks(at: CalicoctlCluster): Promise<readonly string[]> {
  return (await at.store.list(blocksPrefix)).kvs.map(({ key }) => key.slice(blocksPrefix.length));
}

test("8: when the addresses of a removed pool are released, no block is left", async () => {
  for (const order of ["addresses first", "pool first"] as const) {
    await using at = await calicoctlCluster();
    await at.store.put(nodeKey("host1"), encode(newNode({ name: "host1" }, stamp)));
    await at.run("pool add 10.9.0.0/26");
    const ipam = new Ipam({ store: at.store, clock: at.clock });
    const addresses = ["10.9.0.1", "10.9.0.2"].map((text) => parseIpAddress(text));
    for (const address of addresses) await ipam.assignAddress({ host: "host1", family: 4, address, handle: address });
    expect(await blocks(at)).toEqual(["ipv4/block/10.9.0.0-26"]);
    if (order === "pool first") expect(await at.run("pool remove 10.9.0.0/26")).toEqual(removed);
    for (const address of addresses) {
      expect((await at.run(`ipam release ${address}`)).stdout).toBe("Address successfully released\n");
    }
    if (order === "addresses first") expect(await at.run("pool remove 10.9.0.0/26")).toEqual(removed);
    expect(await blocks(at)).toEqual([]);
  }
});
