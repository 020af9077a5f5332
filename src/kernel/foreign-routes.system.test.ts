/** Which routes of the main table are somebody else's over one interface. */
import { expect, test } from "bun:test";
import { parseCidr } from "../base/addresses.ts";
import { LinuxHostNetwork } from "./host-network.ts";
import { interfaceNamed, TestNamespace } from "./testing/test-namespaces.ts";

test("routes of others over an interface are told, also when they come, and exactly one is removed", () => {
  using namespace = new TestNamespace("contract", { enter: true });
  using network = LinuxHostNetwork.open({ routeProtocol: 109, table: "margay" });
  network.createVeth({ name: interfaceNamed("cali1"), peerName: interfaceNamed("temp1") });
  for (const name of ["cali1", "temp1"]) network.setLink(name, { up: true });
  const interfaceIndex = network.links().find(({ name }) => name === "cali1")?.index ?? -1;
  network.changes();
  namespace.must("ip", "addr", "add", "10.1.0.1/24", "dev", "cali1"); // with a route of the kernel's own
  const commands = [
    "ip route add 10.2.0.0/16 dev cali1 proto static",
    "ip route add 10.2.0.0/16 dev cali1 proto static metric 5",
    "ip route add 10.3.0.0/16 via 10.1.0.2 proto 12",
    "ip route add 10.4.0.0/16 dev cali1 proto 109",
    "ip route add 10.5.0.0/16 dev cali1 table 77",
    "ip route add blackhole 10.6.0.0/16",
    "ip -6 route add fd02::/64 dev cali1 proto boot",
  ];
  namespace.must("sh", "-ec", commands.join("; "));
  const route = (destination: string, protocol: number, metric = 0) => ({
    destination: parseCidr(destination),
    interfaceIndex,
    metric,
    protocol,
  });
  const expected = [
    route("10.2.0.0/16", 4),
    route("10.2.0.0/16", 4, 5),
    route("10.3.0.0/16", 12),
    route("fd02::/64", 3, 1024),
  ];
  expect(network.foreignRoutes()).toEqual(expected);
  const told = network.changes().flatMap((change) => (change.kind === "foreign-route" ? [change.route] : []));
  expect(told).toEqual(expected);
  for (const one of expected.slice(1)) expect(network.removeForeignRoute(one)).toBe(true);
  expect(network.removeForeignRoute(route("10.2.0.0/16", 4, 5))).toBe(false);
  expect(network.removeForeignRoute(route("10.2.0.0/16", 12))).toBe(false);
  expect(network.foreignRoutes()).toEqual(expected.slice(0, 1));
});
