/** Host endpoints, settings of the host and named ports on the real kernel. Numbers: felix-dataplane.md section 9. */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, interfaceNamed, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { HostEndpointEnforcement, TierRef } from "../../policy/enforcement.ts";
import { portMember } from "../../policy/port-member.ts";
import type { Dataplane } from "./dataplane.ts";
import { defaultSettings } from "./default-settings.ts";
import {
  anything,
  connectsTcp,
  endpointOf,
  hostAddress,
  openConnection,
  pings,
  rule,
  serveEcho,
  serveTcp,
  TestHost,
} from "./testing/containers.ts";

const web = "10.65.0.1";
const outside = "172.31.0.99";
const timeoutMs = 40_000;

const eth0: HostEndpointEnforcement = {
  key: "/test/eth0",
  name: "host1-eth0",
  interfaceName: interfaceNamed("eth0"),
  expectedIps: [],
  tiers: [],
  profiles: [],
  forwardTiers: [],
  preDnatTiers: [],
  untrackedTiers: [],
  problems: [],
};
const tier = (defaultAction: TierRef["defaultAction"], lists: Partial<TierRef>): TierRef => ({
  name: "default",
  defaultAction,
  inbound: [],
  outbound: [],
  ...lists,
});
const tcp = (port: number) => ({ protocol: 6, destination: { ...anything, ports: [{ first: port, last: port }] } });
const answersFrom = (port: number) => ({ protocol: 6, source: { ...anything, ports: [{ first: port, last: port }] } });

async function say(dataplane: Dataplane, endpoint: Partial<HostEndpointEnforcement> | undefined): Promise<void> {
  dataplane.hostEndpoint("/test/eth0", endpoint && { ...eth0, ...endpoint });
  await dataplane.apply();
}

/** One container that everybody may reach. */
async function openContainer(host: TestHost, dataplane: Dataplane): Promise<TestNamespace> {
  dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
  dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/open"]));
  dataplane.setInSync();
  await dataplane.apply();
  return host.container(dataplane, "a", web);
}

test(
  "28, 39: a host endpoint without policy lets only failsafe ports pass; none means none; they can be bound to a network",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    const a = await openContainer(host, dataplane);
    await serveTcp(host.namespace, 22);
    await serveTcp(host.namespace, 80);
    const reached = () => [22, 80].map((port) => connectsTcp(host.outside, hostAddress, port));
    expect(reached()).toEqual([true, true]);
    await say(dataplane, {});
    expect(reached()).toEqual([true, false]);
    expect(pings(host.outside, hostAddress)).toBe(false);
    expect(pings(host.namespace, outside)).toBe(false);
    // 28: the host reaches its containers all the same, and forwarding is no business of this policy.
    expect(pings(host.namespace, web)).toBe(true);
    expect(pings(host.outside, web)).toBe(true);
    expect(pings(a, outside)).toBe(true);
    dataplane.hostSettings({ ...defaultSettings, failsafeInbound: [] });
    await dataplane.apply();
    expect(reached()).toEqual([false, false]);
    const net = (text: string) => [{ protocol: 6, port: 22, net: parseCidr(text) }];
    dataplane.hostSettings({ ...defaultSettings, failsafeInbound: net("172.31.0.96/28") });
    await dataplane.apply();
    expect(reached()).toEqual([true, false]);
    dataplane.hostSettings({ ...defaultSettings, failsafeInbound: net("172.31.0.0/28") });
    await dataplane.apply();
    expect(reached()).toEqual([false, false]);
    await say(dataplane, undefined);
    expect(reached()).toEqual([true, true]);
    expect(host.namespace.must("nft", "list", "table", "inet", "margay")).not.toMatch(/host-|failsafe/);
  },
  timeoutMs,
);

