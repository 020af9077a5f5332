/** The dataplane on the real kernel: a host namespace, containers, real packets. */
import { expect, test } from "bun:test";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { eventually, interfaceNamed, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { TierRef } from "../../policy/enforcement.ts";
import type { Dataplane } from "./dataplane.ts";
import {
  anything,
  connectsTcp,
  endpointOf,
  fromSet,
  hostAddress,
  pings,
  reachesUdp,
  rule,
  serveTcp,
  TestHost,
} from "./testing/containers.ts";

const web = "10.65.0.1";
const member = "10.65.0.2";
const stranger = "10.65.0.3";
const outside = "172.31.0.99";
const timeoutMs = 30_000;

/** Two members of one network and a member of another, as Docker networks with default profiles would give. */
async function threeContainers(host: TestHost, dataplane: Dataplane) {
  describeNetworks(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  const a = await host.container(dataplane, "a", web);
  const b = await host.container(dataplane, "b", member);
  const c = await host.container(dataplane, "c", stranger);
  return { a, b, c };
}

function describeNetworks(dataplane: Dataplane): void {
  dataplane.addressSet("s-net", new Set([parseCidr(web), parseCidr(member)]));
  dataplane.addressSet("s-other", new Set([parseCidr(stranger)]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
  dataplane.ruleList("profile/other", { inbound: [rule("allow", fromSet("s-other"))], outbound: [rule("allow")] });
  dataplane.natPools([{ cidr: parseCidr("10.65.0.0/16"), natOutgoing: true }]);
  dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
  dataplane.endpoint("/test/a", endpointOf("a", web, ["profile/net"]));
  dataplane.endpoint("/test/b", endpointOf("b", member, ["profile/net"]));
  dataplane.endpoint("/test/c", endpointOf("c", stranger, ["profile/other"]));
}

test(
  "19: members of a network reach each other and strangers reach neither, in TCP, UDP and ICMP",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const { a, b, c } = await threeContainers(host, dataplane);
    await serveTcp(a, 80);
    expect(pings(b, web)).toBe(true);
    expect(connectsTcp(b, web, 80)).toBe(true);
    expect(await reachesUdp(b, a, web, 53)).toBe(true);
    expect(pings(c, web)).toBe(false);
    expect(connectsTcp(c, web, 80)).toBe(false);
    expect(await reachesUdp(c, a, web, 54)).toBe(false);
    expect(pings(a, stranger)).toBe(false);
    // Nobody from outside; the host itself always; out as the rules allow, under the host's address.
    expect(pings(host.outside, web)).toBe(false);
    expect(pings(host.namespace, web)).toBe(true);
    expect(pings(a, hostAddress)).toBe(true);
    host.outside.must("ip", "route", "del", "10.65.0.0/16");
    expect(pings(a, outside)).toBe(true);
    // An unused address of an own block goes nowhere.
    expect(host.namespace.run(["ip", "route", "get", "10.65.0.50"]).exitCode).not.toBe(0);
  },
  timeoutMs,
);

test(
  "5, 29: a container cannot send under another address, and an interface nobody described gets no packet in or out",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const { b, c } = await threeContainers(host, dataplane);
    c.must("ip", "addr", "add", `${member}/32`, "dev", "lo");
    const dropped = () => host.namespace.must("nft", "list", "chain", "inet", "margay", "endpoint-source");
    expect(pings(c, web, { source: member })).toBe(false);
    expect(dropped()).toMatch(/counter packets [1-9]\d* .*forged source/);
    // Not even the connection table sees a forged packet.
    expect(host.namespace.run(["conntrack", "-L", "-s", member]).stdout).toBe("");
    const d = await host.container(dataplane, "d", "10.65.0.4");
    await dataplane.apply();
    host.namespace.must("ip", "route", "add", "10.65.0.4", "dev", "calid");
    expect(pings(d, hostAddress)).toBe(false);
    expect(pings(d, web)).toBe(false);
    expect(pings(b, "10.65.0.4")).toBe(false);
    expect(pings(host.namespace, "10.65.0.4")).toBe(false);
    // Described, it is let in at the next pass; its kernel asks for the gateway, which did not answer it, once a second only.
    dataplane.endpoint("/test/d", endpointOf("d", "10.65.0.4", ["profile/net"]));
    await dataplane.apply();
    await eventually("d reaches the host", () => pings(d, hostAddress));
    // Closed for a reason: nothing passes, not even to the host.
    dataplane.endpoint("/test/d", { ...endpointOf("d", "10.65.0.4", []), problems: ["profile gone is unknown"] });
    await dataplane.apply();
    expect(pings(d, hostAddress)).toBe(false);
    expect(pings(host.namespace, "10.65.0.4")).toBe(false);
  },
  timeoutMs,
);

test(
  "34: tiers decide before profiles: first verdict counts, pass goes on to the next tier, the end of a tier drops",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const { a, b, c } = await threeContainers(host, dataplane);
    await serveTcp(a, 80);
    await serveTcp(a, 81);
    const tcp = (port: number) => ({
      protocol: 6,
      destination: { ...anything, ports: [{ first: port, last: port }] },
    });
    const secured = (tiers: readonly TierRef[]) =>
      dataplane.endpoint("/test/a", { ...endpointOf("a", web, ["profile/net"]), tiers });
    const tier = (name: string, ...inbound: string[]): TierRef => ({
      name,
      defaultAction: "deny",
      inbound,
      outbound: [],
    });
    dataplane.ruleList("policy/allow-81", { inbound: [rule("log", tcp(81)), rule("allow", tcp(81))], outbound: [] });
    dataplane.ruleList("policy/pass-80", { inbound: [rule("pass", tcp(80))], outbound: [] });
    dataplane.ruleList("policy/deny-80", { inbound: [rule("deny", tcp(80))], outbound: [] });
    secured([tier("default", "policy/allow-81")]);
    await dataplane.apply();
    expect([connectsTcp(c, web, 81), connectsTcp(b, web, 80), connectsTcp(b, web, 81)]).toEqual([true, false, true]);
    secured([tier("first", "policy/pass-80", "policy/deny-80"), tier("default", "policy/allow-81")]);
    await dataplane.apply();
    expect([connectsTcp(c, web, 81), connectsTcp(b, web, 80)]).toEqual([false, false]);
    // Passed out of the only tier: the profile lets the member in and not the stranger.
    secured([tier("first", "policy/pass-80", "policy/deny-80")]);
    await dataplane.apply();
    expect([connectsTcp(b, web, 80), connectsTcp(c, web, 80), connectsTcp(b, web, 81)]).toEqual([true, false, false]);
    // The policy turns: the pass is gone, so its tier drops.
    dataplane.ruleList("policy/pass-80", { inbound: [], outbound: [] });
    await dataplane.apply();
    expect(connectsTcp(b, web, 80)).toBe(false);
    // Unknown list: closed where it stands.
    secured([tier("first", "policy/never-told")]);
    await dataplane.apply();
    expect([connectsTcp(b, web, 80), pings(b, web)]).toEqual([false, false]);
  },
  timeoutMs,
);

test(
  "25: policed traffic passes although iptables' FORWARD policy is DROP, other forwarding does not, and the rule comes back",
  async () => {
    await using host = new TestHost("dp");
    let attention = 0;
    await using dataplane = await host.open({ onNeedsApply: () => attention++, watchEveryMs: 10 });
    const { a, b, c } = await threeContainers(host, dataplane);
    // Docker sets the policy when it starts, which may be after us.
    host.namespace.must("iptables-nft", "-P", "FORWARD", "DROP");
    expect(pings(b, web)).toBe(false);
    await eventually("the change is noticed", () => attention > 0);
    await dataplane.apply();
    expect(pings(b, web)).toBe(true);
    expect(pings(a, outside)).toBe(true);
    expect(pings(c, web)).toBe(false);
    const other = bridgeContainer(host);
    expect(pings(other, outside)).toBe(false);
    // Somebody reloads the firewall.
    host.namespace.must("iptables-nft", "-F", "FORWARD");
    expect(pings(b, web)).toBe(false);
    await dataplane.apply();
    expect(pings(b, web)).toBe(true);
    // An explicit drop of the administrator stays stronger than us.
    host.namespace.must("iptables-nft", "-I", "FORWARD", "-s", member, "-j", "DROP");
    await dataplane.apply();
    expect(pings(b, web)).toBe(false);
    expect(host.namespace.must("iptables-nft", "-S", "FORWARD").match(/margay/g)?.length).toBe(2);
    await dataplane.removeEverything();
    expect(host.namespace.must("iptables-nft", "-S", "FORWARD")).not.toContain("margay");
    expect(host.namespace.must("nft", "list", "tables")).not.toContain("margay");
    expect(host.namespace.must("ip", "-o", "link")).not.toContain("cali");
    expect(host.namespace.must("ip", "route", "show", "proto", "109")).toBe("");
  },
  timeoutMs,
);

test(
  "25: the legacy iptables' FORWARD policy is answered too, and a closed host keeps its containers out",
  async () => {
    await using host = new TestHost("dp");
    let attention = 0;
    await using dataplane = await host.open({
      settings: { endpointToHost: "drop" },
      onNeedsApply: () => attention++,
      watchEveryMs: 10,
    });
    const { a, b } = await threeContainers(host, dataplane);
    host.namespace.must("iptables-legacy", "-P", "FORWARD", "DROP");
    expect(pings(b, web)).toBe(false);
    await eventually("the change is noticed", () => attention > 0);
    await dataplane.apply();
    expect(pings(b, web)).toBe(true);
    // Closed to what they begin, open to what the host begins.
    expect(pings(a, hostAddress)).toBe(false);
    expect(pings(host.namespace, web)).toBe(true);
    expect(pings(a, outside)).toBe(true);
    await dataplane.removeEverything();
    expect(host.namespace.must("iptables-legacy", "-S", "FORWARD").trim()).toBe("-P FORWARD DROP");
  },
  timeoutMs,
);

test(
  "8, 9: the host answers ARP for the gateway, not for a container's own address, and needs no default route for it",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const { a } = await threeContainers(host, dataplane);
    expect(host.namespace.must("ip", "route", "show", "default")).toBe("");
    const arping = ["busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0"];
    expect(a.run([...arping, "169.254.1.1"]).stdout).toContain("Received 1 response");
    // Duplicate address detection must find the address free.
    expect(a.run([...arping, "-D", web]).exitCode).toBe(0);
  },
  timeoutMs,
);

