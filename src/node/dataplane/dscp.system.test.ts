/** DSCP of what leaves the cluster, as the receiver gets it (felix-dataplane.md 3.3, mangle-POSTROUTING). */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, interfaceNamed, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { EndpointEnforcement, HostEndpointEnforcement } from "../../policy/enforcement.ts";
import type { Dataplane } from "./dataplane.ts";
import { describeOpenPair, endpointOf, hostAddress, pairAddresses, pings, TestHost } from "./testing/containers.ts";

const outside = { 4: "172.31.0.99", 6: "fd31::99" } as const;
/** Hosts of the cluster. */
const peer = { 4: "172.31.0.98", 6: "fd31::98" } as const;
const own = { 4: pairAddresses.a, 6: "fd65::1" } as const;
const timeoutMs = 60_000;

/** The whole byte of the header that holds the DSCP, of an echo request with ECN bits, as it arrives. */
async function arrivesWith(from: TestNamespace, to: TestNamespace, address: string, options: string[] = []) {
  const capture = to.start(
    "tcpdump",
    "-i",
    "eth0",
    "-nn",
    "-v",
    "-l",
    "-c",
    "1",
    `dst host ${address} and (icmp[0] = 8 or icmp6[0] = 128)`,
  );
  const said = { out: "", err: "" };
  const follow = async (stream: unknown, into: "out" | "err") => {
    for await (const chunk of stream as ReadableStream<Uint8Array>) said[into] += Buffer.from(chunk).toString();
  };
  const followed = Promise.all([follow(capture.stdout, "out"), follow(capture.stderr, "err")]);
  await eventually("tcpdump listens", () => said.err.includes("listening"));
  from.must("ping", "-n", "-c", "1", "-W", "3", "-Q", "1", ...options, address);
  await eventually("the packet is seen", () => capture.exitCode !== null);
  await followed;
  return Number(/(?:tos|class) (0x[0-9a-f]+)/.exec(said.out)?.[1] ?? 0);
}

const byte = (dscp: number) => (dscp << 2) | 1;

async function mark(dataplane: Dataplane, dscp: number | undefined, more: Partial<EndpointEnforcement> = {}) {
  const addresses = [own[4], own[6]].map((text) => parseIpAddress(text));
  const marked = dscp === undefined ? {} : { dscp };
  dataplane.endpoint("/test/a", { ...endpointOf("a", own[4], ["profile/open"]), addresses, ...marked, ...more });
  await dataplane.apply();
}

/** A host with another one of its cluster and somebody else outside, for both families. */
async function openHost(
  host: TestHost,
  dataplane: Dataplane,
): Promise<{ readonly a: TestNamespace; readonly b: TestNamespace }> {
  const { namespace, outside: other } = host;
  dataplane.natPools([
    { cidr: parseCidr("10.65.0.0/16"), natOutgoing: true },
    { cidr: parseCidr("fd65::/64"), natOutgoing: false },
  ]);
  dataplane.hostAddresses([hostAddress, ...Object.values(peer)].map((text) => parseIpAddress(text)));
  const { a, b } = await host.openPair(dataplane);
  namespace.must("ip", "-6", "addr", "add", "fd31::11/64", "dev", "eth0", "nodad");
  other.must("ip", "-6", "addr", "add", `${outside[6]}/64`, "dev", "eth0", "nodad");
  other.must("ip", "-6", "addr", "add", `${peer[6]}/64`, "dev", "eth0", "nodad");
  other.must("ip", "addr", "add", `${peer[4]}/24`, "dev", "eth0");
  other.must("ip", "-6", "route", "add", "fd65::/64", "via", "fd31::11");
  await mark(dataplane, undefined);
  a.must("ip", "-6", "addr", "add", `${own[6]}/128`, "dev", "eth0", "nodad");
  let gateway = "";
  await eventually("the host's end has its link-local address", () => {
    const shown = namespace.must("ip", "-6", "-o", "addr", "show", "dev", "calia", "scope", "link");
    gateway = /inet6 (fe80[^/]*)/.exec(shown)?.[1] ?? "";
    return gateway !== "" && !shown.includes("tentative");
  });
  a.must("ip", "-6", "route", "add", "default", "via", gateway, "dev", "eth0");
  await eventually("IPv6 leads out", () => pings(a, outside[6]));
  return { a, b };
}

/** Without counters: something always sends. */
const table = (host: TestHost) => host.namespace.must("nft", "-s", "list", "table", "inet", "margay");

