/** Crashes, restarts, interference and left-overs, on the real kernel. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { systemClock } from "../../base/clock.ts";
import { eventually, interfaceNamed, type TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import type { HostEndpointEnforcement } from "../../policy/enforcement.ts";
import type { Dataplane } from "./dataplane.ts";
import { defaultSettings } from "./default-settings.ts";
import { endpointOf, fromSet, pings, rule, TestHost } from "./testing/containers.ts";

const web = "10.65.0.1";
const member = "10.65.0.2";
const stranger = "10.65.0.3";
const timeoutMs = 40_000;

function describe(dataplane: Dataplane): void {
  dataplane.addressSet("s-net", new Set([parseCidr(web), parseCidr(member)]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
  dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
  for (const [name, address] of [
    ["a", web],
    ["b", member],
    ["c", stranger],
  ] as const)
    dataplane.endpoint(`/test/${name}`, endpointOf(name, address, ["profile/net"]));
}

const closedHost: HostEndpointEnforcement = {
  key: "/test/eth0",
  name: "eth0",
  interfaceName: interfaceNamed("eth0"),
  expectedIps: [],
  tiers: [],
  profiles: [],
  forwardTiers: [],
  preDnatTiers: [],
  untrackedTiers: [],
  problems: [],
};

async function running(host: TestHost, dataplane: Dataplane) {
  describe(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  return {
    a: await host.container(dataplane, "a", web),
    b: await host.container(dataplane, "b", member),
    c: await host.container(dataplane, "c", stranger),
  };
}

/** Pings without pause until stopped. */
function pingWithoutPause(from: TestNamespace, to: string) {
  const child = from.start("ping", "-n", "-i", "0.002", "-W", "1", to);
  let output = "";
  const read = (async () => {
    for await (const chunk of child.stdout as ReadableStream<Uint8Array>) output += Buffer.from(chunk).toString();
  })();
  const replies = () => output.match(/bytes from/g)?.length ?? 0;
  return {
    /** Waits until some more came back. */
    async goesOn() {
      const enough = replies() + 5;
      await eventually("replies come", () => replies() >= enough);
    },
    async stop() {
      child.kill("SIGINT");
      await read;
      const [, sent = "-1", received = "-1"] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
      return { sent: Number(sent), received: Number(received) };
    },
  };
}

/** The whole of what we keep in the kernel, without counters and handles. */
function kernelState(host: TestHost): string {
  const ruleset = host.namespace.must("nft", "-s", "list", "table", "inet", "margay");
  // Chains and sets come in the order they were made; which is no part of the state.
  return [...ruleset.split("\n\n").sort(), host.namespace.must("ip", "route", "show", "proto", "109")].join("\n");
}

test(
  "24: a restart loses no allowed packet, lets no forbidden one pass, and writes nothing when nothing changed",
  async () => {
    await using host = new TestHost("re");
    const first = await host.open();
    const { b, c } = await running(host, first);
    await first.apply();
    const before = kernelState(host);
    const allowed = pingWithoutPause(b, web);
    const forbidden = pingWithoutPause(c, web);
    await allowed.goesOn();
    await first.close(); // what kill -9 leaves is the same: closing touches nothing
    expect(kernelState(host)).toBe(before);
    await allowed.goesOn();
    await using second = await host.open();
    await second.apply(); // nothing told yet: nothing is taken away
    await allowed.goesOn();
    expect(kernelState(host)).toBe(before);
    describe(second);
    await second.apply();
    second.setInSync();
    await second.apply();
    expect(kernelState(host)).toBe(before);
    expect(second.counters.filterTransactions).toBe(0);
    expect(second.counters.routeWrites).toBe(0);
    await allowed.goesOn();
    // Another profile for everybody, a replaced table, a resync: each in place.
    second.ruleList("profile/net", {
      inbound: [rule("log", { protocol: 6 }), rule("allow", fromSet("s-net"))],
      outbound: [rule("allow")],
    });
    await second.apply();
    await allowed.goesOn();
    host.namespace.must("nft", "add", "rule", "inet", "margay", "forward", "counter");
    await second.apply();
    await allowed.goesOn();
    expect(second.counters.driftFound).toBeGreaterThan(0);
    expect(host.namespace.must("nft", "list", "chain", "inet", "margay", "forward")).not.toContain("counter");
    const [good, bad] = [await allowed.stop(), await forbidden.stop()];
    expect(good.sent).toBeGreaterThan(20);
    expect(good.received).toBeGreaterThanOrEqual(good.sent - 1); // the last one may be under way when it is stopped
    expect(bad.sent).toBeGreaterThan(0);
    expect(bad.received).toBe(0);
  },
  timeoutMs,
);

