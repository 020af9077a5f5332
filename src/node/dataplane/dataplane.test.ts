/** The dataplane on a network in memory: what it leaves there depends on what is true now, and on nothing else. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { Operation } from "../../kernel/nftables/ruleset.ts";
import { FakeNetwork } from "../../kernel/testing/fake-network.ts";
import { interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import type { EndpointLimits } from "../../policy/enforcement.ts";
import { Dataplane } from "./dataplane.ts";
import { defaultSettings } from "./default-settings.ts";
import { endpointOf, fromSet, rule } from "./testing/containers.ts";
import { lastWords, type Statement, statement } from "./testing/random-enforcement.ts";

const host = { name: "host1", address: parseIpAddress("172.31.0.11") };

function open(network: FakeNetwork, clock = new TestClock()): Promise<Dataplane> {
  return Dataplane.open({ clock, log: silentLog, host, network });
}

function newNetwork(network = new FakeNetwork()): FakeNetwork {
  network.neighbours.add("172.31.0.12");
  for (const name of ["cali1", "cali2"]) {
    network.createVeth({ name: interfaceNamed(name), peerName: interfaceNamed(`temp${name}`) });
    network.setLink(name, { up: true });
  }
  return network;
}

async function fromScratch(words: readonly Statement[]): Promise<string> {
  const network = newNetwork();
  const dataplane = await open(network);
  for (const spoken of words) spoken.say(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  return network.text();
}

test("51: the kernel's state is a function of what is true now, whatever was said before, in any order and division", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(statement, fc.boolean()), { maxLength: 25 }), async (history) => {
      const network = newNetwork();
      const dataplane = await open(network);
      dataplane.setInSync();
      for (const [spoken, flush] of history) {
        spoken.say(dataplane);
        if (flush) await dataplane.apply();
      }
      await dataplane.apply();
      const words = lastWords(history.map(([spoken]) => spoken));
      expect(network.text()).toBe(await fromScratch(words.toReversed()));
      // Done is done: one more pass writes nothing.
      const { commits } = network;
      await dataplane.apply();
      expect(network.commits).toBe(commits);
    }),
    { numRuns: 300 },
  );
});

test("a veth does not make it read all addresses again; a new place of the host's own address does", async () => {
  const network = newNetwork();
  const dataplane = await open(network);
  for (const name of ["cali3", "cali4", "cali5"]) {
    await dataplane.createVeth({ hostName: name, containerName: `temp${name}` });
    network.setAddress(parseIpAddress(`fe80::${name.at(-1)}`), name);
  }
  expect(network.addressLookups).toBe(1);
  network.setAddress(host.address, "lo");
  for (const name of ["cali6", "cali7"]) await dataplane.createVeth({ hostName: name, containerName: `temp${name}` });
  expect(network.addressLookups).toBe(2);
});

test("a restarted process goes on from what it finds, before and after the store has told everything", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(statement, { maxLength: 12 }),
      fc.array(statement, { maxLength: 6 }),
      async (before, after) => {
        const network = newNetwork();
        const first = await open(network);
        for (const spoken of before) spoken.say(first);
        first.setInSync();
        await first.apply();
        const kept = network.text();
        const { commits } = network;
        const second = await open(network);
        await second.apply();
        expect(network.text()).toBe(kept);
        const words = lastWords([...before, ...after]);
        for (const spoken of words) {
          spoken.say(second);
          await second.apply();
        }
        if (after.length === 0) expect(network.commits - commits).toBeLessThanOrEqual(words.length);
        second.setInSync();
        await second.apply();
        expect(network.text()).toBe(await fromScratch(words));
      },
    ),
    { numRuns: 150 },
  );
});

test("53: until the store has told everything a packet filter that stands is left alone; where it was taken away, all is closed", async () => {
  const network = newNetwork();
  const first = await open(network);
  describe(first);
  first.setInSync();
  await first.apply();
  const standing = network.text();
  const restart = async () => {
    const dataplane = await open(network);
    await dataplane.closeUnlessStanding();
    return dataplane;
  };
  await restart();
  expect(network.text()).toBe(standing);
  for (const damage of [
    [{ op: "delete-table" }],
    [{ op: "flush-chain", chain: "forward" }],
    [
      { op: "flush-chain", chain: "source-check" },
      { op: "delete-chain", chain: "source-check" },
    ],
    [{ op: "add-rule", chain: "input", rule: { matches: [], actions: [{ do: "accept" }] } }],
  ] satisfies Operation[][]) {
    network.interfere(damage, { noticed: false });
    const dataplane = await restart();
    // Base chains, and nobody who is known: every endpoint's interface is closed.
    expect(network.text()).toContain("rule source-check 1 ");
    expect(network.text()).not.toContain("element ");
    const { commits } = network;
    await dataplane.closeUnlessStanding();
    expect(network.commits).toBe(commits);
    describe(dataplane);
    dataplane.setInSync();
    await dataplane.apply();
    expect(network.text()).toBe(standing);
    // From then on it is apply() that repairs.
    network.interfere([{ op: "delete-table" }], { noticed: true });
    await dataplane.closeUnlessStanding();
    expect(network.text()).not.toContain("source-check");
    await dataplane.apply();
    expect(network.text()).toBe(standing);
  }
});

function describe(dataplane: Dataplane): void {
  dataplane.addressSet("s-net", new Set([parseCidr("10.65.0.1/32"), parseCidr("10.65.0.2/32")]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
  dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
  dataplane.endpoint("/test/1", endpointOf("1", "10.65.0.1", ["profile/net"]));
  dataplane.endpoint("/test/2", endpointOf("2", "10.65.0.2", ["profile/net"]));
}

test("one more endpoint under known policy is a few elements: no chain, no rule, whatever the number", async () => {
  const network = newNetwork();
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  const rulesBefore = network.text().match(/^(rule|chain) /gm)?.length;
  const operationsBefore = dataplane.counters.filterOperations;
  for (let at = 0; at < 50; at++)
    dataplane.endpoint(`/test/x${at}`, endpointOf(`x${at}`, `10.65.1.${at}`, ["profile/net"]));
  await dataplane.apply();
  expect(network.text().match(/^(rule|chain) /gm)?.length).toBe(rulesBefore ?? 0);
  expect(dataplane.counters.filterOperations - operationsBefore).toBe(4);
});

test("4: of two endpoints on one interface the smaller key is enforced, and the other when it goes", async () => {
  const network = newNetwork();
  const clock = new TestClock();
  const dataplane = await open(network, clock);
  describe(dataplane);
  dataplane.setInSync();
  dataplane.endpoint("/test/0", { ...endpointOf("1", "10.65.0.7", []), key: "/test/0" });
  await dataplane.apply();
  expect(network.text()).toContain("element endpoint-sources4 cali1 10.65.0.7");
  expect(network.text()).not.toContain("element endpoint-sources4 cali1 10.65.0.1");
  expect(dataplane.standing.problemOf("/test/1")).toBe("interface cali1 belongs to /test/0");
  dataplane.endpoint("/test/0", undefined);
  await dataplane.apply();
  expect(network.text()).toContain("element endpoint-sources4 cali1 10.65.0.1");
  await clock.advance(1_000);
  await dataplane.apply();
  expect(network.forgotten).toContain(parseIpAddress("10.65.0.7"));
});

test("2, 3: an interface that comes late or comes back gets its settings and route; veth and endpoint in either order", async () => {
  const network = newNetwork();
  const dataplane = await open(network);
  dataplane.setInSync();
  dataplane.endpoint("/test/9", endpointOf("9", "10.65.0.9", []));
  await dataplane.apply();
  expect(dataplane.standing.problemOf("/test/9")).toBe("interface cali9 does not exist");
  await dataplane.createVeth({ hostName: "cali9", containerName: "temp9" });
  expect(network.text()).toContain("route link 10.65.0.9/32 dev cali9"); // without another pass
  expect(network.readSetting(["ipv4", "conf", "cali9", "proxy_arp"])).toBe("1");
  expect(dataplane.standing.problemOf("/test/9")).toBeUndefined();
  await dataplane.removeVeth("cali9");
  await dataplane.createVeth({ hostName: "cali9", containerName: "temp9" });
  await dataplane.apply();
  expect(network.text()).toContain("route link 10.65.0.9/32 dev cali9");
  await dataplane.createVeth({ hostName: "cali8", containerName: "temp8" });
  dataplane.endpoint("/test/8", endpointOf("8", "10.65.0.8", []));
  await dataplane.apply();
  expect(network.text()).toContain("route link 10.65.0.8/32 dev cali8");
  expect(network.text()).toContain("link cali8 up margay endpoint");
});

test("a route that is no endpoint's holds nothing up when the kernel refuses it, and is tried again", async () => {
  const network = newNetwork();
  network.setLink("lo", { up: false });
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.remoteRoutes(new Map([[parseCidr("10.65.1.0/26"), parseIpAddress("9.9.9.9")]]));
  dataplane.setInSync();
  await dataplane.apply();
  expect([...dataplane.standing.unreachableBlocks.keys()].sort()).toEqual([
    parseCidr("10.65.1.0/26"),
    parseCidr("169.254.1.1/32"),
  ]);
  network.setLink("lo", { up: true });
  network.neighbours.add("9.9.9.9");
  await dataplane.apply();
  expect(dataplane.standing.unreachableBlocks.size).toBe(0);
  expect(network.text()).toContain("route link 169.254.1.1/32 dev lo");
});

/** Notes each moment at which an endpoint is led to the host's loopback and nothing protects what else is there. */
class GuardWatch extends FakeNetwork {
  unguarded = 0;

