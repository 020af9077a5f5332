/** The kernel's own answers: what our messages make of it, and that the in-memory network answers alike. */
import { expect, test } from "bun:test";
import { type IpAddress, parseCidr, parseIpAddress } from "../base/addresses.ts";
import { OperationError } from "../base/errors.ts";
import { type HostNetwork, LinuxHostNetwork } from "./host-network.ts";
import { addAddress, listAddresses, removeAddress } from "./interface-addresses.ts";
import { NetlinkSocket, netlinkRoute } from "./netlink/socket.ts";
import type { ElementOperation, Operation, SetSpec } from "./nftables/ruleset.ts";
import { codeOf } from "./testing/code-of.ts";
import { FakeNetwork } from "./testing/fake-network.ts";
import { eventually, interfaceNamed, TestNamespace } from "./testing/test-namespaces.ts";
import type { TokenBucket } from "./traffic-control.ts";

const options = { routeProtocol: 109, table: "margay" };
const verdicts: SetSpec = { name: "verdicts", kind: "interface-verdicts" };
const networks: SetSpec = { name: "networks", kind: "networks4" };

/** What the kernel refuses, and the fake must. The code of nftables' refusals depends on the way they were sent. */
const refusals: readonly [name: string, code: string, attempt: (network: HostNetwork) => unknown][] = [
  ["a link under a name that is taken", "EEXIST", (network) => network.createVeth(veth("cali1", "temp9"))],
  ["a peer under a name that is taken", "EEXIST", (network) => network.createVeth(veth("cali9", "temp1"))],
  ["a change of an unknown link", "ENODEV", (network) => network.setLink("cali9", { up: true })],
  [
    "a setting of an unknown link",
    "ENOENT",
    (network) => network.writeSetting(["ipv4", "conf", "cali9", "proxy_arp"], "1"),
  ],
  ["a route over an unknown link", "ENODEV", (network) => network.putRoute(overLink(4711))],
  ["a route over a link that is down", "ENETDOWN", (network) => network.putRoute(overLink(indexOf(network, "temp1")))],
  [
    "a route over a gateway out of reach",
    "ENETUNREACH",
    (network) => network.putRoute({ ...overLink(0), target: { kind: "gateway", gateway: address("9.9.9.9") } }),
  ],
  [
    "a route from an address that is not there",
    "EINVAL",
    (network) => network.putRoute({ ...overLink(indexOf(network, "cali1")), source: address("10.99.0.1") }),
  ],
  ["a bandwidth of an unknown link", "ENODEV", (network) => network.shaping.setTokenBucket(4711, bucket, 0x6001)],
  [
    "a peak below the rate",
    "EINVAL",
    (network) =>
      network.shaping.setTokenBucket(
        indexOf(network, "cali1"),
        { ...bucket, peak: { bytesPerSecond: 1_000, burstBytes: 1_600 } },
        0x6001,
      ),
  ],
  [
    "a redirection from an unknown link",
    "ENODEV",
    (network) => network.shaping.redirectIncoming({ fromIndex: 4711, toIndex: indexOf(network, "cali1") }),
  ],
  [
    "a device under a name that is taken",
    "EEXIST",
    (network) => network.shaping.createIfb(interfaceNamed("cali1"), "a"),
  ],
  [
    "an element of an unknown set",
    "refused",
    (network) => network.commit([add({ ...networks, name: "none" }, "10.0.0.0/8")]),
  ],
  ["the removal of an unknown element", "refused", (network) => network.commit([remove(networks, "10.9.0.0/16")])],
  ["a network inside a present one", "refused", (network) => network.commit([add(networks, "10.0.0.1/32")])],
  ["a network around a present one", "refused", (network) => network.commit([add(networks, "10.0.0.0/7")])],
  [
    "a verdict that names an unknown chain",
    "refused",
    (network) =>
      network.commit([{ op: "add-elements", set: verdicts, elements: [{ key: "cali2", verdict: { goto: "none" } }] }]),
  ],
  [
    "another verdict for a present key",
    "refused",
    (network) =>
      network.commit([{ op: "add-elements", set: verdicts, elements: [{ key: "cali1", verdict: "accept" }] }]),
  ],
  [
    "the removal of a chain that an element names",
    "refused",
    (network) => network.commit([{ op: "delete-chain", chain: "used" }]),
  ],
  [
    "the removal of a set that a rule names",
    "refused",
    (network) => network.commit([{ op: "delete-set", set: networks }]),
  ],
  [
    "a rule that names an unknown chain",
    "refused",
    (network) =>
      network.commit([
        { op: "add-rule", chain: "used", rule: { matches: [], actions: [{ do: "jump", chain: "none" }] } },
      ]),
  ],
];