test(
  "24, 53: a restart keeps denies, host endpoints and settings in force at every instant, and writes nothing",
  async () => {
    await using host = new TestHost("re");
    const tellAll = (dataplane: Dataplane) => {
      dataplane.hostSettings({ ...defaultSettings, failsafeInbound: [], logPrefix: "mine" });
      describe(dataplane);
      dataplane.addressSet("s-c", new Set([parseCidr(stranger)]));
      dataplane.ruleList("profile/net", { inbound: [rule("allow")], outbound: [rule("allow")] });
      dataplane.ruleList("policy/no-c", {
        inbound: [rule("deny", fromSet("s-c")), rule("pass")],
        outbound: [],
      });
      const tiers = [{ name: "first", defaultAction: "deny" as const, inbound: ["policy/no-c"], outbound: [] }];
      dataplane.endpoint("/test/a", { ...endpointOf("a", web, ["profile/net"]), tiers });
      dataplane.hostEndpoint("/test/eth0", closedHost);
    };
    const first = await host.open();
    tellAll(first);
    first.setInSync();
    await first.apply();
    await host.container(first, "a", web);
    const b = await host.container(first, "b", member);
    const c = await host.container(first, "c", stranger);
    await first.apply();
    const before = kernelState(host);
    const allowed = pingWithoutPause(b, web);
    const forbidden = [pingWithoutPause(c, web), pingWithoutPause(host.outside, "172.31.0.11")];
    await allowed.goesOn();
    await first.close();
    await using second = await host.open();
    // Nothing told yet: what is there differs from the defaults, and stays.
    await expect(second.apply()).rejects.toThrow("once the store has told everything");
    expect(kernelState(host)).toBe(before);
    await allowed.goesOn();
    tellAll(second);
    second.setInSync();
    await second.apply();
    expect(kernelState(host)).toBe(before);
    expect(second.counters.filterTransactions).toBe(0);
    await allowed.goesOn();
    // Other settings: the table is replaced as a whole, in one transaction.
    second.hostSettings({ ...defaultSettings, failsafeInbound: [], logPrefix: "mine", endpointToHost: "drop" });
    await second.apply();
    expect(kernelState(host)).not.toBe(before);
    await allowed.goesOn();
    const good = await allowed.stop();
    expect(good.received).toBeGreaterThanOrEqual(good.sent - 1);
    for (const probe of forbidden) {
      const bad = await probe.stop();
      expect(bad.sent).toBeGreaterThan(0);
      expect(bad.received).toBe(0);
    }
  },
  timeoutMs,
);