test(
  "what an endpoint sends out of the cluster has its DSCP, in IPv4 and IPv6, at once when it changes and no more when it goes",
  async () => {
    await using host = new TestHost("dscp");
    await using dataplane = await host.open();
    const { a, b } = await openHost(host, dataplane);
    const seen = async (where: { readonly 4: string; readonly 6: string }) => [
      await arrivesWith(a, host.outside, where[4]),
      await arrivesWith(a, host.outside, where[6]),
    ];
    expect(await seen(outside)).toEqual([1, 1]);
    expect(table(host)).not.toContain("dscp");
    await mark(dataplane, 46);
    expect(await seen(outside)).toEqual([byte(46), byte(46)]);
    // To a host of the cluster, and to a pool, as it was sent.
    expect(await seen(peer)).toEqual([1, 1]);
    expect(await arrivesWith(a, b, pairAddresses.b)).toBe(1);
    // Nobody else's.
    expect(await arrivesWith(b, host.outside, outside[4])).toBe(1);
    await mark(dataplane, 10);
    expect(await seen(outside)).toEqual([byte(10), byte(10)]);
    expect(table(host)).not.toContain("dscp/46");
    // 0 is a value too: what the container itself set is undone.
    await mark(dataplane, 0);
    expect(await arrivesWith(a, host.outside, outside[4], ["-Q", "0xb9"])).toBe(1);
    await mark(dataplane, 46, { allowedSources: [parseCidr("192.0.2.0/24")] });
    // A pool that comes to cover the destination, and goes.
    dataplane.natPools([{ cidr: parseCidr("172.31.0.96/27"), natOutgoing: false }]);
    await dataplane.apply();
    expect(await arrivesWith(a, host.outside, outside[4])).toBe(1);
    dataplane.natPools([]);
    await dataplane.apply();
    expect(await arrivesWith(a, host.outside, outside[4])).toBe(byte(46));
    await mark(dataplane, undefined);
    expect(await seen(outside)).toEqual([1, 1]);
    expect(table(host)).not.toContain("dscp");
    await mark(dataplane, 46);
    dataplane.endpoint("/test/a", undefined);
    await dataplane.apply();
    expect(table(host)).not.toContain("dscp");
  },
  timeoutMs,
);

test(
  "one value is one chain for all endpoints that have it, and a restart that finds it changes nothing",
  async () => {
    await using host = new TestHost("dscp");
    await using dataplane = await host.open();
    await openHost(host, dataplane);
    await mark(dataplane, 46);
    dataplane.endpoint("/test/b", { ...endpointOf("b", pairAddresses.b, ["profile/open"]), dscp: 46 });
    await dataplane.apply();
    expect(table(host).match(/ip dscp set/g)).toHaveLength(1);
    expect(table(host).replaceAll(/\s+/g, " ")).toContain('"calia" : goto dscp/46, "calib" : goto dscp/46');
    const before = table(host);
    await dataplane.close();
    await using second = await host.open();
    describeOpenPair(second);
    second.natPools([
      { cidr: parseCidr("10.65.0.0/16"), natOutgoing: true },
      { cidr: parseCidr("fd65::/64"), natOutgoing: false },
    ]);
    second.hostAddresses([hostAddress, ...Object.values(peer)].map((text) => parseIpAddress(text)));
    second.endpoint("/test/b", { ...endpointOf("b", pairAddresses.b, ["profile/open"]), dscp: 46 });
    await mark(second, 46);
    second.setInSync();
    await second.apply();
    expect(second.counters.filterTransactions).toBe(0);
    expect(table(host)).toBe(before);
  },
  timeoutMs,
);

test(
  "what the host sends by an interface with a host endpoint has that one's DSCP; by all others that of the one for all",
  async () => {
    await using host = new TestHost("dscp");
    await using dataplane = await host.open();
    const { a } = await openHost(host, dataplane);
    const { namespace } = host;
    const hostEndpoint: HostEndpointEnforcement = {
      key: "/test/eth0",
      name: "host1-eth0",
      interfaceName: interfaceNamed("eth0"),
      expectedIps: [],
      tiers: [],
      profiles: ["profile/open"],
      forwardTiers: [],
      preDnatTiers: [],
      untrackedTiers: [],
      problems: [],
    };
    const say = async (key: string, endpoint: Partial<HostEndpointEnforcement> | undefined) => {
      dataplane.hostEndpoint(key, endpoint && { ...hostEndpoint, key, ...endpoint });
      await dataplane.apply();
    };
    const seen = async () => [
      await arrivesWith(namespace, host.outside, outside[4]),
      await arrivesWith(namespace, host.outside, outside[6]),
    ];
    await say("/test/eth0", { dscp: 26 });
    expect(await seen()).toEqual([byte(26), byte(26)]);
    expect(await arrivesWith(namespace, host.outside, peer[4])).toBe(1);
    expect(await arrivesWith(namespace, a, own[4])).toBe(1);
    // What it forwards is its containers'.
    expect(await arrivesWith(a, host.outside, outside[4])).toBe(1);
    await say("/test/all", { name: "all", interfaceName: "*", dscp: 8 });
    expect(await seen()).toEqual([byte(26), byte(26)]);
    await say("/test/eth0", undefined);
    expect(await seen()).toEqual([byte(8), byte(8)]);
    expect(await arrivesWith(namespace, a, own[4])).toBe(1);
    await say("/test/all", { name: "all", interfaceName: "*", dscp: 12 });
    expect(await seen()).toEqual([byte(12), byte(12)]);
    await say("/test/eth0", {});
    expect(await seen()).toEqual([1, 1]);
    await say("/test/all", undefined);
    expect(table(host)).not.toContain("dscp");
  },
  timeoutMs,
);
