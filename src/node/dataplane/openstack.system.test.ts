/** What endpoints of an OpenStack may ask of their host, on the real kernel (felix-dataplane.md 3.3). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { HostSettings, MetadataService } from "../../policy/enforcement.ts";
import { packetOf, parseTraffic } from "../../policy/explain/packet.ts";
import { askLocalKernel } from "../explain/local-kernel.ts";
import type { Dataplane } from "./dataplane.ts";
import { defaultSettings } from "./default-settings.ts";
import { endpointOf, hostAddress, reachesUdp, rule, TestHost } from "./testing/containers.ts";

const guest = { 4: "10.65.0.1", 6: "fd65::1" } as const;
const guestLinkLocal = "fe80::9";
const metadataAsked = "169.254.169.254";
const outside = "172.31.0.99";
const onLoopback: MetadataService = { host: "127.0.0.1", port: 8775 };
const timeoutMs = 60_000;

async function set(dataplane: Dataplane, openStack: HostSettings["openStack"], more: Partial<HostSettings> = {}) {
  dataplane.hostSettings({ ...defaultSettings, endpointToHost: "drop", ...more, openStack });
  await dataplane.apply();
}

/** One endpoint that may send nothing by its policy. */
async function silentGuest(host: TestHost, dataplane: Dataplane): Promise<TestNamespace> {
  dataplane.ruleList("profile/silent", { inbound: [], outbound: [] });
  dataplane.endpoint("/test/a", {
    ...endpointOf("a", guest[4], ["profile/silent"]),
    addresses: [parseIpAddress(guest[4]), parseIpAddress(guest[6])],
  });
  dataplane.setInSync();
  await dataplane.apply();
  return host.container(dataplane, "a", guest[4]);
}

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "margay-openstack-"));
  writeFileSync(join(directory, "index.html"), "hello");
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A web server that listens at this address only. */
async function serveAt(namespace: TestNamespace, address: string, port: number): Promise<void> {
  namespace.start("busybox", "httpd", "-f", "-p", `${address}:${port}`, "-h", directory);
  await eventually("it listens", () => namespace.must("ss", "-Hltn", `sport = :${port}`).trim() !== "");
}

function fetches(from: TestNamespace, address: string, port: number): boolean {
  const request = "GET /index.html HTTP/1.0\r\n\r\n";
  return from
    .run(["nc", "-w", "1", address, String(port)], { stdin: request, timeoutMs: 3_000 })
    .stdout.includes("hello");
}

const listens = (namespace: TestNamespace, port: number) =>
  eventually(`udp ${port} listens`, () => namespace.must("ss", "-Hlun", `sport = :${port}`).trim() !== "");

function explained(traffic: string, destination: string, source: string = guest[4], sourcePort = 50_000): string {
  const packet = packetOf(parseIpAddress(source), parseIpAddress(destination), parseTraffic(traffic, ""), sourcePort);
  return askLocalKernel("host1", { packet, from: { interfaceName: "calia" }, to: "this host" }).verdict;
}

