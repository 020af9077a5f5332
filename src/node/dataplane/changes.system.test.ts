/** What comes and goes while everything runs, on the real kernel. Numbers: felix-dataplane.md section 9. */
import { expect, test } from "bun:test";
import { type Cidr, cidrContains, parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { LinuxHostNetwork } from "../../kernel/host-network.ts";
import { eventually, interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import { PolicyCalculator } from "../../policy/policy-calculator.ts";
import { endpoint, node, profile } from "../../policy/testing/cluster-documents.ts";
import { addressSetName, routeProtocol, tableName } from "./chain-names.ts";
import { defaultSettings } from "./default-settings.ts";
import {
  endpointOf,
  fromSet,
  openConnection,
  pairAddresses,
  pings,
  reachesUdp,
  rule,
  serveEcho,
  TestHost,
} from "./testing/containers.ts";

const { a: web, b: other } = pairAddresses;
const timeoutMs = 60_000;

test(
  "3: an interface that goes down and up, is renamed, or made anew at once has its route again; the rules stay as they are",
  async () => {
    await using host = new TestHost("ch");
    let attention = 0;
    await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    await host.openPair(dataplane);
    await dataplane.apply();
    const ip = (...words: string[]) => host.namespace.must("ip", ...words);
    const route = () => ip("route", "show", web).trim();
    const before = route();
    expect(before).toContain("dev calia proto 109");
    const { filterTransactions } = dataplane.counters;
    ip("link", "set", "calia", "down");
    await eventually("the loss is seen", () => route() === "");
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/a")).toBe("interface calia is down");
    attention = 0;
    ip("link", "set", "calia", "up");
    await eventually("it is noticed", () => attention > 0);
    await dataplane.apply();
    expect([route(), dataplane.standing.problemOf("/test/a")]).toEqual([before, undefined]);
    ip("link", "set", "calia", "down", "name", "tmpa");
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/a")).toBe("interface calia does not exist");
    ip("link", "set", "tmpa", "name", "calia", "up");
    await dataplane.apply();
    expect(route()).toBe(before);
    expect(host.namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/proxy_arp").trim()).toBe("1");
    // Away and back between two looks.
    const add = "link add calia type veth peer name tempnew";
    const words = `ip link del calia; ip ${add}; ip link set tempnew up; ip link set calia up`;
    host.namespace.must("sh", "-ec", words);
    await dataplane.apply();
    expect([route().replace(/ linkdown$/, ""), dataplane.standing.problemOf("/test/a")]).toEqual([before, undefined]);
    expect(host.namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/proxy_arp").trim()).toBe("1");
    expect(dataplane.counters.filterTransactions).toBe(filterTransactions);
  },
  timeoutMs,
);

test(
  "18, 19: a borrowed address is routed to its holder beside the block; an own block leads nowhere, until it is given back",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    dataplane.setInSync();
    host.outside.must("ip", "addr", "add", "172.31.0.98/24", "dev", "eth0");
    const [owner, holder] = [parseIpAddress("172.31.0.99"), parseIpAddress("172.31.0.98")];
    dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
    const routes: [Cidr, typeof owner][] = [
      [parseCidr("10.65.1.0/26"), owner],
      [parseCidr("10.65.1.7/32"), holder],
      [parseCidr("10.65.0.7/32"), holder],
    ];
    dataplane.remoteRoutes(new Map(routes));
    await dataplane.apply();
    const leadsTo = (address: string) => {
      const { exitCode, stdout } = host.namespace.run(["ip", "route", "get", address]);
      return exitCode === 0 ? /via (\S+)/.exec(stdout)?.[1] : "nowhere";
    };
    const all = () => ["10.65.1.1", "10.65.1.7", "10.65.0.7", "10.65.0.8"].map(leadsTo);
    expect(all()).toEqual([owner, holder, holder, "nowhere"]);
    // Given back by their holder: to the block's owner again, which for an own block is nowhere.
    dataplane.remoteRoutes(new Map(routes.slice(0, 1)));
    await dataplane.apply();
    expect(all()).toEqual([owner, owner, "nowhere", "nowhere"]);
    dataplane.localBlocks([]);
    dataplane.remoteRoutes(new Map());
    await dataplane.apply();
    expect(host.namespace.must("ip", "route", "show", "proto", "109").trim()).toMatch(/^169\.254\.1\.1 dev lo [^\n]*$/);
  },
  timeoutMs,
);

function permutations<T>(of: readonly T[]): T[][] {
  if (of.length <= 1) return [[...of]];
  return of.flatMap((one, at) => permutations(of.toSpliced(at, 1)).map((rest) => [one, ...rest]));
}

test(
  "31: networks that cover each other come and go in every order, and at each step the kernel's sets hold who is a member",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    using reader = LinuxHostNetwork.open({ routeProtocol, table: tableName });
    dataplane.addressSet("s-x", new Set());
    dataplane.ruleList("profile/x", { inbound: [rule("allow", fromSet("s-x"))], outbound: [] });
    dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/x"]));
    dataplane.setInSync();
    await dataplane.apply();
    const networks = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"].map((text) => parseCidr(text));
    const addresses = ["10.1.2.3", "10.1.9.9", "10.9.9.9", "11.0.0.1"].map((text) => parseIpAddress(text));
    const inKernel = () => {
      const { sets } = reader.readTable() ?? {};
      const keys = (["addresses", "networks"] as const).flatMap((part) => [
        ...(sets?.get(addressSetName("s-x", 4, part))?.elements.keys() ?? []),
      ]);
      const cidrs = keys.map((key) => parseCidr(key.includes("/") ? key : `${key}/32`));
      return addresses.filter((address) => cidrs.some((cidr) => cidrContains(cidr, address)));
    };
    const members = new Set<Cidr>();
    const check = async (step: string) => {
      await dataplane.apply();
      const expected = addresses.filter((address) => [...members].some((cidr) => cidrContains(cidr, address)));
      expect([step, inKernel()]).toEqual([step, expected]);
    };
    for (const coming of permutations(networks))
      for (const going of permutations(networks)) {
        for (const network of coming) {
          members.add(network);
          dataplane.addressSetDelta("s-x", [network], []);
          await check(`+${network} of ${coming}`);
        }
        for (const network of going) {
          members.delete(network);
          dataplane.addressSetDelta("s-x", [], [network]);
          await check(`-${network} of ${going} after ${coming}`);
        }
      }
    expect(dataplane.counters.failures).toBe(0);
  },
  timeoutMs,
);

test(
  "32: a thousand sets, lists and endpoints that come and go leave nothing behind",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    await host.openPair(dataplane);
    await dataplane.apply();
    const state = () =>
      [...host.namespace.must("nft", "-s", "list", "table", "inet", "margay").split("\n\n").sort()].join("\n");
    const before = state();
    const count = 1_000;
    for (let round = 0; round < 2; round++) {
      for (let at = 0; at < count; at++) {
        const id = `s-${round}-${at}`;
        dataplane.addressSet(id, new Set([parseCidr(`10.66.${at >> 8}.${at & 255}/32`)]));
        dataplane.ruleList(`profile/${id}`, { inbound: [rule("allow", fromSet(id))], outbound: [] });
        const name = interfaceNamed(`cali${round}x${at}`);
        dataplane.endpoint(`/test/${at}`, { ...endpointOf("x", other, [`profile/${id}`]), interfaceName: name });
      }
      await dataplane.apply();
      expect(state().match(/set a4-s-/g)?.length).toBe(count);
      for (let at = 0; at < count; at++) {
        dataplane.endpoint(`/test/${at}`, undefined);
        dataplane.ruleList(`profile/s-${round}-${at}`, undefined);
        dataplane.addressSet(`s-${round}-${at}`, undefined);
      }
      await dataplane.apply();
      expect(state()).toBe(before);
    }
    expect(dataplane.counters.failures).toBe(0);
  },
  timeoutMs,
);

test(
  "35: an endpoint whose profile is missing is closed, and open once it is there, without a restart",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    const calculator = new PolicyCalculator({ host: "h1", sink: dataplane });
    const tell = async (documents: Readonly<Record<string, string | undefined>>) => {
      for (const [key, value] of Object.entries(documents)) calculator.update(key, value);
      calculator.flush();
      await dataplane.apply();
    };
    calculator.inSync();
    dataplane.setInSync();
    await tell({
      ...node("h1", "172.31.0.11/24"),
      ...endpoint("a", web, { profiles: ["open"] }),
      ...endpoint("b", other, { profiles: ["open"] }),
    });
    await host.container(dataplane, "a", web);
    const b = await host.container(dataplane, "b", other);
    const reached = () => [pings(b, web), pings(host.namespace, web)];
    expect(reached()).toEqual([false, false]);
    const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
    await tell(open);
    expect(reached()).toEqual([true, true]);
    await tell(Object.fromEntries(Object.keys(open).map((key) => [key, undefined])));
    expect(reached()).toEqual([false, false]);
  },
  timeoutMs,
);

