/** The interfaces and the source address of a real host, in a namespace of the test's own. */
import { expect, test } from "bun:test";
import { parseIpAddress } from "../base/addresses.ts";
import { hostInterfaces, sourceAddressFor } from "./host-interfaces.ts";
import { TestNamespace } from "./testing/test-namespaces.ts";

test("interfaces are listed by age with their addresses, and a destination says which address is used", () => {
  using host = new TestNamespace("interfaces");
  // Their other ends come first: a route needs a link with a carrier.
  for (const at of [0, 1]) host.must("ip", "link", "add", `peer${at}`, "type", "veth", "peer", "name", `eth${at}`);
  for (const words of ["10.0.0.11/24 dev eth0", "192.0.2.11/28 dev eth1", "2001:db8::11/64 dev eth1 nodad"]) {
    host.must("ip", "address", "add", ...words.split(" "));
  }
  for (const name of ["peer0", "peer1", "eth1", "eth0"]) host.must("ip", "link", "set", name, "up");
  host.must("ip", "route", "add", "203.0.113.0/24", "via", "10.0.0.1");
  host.must("ip", "route", "add", "blackhole", "198.51.100.0/24");
  host.namespace.run(() => {
    const told = hostInterfaces().map(({ name, addresses }) => [
      name,
      ...addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`).filter((one) => !/^fe80/.test(one)),
    ]);
    const order = hostInterfaces().map(({ index }) => index);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(told.filter(([name]) => !name?.startsWith("peer")).sort()).toEqual([
      ["eth0", "10.0.0.11/24"],
      ["eth1", "192.0.2.11/28", "2001:db8::11/64"],
      ["lo", "127.0.0.1/8", "::1/128"],
    ]);
    const source = (to: string) => sourceAddressFor(parseIpAddress(to)) as string | undefined;
    expect(source("203.0.113.9")).toBe("10.0.0.11");
    expect(source("192.0.2.1")).toBe("192.0.2.11");
    expect(source("2001:db8::1")).toBe("2001:db8::11");
    expect(source("198.51.100.1")).toBeUndefined();
    expect(source("9.9.9.9")).toBeUndefined();
    expect(source("2001:db9::1")).toBeUndefined();
  });
});