/** A container of some other bridge on this host, none of ours. */
function bridgeContainer(host: TestHost): TestNamespace {
  const namespace = host.extra("bridged");
  host.namespace.must("ip", "link", "add", "br0", "type", "bridge");
  host.namespace.must("ip", "addr", "add", "10.66.0.1/24", "dev", "br0");
  host.namespace.must("ip", "link", "set", "br0", "up");
  host.namespace.must("ip", "link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", namespace.name);
  host.namespace.must("ip", "link", "set", "v0", "master", "br0", "up");
  namespace.must("ip", "addr", "add", "10.66.0.2/24", "dev", "eth0");
  namespace.must("ip", "link", "set", "eth0", "up");
  namespace.must("ip", "route", "add", "default", "via", "10.66.0.1");
  host.outside.must("ip", "route", "add", "10.66.0.0/24", "via", hostAddress);
  return namespace;
}

test(
  "15: an address that is given back takes its connections, its route and its rules with it",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const { a, b } = await threeContainers(host, dataplane);
    expect(pings(b, web)).toBe(true);
    expect(host.namespace.run(["conntrack", "-L"]).stdout).toContain(web);
    dataplane.endpoint("/test/a", undefined);
    dataplane.addressSetDelta("s-net", [], [parseCidr(web)]);
    await dataplane.apply();
    await eventually("its connections are forgotten", async () => {
      await dataplane.apply();
      return !host.namespace.run(["conntrack", "-L"]).stdout.includes(web);
    });
    expect(dataplane.counters.flowsForgotten).toBeGreaterThan(0);
    expect(host.namespace.must("ip", "route")).not.toContain("calia");
    expect(host.namespace.must("nft", "list", "ruleset")).not.toContain("calia");
    expect(host.namespace.must("nft", "list", "ruleset")).not.toContain(web);
    await dataplane.removeVeth("calia");
    await eventually("the container's end is gone", () => !a.must("ip", "-o", "link").includes("eth0"));
    // The address moves to another container, which must not inherit: at once.
    expect(pings(host.namespace, member)).toBe(true);
    expect(host.namespace.run(["conntrack", "-L"]).stdout).toContain(member);
    dataplane.endpoint("/test/b", { ...endpointOf("b", member, ["profile/net"]), addresses: [] });
    dataplane.endpoint("/test/n", endpointOf("n", member, ["profile/net"]));
    await host.container(dataplane, "n", member);
    expect(host.namespace.run(["conntrack", "-L", "-p", "icmp"]).stdout).not.toContain(member);
    await dataplane.apply();
    expect(host.namespace.must("ip", "route", "get", member)).toContain("calin");
    expect(pings(host.namespace, member)).toBe(true);
  },
  timeoutMs,
);

