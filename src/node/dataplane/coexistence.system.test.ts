/**
 * Other programs' rules, policy changes under open connections, NAT and IPv6, with real packets.
 * Numbers: felix-dataplane.md section 9.
 */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import { defaultSettings } from "./default-settings.ts";
import {
  connectsTcp,
  endpointOf,
  hostAddress,
  openConnection,
  pairAddresses,
  pings,
  rule,
  serveEcho,
  serveTcp,
  TestHost,
} from "./testing/containers.ts";

const { a: web, b: other } = pairAddresses;
const outside = "172.31.0.99";
const timeoutMs = 40_000;

test(
  "36: connections that are open go on when policy forbids them; a closed or freed endpoint ends them at once",
  async () => {
    await using host = new TestHost("co");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    await serveEcho(a, 80);
    const open = openConnection(b, web, 80);
    expect(await open.talks()).toBe(true);
    dataplane.ruleList("profile/open", { inbound: [rule("deny")], outbound: [rule("deny")] });
    await dataplane.apply();
    expect(await open.talks()).toBe(true);
    expect(await openConnection(b, web, 80).talks(700)).toBe(false);
    // The receiver is closed.
    dataplane.endpoint("/test/a", { ...endpointOf("a", web, []), problems: ["unknown profile"] });
    await dataplane.apply();
    expect(await open.talks(700)).toBe(false);
    dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/open"]));
    await dataplane.apply();
    expect(await open.talks()).toBe(true);
    // The sender is closed.
    dataplane.endpoint("/test/b", { ...endpointOf("b", other, []), problems: ["unknown profile"] });
    await dataplane.apply();
    expect(await open.talks(700)).toBe(false);
  },
  timeoutMs,
);

