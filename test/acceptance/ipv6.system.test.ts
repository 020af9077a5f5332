/**
 * Docker networks with IPv6: an IPv6 pool, `docker network create --ipv6`, containers with an address of each family that
 * reach each other by both, on one host and across hosts, as their network's policy says, and leave nothing behind.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseCidr } from "../../src/base/addresses.ts";
import { newIpPool } from "../../src/model/ip-pool.ts";
import { handlesPrefix, ipPoolKey, nodeKey } from "../../src/model/keys.ts";
import { decodeNode } from "../../src/model/node.ts";
import { encode } from "../../src/model/resource.ts";
import { Cluster } from "./cluster.ts";
import { eventually } from "./eventually.ts";

const pool = "fd80:24e2:f998:72d6::/64";
let cluster: Cluster;

interface Container {
  readonly host: string;
  readonly name: string;
  readonly network: string;
  readonly address: string;
}
const containers: Container[] = [];

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 2, name: "t-ipv6" });
  await giveHostsIpv6();
}, 180_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

/** A lab's hosts have IPv4 only: an address each, and their Node says so. */
async function giveHostsIpv6(): Promise<void> {
  for (const [at, host] of cluster.hosts.entries()) {
    const address = `fd00:31::${at + 1}`;
    await cluster.on(host, "ip", "-6", "addr", "add", `${address}/64`, "dev", "eth0", "nodad");
    const node = decodeNode(await cluster.on("host1", "etcdctl", "get", "--print-value-only", nodeKey(host)));
    const bgp = { ...node.spec.bgp, ipv6Address: `${address}/128` };
    await cluster.on("host1", "etcdctl", "put", nodeKey(host), encode({ ...node, spec: { ...node.spec, bgp } }));
  }
}

async function run(host: string, name: string, network: string, ...options: readonly string[]): Promise<Container> {
  await cluster.on(
    host,
    "docker",
    "run",
    "-d",
    "--name",
    name,
    "--net",
    network,
    ...options,
    "tools",
    "sleep",
    "86400",
  );
  const listen = ["socat", "TCP6-LISTEN:80,fork,reuseaddr", `SYSTEM:echo ${name}`];
  await cluster.on(host, "docker", "exec", "-d", name, ...listen);
  const format = `{{(index .NetworkSettings.Networks "${network}").GlobalIPv6Address}}`;
  const address = (await cluster.on(host, "docker", "inspect", "-f", format, name)).trim();
  return { host, name, network, address };
}

async function reaches(from: Container, to: Container): Promise<{ tcp: boolean; icmp: boolean }> {
  const say = `echo x | socat -t 1 - TCP6:[${to.address}]:80,connect-timeout=1`;
  const tcp = await cluster.tried(from.host, "docker", "exec", from.name, "sh", "-c", say);
  const ping = ["ping", "-6", "-n", "-c", "1", "-W", "1", to.address];
  const icmp = await cluster.tried(from.host, "docker", "exec", from.name, ...ping);
  return { tcp: tcp.stdout.includes(to.name), icmp: icmp.exitCode === 0 };
}

const create = ["docker", "network", "create", "--driver=calico", "--ipam-driver=calico", "--ipv6"];

describe("IPv6", () => {
  test("a network with --ipv6 is refused while there is no IPv6 pool", async () => {
    const said = await cluster.tried("host1", ...create, "six");
    expect([said.exitCode === 0, said.stderr]).toEqual([
      false,
      expect.stringContaining("no enabled IPv6 Calico IP Pool"),
    ]);
  });

  test("with a pool, containers get an address of each family, each host from a block of its own", async () => {
    const resource = newIpPool({ name: "six", cidr: parseCidr(pool) }, { uid: "six", nowMs: 0 });
    await cluster.on("host1", "etcdctl", "put", ipPoolKey("six"), encode(resource));
    await eventually("the pool is known to the node", () => cluster.createNetwork("six", "--ipv6"));
    await cluster.createNetwork("other", "--ipv6");
    for (const [host, name, network] of [
      ["host1", "aa", "six"],
      ["host1", "bb", "six"],
      ["host2", "cc", "six"],
      ["host2", "dd", "other"],
    ] as const) {
      containers.push(await run(host, name, network));
    }
    for (const { host, name, network, address } of containers) {
      expect(address).toStartWith("fd80:24e2:f998:72d6:");
      expect(await cluster.addressOf(host, name, network)).toMatch(/^192\.168\./);
    }
    expect(new Set(containers.map(({ address }) => address)).size).toBe(containers.length);
    const shown = await cluster.on("host2", "calicoctl", "ipam", "show", "--show-blocks");
    expect(shown.match(/fd80:[0-9a-f:]+\/122/g)).toHaveLength(2);
  }, 60_000);

  test("they reach each other by membership and in no other way, on one host and across hosts", async () => {
    for (const from of containers) {
      for (const to of containers.filter((one) => one !== from)) {
        const expected = from.network === to.network;
        const cell = `${from.name} to ${to.name}`;
        const check = async () =>
          expect([cell, await reaches(from, to)]).toEqual([cell, { tcp: expected, icmp: expected }]);
        if (expected) await eventually(cell, check);
        else await check();
      }
    }
  }, 120_000);

  test("--ip6 gives just that address, and a second use of it is refused by name", async () => {
    await cluster.createNetwork("fixed", "--ipv6", "--subnet=192.168.0.0/16", `--subnet=${pool}`);
    const wanted = "fd80:24e2:f998:72d6::77";
    const first = await run("host1", "ff", "fixed", "--ip6", wanted);
    expect(first.address).toBe(wanted);
    const again = ["docker", "run", "-d", "--name", "gg", "--net", "fixed", "--ip6", wanted, "tools", "sleep", "1"];
    const said = await cluster.tried("host2", ...again);
    expect(said.stderr).toContain(`The address ${wanted} is already in use`);
    await cluster.on("host2", "docker", "rm", "gg");
    containers.push(first);
  }, 60_000);

  test("nothing is held when they are gone", async () => {
    for (const { host, name } of containers) await cluster.on(host, "docker", "rm", "-f", name);
    await eventually("no address is held", async () => {
      const handles = await cluster.on("host1", "etcdctl", "get", "--prefix", "--keys-only", handlesPrefix);
      expect(handles.split("\n").filter((key) => key !== "")).toEqual([]);
    });
    for (const host of cluster.hosts) expect(await cluster.on(host, "ip", "-6", "route")).not.toMatch(/dev cali/);
  }, 60_000);
});