test(
  "IPv6 endpoints have the same protection as IPv4 ones",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    const six = { a: "fd65::1", b: "fd65::2", c: "fd65::3" };
    dataplane.addressSet("s-six", new Set([parseCidr(six.a), parseCidr(six.b)]));
    dataplane.ruleList("profile/six", { inbound: [rule("allow", fromSet("s-six"))], outbound: [rule("allow")] });
    const containers: Record<string, TestNamespace> = {};
    dataplane.setInSync();
    for (const [name, address] of Object.entries(six)) {
      dataplane.endpoint(`/test/${name}`, endpointOf(name, address, ["profile/six"]));
      await dataplane.apply();
      containers[name] = await host.container(dataplane, name, `10.65.0.${name.charCodeAt(0)}`);
      containers[name]?.must("ip", "-6", "addr", "add", `${address}/128`, "dev", "eth0", "nodad");
      const { linkLocal } = await hostEnd(host, `cali${name}`);
      containers[name]?.must("ip", "-6", "route", "add", "default", "via", linkLocal, "dev", "eth0");
    }
    const { a, b, c } = containers;
    if (a === undefined || b === undefined || c === undefined) throw new Error("three containers");
    await eventually("a member is reached", () => pings(b, six.a));
    expect(pings(c, six.a)).toBe(false);
    c.must("ip", "-6", "addr", "add", `${six.b}/128`, "dev", "lo", "nodad");
    expect(pings(c, six.a, { source: six.b })).toBe(false);
    expect(pings(host.namespace, six.a)).toBe(true);
  },
  timeoutMs,
);