test(
  "host endpoint policy decides by tier and profile, in and out; an endpoint is found by its address, also later",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    dataplane.setInSync();
    await serveTcp(host.namespace, 80);
    await serveTcp(host.namespace, 81);
    await serveTcp(host.outside, 90);
    dataplane.ruleList("policy/in-80", { inbound: [rule("allow", tcp(80))], outbound: [] });
    dataplane.ruleList("policy/out-90", { inbound: [], outbound: [rule("allow", tcp(90))] });
    const tiers = [tier("deny", { inbound: ["policy/in-80"], outbound: ["policy/out-90"] })];
    const byAddress = { interfaceName: undefined, expectedIps: [parseIpAddress("172.31.0.12")], tiers };
    await say(dataplane, byAddress);
    expect(dataplane.standing.problemOf("/test/eth0")).toContain("expected address");
    expect(connectsTcp(host.outside, hostAddress, 81)).toBe(true);
    host.namespace.must("ip", "addr", "add", "172.31.0.12/24", "dev", "eth0");
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/eth0")).toBeUndefined();
    expect([80, 81].map((port) => connectsTcp(host.outside, hostAddress, port))).toEqual([true, false]);
    expect(connectsTcp(host.namespace, outside, 90)).toBe(true);
    expect(pings(host.namespace, outside)).toBe(false);
    // Broken: closed but for the failsafe ports, for what is forwarded too.
    await say(dataplane, { problems: ["tier gone is unknown"] });
    expect([80, 81].map((port) => connectsTcp(host.outside, hostAddress, port))).toEqual([false, false]);
    dataplane.hostEndpoint("/test/eth0", { ...eth0, interfaceName: interfaceNamed("calia") });
    await dataplane.apply();
    expect(dataplane.standing.problemOf("/test/eth0")).toContain("a workload's");
  },
  timeoutMs,
);

test(
  "28, 40: the endpoint of all interfaces lets forwarding pass by default; with applyOnForward policy it decides on it",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    const a = await openContainer(host, dataplane);
    const all = { interfaceName: "*" as const };
    await say(dataplane, all);
    expect(pings(host.outside, hostAddress)).toBe(false);
    expect([pings(host.outside, web), pings(a, outside)]).toEqual([true, true]);
    expect(pings(host.namespace, "127.0.0.1")).toBe(true);
    const noPing = rule("deny", { protocol: 1, ipVersion: 4 });
    dataplane.ruleList("policy/forward", { inbound: [noPing], outbound: [] });
    await say(dataplane, { ...all, forwardTiers: [tier("deny", { inbound: ["policy/forward"] })] });
    expect([pings(host.outside, web), pings(a, outside)]).toEqual([false, true]);
    // 28: what the host sends to its container is not forwarded.
    expect(pings(host.namespace, web)).toBe(true);
    await say(dataplane, { ...all, forwardTiers: [tier("deny", { outbound: ["policy/forward"] })] });
    expect([pings(host.outside, web), pings(a, outside)]).toEqual([true, false]);
    // An endpoint of the interface's own takes the place of the one for all.
    dataplane.hostEndpoint("/test/own", { ...eth0, key: "/test/own" });
    await dataplane.apply();
    expect(pings(a, outside)).toBe(true);
  },
  timeoutMs,
);

test(
  "38: policy before DNAT sees the port the client asked for; open connections go on",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    const a = await openContainer(host, dataplane);
    await serveTcp(a, 80);
    host.namespace.must("nft", "add table ip other");
    host.namespace.must("nft", "add chain ip other pre { type nat hook prerouting priority -100; }");
    host.namespace.must("nft", `add rule ip other pre tcp dport 30080 dnat to ${web}:80`);
    host.namespace.must("nft", `add rule ip other pre tcp dport 30081 dnat to ${web}:8080`);
    const reached = () => connectsTcp(host.outside, hostAddress, 30_080);
    expect(reached()).toBe(true);
    await serveEcho(a, 8080);
    const client = openConnection(host.outside, hostAddress, 30_081);
    expect(await client.talks()).toBe(true);
    const closed = [rule("deny", tcp(30_080)), rule("deny", tcp(30_081))];
    dataplane.ruleList("policy/no-node-port", { inbound: closed, outbound: [] });
    await say(dataplane, { preDnatTiers: [tier("pass", { inbound: ["policy/no-node-port"] })] });
    expect(reached()).toBe(false);
    expect(await client.talks()).toBe(true);
    expect(connectsTcp(host.outside, web, 80)).toBe(true);
  },
  timeoutMs,
);

