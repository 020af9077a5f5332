/** The dataplane on a network in memory: what it leaves there depends on what is true now, and on nothing else. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseCidr, parseIpAddress } from "../../base/addresses.ts";
import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { FakeNetwork, type Fault, type FaultyCall } from "../../kernel/testing/fake-network.ts";
import { interfaceNamed } from "../../kernel/testing/test-namespaces.ts";
import { Dataplane } from "./dataplane.ts";
import { endpointOf, fromSet, rule } from "./testing/containers.ts";
import { lastWords, type Statement, statement } from "./testing/random-enforcement.ts";

const host = { name: "host1", address: parseIpAddress("172.31.0.11") };

function open(network: FakeNetwork, clock = new TestClock()): Promise<Dataplane> {
  return Dataplane.open({ clock, log: silentLog, host, network });
}

function newNetwork(): FakeNetwork {
  const network = new FakeNetwork();
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

function describe(dataplane: Dataplane): void {
  dataplane.addressSet("s-net", new Set([parseCidr("10.65.0.1/32"), parseCidr("10.65.0.2/32")]));
  dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
  dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
  dataplane.endpoint("/test/1", endpointOf("1", "10.65.0.1", ["profile/net"]));
  dataplane.endpoint("/test/2", endpointOf("2", "10.65.0.2", ["profile/net"]));
}

const calls: readonly FaultyCall[] = [
  "commit",
  "readTable",
  "links",
  "routes",
  "putRoute",
  "removeRoute",
  "writeSetting",
  "forgetFlows",
];
for (const call of calls)
  for (const fault of ["before", "after"] satisfies Fault[])
    test(`a call that fails once costs another pass and nothing else: ${call}, failing ${fault} it took effect`, async () => {
      const network = newNetwork();
      const clock = new TestClock();
      const dataplane = await open(network, clock);
      describe(dataplane);
      dataplane.setInSync();
      network.failNext(call, fault);
      let passes = 0;
      // A resync makes every call happen; the second change needs removals.
      const converge = async () => {
        await clock.advance(100_000);
        for (;;) {
          passes++;
          if (passes > 6) throw new Error("does not converge");
          try {
            await dataplane.apply();
            return;
          } catch {}
        }
      };
      await converge();
      dataplane.endpoint("/test/2", undefined);
      dataplane.localBlocks([]);
      if (network.pendingFaults > 0) passes = 0;
      await converge();
      expect(network.pendingFaults).toBe(0);
      expect(network.text()).toBe(await fromScratchWithout2());
    });

async function fromScratchWithout2(): Promise<string> {
  const network = newNetwork();
  const dataplane = await open(network);
  describe(dataplane);
  dataplane.endpoint("/test/2", undefined);
  dataplane.localBlocks([]);
  dataplane.setInSync();
  await dataplane.apply();
  return network.text();
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
  expect(dataplane.problemOf("/test/1")).toBe("interface cali1 belongs to /test/0");
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
  expect(dataplane.problemOf("/test/9")).toBe("interface cali9 does not exist");
  await dataplane.createVeth({ hostName: "cali9", containerName: "temp9" });
  expect(network.text()).toContain("route link 10.65.0.9/32 dev cali9"); // without another pass
  expect(network.readSetting(["ipv4", "conf", "cali9", "proxy_arp"])).toBe("1");
  expect(dataplane.problemOf("/test/9")).toBeUndefined();
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
  expect([...dataplane.unreachableBlocks.keys()].sort()).toEqual([
    parseCidr("10.65.1.0/26"),
    parseCidr("169.254.1.1/32"),
  ]);
  network.setLink("lo", { up: true });
  network.neighbours.add("9.9.9.9");
  await dataplane.apply();
  expect(dataplane.unreachableBlocks.size).toBe(0);
  expect(network.text()).toContain("route link 169.254.1.1/32 dev lo");
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
  expect(dataplane.refusedChains).toEqual(["in/profile/logs"]);
  expect(network.text()).toContain("rule in/profile/logs 1 counter drop");
  expect(network.text()).toContain(`rule out/profile/logs 1 ${yes}`);
  expect(network.text()).toContain(`rule in/profile/net 1 ${yes}`);
  dataplane.ruleList("profile/logs", { inbound: [rule("allow")], outbound: [rule("allow")] });
  await dataplane.apply();
  expect(network.text()).toContain(`rule in/profile/logs 1 ${yes}`);
  expect(dataplane.refusedChains).toEqual([]);
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