test(
  "5: the very first packets to and from a container are judged by its full policy",
  async () => {
    await using host = new TestHost("re");
    await using dataplane = await host.open();
    describe(dataplane);
    dataplane.ruleList("profile/nobody", { inbound: [], outbound: [rule("allow")] });
    dataplane.endpoint("/test/c", endpointOf("c", stranger, ["profile/nobody"]));
    dataplane.setInSync();
    await dataplane.apply();
    const c = await host.container(dataplane, "c", stranger);
    const forbidden = pingWithoutPause(c, web);
    // Sees what passes the policy, in either direction.
    host.namespace.must("nft", "add table inet watcher");
    host.namespace.must("nft", "add chain inet watcher post { type filter hook postrouting priority 300; }");
    for (const rule of [`oifname calia ip saddr ${stranger} counter`, "iifname calia oifname calic counter"])
      host.namespace.must("nft", `add rule inet watcher post ${rule}`);
    const b = await host.container(dataplane, "b", member);
    const allowed = pingWithoutPause(b, web);
    for (let round = 0; round < 5; round++) {
      await dataplane.removeVeth("calia");
      const a = await host.container(dataplane, "a", web);
      // The container speaks at once.
      expect(pings(a, stranger)).toBe(false);
      expect(pings(a, member)).toBe(true);
      await allowed.goesOn();
    }
    const seen = host.namespace.must("nft", "list", "table", "inet", "watcher");
    expect(seen.match(/counter packets 0 bytes 0/g)?.length).toBe(2);
    expect((await forbidden.stop()).received).toBe(0);
    await allowed.stop();
  },
  timeoutMs,
);

test(
  "53: what was deleted while nobody ran is swept once the store has told everything, and not before",
  async () => {
    await using host = new TestHost("re");
    const first = await host.open();
    const { a, b } = await running(host, first);
    await first.close();
    await using second = await host.open();
    second.addressSet("s-net", new Set([parseCidr(web), parseCidr(member)]));
    second.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
    second.endpoint("/test/b", endpointOf("b", member, ["profile/net"]));
    await second.apply();
    expect(pings(b, web)).toBe(true);
    expect(kernelState(host)).toContain("calic");
    second.setInSync();
    await second.apply();
    expect(kernelState(host)).not.toMatch(/cali[ac]/);
    expect(kernelState(host)).not.toContain("blackhole");
    expect(pings(b, web)).toBe(false);
    expect(pings(a, member)).toBe(false);
  },
  timeoutMs,
);

test(
  "53: a packet filter that somebody took away while nobody ran is closed until the store has told everything",
  async () => {
    await using host = new TestHost("re");
    const first = await host.open();
    const { a, b } = await running(host, first);
    await first.close();
    host.namespace.must("nft", "flush", "ruleset");
    await using second = await host.open();
    await second.closeUnlessStanding();
    expect([pings(b, web), pings(a, "172.31.0.11"), pings(host.outside, web)]).toEqual([false, false, false]);
    describe(second);
    second.setInSync();
    await second.apply();
    expect([pings(b, web), pings(a, "172.31.0.11")]).toEqual([true, true]);
  },
  timeoutMs,
);

test(
  "12, 45: interference is noticed at once and repaired: table, rules, set elements, routes, interfaces",
  async () => {
    await using host = new TestHost("re");
    let attention = 0;
    await using dataplane = await host.open({ watchEveryMs: 10, onNeedsApply: () => attention++ });
    const { b, c } = await running(host, dataplane);
    await dataplane.apply();
    const before = kernelState(host);
    const interferences: readonly (readonly string[])[] = [
      ["nft", "flush", "ruleset"],
      ["nft", "delete", "table", "inet", "margay"],
      ["nft", "flush", "chain", "inet", "margay", "forward-to"],
      ["nft", "flush", "chain", "inet", "margay", "in/profile/net"],
      ["nft", "add", "rule", "inet", "margay", "in/profile/net", "accept"],
      ["nft", "delete", "element", "inet", "margay", "to-endpoint", '{ "calia" }'],
      ["nft", "add", "element", "inet", "margay", "a4-s-net", `{ ${stranger} }`],
      ["nft", "add", "chain", "inet", "margay", "foreign"],
      ["nft", "add", "set", "inet", "margay", "foreign", "{ type ipv4_addr; }"],
      ["ip", "route", "del", web],
      ["ip", "route", "del", "10.65.0.0/26"],
      ["ip", "route", "add", "10.77.0.0/16", "dev", "lo", "proto", "109"],
      ["ip", "link", "set", "calia", "down"],
    ];
    for (const words of interferences) {
      attention = 0;
      host.namespace.must(...words);
      if (words.includes("down")) host.namespace.must("ip", "link", "set", "calia", "up");
      await eventually(`${words.join(" ")} is noticed`, () => attention > 0 || words.includes("10.77.0.0/16"));
      await dataplane.apply();
      expect([words.join(" "), kernelState(host)]).toEqual([words.join(" "), before]);
      expect([pings(b, web), pings(c, web)]).toEqual([true, false]);
    }
    expect(dataplane.counters.driftFound).toBeGreaterThan(0);
  },
  timeoutMs,
);

