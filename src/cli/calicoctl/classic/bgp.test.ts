/** `calicoctl bgp`, `config` and `ipam`, byte for byte (calicoctl.md 7, numbers 9 to 12, 46 and 47). */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { Ipam } from "../../../ipam/ipam.ts";
import { nodeKey } from "../../../model/keys.ts";
import { newNode } from "../../../model/node.ts";
import { encode } from "../../../model/resource.ts";
import { calicoctlCluster } from "../testing/cluster.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const silent = { code: 0, stdout: "", stderr: "" };
const says = (stdout: string) => ({ code: 0, stdout, stderr: "" });
const refuses = (stdout: string) => ({ code: 1, stdout, stderr: "" });
const bgpConfiguration = "/calico/resources/v3/projectcalico.org/bgpconfigurations/default";

test("9: the default AS number is 64511 until it is set, also as two halves", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("bgp default-node-as")).toEqual(says("64511\n"));
  expect(await at.run("bgp default-node-as 12345")).toEqual(silent);
  expect(await at.run("bgp default-node-as")).toEqual(says("12345\n"));
  for (const wrong of ["99999999999999999999999", "abcde", "65536.0", "1.2.3", "4294967296"]) {
    expect(await at.run(`bgp default-node-as ${wrong}`)).toEqual(refuses("Invalid AS Number specified.\n"));
  }
  expect(await at.run("bgp default-node-as 65535.65535")).toEqual(silent);
  expect(JSON.parse((await at.store.get(bgpConfiguration))?.value ?? "").spec.asNumber).toBe(4294967295);
});

test("9: a store that classic commands began keeps 64511, another one 64512", async () => {
  await using classic = await calicoctlCluster();
  await classic.run("pool add 10.0.0.0/16");
  expect((await classic.run("bgp default-node-as")).stdout).toBe("64511\n");
  await using modern = await calicoctlCluster();
  await modern.run(
    "apply -f -",
    "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n",
  );
  expect((await modern.run("bgp default-node-as")).stdout).toBe("64512\n");
});

test("10: the mesh of hosts is on until it is switched off", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("bgp node-mesh")).toEqual(says("on\n"));
  expect(await at.run("bgp node-mesh off")).toEqual(silent);
  expect(await at.run("bgp node-mesh")).toEqual(says("off\n"));
  expect(await at.run("bgp-node-mesh on")).toEqual(silent);
  expect(await at.run("bgp-node-mesh")).toEqual(says("on\n"));
});

const tables = (title: string) => {
  const rule = `+${"-".repeat(title.length + 2)}+--------+\n`;
  return `${rule}| ${title} | AS Num |\n${rule}| ${"1.2.3.4".padEnd(title.length)} | 64513  |\n${rule}\n`;
};
for (const [command, title, gone, unknown] of [
  [
    "bgp peer",
    "Global IPv4 BGP Peer",
    "BGP peer removed from global configuration\n",
    "is not a globally configured peer.",
  ],
  [
    "node bgp peer",
    "Node specific IPv4 BGP Peer",
    "BGP peer removed from node configuration\n",
    "is not a configured peer for this node.",
  ],
] as const) {
  test(`11: ${command}: add, show, remove, and remove again`, async () => {
    await using at = await calicoctlCluster();
    expect(await at.run(`${command} add 1.2.3.4 as 64513`)).toEqual(silent);
    expect(await at.run(`${command} show --ipv4`)).toEqual(says(tables(title)));
    expect(await at.run(`${command} add 1.2.3.4 as 1.0`)).toEqual(silent);
    expect((await at.run(`${command} show --ipv4`)).stdout).toContain("| 65536  |");
    expect(await at.run(`${command} add fd80::5 as 64513`)).toEqual(silent);
    expect((await at.run(`${command} show --ipv6`)).stdout).toContain("fd80::5");
    for (const address of ["1.2.3.4", "fd80::5"]) {
      expect(await at.run(`${command} remove ${address}`)).toEqual(says(gone));
      expect(await at.run(`${command} remove ${address}`)).toEqual(refuses(`${address} ${unknown}\n`));
    }
    expect(await at.run(`${command} add 1.2.3 as 64513`)).toEqual(refuses("Invalid IP address specified.\n"));
    expect(await at.run(`${command} remove x`)).toEqual(refuses("Invalid IP address specified.\n"));
    expect(await at.run(`${command} add 1.2.3.4 as 65536.0`)).toEqual(refuses("Invalid AS Number specified.\n"));
  });
}

test("11: peers of one host are not those of another, nor global ones", async () => {
  await using at = await calicoctlCluster();
  const node1 = { env: { HOSTNAME: "node1" } };
  await at.run("node bgp peer add 1.2.3.4 as 1", node1);
  expect(await at.run("node bgp peer remove 1.2.3.4", { env: { HOSTNAME: "node2" } })).toMatchObject({ code: 1 });
  expect((await at.run("bgp peer show")).stdout).not.toContain("1.2.3.4");
  expect((await at.run("node bgp peer show", node1)).stdout).toContain("1.2.3.4");
  expect((await at.run("get bgppeer node1.1-2-3-4 -o name")).stdout).toBe("bgppeer/node1.1-2-3-4\n");
});

