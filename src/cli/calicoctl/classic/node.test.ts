/** `calicoctl node`, `status`, `checksystem`, `diags`: what they refuse, and what they do without a node (numbers 13, 41, 43, 45, 48; as another user: as-another-user.system). */

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../../base/clock.ts";
import { OperationError } from "../../../base/errors.ts";
import { nodeKey } from "../../../model/keys.ts";
import { newNode } from "../../../model/node.ts";
import { encode } from "../../../model/resource.ts";
import type { Store } from "../../../store/store.ts";
import { type CalicoctlCluster, calicoctlCluster, call } from "../testing/cluster.ts";
import { checkKernelVersion } from "./checksystem.ts";

const says = (stdout: string) => ({ code: 0, stdout, stderr: "" });
const refuses = (stdout: string) => ({ code: 1, stdout, stderr: "" });
const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };
const away = () => Promise.reject(new OperationError("STORE_UNAVAILABLE", "nobody listens"));

test("13: status without a node is one line and exit code 1, store or no store", async () => {
  await using at = await calicoctlCluster();
  expect(await at.run("status", { isRoot: true })).toEqual(refuses("calico-node container not running\n"));
  expect(await call("status", { isRoot: true }, new TestClock(), away)).toEqual(
    refuses("calico-node container not running\n"),
  );
});

const badOptions: readonly [number: string, line: string, stdout: string][] = [
  ["41", "node --ip=bad", "Invalid IPv4 address specified with --ip argument.\n"],
  ["41", "node --ip=fd80::1", "Invalid IPv4 address specified with --ip argument.\n"],
  ["41", "node --ip6=192.168.1.1", "Invalid IPv6 address specified with --ip6 argument.\n"],
  ["41", "node --as=65536.0", "Invalid AS Number specified.\n"],
  ["41", "node --detach=no", "Valid values for --detach are 'true' and 'false'\n"],
  ["41", "node --libnetwork --detach=false", "The only valid value for --detach is 'true' when using libnetwork\n"],
  ["41", "node --runtime=podman", "Runtime must be 'docker', 'rkt' or 'none'.\n"],
  ["41", "node --backend=quagga", "Invalid backend specified: 'quagga'\n"],
  ["13", "status --runtime=podman", "Invalid runtime specified: 'podman'\n"],
  ["13", "status --backend=quagga", "Invalid backend specified: 'quagga'\n"],
  ["45", "checksystem --runtime=podman", "Runtime must be 'docker', 'rkt' or 'none'.\n"],
  ["36", "container add A 1.2.3.4.5", "Invalid IP address specified.  Argument must be a valid IP or CIDR.\n\n"],
  ["36", "container A ip add 1.2.3.4/8", "Invalid IP address specified.\n"],
  [
    "33",
    "container add A 1.2.3.4 --interface=much-too-long-for-linux",
    '--interface: "much-too-long-for-linux" cannot name an interface (expected 1 to 15 characters without / : or space)\n',
  ],
];
for (const [number, line, stdout] of badOptions) {
  test(`${number}: refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    expect(await at.run(line)).toEqual(refuses(stdout));
    expect(await at.keys()).toEqual([]);
  });
}

const usageErrors = [
  "node start",
  "node --bogus",
  "node stop x",
  "node remove --hostname",
  "node show x",
  "status x",
  "checksystem x",
  "diags x",
  "diags --log-dir",
  "container",
  "container add A",
  "container remove",
  "container A ip",
  "container A profile",
  "container A endpoint",
  "container add A 1.1.1.1 2.2.2.2",
];
for (const line of usageErrors) {
  test(`a usage error: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    const said = await at.run(line);
    expect([said.code, said.stdout]).toEqual([1, ""]);
    expect(said.stderr).toMatch(/^(Did you mean .*\n)?Usage:\n/);
  });
}

test("48: ETCD_AUTHORITY without a port is refused by name, and by commands that ask the store only", async () => {
  await using at = await calicoctlCluster();
  for (const line of ["pool show", "profile show", "addgroup web"]) {
    const said = await at.run(line, { env: { ETCD_AUTHORITY: "host" } });
    expect(said.code).toBe(1);
    expect(said.stdout.replaceAll("\n", " ")).toBe(
      "Invalid ETCD_AUTHORITY. Address must take the form <address>:<port>. Value provided is 'host'  ",
    );
  }
  expect((await at.run("version --client", { env: { ETCD_AUTHORITY: "host" } })).code).toBe(0);
  expect((await at.run("pool show", { env: { ETCD_AUTHORITY: "host:1", ETCD_SCHEME: "ftp" } })).stdout).toStartWith(
    "Invalid ETCD_SCHEME.",
  );
});