test(
  "37: untracked policy works without a connection entry, answers need a rule of their own, failsafe ports answer anyway",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    dataplane.setInSync();
    await serveTcp(host.namespace, 80);
    await serveTcp(host.namespace, 22);
    const reached = (port: number) => connectsTcp(host.outside, hostAddress, port);
    const untrackedTiers = [tier("pass", { inbound: ["policy/raw"], outbound: ["policy/raw"] })];
    dataplane.ruleList("policy/raw", { inbound: [rule("allow", tcp(80))], outbound: [] });
    await say(dataplane, { untrackedTiers });
    // In untracked, out as part of no known connection.
    expect(reached(80)).toBe(false);
    dataplane.ruleList("policy/raw", { inbound: [rule("allow", tcp(80))], outbound: [rule("allow", answersFrom(80))] });
    await dataplane.apply();
    expect(reached(80)).toBe(true);
    expect(host.namespace.run(["conntrack", "-L", "-p", "tcp", "--dport", "80"]).stdout).not.toContain("dport=80");
    expect(reached(22)).toBe(true);
    dataplane.ruleList("policy/raw", { inbound: [rule("deny")], outbound: [rule("deny")] });
    await dataplane.apply();
    expect([reached(80), reached(22)]).toEqual([false, true]);
  },
  timeoutMs,
);

test(
  "37, 48: the answer to an untracked question fits no connection: dropped, unless disableConntrackInvalidCheck",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    dataplane.setInSync();
    await serveTcp(host.namespace, 80);
    dataplane.ruleList("policy/raw", { inbound: [rule("allow", tcp(80))], outbound: [] });
    dataplane.ruleList("profile/all", { inbound: [rule("allow")], outbound: [rule("allow")] });
    await say(dataplane, { untrackedTiers: [tier("pass", { inbound: ["policy/raw"] })], profiles: ["profile/all"] });
    expect(connectsTcp(host.outside, hostAddress, 80)).toBe(false);
    dataplane.hostSettings({ ...defaultSettings, dropInvalid: false });
    await dataplane.apply();
    expect(connectsTcp(host.outside, hostAddress, 80)).toBe(true);
  },
  timeoutMs,
);

test(
  "37, 38, 39: over IPv6 too failsafe ports stay open, whatever is denied before connection tracking or before DNAT",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    dataplane.setInSync();
    for (const [namespace, address] of [
      [host.namespace, "fd00:31::11"],
      [host.outside, "fd00:31::99"],
    ] as const)
      namespace.must("ip", "addr", "add", `${address}/64`, "dev", "eth0", "nodad");
    host.namespace.start("nc", "-6", "-lk", "22");
    await eventually("port 22 listens", () => host.namespace.must("ss", "-Hltn", "sport = :22").trim() !== "");
    const reached = () => {
      host.outside.must("ip", "-6", "neigh", "flush", "dev", "eth0");
      host.namespace.must("ip", "-6", "neigh", "flush", "dev", "eth0");
      return host.outside.run(["nc", "-z", "-w", "1", "fd00:31::11", "22"]).exitCode === 0;
    };
    await eventually("reached", reached);
    dataplane.ruleList("policy/none", { inbound: [rule("deny")], outbound: [rule("deny")] });
    const none = tier("pass", { inbound: ["policy/none"], outbound: ["policy/none"] });
    await say(dataplane, { untrackedTiers: [none] });
    await eventually("reached, untracked policy denies all", reached);
    await say(dataplane, { preDnatTiers: [none] });
    await eventually("reached, policy before DNAT denies all", reached);
  },
  timeoutMs,
);