const bucket: TokenBucket = { bytesPerSecond: 125_000, burstBytes: 10_000, queueBytes: 50_000 };

function prepared(network: HostNetwork): void {
  network.createVeth(veth("cali1", "temp1"));
  network.setLink("cali1", { up: true });
  network.commit([
    { op: "add-table" },
    { op: "add-set", set: verdicts },
    { op: "add-set", set: networks },
    { op: "add-chain", chain: { name: "used" } },
    { op: "add-chain", chain: { name: "caller" } },
    {
      op: "add-rule",
      chain: "caller",
      rule: {
        matches: [{ match: "address-in-set", side: "source", family: 4, set: "networks" }],
        actions: [{ do: "accept" }],
      },
    },
    { op: "add-elements", set: verdicts, elements: [{ key: "cali1", verdict: { goto: "used" } }] },
    add(networks, "10.0.0.0/8"),
  ]);
}

test("the kernel and the fake refuse the same things, with the same codes, and change nothing then", () => {
  using namespace = new TestNamespace("contract", { enter: true });
  using real = LinuxHostNetwork.open(options);
  const fake = new FakeNetwork();
  for (const [kind, network] of [
    ["kernel", real],
    ["fake", fake],
  ] as const) {
    prepared(network);
    const before = network.readTable();
    for (const [name, code, attempt] of refusals) {
      const answer = codeOf(() => attempt(network));
      const refused = answer === "done" ? answer : code === "refused" ? "refused" : answer;
      expect([kind, name, refused]).toEqual([kind, name, code]);
      // A transaction with one good and one bad step does neither.
      expect([kind, name, network.readTable()]).toEqual([kind, name, before]);
    }
    const good: Operation = add(networks, "11.0.0.0/8");
    expect(codeOf(() => network.commit([good, remove(networks, "12.0.0.0/8")]))).not.toBe("done");
    expect([kind, network.readTable()]).toEqual([kind, before]);
  }
  expect(namespace.must("ip", "-o", "link")).toContain("cali1");
});

test("changes of others are reported, our own are not, and a lost event is admitted", () => {
  using namespace = new TestNamespace("contract", { enter: true });
  using network = LinuxHostNetwork.open({ ...options, eventBufferBytes: 64 * 1024 });
  network.commit([{ op: "add-table" }, { op: "add-set", set: networks }]);
  network.commit([add(networks, "10.0.0.0/8")]);
  network.commit([{ op: "add-chain", chain: { name: "later" } }]);
  const tables = () => network.changes().filter(({ kind }) => kind === "table" || kind === "lost");
  expect(tables()).toEqual([]);
  namespace.must("nft", "add", "element", "inet", "margay", "networks", "{ 11.0.0.0/8 }");
  namespace.must("nft", "add", "table", "ip", "theirs");
  expect(tables()).toEqual([
    { kind: "table", family: 1, table: "margay" },
    { kind: "table", family: 2, table: "theirs" },
  ]);
  const many = Array.from({ length: 20_000 }, (_, at) => `10.0.${at >> 8}.${at & 255}`).join(", ");
  const commands = `add set ip theirs s { type ipv4_addr; }\nadd element ip theirs s { ${many} }\n`;
  expect(namespace.run(["nft", "-f", "-"], { stdin: commands }).exitCode).toBe(0);
  expect(tables().map(({ kind }) => kind)).toContain("lost");
  expect(tables()).toEqual([]);
}, 20_000);