test(
  "a guest without an address gets one from the host's DHCP server in an OpenStack, and nowhere else",
  async () => {
    await using host = new TestHost("os");
    await using dataplane = await host.open();
    const a = await silentGuest(host, dataplane);
    a.must("ip", "addr", "flush", "dev", "eth0");
    const file = join(directory, "udhcpd.conf");
    const lines = [
      ...[`start ${guest[4]}`, `end ${guest[4]}`, "interface calia", "max_leases 1", "option subnet 255.255.255.255"],
      ...[`lease_file ${join(directory, "leases")}`, `pidfile ${join(directory, "pid")}`],
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    writeFileSync(join(directory, "leases"), "");
    host.namespace.start("busybox", "udhcpd", "-f", "-I", hostAddress, file);
    await listens(host.namespace, 67);
    const asks = () => {
      const words = ["busybox", "udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true"];
      return a.run(words, { timeoutMs: 20_000 }).exitCode === 0;
    };
    await set(dataplane, undefined);
    expect(asks()).toBe(false);
    expect(explained("udp/67", "255.255.255.255", "0.0.0.0", 68)).toBe("deny");
    await set(dataplane, { metadata: undefined });
    expect(asks()).toBe(true);
    expect(explained("udp/67", "255.255.255.255", "0.0.0.0", 68)).toBe("allow");
    // Only these two ports, whatever else may be asked without an address.
    for (const [traffic, sourcePort] of [
      ["udp/67", 50_000],
      ["udp/53", 68],
      ["tcp/67", 68],
      ["udp/68", 67],
    ] as const)
      expect([traffic, explained(traffic, "255.255.255.255", "0.0.0.0", sourcePort)]).toEqual([traffic, "deny"]);
    // A closed endpoint, and an interface that is nobody's, may not ask.
    dataplane.endpoint("/test/a", { ...endpointOf("a", guest[4], []), problems: ["closed"] });
    await dataplane.apply();
    expect(asks()).toBe(false);
    dataplane.endpoint("/test/a", undefined);
    await dataplane.apply();
    expect(asks()).toBe(false);
  },
  timeoutMs,
);

test(
  "DNS and DHCPv6 reach the host whatever the guest's policy says, in an OpenStack only; other ports never do",
  async () => {
    await using host = new TestHost("os");
    await using dataplane = await host.open();
    const a = await silentGuest(host, dataplane);
    const { namespace } = host;
    namespace.must("ip", "-6", "addr", "add", "fd31::11/64", "dev", "eth0", "nodad");
    a.must("ip", "-6", "addr", "add", `${guest[6]}/128`, "dev", "eth0", "nodad");
    a.must("ip", "-6", "addr", "add", `${guestLinkLocal}/64`, "dev", "eth0", "nodad");
    const shown = namespace.must("ip", "-6", "-o", "addr", "show", "dev", "calia", "scope", "link");
    const gateway = /inet6 (fe80[^/]*)/.exec(shown)?.[1] ?? "";
    a.must("ip", "-6", "route", "add", "default", "via", gateway, "dev", "eth0");
    /** A datagram from this address and port to the host's, in IPv6. */
    const arrives = async (from: string, sourcePort: number, to: string, port: number) => {
      const listener = namespace.start("nc", "-6", "-u", "-l", String(port));
      let heard = "";
      void (async () => {
        for await (const chunk of listener.stdout as ReadableStream<Uint8Array>) heard += Buffer.from(chunk).toString();
      })();
      await listens(namespace, port);
      const words = ["nc", "-6", "-u", "-w", "1", "-q", "0", "-s", from, "-p", String(sourcePort), to, String(port)];
      a.run(words, { stdin: "datagram\n", timeoutMs: 3_000 });
      const arrived = await eventually("it arrives", () => heard.includes("datagram"), 700).then(
        () => true,
        () => false,
      );
      listener.kill("SIGKILL");
      return arrived;
    };
    const onLink = [`${guestLinkLocal}%eth0`, `${gateway}%eth0`] as const;
    const reached = async () => ({
      dns: await reachesUdp(a, namespace, hostAddress, 53),
      dns6: await arrives(guest[6], 50_000, "fd31::11", 53),
      dhcp6: await arrives(onLink[0], 546, onLink[1], 547),
      fromOtherPort: await arrives(onLink[0], 50_001, onLink[1], 547),
      linkLocalDns: await arrives(onLink[0], 546, onLink[1], 53),
      other: await reachesUdp(a, namespace, hostAddress, 54),
    });
    const none = { dns: false, dns6: false, dhcp6: false, fromOtherPort: false, linkLocalDns: false, other: false };
    await set(dataplane, undefined);
    expect(await reached()).toEqual(none);
    expect(explained("udp/53", hostAddress)).toBe("deny");
    await set(dataplane, { metadata: undefined });
    expect(await reached()).toEqual({ ...none, dns: true, dns6: true, dhcp6: true });
    expect(explained("udp/53", hostAddress)).toBe("allow");
    expect(explained("tcp/53", hostAddress)).toBe("deny");
    await set(dataplane, undefined);
    expect(await reached()).toEqual(none);
  },
  timeoutMs,
);

test(
  "metadata on the host's loopback is reached, and nothing else there",
  async () => {
    await using host = new TestHost("os");
    await using dataplane = await host.open();
    const a = await silentGuest(host, dataplane);
    const { namespace } = host;
    await serveAt(namespace, "127.0.0.1", 8775);
    await serveAt(namespace, "127.0.0.1", 8080);
    await serveAt(namespace, hostAddress, 8776);
    const routed = () => namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/route_localnet").trim();
    const metadata = () => fetches(a, metadataAsked, 80);
    await set(dataplane, undefined);
    expect([metadata(), routed(), explained("tcp/80", metadataAsked)]).toEqual([false, "0", "deny"]);
    await set(dataplane, { metadata: onLoopback });
    expect([metadata(), routed(), explained("tcp/80", metadataAsked)]).toEqual([true, "1", "allow"]);
    expect([8775, 8776, 22].map((port) => fetches(a, hostAddress, port))).toEqual([false, false, false]);
    expect(fetches(a, metadataAsked, 8080)).toBe(false);
    // What another firewall of the host drops by default is accepted for it, open connections included.
    namespace.must("iptables-nft", "-P", "INPUT", "DROP");
    await dataplane.apply();
    await eventually("the rules are there", async () => {
      await dataplane.apply();
      return metadata();
    });

    // A guest that takes the loopback for somebody else's, as root in its container can.
    a.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
    a.must("ip", "addr", "flush", "dev", "lo");
    a.must("ip", "route", "add", "127.0.0.0/8", "via", "169.254.1.1", "dev", "eth0", "src", guest[4]);
    const attacks = () => [8775, 8080].map((port) => fetches(a, "127.0.0.1", port));
    expect(attacks()).toEqual([false, false]);
    expect(explained("tcp/8080", "127.0.0.1")).toBe("deny");
    namespace.must("iptables-nft", "-P", "INPUT", "ACCEPT");
    // It is the guard that stops it: without, and with a policy that lets it out, it gets through.
    await set(dataplane, { metadata: onLoopback }, { endpointToHost: "return" });
    dataplane.ruleList("profile/silent", { inbound: [], outbound: [rule("allow")] });
    await dataplane.apply();
    expect(attacks()).toEqual([false, false]);
    const listed = namespace.must("nft", "-a", "list", "chain", "inet", "margay", "endpoint-source");
    for (const [, handle = ""] of listed.matchAll(/host's loopback" # handle (\d+)/g))
      namespace.must("nft", "delete", "rule", "inet", "margay", "endpoint-source", "handle", handle);
    expect(attacks()).toEqual([true, true]);
    await dataplane.apply();
    expect(attacks()).toEqual([false, false]);
    // A foreign source that the guest may use is none of the loopback's either.
    dataplane.endpoint("/test/a", {
      ...endpointOf("a", guest[4], ["profile/silent"]),
      allowedSources: [parseCidr("0.0.0.0/0")],
    });
    await dataplane.apply();
    expect(explained("tcp/8776", hostAddress, "192.0.2.1")).toBe("allow");
    expect(explained("tcp/8776", hostAddress, "127.0.0.1")).toBe("deny");

    await set(dataplane, undefined);
    expect([metadata(), routed(), ...attacks()]).toEqual([false, "0", false, false]);
    expect(namespace.must("nft", "list", "table", "inet", "margay")).not.toContain("dnat");
  },
  timeoutMs,
);

test(
  "metadata elsewhere: at an address of the host whatever policy says, on another machine as policy says; a name follows",
  async () => {
    await using host = new TestHost("os");
    let answer = [parseIpAddress(hostAddress)];
    let attention = 0;
    await using dataplane = await host.open({
      resolve: async (name) => (name === "metadata.example" ? answer : Promise.reject(new Error("no such name"))),
      onNeedsApply: () => attention++,
    });
    const a = await silentGuest(host, dataplane);
    const { namespace } = host;
    await serveAt(namespace, hostAddress, 8775);
    await serveAt(host.outside, outside, 8775);
    const routed = () => namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/route_localnet").trim();
    const metadata = () => fetches(a, metadataAsked, 80);
    await set(dataplane, { metadata: { host: hostAddress, port: 8775 } });
    await eventually("the new guest reaches its host", () => metadata());
    expect(routed()).toBe("0");
    await set(dataplane, { metadata: { host: outside, port: 8775 } });
    expect([metadata(), explained("tcp/80", metadataAsked)]).toEqual([false, "deny"]);
    dataplane.ruleList("profile/silent", { inbound: [], outbound: [rule("allow")] });
    await dataplane.apply();
    expect([metadata(), explained("tcp/80", metadataAsked)]).toEqual([true, "allow"]);
    dataplane.ruleList("profile/silent", { inbound: [], outbound: [] });

    await set(dataplane, { metadata: { host: "metadata.example", port: 8775 } });
    await eventually("the name is looked up", () => attention > 0);
    await dataplane.apply();
    expect([metadata(), dataplane.metadataProblem]).toEqual([true, undefined]);
    answer = [];
    await set(dataplane, { metadata: { host: "nowhere.example", port: 8775 } });
    await eventually("it is told", () => dataplane.metadataProblem?.includes("no such name") === true);
    expect(metadata()).toBe(false);
  },
  timeoutMs,
);