test("12: no peers are said in a line for each version", async () => {
  await using at = await calicoctlCluster();
  const none = (words: string) => `No ${words.replace("V", "4")}\n\nNo ${words.replace("V", "6")}\n\n`;
  expect(await at.run("bgp peer show")).toEqual(says(none("global IPvV BGP Peers defined.")));
  expect(await at.run("node bgp peer show")).toEqual(says(none("IPvV BGP Peers defined for this node.")));
});

test("46: ipam info and release", async () => {
  await using at = await calicoctlCluster();
  await at.store.put(nodeKey("host1"), encode(newNode({ name: "host1" }, stamp)));
  await at.run("pool add 10.9.0.0/16");
  expect(await at.run("ipam info 10.9.0.1")).toEqual(says("IP 10.9.0.1 is not currently assigned\n"));
  const ipam = new Ipam({ store: at.store, clock: at.clock });
  const attributes = { owner: "it's" };
  await ipam.assignAddress({ host: "host1", family: 4, address: parseIpAddress("10.9.0.1"), handle: "h", attributes });
  expect(await at.run("ipam info 10.9.0.1")).toEqual(says("{'node': 'host1', 'owner': 'it\\'s'}\n"));
  expect(await at.run("ipam release 10.9.0.1")).toEqual(says("Address successfully released\n"));
  expect(await at.run("ipam release 10.9.0.1")).toEqual(says("Failed to release address\n"));
  for (const command of ["release", "info"]) {
    expect(await at.run(`ipam ${command} abc`)).toEqual(refuses("Invalid IP address specified.\n"));
  }
});

const wrongValue = "The configuration value 'silly' is not recognized as a valid value.\n\n";
const wrongName = "The configuration 'volume' is not recognized as a valid option.\n\n";
const forced = "The --force option is set.\n\n";
const forceHint = "Use the --force option to override.\n\n";

test("47: config felix loglevel is set, shown, refused, forced and removed", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("config felix loglevel")).toEqual(says("No value configured\n"));
  expect(await at.run("config felix loglevel --remove")).toEqual(says("No value configured\n"));
  for (const level of ["none", "debug", "info", "warning", "error", "critical"]) {
    expect(await at.run(`config felix loglevel ${level}`)).toEqual(silent);
    expect(await at.run("config felix loglevel")).toEqual(says(`${level}\n`));
  }
  expect((await at.run("get felixconfig default -o json")).stdout).toContain('"logSeverityScreen": "Fatal"');
  expect(await at.run("config felix loglevel silly")).toEqual(refuses(wrongValue + forceHint));
  expect(await at.run("config felix loglevel infox")).toMatchObject({ code: 1 });
  expect(await at.run("config felix loglevel silly --force")).toEqual(says(wrongValue + forced));
  expect(await at.run("config felix loglevel")).toEqual(says("silly\n"));
  expect(await at.run("config felix loglevel --remove")).toEqual(says("Value removed\n"));
  expect(await at.run("config felix loglevel")).toEqual(says("No value configured\n"));
});

test("47: names nobody knows need --force; bgp has fewer levels; a host has its own", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("config felix volume 11")).toEqual(refuses(wrongName + forceHint));
  expect(await at.run("config felix volume 11 --force")).toEqual(says(wrongName + forced));
  expect(await at.run("config felix volume --force")).toEqual(says(`${wrongName + forced}11\n`));
  expect((await at.run("config felix a/b 1 --force")).code).toBe(1);
  expect(await at.run("config bgp loglevel warning")).toMatchObject({ code: 1 });
  expect(await at.run("config bgp loglevel debug")).toEqual(silent);
  expect(await at.run("config node bgp loglevel")).toEqual(says("No value configured\n"));
  expect(await at.run("config node bgp loglevel none")).toEqual(silent);
  expect(await at.run("config node bgp loglevel")).toEqual(says("none\n"));
  expect(await at.run("config bgp loglevel")).toEqual(says("debug\n"));
});

const usageErrors = [
  "bgp",
  "bgp peer add 1.2.3.4",
  "bgp peer add 1.2.3.4 64512",
  "bgp node-mesh maybe",
  "bgp peer show x",
  "ipam info",
  "ipam release 1.1.1.1 2.2.2.2",
  "config",
  "config felix",
  "config nosuch loglevel",
  "config felix loglevel debug --remove",
];
for (const line of usageErrors) {
  test(`a usage error: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(line);
    expect([said.code, said.stdout]).toEqual([1, ""]);
    expect(said.stderr).toMatch(/^Usage:\n/);
    expect(await at.keys()).toEqual([]);
  });
}