async function hostEnd(host: TestHost, name: string): Promise<{ linkLocal: string }> {
  let linkLocal = "";
  await eventually(`${name} has a link-local address`, () => {
    const output = host.namespace.must("ip", "-6", "-o", "addr", "show", "dev", name, "scope", "link");
    linkLocal = /inet6 (fe80[^/]*)/.exec(output)?.[1] ?? "";
    return linkLocal !== "";
  });
  return { linkLocal };
}

test(
  "blocks of other hosts are routed to them; one that cannot be is reported and holds nothing up",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    dataplane.setInSync();
    const [reachable, unreachable] = [parseCidr("10.65.1.0/26"), parseCidr("10.65.2.0/26")];
    const via = (address: string) => parseIpAddress(address);
    dataplane.remoteRoutes(
      new Map([
        [reachable, via(outside)],
        [unreachable, via("198.51.100.1")],
        [parseCidr("10.65.3.0/26"), hostAddress],
      ]),
    );
    await dataplane.apply();
    expect([...dataplane.standing.unreachableBlocks.keys()]).toEqual([unreachable]);
    const routes = () => host.namespace.must("ip", "route", "show", "proto", "109");
    expect(routes()).toContain(`${reachable} via ${outside} dev eth0`);
    expect(routes()).not.toContain("10.65.3.0");
    host.namespace.must("ip", "addr", "add", "198.51.100.9/24", "dev", "eth0");
    await dataplane.apply();
    expect(routes()).toContain(`${unreachable} via 198.51.100.1`);
    expect(dataplane.standing.unreachableBlocks.size).toBe(0);
    dataplane.remoteRoutes(new Map([[unreachable, via(outside)]]));
    await dataplane.apply();
    expect(routes()).not.toContain(`${reachable}`);
    expect(routes()).toContain(`${unreachable} via ${outside}`);
  },
  timeoutMs,
);

test("an interface of the host itself is never treated as an endpoint's", async () => {
  await using host = new TestHost("dp");
  await using dataplane = await host.open();
  dataplane.setInSync();
  dataplane.endpoint("/test/evil", { ...endpointOf("x", web, []), interfaceName: interfaceNamed("eth0") });
  await dataplane.apply();
  expect(dataplane.standing.problemOf("/test/evil")).toContain('"eth0" does not begin with cali');
  expect(host.namespace.must("nft", "list", "ruleset")).not.toContain('"eth0"');
  expect(pings(host.namespace, outside)).toBe(true);
  await expect(dataplane.removeVeth("eth0")).rejects.toThrow("none of an endpoint");
});