test("links, addresses, routes and settings are what `ip` and `cat` say they are", async () => {
  using namespace = new TestNamespace("contract", { enter: true });
  using network = LinuxHostNetwork.open(options);
  using socket = NetlinkSocket.open(netlinkRoute);
  network.createVeth({
    ...veth("cali.1", "temp1"),
    mtu: 1400,
    mac: "02:00:00:00:00:01",
    peerMac: "ee:ee:ee:ee:ee:ee",
    alias: "a b",
  });
  network.setLink("cali.1", { up: true });
  network.setLink("temp1", { up: true });
  const made = () => network.links().find(({ name }) => name === "cali.1");
  // The kernel sees to the carrier in its own time.
  await eventually("running", () => made()?.running === true);
  expect(made()).toMatchObject({
    up: true,
    mtu: 1400,
    mac: "02:00:00:00:00:01",
    kind: "veth",
    alias: "a b",
  });
  const index = indexOf(network, "cali.1");
  for (const text of ["10.1.2.3", "fd00::9"]) {
    const wanted = { interfaceIndex: index, address: address(text), prefixLength: text.includes(":") ? 64 : 24 };
    addAddress(socket, wanted);
    addAddress(socket, wanted);
    expect(listAddresses(socket)).toContainEqual(wanted);
    expect(namespace.must("ip", "addr", "show", "dev", "cali.1")).toContain(`${text}/${wanted.prefixLength}`);
    expect(network.linkWithAddress(wanted.address)?.name).toBe("cali.1");
  }
  const routes = [
    { destination: parseCidr("10.2.0.0/16"), target: { kind: "gateway", gateway: address("10.1.2.4") }, metric: 1024 },
    { destination: parseCidr("10.3.0.0/16"), target: { kind: "blackhole" }, metric: 1024 },
    { destination: parseCidr("10.4.0.1/32"), target: { kind: "link", interfaceIndex: index }, metric: 1024 },
    { destination: parseCidr("fd02::/64"), target: { kind: "gateway", gateway: address("fd00::a") }, metric: 1024 },
    { destination: parseCidr("fd03::/64"), target: { kind: "blackhole" }, metric: 1024 },
    { destination: parseCidr("fd04::1/128"), target: { kind: "link", interfaceIndex: index }, metric: 1024 },
  ] as const;
  namespace.must("ip", "route", "add", "10.9.0.0/16", "dev", "cali.1");
  for (const route of routes) {
    network.putRoute(route);
    network.putRoute(route);
  }
  expect(network.routes()).toEqual([...routes]);
  // Somebody else's route to the same destination is not ours to remove.
  expect(network.removeRoute({ destination: parseCidr("10.9.0.0/16"), metric: 0 })).toBe(false);
  for (const route of routes) expect([network.removeRoute(route), network.removeRoute(route)]).toEqual([true, false]);
  expect(namespace.must("ip", "route")).toContain("10.9.0.0/16");
  network.writeSetting(["ipv4", "conf", "cali.1", "proxy_arp"], "1");
  expect(network.readSetting(["ipv4", "conf", "cali.1", "proxy_arp"])).toBe("1");
  expect(namespace.must("cat", "/proc/sys/net/ipv4/conf/cali.1/proxy_arp").trim()).toBe("1");
  expect(() => network.readSetting(["ipv4", "..", "hostname"])).toThrow("without /");
  expect(removeAddress(socket, { interfaceIndex: index, address: address("10.1.2.3"), prefixLength: 24 })).toBe(true);
  expect(network.deleteLink("cali.1")).toBe(true);
  expect(network.deleteLink("cali.1")).toBe(false);
  expect(network.links().map(({ name }) => name)).toEqual(["lo"]);
});

test("links are removed in the background, in their namespace, while others are made and removed", async () => {
  using namespace = new TestNamespace("contract");
  const network = namespace.namespace.run(() => LinuxHostNetwork.open(options));
  const names = ["cali0", "cali1", "cali2"];
  for (const name of names) network.createVeth(veth(name, name.replace("cali", "temp")));
  const removals = names.map((name) => network.deleteLinkInBackground(name));
  network.createVeth(veth("cali9", "temp9")); // the process goes on, and the answers do not get mixed up
  expect(network.deleteLink("cali9")).toBe(true);
  expect(await Promise.all(removals)).toEqual([true, true, true]);
  expect(await network.deleteLinkInBackground("cali0")).toBe(false);
  expect(network.links().map(({ name }) => name)).toEqual(["lo"]);
  network[Symbol.dispose]();
  await expect(network.deleteLinkInBackground("cali0")).rejects.toMatchObject({ code: "EBADF" });
});

test("work inside a namespace stays inside, also when it fails", () => {
  using namespace = new TestNamespace("contract");
  const outside = codeOf(() =>
    namespace.namespace.run(() => {
      throw new OperationError("INSIDE", namespace.name);
    }),
  );
  expect(outside).toBe("INSIDE");
  const names = namespace.namespace.run(() => {
    using network = LinuxHostNetwork.open(options);
    network.createVeth(veth("caliin", "tempin"));
    return network.links().map(({ name }) => name);
  });
  expect(names).toContain("caliin");
  using out = LinuxHostNetwork.open(options);
  expect(out.links().map(({ name }) => name)).not.toContain("caliin");
});

function veth(name: string, peerName: string) {
  return { name: interfaceNamed(name), peerName: interfaceNamed(peerName) };
}

function overLink(interfaceIndex: number) {
  return { destination: parseCidr("10.8.0.0/16"), target: { kind: "link" as const, interfaceIndex }, metric: 1024 };
}

function indexOf(network: HostNetwork, name: string): number {
  return network.links().find((link) => link.name === name)?.index ?? -1;
}

function address(text: string): IpAddress {
  return parseIpAddress(text);
}

function add(set: SetSpec, ...keys: string[]): ElementOperation {
  return { op: "add-elements", set, elements: keys.map((key) => ({ key })) };
}

function remove(set: SetSpec, ...keys: string[]): ElementOperation {
  return { op: "delete-elements", set, elements: keys.map((key) => ({ key })) };
}
