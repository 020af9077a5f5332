/** The same random histories on the network in memory and on the kernel leave the same table and routes on both. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseIpAddress } from "../../base/addresses.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { type HostNetwork, LinuxHostNetwork } from "../../kernel/host-network.ts";
import { FakeNetwork } from "../../kernel/testing/fake-network.ts";
import { interfaceNamed, TestNamespace } from "../../kernel/testing/test-namespaces.ts";
import { routeProtocol, tableName } from "./chain-names.ts";
import { Dataplane } from "./dataplane.ts";
import { targetText } from "./route-plan.ts";
import { statement } from "./testing/random-enforcement.ts";

const host = { name: "host1", address: parseIpAddress("172.31.0.11") };

function stateOf(network: HostNetwork): unknown {
  const links = new Map(network.links().map(({ index, name }) => [index, name]));
  const table = network.readTable();
  return {
    chains: [...(table?.chains ?? [])].sort(),
    sets: [...(table?.sets ?? [])]
      .map(([name, { kind, elements }]) => [
        name,
        kind,
        [...elements.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
      ])
      .sort(),
    routes: network
      .routes()
      .map(({ destination, target }) =>
        target.kind === "link"
          ? `${destination} ${links.get(target.interfaceIndex)}`
          : `${destination} ${targetText(target)}`,
      )
      .sort(),
  };
}

test("fake and kernel agree on every history", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(statement, fc.boolean()), { maxLength: 15 }), async (history) => {
      using namespace = new TestNamespace("agree", { enter: true });
      namespace.must(
        "sh",
        "-c",
        "ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up; ip addr add 172.31.0.11/24 dev eth0",
      );
      const fake = new FakeNetwork();
      fake.neighbours.add("172.31.0.12");
      const real = LinuxHostNetwork.open({ routeProtocol, table: tableName });
      for (const network of [fake, real])
        for (const name of ["cali1", "cali2"]) {
          network.createVeth({ name: interfaceNamed(name), peerName: interfaceNamed(`temp${name}`) });
          network.setLink(name, { up: true });
        }
      await using onFake = await Dataplane.open({ clock: systemClock, log: silentLog, host, network: fake });
      await using onReal = await Dataplane.open({ clock: systemClock, log: silentLog, host, network: real });
      for (const dataplane of [onFake, onReal]) dataplane.setInSync();
      for (const [spoken, flush] of [...history, [undefined, true] as const]) {
        for (const dataplane of [onFake, onReal]) {
          spoken?.say(dataplane);
          if (flush) await dataplane.apply();
        }
        if (flush) expect(stateOf(real)).toEqual(stateOf(fake));
      }
      expect(onReal.counters.driftFound).toBe(0);
    }),
    { numRuns: 60 },
  );
}, 120_000);
