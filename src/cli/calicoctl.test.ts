/** calicoctl as users of the old stack type it: output byte for byte, exit code, and what is in the store afterwards. */

import { expect, test } from "bun:test";
import { type IpAddress, parseCidr, parseIpAddress } from "../base/addresses.ts";
import { TestClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { Ipam } from "../ipam/ipam.ts";
import { defaultIpPool, newIpPool } from "../model/ip-pool.ts";
import { ipPoolKey, nodeKey, profileKey } from "../model/keys.ts";
import { newNode } from "../model/node.ts";
import { networkProfile, type Profile } from "../model/profile.ts";
import { encode } from "../model/resource.ts";
import { keyOfWorkloadEndpoint, newWorkloadEndpoint } from "../model/workload-endpoint.ts";
import type { Store } from "../store/store.ts";
import { calicoctlCluster, call } from "./calicoctl/testing/cluster.ts";

const stamp = { uid: "00000000-0000-4000-8000-000000000000", nowMs: 0 };

async function network(store: Store, name: string): Promise<void> {
  await store.put(profileKey(name), encode(networkProfile(name, stamp)));
}

const networkRules = "Inbound rules:\n   1 allow from tag my-calico-net\nOutbound rules:\n   1 allow\n";

test("the rules of a network are printed as ever, with and without ETCD_AUTHORITY", async () => {
  await using at = await calicoctlCluster();
  await network(at.store, "my-calico-net");
  const plain = await at.run("profile my-calico-net rule show");
  const told = await at.run("profile my-calico-net rule show", { env: { ETCD_AUTHORITY: "10.1.2.3:4001" } });
  expect(plain).toEqual({ code: 0, stdout: networkRules, stderr: "" });
  expect(told).toEqual(plain);
  // Nobody said where the store is: where etcd was in the seed's time comes second.
  expect(at.opened).toEqual(["http://127.0.0.1:2379", "http://127.0.0.1:4001", "http://10.1.2.3:4001"]);
});

test("upstream's other ways to write the same rule read the same", async () => {
  await using at = await calicoctlCluster();
  for (const selector of ["my-calico-net == ''", 'my-calico-net == ""', "has( my-calico-net )"]) {
    const profile: Profile = networkProfile("my-calico-net", stamp);
    profile.spec.ingress = [{ action: "Allow", source: { selector }, destination: {} }];
    await at.store.put(profileKey("my-calico-net"), encode(profile));
    expect((await at.run("profile my-calico-net rule show")).stdout).toBe(networkRules);
  }
});

const rules: readonly [added: string, shown: string][] = [
  ["allow", "allow"],
  ["deny icmp type 8 code 0 from cidr 192.168.0.0/16", "deny icmp type 8 code 0 from cidr 192.168.0.0/16"],
  [
    "allow tcp from ports 1:80,443 tag a cidr 10.0.0.0/8 to ports 22",
    "allow tcp from ports 1:80,443 tag a cidr 10.0.0.0/8 to ports 22",
  ],
  ["allow udp to ports 1-5 cidr 10.0.0.1", "allow udp to ports 1:5 cidr 10.0.0.1/32"],
  ["deny from 10.0.0.0/8", "deny from cidr 10.0.0.0/8"],
  ["deny icmpv6 from cidr fd00::/8", "deny icmpv6 from cidr fd00::/8"],
  ["allow from tag A.b_c to tag d", "allow from tag A.b_c to tag d"],
];
for (const [added, shown] of rules) {
  test(`rule add ${added}`, async () => {
    await using at = await calicoctlCluster();
    await network(at.store, "p");
    expect(await at.run(`profile p rule add inbound --at=1 ${added}`)).toEqual({ code: 0, stdout: "", stderr: "" });
    const again = await at.run(`profile p rule add inbound ${added}`);
    expect(again).toEqual({ code: 0, stdout: "Rule already present, skipping.\n", stderr: "" });
    const list = await at.run("profile p rule show");
    expect(list.stdout).toBe(`Inbound rules:\n   1 ${shown}\n   2 allow from tag p\nOutbound rules:\n   1 allow\n`);
    expect((await at.run(`profile p rule remove inbound ${added}`)).code).toBe(0);
    expect((await at.run("profile p rule show")).stdout).toBe(networkRules.replaceAll("my-calico-net", "p"));
  });
}

const refused: readonly [line: string, stdout: string, stderr: RegExp][] = [
  ["profile nosuch rule show", "Profile nosuch not found.\n", /^$/],
  ["profile nosuch tag show", "Profile nosuch not found.\n", /^$/],
  ["profile p rule add inbound allow icmp type 256", "Invalid ICMP type or ICMP code specified.\n", /^$/],
  ["profile p rule add inbound allow tcp to ports 70000", "Port maximum (70000) out-of-range.\n\n", /^$/],
  ["profile p rule add inbound allow tcp to ports 90:80", "Port range minimum (90) > maximum (80).\n\n", /^$/],
  ["profile p rule add inbound allow from cidr 10.0.0.0/40", "Invalid CIDR specified.\n", /^$/],
  [
    "profile p rule add inbound allow icmp from cidr fd80::/64",
    "Invalid or unmatching IP versions for SRCCIDR/DSTCIDR.\n",
    /^$/,
  ],
  ["profile p rule add inbound allow icmp to ports 80", "Ports are not valid with protocol 'icmp'\n", /^$/],
  ["profile p tag add a*b", "Tags names can only contain numbers, letters, dots, dashes and underscores.\n\n", /^$/],
  [
    "profile a/b rule show",
    "Profile names must be < 40 character long and can only contain numbers, letters,\ndots, dashes and underscores.\n\n",
    /^$/,
  ],
  ["profile p rule add inbound --at=5 deny", "Position 5 is out-of-range.\n", /^$/],
  ["profile p rule add inbound --at=0 deny", "Position 0 is out-of-range.\n", /^$/],
  ["profile p rule add inbound --at=x deny", "", /^$/],
  ["profile p rule remove inbound --at=9", "Rule position out-of-range.\n", /^$/],
  ["profile p rule remove inbound deny udp", "Rule not found.\n", /^$/],
  ["profile p tag remove other", "Tag other is not on profile p\n", /^$/],
  ["profile p rule add sideways allow", "", /^Usage:/],
  ["profile p rule add inbound perhaps", "", /^Usage:/],
  ["profile p rule add inbound allow from ports", "Ports are not valid with protocol 'None'\n", /^$/],
  ["profile p rule remove inbound", "", /^Usage:/],
  ["profile p rule", "", /^Usage:/],
  ["profile", "", /^Usage:/],
  ["profile show --bogus", "", /^Usage:/],
  ["get foo bar", "", /^failed to get resources: resource type 'foo' is not supported\n$/],
  ["get profile -o strange", "", /^unrecognized output format 'strange'\n$/],
  ["get profile nosuch", "", /^resource does not exist: Profile\(nosuch\) with error: <nil>\n$/],
  ["get wep nosuch", "", /^resource does not exist: WorkloadEndpoint\(default\/nosuch\) with error: <nil>\n$/],
  ["get", "", /^resource kind or --filename required; valid kinds: /],
  ["ipam show --ip=1.2.3", "Error executing command: invalid IP address specified: 1.2.3\n", /^$/],
  ["bogus", "", /^calicoctl: unknown command "bogus"\nSee: calicoctl --help\n$/],
  ["profile show --store", "", /--store needs a value/],
  ["--store=ftp://x profile show", "", /^/],
];
for (const [line, stdout, stderr] of refused) {
  test(`refused: calicoctl ${line}`, async () => {
    await using at = await calicoctlCluster();
    await network(at.store, "p");
    const before = await at.store.list("/");
    const answer = await at.run(line);
    expect(answer.code).toBe(1);
    if (!line.startsWith("--store")) expect(answer.stdout).toBe(stdout);
    expect(answer.stderr).toMatch(stderr);
    expect(await at.store.list("/")).toEqual(before);
  });
}

test("a profile's life: add, show, tags, remove", async () => {
  await using at = await calicoctlCluster();
  const say = async (line: string) => (await at.run(line)).stdout;
  expect(await say("profile add web")).toBe("Created profile web\n");
  expect(await say("profile add web")).toBe("Profile web already exists.\n");
  expect(await say("profile web rule show")).toBe(networkRules.replaceAll("my-calico-net", "web"));
  await say("profile add db");
  await say("profile add my-calico-net");
  expect(await say("profile show")).toBe(
    [
      "+---------------+",
      "|      Name     |",
      "+---------------+",
      "|       db      |",
      "| my-calico-net |",
      "|      web      |",
      "+---------------+\n",
    ].join("\n"),
  );
  expect(await say("profile web tag add front")).toBe("Tag front added to profile web\n");
  expect(await say("profile web tag show")).toBe("front\nweb\n");
  expect(await say("profile web tag remove front")).toBe("Tag front removed from profile web\n");
  expect(await say("profile remove web")).toBe("Deleted profile web\n");
  expect(await say("profile remove web")).toBe("Profile web not found.\n");
});

test("a name v3 does not allow is stored under another and shown as given", async () => {
  await using at = await calicoctlCluster();
  await at.run("profile add My_Net");
  await at.run("profile add other");
  await at.run("profile other rule add inbound deny from tag My_Net");
  expect((await at.run("profile My_Net rule show")).stdout).toBe(networkRules.replaceAll("my-calico-net", "My_Net"));
  expect((await at.run("profile My_Net tag show")).stdout).toBe("My_Net\n");
  expect((await at.run("profile other rule show")).stdout).toContain("   2 deny from tag My_Net\n");
  expect((await at.run("profile show")).stdout).toContain("| My_Net |");
  const stored = (await at.store.list(profileKey("my-net"))).kvs.map(({ value }) => JSON.parse(value));
  expect(stored[0].metadata.name).toMatch(/^my-net-[0-9a-f]{8}$/);
  expect(stored[0].spec.ingress[0].source.selector).toBe(`has(${stored[0].metadata.name})`);
});

async function member(store: Store, profile: string): Promise<void> {
  const endpoint = newWorkloadEndpoint(
    {
      namespace: "libnetwork",
      node: "host1",
      orchestrator: "libnetwork",
      workload: "libnetwork",
      endpoint: "4f5e6d7c8b9a",
      interfaceName: "cali4f5e6d7c8b9",
      addresses: [parseIpAddress("192.168.10.65")],
      profiles: [profile],
    },
    stamp,
  );
  await store.put(keyOfWorkloadEndpoint(endpoint), encode(endpoint));
}

test("a profile in use is kept unless told otherwise, and its members are shown", async () => {
  await using at = await calicoctlCluster();
  await network(at.store, "web");
  await network(at.store, "db");
  await member(at.store, "web");
  const kept = await at.run("profile remove web");
  expect(kept.stdout).toBe(
    "Cannot remove profile - profile in use by endpoint(s).\nUse the '--no-check' flag to remove the profile anyway.\n",
  );
  const table = (await at.run("profile show --detail")).stdout.split("\n");
  expect(table[1]).toBe("| Name |  Host | Orchestrator ID | Workload ID | Endpoint ID  | State  |");
  expect(table[3]).toBe("|  db  |  None |       None      |     None    |     None     |  None  |");
  expect(table[4]).toBe("| web  | host1 |    libnetwork   |  libnetwork | 4f5e6d7c8b9a | active |");
  expect((await at.run("profile remove web --no-check")).stdout).toBe("Deleted profile web\n");
});

test("rules that the old syntax has no words for are shown all the same", async () => {
  await using at = await calicoctlCluster();
  const profile = networkProfile("p", stamp);
  profile.spec.ingress = [
    { action: "Pass", ipVersion: 4, notProtocol: "UDP", source: { selector: "role == 'x'", notNets: ["10.0.0.0/8"] } },
    { action: "Allow", protocol: 132, destination: { notPorts: [80, "90:91"], notSelector: "has(a)" } },
  ];
  await at.store.put(profileKey("p"), encode(profile));
  expect((await at.run("profile p rule show")).stdout).toBe(
    "Inbound rules:\n   1 next-tier ipv4 !udp from selector role == 'x' !cidr 10.0.0.0/8\n" +
      "   2 allow 132 to !ports 80,90:91 !selector has(a)\nOutbound rules:\n   1 allow\n",
  );
});

test("a store that does not answer is named, in both families of commands", async () => {
  const unreachable = () =>
    Promise.reject(new OperationError("STORE_UNAVAILABLE", "no answer from http://127.0.0.1:2379"));
  const classic = await call("profile p rule show", {}, new TestClock(), unreachable);
  expect(classic.code).toBe(1);
  expect(classic.stdout.replaceAll("\n", " ")).toContain("Is etcd running?");
  expect(classic.stdout).toContain("profile: Error accessing etcd (no answer from http://127.0.0.1:2379).");
  const modern = await call("get nodes", {}, new TestClock(), unreachable);
  expect([modern.code, modern.stdout]).toEqual([1, ""]);
  expect(modern.stderr).toContain("no answer from http://127.0.0.1:2379");
});

test("a command that is interrupted ends at once, in both families of commands", async () => {
  const never = () => new Promise<Store>(() => undefined);
  const interrupted = { signal: AbortSignal.abort() };
  const classic = await call("pool show", interrupted, new TestClock(), never);
  expect(classic).toEqual({ code: 0, stdout: "Aborted command.\n", stderr: "" });
  expect(await call("get nodes", interrupted, new TestClock(), never)).toEqual({ code: 130, stdout: "", stderr: "" });
});

test("get prints Go's tables with trailing blanks, one per name", async () => {
  await using at = await calicoctlCluster();
  await at.store.put(ipPoolKey("default-ipv4-ippool"), encode(defaultIpPool(stamp)));
  await at.store.put(nodeKey("host1"), encode(newNode({ name: "host1", ipv4: "172.31.0.11/24" }, stamp)));
  await member(at.store, "web");
  expect((await at.run("get ippool")).stdout).toBe(
    "NAME                  CIDR             SELECTOR   \ndefault-ipv4-ippool   192.168.0.0/16   all()      \n\n",
  );
  expect((await at.run("get nodes -o wide")).stdout).toBe(
    "NAME    ASN       IPV4             IPV6   \nhost1   (64512)   172.31.0.11/24          \n\n",
  );
  expect((await at.run("get wep -A")).stdout).toBe(
    "NAMESPACE    WORKLOAD     NODE    NETWORKS           INTERFACE         \n" +
      "libnetwork   libnetwork   host1   192.168.10.65/32   cali4f5e6d7c8b9   \n\n",
  );
  const hidden = await at.run("get workloadendpoints");
  expect(hidden.stdout).toBe("WORKLOAD   NODE   NETWORKS   INTERFACE   \n\n");
  expect(hidden.stderr).toContain("--all-namespaces");
  const mixed = await at.run("get node host1 nosuch -o name");
  expect(mixed).toEqual({
    code: 1,
    stdout: "node/host1\n",
    stderr: "resource does not exist: Node(nosuch) with error: <nil>\n",
  });
});

test("get writes documents that carry the revision, and the built-in profile", async () => {
  await using at = await calicoctlCluster();
  await network(at.store, "web");
  const list = JSON.parse((await at.run("get profiles -o json")).stdout);
  expect(list.kind).toBe("ProfileList");
  expect(list.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name)).toEqual([
    "projectcalico-default-allow",
    "web",
  ]);
  expect(list.items[1].metadata.resourceVersion).toBe(String((await at.store.get(profileKey("web")))?.modRevision));
  expect((await at.run("get profile web -o yaml")).stdout).toStartWith(
    "apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata:\n  creationTimestamp: ",
  );
  expect((await at.run("get tiers -o yaml")).stdout).toContain("items: []");
});