test(
  "1: a setting somebody reset is found by the timer, whatever events were lost",
  async () => {
    await using host = new TestHost("re");
    let nowMs = 0;
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    await using dataplane = await host.open({ clock, resyncEveryMs: 1_000 });
    await running(host, dataplane);
    const setting = "/proc/sys/net/ipv4/conf/calia/proxy_arp";
    expect(host.namespace.must("cat", setting).trim()).toBe("1");
    host.namespace.must("sh", "-c", `echo 0 > ${setting}`);
    await dataplane.apply();
    expect(host.namespace.must("cat", setting).trim()).toBe("0");
    nowMs += 1_000;
    await dataplane.apply();
    expect(host.namespace.must("cat", setting).trim()).toBe("1");
  },
  timeoutMs,
);

test(
  "the timer reads the packet filter only after somebody else has changed rules, of whatever table",
  async () => {
    await using host = new TestHost("re");
    let nowMs = 0;
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    await using dataplane = await host.open({ clock, resyncEveryMs: 1_000 });
    await running(host, dataplane);
    const readsAfter = async (...change: readonly string[]) => {
      if (change.length > 0) host.namespace.must("nft", ...change);
      const { filterReads, resyncs } = dataplane.counters;
      nowMs += 1_000;
      await dataplane.apply();
      expect(dataplane.counters.resyncs).toBe(resyncs + 1);
      return dataplane.counters.filterReads - filterReads;
    };
    await readsAfter(); // of what came while the agent started
    expect(await readsAfter()).toBe(0);
    dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [] });
    await dataplane.apply();
    expect(await readsAfter()).toBe(0);
    expect(await readsAfter("add", "table", "ip", "other")).toBe(1);
    expect(await readsAfter()).toBe(0);
  },
  timeoutMs,
);

test(
  "a left-over veth of a crashed attempt is replaced; an interface of another kind under the name is not",
  async () => {
    await using host = new TestHost("re");
    await using dataplane = await host.open();
    dataplane.setInSync();
    host.namespace.must("ip", "link", "add", "calix", "type", "veth", "peer", "name", "tempx");
    await dataplane.createVeth({ hostName: "calix", containerName: "tempx", mtu: 1400, mac: "ee:ee:ee:ee:ee:ee" });
    await dataplane.createVeth({ hostName: "calix", containerName: "tempx", mtu: 1400, mac: "ee:ee:ee:ee:ee:ee" });
    const end = host.namespace.must("ip", "-o", "link", "show", "tempx");
    expect(end).toContain("mtu 1400");
    expect(end).toContain("ee:ee:ee:ee:ee:ee");
    expect(await dataplane.linkExists("calix")).toBe(true);
    host.namespace.must("ip", "link", "add", "caliy", "type", "bridge");
    await expect(dataplane.createVeth({ hostName: "caliy", containerName: "tempy" })).rejects.toMatchObject({
      code: "EEXIST",
    });
    await expect(dataplane.createVeth({ hostName: "too/bad", containerName: "tempy" })).rejects.toThrow("hostName");
    await dataplane.removeVeth("calix");
    await dataplane.removeVeth("calix");
    expect(await dataplane.linkExists("calix")).toBe(false);
    expect(await dataplane.linkExists("caliy")).toBe(true);
  },
  timeoutMs,
);