test(
  "30: named ports: one name is another number per endpoint, and TCP and UDP of a number are not the same",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    const a = await openContainer(host, dataplane);
    await serveTcp(a, 8080);
    await serveTcp(a, 8081);
    const member = (protocol: number, port: number) => portMember({ address: parseIpAddress(web), protocol, port });
    const named = { protocol: 6, destination: { ...anything, portSets: ["n-http"] } };
    dataplane.portSet("n-http", new Set([member(6, 8080), member(17, 8081)]));
    dataplane.ruleList("profile/open", { inbound: [rule("allow", named)], outbound: [rule("allow")] });
    await dataplane.apply();
    const reached = () => [8080, 8081].map((port) => connectsTcp(host.outside, web, port));
    expect(reached()).toEqual([true, false]);
    dataplane.portSetDelta("n-http", [member(6, 8081)], [member(6, 8080)]);
    await dataplane.apply();
    expect(reached()).toEqual([false, true]);
    const notNamed = { protocol: 6, destination: { ...anything, notPortSets: ["n-http"] } };
    dataplane.ruleList("profile/open", { inbound: [rule("allow", notNamed)], outbound: [rule("allow")] });
    await dataplane.apply();
    expect(reached()).toEqual([true, false]);
    dataplane.portSet("n-http", undefined);
    await dataplane.apply();
    expect(reached()).toEqual([false, false]);
  },
  timeoutMs,
);

test(
  "29: other source addresses pass while they are allowed, and only those",
  async () => {
    await using host = new TestHost("he");
    await using dataplane = await host.open();
    const a = await openContainer(host, dataplane);
    // Their way back is the administrator's route.
    dataplane.hostSettings({ ...defaultSettings, removeExternalRoutes: false });
    for (const address of ["10.99.0.1", "10.98.0.1"]) {
      a.must("ip", "addr", "add", `${address}/32`, "dev", "lo");
      host.outside.must("ip", "route", "add", address, "via", hostAddress);
      host.namespace.must("ip", "route", "add", address, "dev", "calia", "proto", "static");
    }
    const allow = async (...cidrs: string[]) => {
      const allowedSources = cidrs.map((cidr) => parseCidr(cidr));
      dataplane.endpoint("/test/a", { ...endpointOf("a", web, ["profile/open"]), allowedSources });
      await dataplane.apply();
      return ["10.99.0.1", "10.98.0.1", web].map((source) => pings(a, outside, { source }));
    };
    expect(await allow()).toEqual([false, false, true]);
    expect(await allow("10.99.0.0/16")).toEqual([true, false, true]);
    expect(host.namespace.must("cat", "/proc/sys/net/ipv4/conf/calia/rp_filter").trim()).toBe("0");
    expect(await allow()).toEqual([false, false, true]);
  },
  timeoutMs,
);

const actions = ["drop", "return", "accept"] as const;
for (const endpointToHost of actions)
  for (const inputPolicy of ["ACCEPT", "DROP"])
    test(
      `27: workload to host: ${endpointToHost}, while the host's INPUT policy is ${inputPolicy}, whatever its host endpoints say`,
      async () => {
        await using host = new TestHost("he");
        await using dataplane = await host.open({ settings: { endpointToHost } });
        host.namespace.must("iptables-nft", "-P", "INPUT", inputPolicy);
        const a = await openContainer(host, dataplane);
        await dataplane.apply();
        const reached = endpointToHost === "accept" || (endpointToHost === "return" && inputPolicy === "ACCEPT");
        expect(pings(a, hostAddress)).toBe(reached);
        // Host endpoints are about other interfaces than its.
        dataplane.ruleList("policy/none", { inbound: [rule("deny")], outbound: [rule("deny")] });
        for (const tiers of [[], [tier("deny", { inbound: ["policy/none"], outbound: ["policy/none"] })]]) {
          await say(dataplane, { interfaceName: "*", tiers, forwardTiers: tiers });
          expect(pings(a, hostAddress)).toBe(reached);
        }
        await say(dataplane, undefined);
        dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("deny")] });
        await dataplane.apply();
        expect(pings(a, hostAddress)).toBe(false);
      },
      timeoutMs,
    );