test(
  "42: what looks like a VXLAN packet of the host is not sent for a container, unless that is permitted",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    const { a } = await host.openPair(dataplane);
    const arrives = (port: number) => reachesUdp(a, host.outside, "172.31.0.99", port);
    expect([await arrives(4788), await arrives(4789)]).toEqual([true, false]);
    dataplane.hostSettings({ ...defaultSettings, allowVxlanFromWorkloads: true });
    await dataplane.apply();
    expect(await arrives(4789)).toBe(true);
    const chains = host.namespace.must("nft", "list", "table", "inet", "margay");
    expect(chains).toMatch(/meta l4proto (4|ipencap|ipv4) counter .*drop/);
    dataplane.hostSettings({ ...defaultSettings, allowVxlanFromWorkloads: true, allowIpipFromWorkloads: true });
    await dataplane.apply();
    expect(host.namespace.must("nft", "list", "table", "inet", "margay")).not.toMatch(/meta l4proto (4|ipencap|ipv4) /);
  },
  timeoutMs,
);

test(
  "48: packets that fit no connection the host has seen begin are dropped, unless disableConntrackInvalidCheck",
  async () => {
    await using host = new TestHost("ch");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    // Without this the host takes up a connection in the middle, and nothing is invalid.
    host.namespace.must("sh", "-c", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose");
    await serveEcho(a, 80);
    const connection = openConnection(b, web, 80);
    expect(await connection.talks()).toBe(true);
    host.namespace.run(["conntrack", "-F"]);
    expect(await connection.talks(700)).toBe(false);
    dataplane.hostSettings({ ...defaultSettings, dropInvalid: false });
    await dataplane.apply();
    expect(await connection.talks(10_000)).toBe(true);
  },
  timeoutMs,
);