test("ipam show counts and tells who holds an address", async () => {
  await using at = await calicoctlCluster();
  await at.store.put(ipPoolKey("p"), encode(newIpPool({ name: "p", cidr: parseCidr("10.65.0.0/16") }, stamp)));
  await at.store.put(nodeKey("host1"), encode(newNode({ name: "host1" }, stamp)));
  const ipam = new Ipam({ store: at.store, clock: at.clock });
  const address: IpAddress = parseIpAddress("10.65.79.5");
  await ipam.assignAddress({ host: "host1", family: 4, address, handle: "h1" });
  expect((await at.run("ipam show --show-blocks")).stdout).toBe(
    [
      "+----------+---------------+-----------+------------+--------------+",
      "| GROUPING |     CIDR      | IPS TOTAL | IPS IN USE |   IPS FREE   |",
      "+----------+---------------+-----------+------------+--------------+",
      "| IP Pool  | 10.65.0.0/16  |     65536 | 1 (0%)     | 65535 (100%) |",
      "| Block    | 10.65.79.0/26 |        64 | 1 (2%)     | 63 (98%)     |",
      "+----------+---------------+-----------+------------+--------------+\n",
    ].join("\n"),
  );
  expect((await at.run("ipam show --ip=10.65.79.5")).stdout).toBe(
    "IP 10.65.79.5 is in use\nHandle ID: h1\nActive Owner Attributes:\n  node: host1\n",
  );
  expect((await at.run("ipam show --ip=10.65.79.6")).stdout).toBe("10.65.79.6 is not assigned\n");
});

test("help and version need no store", async () => {
  const never = () => Promise.reject(new Error("must not be opened"));
  for (const line of ["", "--help", "profile --help", "get --help", "ipam show --help", "version --client"]) {
    const answer = await call(line, {}, new TestClock(), never);
    expect([answer.code, answer.stderr]).toEqual([0, ""]);
    expect(answer.stdout).not.toBe("");
  }
  expect((await call("version", { env: { CALICOCTL_CLASSIC: "1" } }, new TestClock(), never)).stdout).toBe("0.23.1\n");
});
