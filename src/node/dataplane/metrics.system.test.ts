/** What the data plane counts and measures is what happened, on the real kernel. */
import { expect, test } from "bun:test";
import { parseCidr } from "../../base/addresses.ts";
import { eventually } from "../../kernel/testing/test-namespaces.ts";
import type { MeasureName } from "./apply-measures.ts";
import { endpointOf, fromSet, pairAddresses, pings, rule, TestHost } from "./testing/containers.ts";

const timeoutMs = 30_000;

test(
  "57: what is told of objects in the kernel is what the kernel lists, also after something went",
  async () => {
    await using host = new TestHost("dp");
    await using dataplane = await host.open();
    dataplane.addressSet("s-net", new Set([parseCidr("10.65.0.1/32")]));
    dataplane.ruleList("profile/net", { inbound: [rule("allow", fromSet("s-net"))], outbound: [rule("allow")] });
    dataplane.localBlocks([parseCidr("10.65.0.0/26")]);
    dataplane.endpoint("/test/c", endpointOf("c", "10.65.0.3", ["profile/net"]));
    await host.openPair(dataplane);
    await host.container(dataplane, "c", "10.65.0.3");
    const listed = () => {
      const { nftables } = JSON.parse(host.namespace.must("nft", "-j", "list", "table", "inet", "margay"));
      const count = (kind: string) => nftables.filter((entry: object) => kind in entry).length;
      const sets: { type: string | string[] }[] = nftables.flatMap(({ set }: { set?: object }) => set ?? []);
      const ofType = (type: string) => sets.filter((set) => [set.type].flat().includes(type)).length;
      const lines = (...words: string[]) =>
        host.namespace
          .must("ip", "-o", ...words)
          .trim()
          .split("\n").length;
      return {
        ...{ chains: count("chain"), rules: count("rule"), sets: count("set"), maps: count("map") },
        addressSets: { 4: ofType("ipv4_addr"), 6: ofType("ipv6_addr") },
        routes: lines("route", "show", "table", "all", "proto", "109"),
        interfaces: lines("link", "show"),
      };
    };
    await dataplane.apply();
    const before = listed();
    expect(dataplane.standing.objectCounts).toEqual(before);
    dataplane.endpoint("/test/c", undefined);
    await dataplane.removeVeth("calic");
    await dataplane.apply();
    expect(dataplane.standing.objectCounts).toEqual(listed());
    expect(listed().interfaces).toBe(before.interfaces - 1);
  },
  timeoutMs,
);

test(
  "57: a table that somebody else owns is an error of every transaction, until he goes",
  async () => {
    await using host = new TestHost("dp");
    const owner = Bun.spawn(["nft", "-i"], { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
    try {
      owner.stdin.write("add table inet margay { flags owner; }\n");
      await owner.stdin.flush();
      await eventually(
        "the table",
        () => host.namespace.run(["nft", "list", "table", "inet", "margay"]).exitCode === 0,
        timeoutMs,
      );
      await using dataplane = await host.open();
      dataplane.setInSync();
      await expect(dataplane.apply()).rejects.toMatchObject({ code: "DATAPLANE_INCOMPLETE" });
      await expect(dataplane.apply()).rejects.toMatchObject({ code: "DATAPLANE_INCOMPLETE" });
      const { counters } = dataplane;
      expect(counters).toMatchObject({
        ...{ failures: 2, filterTransactions: 2, filterErrors: 2, filterSetTransactions: 2, filterSetErrors: 2 },
        ...{ filterOperations: 0, filterReadErrors: 0 },
      });
      const reads = counters.filterReads;
      owner.kill();
      await owner.exited;
      await dataplane.apply();
      expect(counters).toMatchObject({ failures: 2, filterTransactions: 3, filterErrors: 2, filterReads: reads + 1 });
      // Nothing to do is nothing called; a new member of a set is a transaction of sets, a new list alone is none.
      dataplane.ruleList("profile/open", { inbound: [rule("allow")], outbound: [rule("allow")] });
      await dataplane.apply();
      expect(counters).toMatchObject({ filterTransactions: 3, filterSetTransactions: 3 });
      dataplane.endpoint("/test/a", endpointOf("a", pairAddresses.a, ["profile/open"]));
      await dataplane.apply();
      dataplane.ruleList("profile/open", { inbound: [rule("deny")], outbound: [rule("allow")] });
      await dataplane.apply();
      expect(counters).toMatchObject({ filterTransactions: 5, filterSetTransactions: 4, filterErrors: 2 });
    } finally {
      owner.kill();
      await owner.exited;
    }
  },
  timeoutMs,
);

test(
  "57: changes of interfaces, programs that were run and connections that were forgotten are measured as they happen",
  async () => {
    await using host = new TestHost("dp");
    host.namespace.must("iptables-nft", "-P", "FORWARD", "DROP");
    const measured = new Map<MeasureName, number[]>();
    const of = (name: MeasureName) => measured.get(name) ?? [];
    await using dataplane = await host.open({
      // Only passes look, so that what one of them sees is known.
      watchEveryMs: 3_600_000,
      onMeasured: (name, value) => measured.set(name, [...of(name), value]),
    });
    const { a } = await host.openPair(dataplane);
    await dataplane.apply();
    // Two to list what is there (FORWARD, INPUT) and two to append what is wanted (from and to endpoints).
    expect(of("child-process-seconds")).toHaveLength(4);
    expect(of("child-process-seconds").every((seconds) => seconds > 0 && seconds < 10)).toBe(true);
    expect(of("routes-read-seconds").length).toBeGreaterThan(0);
    expect(of("flows-forgotten-seconds")).toEqual([]);

    measured.clear();
    for (const name of ["d0", "d1", "d2"]) host.namespace.must("ip", "link", "add", name, "type", "ifb");
    for (const address of ["10.1.0.1/24", "10.1.0.2/24"])
      host.namespace.must("ip", "address", "add", address, "dev", "d0");
    await dataplane.apply();
    expect(of("interface-changes")).toEqual([3]);
    expect(of("address-changes")).toEqual([2]);
    await dataplane.apply();
    expect(of("interface-changes")).toHaveLength(1);

    expect(pings(a, pairAddresses.b)).toBe(true);
    dataplane.endpoint("/test/b", undefined);
    await dataplane.apply();
    // Another endpoint has the address at once: the pass waits until nothing is left of the first one's connections.
    dataplane.endpoint("/test/c", endpointOf("c", pairAddresses.b, ["profile/open"]));
    await dataplane.createVeth({ hostName: "calic", containerName: "tempc" });
    await dataplane.apply();
    expect(of("flows-forgotten-seconds")).toHaveLength(1);
    expect(dataplane.counters.flowsForgotten).toBeGreaterThan(0);
  },
  timeoutMs,
);