for (const [order, daemonFirst] of [
  ["before", true],
  ["after", false],
] as const)
  test(
    `26, 46: Docker's chains with FORWARD DROP, made ${order} ours: policed traffic passes, IPv4 and IPv6, and they stay as they are`,
    async () => {
      await using host = new TestHost("co");
      const daemon = () => {
        for (const program of ["iptables-nft", "ip6tables-nft"])
          for (const words of [
            "-N DOCKER",
            "-N DOCKER-USER",
            "-N DOCKER-ISOLATION-STAGE-1",
            "-I FORWARD -o docker0 -j DOCKER",
            "-I FORWARD -j DOCKER-ISOLATION-STAGE-1",
            "-I FORWARD -j DOCKER-USER",
            "-A DOCKER-USER -j RETURN",
            "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
            "-P FORWARD DROP",
          ])
            host.namespace.must(program, ...words.split(" "));
        host.namespace.must(
          "iptables-nft",
          "-t",
          "nat",
          "-A",
          "POSTROUTING",
          "-s",
          "172.17.0.0/16",
          "-j",
          "MASQUERADE",
        );
      };
      if (daemonFirst) daemon();
      let attention = 0;
      await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
      const { a, b } = await host.openPair(dataplane);
      if (!daemonFirst) {
        daemon();
        await eventually("the daemon's start is noticed", () => attention > 0);
      }
      await dataplane.apply();
      host.namespace.must(
        "nft",
        "add table inet foreign { chain c { type filter hook forward priority 10; counter; }; }",
      );
      const foreign = () =>
        [["iptables-save"], ["ip6tables-save"], ["nft", "-s", "list", "table", "inet", "foreign"]]
          .flatMap((words) => host.namespace.must(...words).split("\n"))
          .filter((line) => !/^#|margay/.test(line))
          .map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
      const before = foreign();
      expect(pings(b, web)).toBe(true);
      expect(pings(a, outside)).toBe(true);
      for (const program of ["iptables-nft", "ip6tables-nft"])
        expect(host.namespace.must(program, "-S", "FORWARD").match(/margay/g)?.length).toBe(2);
      // Whatever happens to ours.
      for (let round = 0; round < 20; round++) {
        dataplane.ruleList("profile/open", {
          inbound: [rule(round % 2 ? "allow" : "deny")],
          outbound: [rule("allow")],
        });
        dataplane.endpoint(`/test/x${round}`, endpointOf(`x${round}`, `10.65.0.${round + 10}`, ["profile/open"]));
        await dataplane.apply();
      }
      expect(foreign()).toEqual(before);
      await dataplane.removeEverything();
      expect(foreign()).toEqual(before);
    },
    timeoutMs,
  );

test(
  "25: ip6tables' FORWARD DROP and IPv6 from end to end: neighbours, policy, source check, NAT to outside",
  async () => {
    await using host = new TestHost("co");
    await using dataplane = await host.open();
    const six = { a: "fd65::1", b: "fd65::2" };
    dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
    dataplane.natPools([{ cidr: parseCidr("fd65::/64"), natOutgoing: true }]);
    dataplane.setInSync();
    for (const [name, address] of Object.entries(six))
      dataplane.endpoint(`/test/${name}`, endpointOf(name, address, ["profile/open"]));
    await dataplane.apply();
    host.namespace.must("ip6tables-nft", "-P", "FORWARD", "DROP");
    await dataplane.apply();
    const a = await host.container(dataplane, "a", web);
    const b = await host.container(dataplane, "b", other);
    for (const [name, namespace] of Object.entries({ a, b })) {
      namespace.must("ip", "-6", "addr", "add", `${six[name as "a" | "b"]}/128`, "dev", "eth0", "nodad");
      let gateway = "";
      await eventually("the host's end has a link-local address", () => {
        const shown = host.namespace.must("ip", "-6", "-o", "addr", "show", "dev", `cali${name}`, "scope", "link");
        gateway = /inet6 (fe80[^/]*)/.exec(shown)?.[1] ?? "";
        return gateway !== "";
      });
      namespace.must("ip", "-6", "route", "add", "default", "via", gateway, "dev", "eth0");
      expect(host.namespace.must("cat", `/proc/sys/net/ipv6/conf/cali${name}/proxy_ndp`).trim()).toBe("1");
    }
    host.namespace.must("ip", "-6", "addr", "add", "fd31::11/64", "dev", "eth0", "nodad");
    host.outside.must("ip", "-6", "addr", "add", "fd31::99/64", "dev", "eth0", "nodad");
    await eventually("a member is reached", () => pings(b, six.a));
    // Outside has no route to fd65::/64: only a translated packet is answered.
    await eventually("outside is reached", () => pings(a, "fd31::99"));
    expect(host.namespace.must("conntrack", "-f", "ipv6", "-L", "-s", six.a)).toContain("dst=fd31::11");
    a.must("ip", "-6", "addr", "add", "fd65::9/128", "dev", "lo", "nodad");
    expect(pings(a, six.b, { source: "fd65::9" })).toBe(false);
    // 28: the host reaches them in any case.
    expect(pings(host.namespace, six.a)).toBe(true);
    dataplane.ruleList("profile/open", { inbound: [rule("deny", { protocol: 58 })], outbound: [rule("allow")] });
    await dataplane.apply();
    host.namespace.must("conntrack", "-F");
    expect(pings(b, six.a)).toBe(false);
  },
  timeoutMs,
);

test(
  "41: NAT outgoing: to outside under the host's address, a given address or given ports; within the pools as it is",
  async () => {
    await using host = new TestHost("co");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    dataplane.natPools([{ cidr: parseCidr("10.65.0.0/16"), natOutgoing: true }]);
    await dataplane.apply();
    host.outside.must("ip", "route", "del", "10.65.0.0/16");
    await serveTcp(host.outside, 90);
    await serveTcp(b, 90);
    const seenAs = (server: string) => {
      host.namespace.run(["conntrack", "-F"]);
      expect(connectsTcp(a, server, 90)).toBe(true);
      const flow = host.namespace.must("conntrack", "-L", "-p", "tcp", "-s", web, "-d", server);
      const [, address = "", port = ""] = /src=\S+ dst=(\S+) sport=90 dport=(\d+)/.exec(flow) ?? [];
      return { address, port: Number(port) };
    };
    expect(seenAs(outside).address).toBe(hostAddress);
    expect(seenAs(other).address).toBe(web);
    dataplane.hostSettings({ ...defaultSettings, natPortRange: { first: 40_000, last: 40_009 } });
    await dataplane.apply();
    const { port } = seenAs(outside);
    expect(port >= 40_000 && port <= 40_009).toBe(true);
    expect(pings(a, outside)).toBe(true);
    host.namespace.must("ip", "addr", "add", "172.31.0.20/24", "dev", "eth0");
    dataplane.hostSettings({ ...defaultSettings, natOutgoingAddress: parseIpAddress("172.31.0.20") });
    await dataplane.apply();
    expect(seenAs(outside).address).toBe("172.31.0.20");
    // To hosts, of the cluster and listed ones, as it is; they have a route back. To all others as before.
    host.outside.must("ip", "addr", "add", "172.31.0.98/24", "dev", "eth0");
    host.outside.must("ip", "addr", "add", "172.31.0.97/24", "dev", "eth0");
    host.outside.must("ip", "route", "add", "10.65.0.0/16", "via", hostAddress);
    dataplane.hostAddresses([parseIpAddress(hostAddress), parseIpAddress(outside)]);
    dataplane.hostSettings({
      ...defaultSettings,
      natExcludesHosts: true,
      externalHosts: [parseCidr("172.31.0.98/32")],
    });
    await dataplane.apply();
    expect([outside, "172.31.0.98", "172.31.0.97"].map((server) => seenAs(server).address)).toEqual([
      web,
      web,
      hostAddress,
    ]);
    dataplane.hostAddresses([parseIpAddress(hostAddress)]);
    await dataplane.apply();
    expect(seenAs(outside).address).toBe(hostAddress);
  },
  timeoutMs,
);

test(
  "44, 47: settings of the host change the rules at once, and others' marks stay",
  async () => {
    await using host = new TestHost("co");
    await using dataplane = await host.open();
    const { a, b } = await host.openPair(dataplane);
    const chain = (name: string) => host.namespace.must("nft", "list", "chain", "inet", "margay", name);
    dataplane.ruleList("profile/open", { inbound: [rule("log"), rule("allow")], outbound: [rule("allow")] });
    dataplane.hostSettings({ ...defaultSettings, logPrefix: 'my"prefix', dropInvalid: false });
    await dataplane.apply();
    expect(chain("in/profile/open")).toContain('log prefix "my_prefix: "');
    expect(chain("in/profile/open")).toContain("limit rate 10/second");
    expect(chain("forward-to")).not.toContain("invalid");
    expect(pings(b, web)).toBe(true);
    const logLimit = { count: 3, per: "minute", burst: 7 } as const;
    dataplane.hostSettings({ ...defaultSettings, logPrefix: "%k %p", logLimit });
    await dataplane.apply();
    expect(chain("in/profile/open")).toContain('limit rate 3/minute burst 7 packets log prefix "pro open: "');
    // More packets than may be logged: they go on to the next rule all the same.
    host.namespace.run(["conntrack", "-F"]);
    const said = b.run(["ping", "-n", "-c", "20", "-i", "0.02", "-W", "1", web]).stdout;
    expect(said).toContain("20 received");
    host.namespace.must("nft", "add table inet other");
    host.namespace.must("nft", "add chain inet other pre { type filter hook prerouting priority -290; }");
    host.namespace.must("nft", "add rule inet other pre meta mark set 0x4001");
    host.namespace.must("nft", "add chain inet other post { type filter hook postrouting priority 200; }");
    host.namespace.must("nft", "add rule inet other post oifname calia meta mark and 0xffff != 0x4001 counter drop");
    expect(pings(b, web)).toBe(true);
    dataplane.ruleList("profile/open", { inbound: [rule("deny")], outbound: [rule("allow")] });
    dataplane.hostSettings({ ...defaultSettings, denyAction: "reject" });
    await dataplane.apply();
    host.namespace.run(["conntrack", "-F"]);
    expect(b.run(["ping", "-n", "-c", "1", "-W", "1", web]).stdout).toContain("Packet filtered");
    expect(a.must("ip", "addr")).toContain(web);
  },
  timeoutMs,
);

test(
  "45, 12, 3: a deleted veth, a flushed iptables chain and a replaced interface are noticed and put right",
  async () => {
    await using host = new TestHost("co");
    let attention = 0;
    await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    const { b } = await host.openPair(dataplane);
    host.namespace.must("iptables-nft", "-P", "FORWARD", "DROP");
    await dataplane.apply();
    expect(pings(b, web)).toBe(true);
    host.namespace.must("ip", "link", "del", "calia");
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/a")).toContain("does not exist");
    expect(host.namespace.must("ip", "route")).not.toContain(web);
    attention = 0;
    host.namespace.must("iptables-nft", "-F", "FORWARD");
    await eventually("the flush is noticed", () => attention > 0);
    await dataplane.apply();
    expect(host.namespace.must("iptables-nft", "-S", "FORWARD").match(/margay/g)?.length).toBe(2);
    // A new interface under the name, made by somebody else and renamed.
    host.namespace.must("ip", "link", "add", "tmpa", "type", "veth", "peer", "name", "temp2");
    host.namespace.must("ip", "link", "set", "tmpa", "name", "calia");
    host.namespace.must("ip", "link", "set", "temp2", "up");
    host.namespace.must("ip", "link", "set", "calia", "up");
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/a")).toBeUndefined();
    expect(host.namespace.must("ip", "route", "get", web)).toContain("calia");
    expect(host.namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/proxy_arp").trim()).toBe("1");
    // 4: two endpoints of one interface.
    dataplane.endpoint("/test/A", { ...endpointOf("A", "10.65.0.7", []), interfaceName: interfaceNamed("calia") });
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/a")).toContain("belongs to /test/A");
  },
  timeoutMs,
);