  get isLed(): boolean {
    return this.readSetting(["ipv4", "conf", "cali1", "route_localnet"]) === "1";
  }

  get isGuarded(): boolean {
    return this.text().includes("for the host's loopback");
  }

  override writeSetting(...words: Parameters<FakeNetwork["writeSetting"]>): void {
    super.writeSetting(...words);
    this.#look();
  }

  override commit(operations: readonly Operation[]): void {
    super.commit(operations);
    this.#look();
  }

  #look(): void {
    if (this.isLed && !this.isGuarded) this.unguarded++;
  }
}

for (const fault of ["before", "after", "interrupted"] as const)
  test(`endpoints are led to the host's loopback only while all else there is protected, whatever fails (${fault})`, async () => {
    const network = new GuardWatch();
    newNetwork(network);
    const dataplane = await open(network);
    describe(dataplane);
    dataplane.setInSync();
    const onLoopback = { metadata: { host: "127.0.0.1", port: 8775 } };
    for (const call of ["writeSetting", "commit"] as const)
      for (const openStack of [onLoopback, { metadata: undefined }, onLoopback, undefined]) {
        dataplane.hostSettings({ ...defaultSettings, openStack });
        network.failNext(call, fault);
        for (let pass = 0; pass < 3; pass++) await dataplane.apply().catch(() => {});
        expect([network.isLed, network.isGuarded]).toEqual(openStack === onLoopback ? [true, true] : [false, false]);
      }
    expect(network.unguarded).toBe(0);
  });