test("every classic and seed command has a help with examples, which needs nothing", async () => {
  const names =
    "node status checksystem diags container profile endpoint pool bgp config master reset addgroup addtogroup showgroups removegroup";
  for (const line of [...names.split(" "), "ipam release", "ipam info"]) {
    const said = await call(`${line} --help`, {}, new TestClock(), away);
    expect([line, said.code, said.stderr]).toEqual([line, 0, ""]);
    expect(said.stdout).toMatch(/Usage:\n(.*\n)+Examples:\n {2}/);
    expect(said.stdout).toContain(`calicoctl ${line}`);
  }
});

test("without Docker, commands that need it say so; as a user without its group, too", async () => {
  await using at = await calicoctlCluster();
  const noDocker = "Unable to run docker commands. Is the docker daemon running?\n\n";
  expect(await at.run("container A endpoint show")).toEqual(refuses(noDocker));
  expect(await at.run("container A profile append")).toEqual(refuses(noDocker));
  expect(await at.run("container add A ipv4", { isRoot: true })).toEqual(refuses(noDocker));
});

test("a host without a node cannot give a container a network, and says how to start one", async () => {
  await using at = await calicoctlCluster();
  const folder = mkdtempSync(join(tmpdir(), "margay-ns-"));
  try {
    const said = await at.run(`container add ${folder} ipv4`, { isRoot: true });
    expect(said).toEqual({
      code: 1,
      stdout: "no margay node answers on this host (/nonexistent/margay/node.sock)\n",
      stderr: "  start it with: calicoctl node --ip=ADDRESS\n",
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function host(at: CalicoctlCluster, name: string, ipv4: string, asNumber?: number): Promise<void> {
  const node = newNode({ name, ipv4 }, stamp);
  const bgp = { ...node.spec.bgp, ...(asNumber === undefined ? {} : { asNumber }) };
  await at.store.put(nodeKey(name), encode({ ...node, spec: { ...node.spec, bgp } }));
}

test("42: node show lists the hosts, with their own peers below each other", async () => {
  await using at = await calicoctlCluster();
  await at.run("bgp default-node-as 64511");
  await host(at, "node2", "172.17.8.101/24", 64520);
  await host(at, "node1", "172.17.8.100/24");
  for (const peer of ["10.0.0.1 as 65001", "10.0.0.2 as 65002"]) {
    await at.run(`node bgp peer add ${peer}`, { env: { HOSTNAME: "node1" } });
  }
  expect(await at.run("node show")).toEqual(
    says(
      [
        "+----------+--------------+-----------+-------------------+-------------------+--------------+",
        "| Hostname |  Bird IPv4   | Bird IPv6 |       AS Num      |    BGP Peers v4   | BGP Peers v6 |",
        "+----------+--------------+-----------+-------------------+-------------------+--------------+",
        "|  node1   | 172.17.8.100 |           | 64511 (inherited) | 10.0.0.1 as 65001 |              |",
        "|          |              |           |                   | 10.0.0.2 as 65002 |              |",
        "|  node2   | 172.17.8.101 |           |       64520       |                   |              |",
        "+----------+--------------+-----------+-------------------+-------------------+--------------+",
        "\n",
      ].join("\n"),
    ),
  );
});

test("43: another host's configuration is removed by name, with its own peers, and not this one's", async () => {
  await using at = await calicoctlCluster();
  await host(at, "node1", "172.17.8.100/24");
  await host(at, "node2", "172.17.8.101/24");
  await at.run("node bgp peer add 10.0.0.1 as 65001", { env: { HOSTNAME: "node2" } });
  const said = await at.run("node remove --hostname=node2", { env: { HOSTNAME: "node1" } });
  expect(said).toEqual(says("Node configuration removed\n"));
  expect((await at.keys()).filter((key) => /nodes|bgppeers/.test(key))).toEqual(["nodes/node1"]);
});

test("a host that is written anew while its configuration is removed stays, and its user is told to say it again", async () => {
  await using at = await calicoctlCluster();
  await host(at, "node2", "172.17.8.101/24");
  await at.run("node bgp peer add 10.0.0.1 as 65001", { env: { HOSTNAME: "node2" } });
  let changes = 1;
  const transact: Store["transact"] = async (...given) => {
    const deletes = given[0].success.some((operation) => "delete" in operation);
    if (deletes && changes-- > 0) await host(at, "node2", "172.17.8.102/24");
    return await at.store.transact(...given);
  };
  const remove = () => at.run("node remove --hostname=node2", { env: { HOSTNAME: "node1" }, connection: { transact } });
  expect((await remove()).stdout.replaceAll("\n", " ")).toContain("The node was changed while it was being removed");
  expect((await at.keys()).filter((key) => /nodes|bgppeers/.test(key)).length).toBe(2);
  expect(await remove()).toEqual(says("Node configuration removed\n"));
  expect((await at.keys()).filter((key) => /nodes|bgppeers/.test(key))).toEqual([]);
});

test("45: diags without node, Docker and store make an archive for the owner alone, and name it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "margay-diags-"));
  try {
    const output = join(folder, "host.tar.gz");
    const said = await call(`diags --log-dir=${folder}/none --output=${output}`, {}, new TestClock(), away);
    expect(said.code).toBe(0);
    expect(said.stdout).toStartWith("Collecting diagnostics\nDumping netstat\n");
    expect(said.stdout).toContain(`No logs found in ${folder}/none; skipping log copying\n`);
    expect(said.stdout).toContain("Unable to dump etcd datastore\n");
    expect(said.stdout).toContain(`\nDiags saved to ${output}\n`);
    expect(statSync(output).mode & 0o777).toBe(0o600);
    const names = Bun.spawnSync(["tar", "-tzf", output]).stdout.toString();
    for (const name of [
      "date",
      "hostname",
      "netstat_--all_--numeric",
      "ip_-4_route",
      "ip_-6_route",
      "ip_-4_addr",
      "ip_-6_addr",
      "iptables-save",
      "ip6tables-save",
      "ipset_list",
      "journalctl_-u_calico-nodeservice_--no-pager",
      "etcd_calico",
      "margay_node",
    ]) {
      expect(names).toContain(`diagnostics/${name}\n`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("45: the datastore's content is in the archive, without its secrets", async () => {
  await using at = await calicoctlCluster();
  await at.store.put("/calico/x", '{"password":"hunter2","name":"n"}');
  const said = await at.run("diags");
  expect(said.stdout).toStartWith("Collecting diagnostics\nUsing temp dir: ");
  const [, archive = ""] = /Diags saved to (\S+\.tar\.gz)\n/.exec(said.stdout) ?? [];
  const dump = Bun.spawnSync(["tar", "-xzOf", archive, "diagnostics/etcd_calico"]).stdout.toString();
  expect(dump).toStartWith("dir?, key, value\n");
  expect(dump).toContain('FILE, /calico/x, {"password":"[secret]","name":"n"}\n');
  expect(readFileSync(archive).toString("latin1")).not.toContain("hunter2");
  rmSync(/Using temp dir: (\S+)/.exec(said.stdout)?.[1] ?? "", { recursive: true });
});

test("45: checksystem says what is missing, each in a line", async () => {
  const at = { stdout: "", stderr: "" };
  const write = (stream: "stdout" | "stderr") => (text: string) => {
    at[stream] += text;
  };
  const io = { stdout: write("stdout"), stderr: write("stderr") };
  const check = (release: string) => checkKernelVersion({ io } as never, release);
  expect([check("5.10.0-8-amd64"), check("2.6.24"), check("3.2")]).toEqual([true, true, true]);
  expect(at).toEqual({ stdout: "", stderr: "" });
  expect(check("2.6.18-1")).toBe(false);
  expect(at.stdout).toBe("Minimum kernel version to run Calico is 2.6.24.\nDetected kernel version: 2.6.18-1\n");
  expect(check("strange")).toBe(false);
  expect(at.stderr).toBe("ERROR: The kernel version does not match expected semantic versioning.\n");
});