test("drift that no event told of is found by the timer, repaired and counted", async () => {
  const network = newNetwork();
  const clock = new TestClock();
  const dataplane = await open(network, clock);
  describe(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  const before = network.text();
  network.interfere([{ op: "flush-chain", chain: "in/profile/net" }], { noticed: false });
  network.loseRoute(parseCidr("10.65.0.1/32"));
  await dataplane.apply();
  expect(network.text()).not.toBe(before);
  await clock.advance(90_000);
  await dataplane.apply();
  expect(network.text()).toBe(before);
  expect(dataplane.counters.driftFound).toBe(2);
});

const yes = "meta mark set meta mark | 0x00010000 return";

test("rules this kernel cannot do close their own list and hold up nothing else, until they change", async () => {
  const network = newNetwork();
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.setInSync();
  await dataplane.apply();
  network.incapableOf = ({ actions }) => actions.some((action) => action.do === "log");
  dataplane.ruleList("profile/logs", { inbound: [rule("log"), rule("allow")], outbound: [rule("allow")] });
  dataplane.endpoint("/test/1", endpointOf("1", "10.65.0.1", ["profile/logs"]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow")], outbound: [] });
  await expect(dataplane.apply()).rejects.toMatchObject({ code: "DATAPLANE_INCOMPLETE", retry: "backoff" });
  await expect(dataplane.apply()).rejects.toThrow("refuses");
  await dataplane.apply();
  expect(dataplane.standing.refusedChains).toEqual(["in/profile/logs"]);
  expect(network.text()).toContain("rule in/profile/logs 1 counter drop");
  expect(network.text()).toContain(`rule out/profile/logs 1 ${yes}`);
  expect(network.text()).toContain(`rule in/profile/net 1 ${yes}`);
  dataplane.ruleList("profile/logs", { inbound: [rule("allow")], outbound: [rule("allow")] });
  await dataplane.apply();
  expect(network.text()).toContain(`rule in/profile/logs 1 ${yes}`);
  expect(dataplane.standing.refusedChains).toEqual([]);
});

test("49: a kernel that cannot limit bandwidth says so, and holds up nothing else; one that cannot count closes the endpoint", async () => {
  const network = newNetwork();
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.setInSync();
  network.shaping.hasTokenBuckets = false;
  const bandwidth = { bitsPerSecond: 1e6, burstBits: 1e6 };
  const limited = (limits: EndpointLimits) =>
    dataplane.endpoint("/test/1", { ...endpointOf("1", "10.65.0.1", ["profile/net"]), limits });
  limited({ inbound: { bandwidth }, outbound: { bandwidth } });
  await dataplane.apply();
  expect([...dataplane.standing.bandwidthProblems]).toEqual([
    ["cali1", expect.stringContaining("qdisc kind is unknown")],
  ]);
  expect(dataplane.standing.problemOf("/test/1")).toBeUndefined();
  expect(network.text()).toContain("element to-endpoint cali1 : goto to/");
  network.shaping.hasTokenBuckets = true;
  limited({ inbound: { bandwidth } });
  await dataplane.apply();
  expect(dataplane.standing.bandwidthProblems.size).toBe(0);
  expect(network.text()).toContain("bucket cali1 ");
  network.incapableOf = ({ matches }) => matches.some(({ match }) => match === "connections-over");
  limited({ inbound: { connections: 3 } });
  for (let pass = 0; pass < 2; pass++) await dataplane.apply().catch(() => {});
  await dataplane.apply();
  expect(dataplane.standing.problemOf("/test/1")).toContain("cannot limit its packets or connections");
  expect(network.text()).toMatch(/^rule limits-to\/cali1\/\S+ 1 counter drop/m);
  dataplane.endpoint("/test/1", endpointOf("1", "10.65.0.1", ["profile/net"]));
  await dataplane.apply();
  expect(dataplane.standing.problemOf("/test/1")).toBeUndefined();
});

test("removing everything leaves only what was not ours", async () => {
  const network = newNetwork();
  const before = network.text();
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.setInSync();
  await dataplane.createVeth({ hostName: "cali9", containerName: "temp9" });
  await dataplane.apply();
  await dataplane.removeEverything();
  expect(network.text()).toBe(before);
});

test("a kernel that lacks what the packet filter needs is refused with its name, and nothing is changed", async () => {
  const network = newNetwork();
  const before = network.text();
  network.incapableOf = ({ actions }) => actions.some((action) => action.do === "source-nat");
  await expect(open(network)).rejects.toMatchObject({
    code: "KERNEL_FEATURE_MISSING",
    message: "this kernel has no masquerading (CONFIG_NFT_MASQ)",
  });
  expect(network.text()).toBe(before);
});
