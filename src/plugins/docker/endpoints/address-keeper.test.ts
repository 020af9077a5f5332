/** Which addresses of Docker's endpoints live, by what is known of the host. */

import { expect, test } from "bun:test";
import { parseIpAddress } from "../../../base/addresses.ts";
import { dockerAddressKeeper } from "./address-keeper.ts";

const keeper = dockerAddressKeeper({
  host: "host1",
  endpointIds: new Set(["known"]),
  addresses: new Set(["10.0.0.9", "fd00::9"]),
  networkIds: new Set(["net"]),
});

const cases: readonly [name: string, handle: string, address: string, alive: boolean][] = [
  ["an endpoint that is known", "known", "10.0.0.1", true],
  ["an endpoint nobody knows", "gone", "10.0.0.1", false],
  [
    "what an older version reserved for a container that never came",
    "docker-host1-pending-10.0.0.1",
    "10.0.0.1",
    false,
  ],
  ["an address that Docker says a container has", "docker-host1-pending-10.0.0.9", "10.0.0.9", true],
  ["an IPv6 address whose container Docker has", "gone", "fd00::9", true],
  ["an auxiliary address of a network", "docker-host1-network-net", "10.0.0.1", true],
  ["an auxiliary address of a network that is gone", "docker-host1-network-gone", "10.0.0.1", false],
];
for (const [name, handle, address, alive] of cases) {
  test(`${name} is ${alive ? "alive" : "garbage"}`, () => {
    const held = {
      address: parseIpAddress(address),
      ordinal: 0,
      handle,
      sequence: 1n,
      attributes: { orchestrator: "libnetwork" },
    };
    expect([keeper.isOurs(held), keeper.isAlive(held)]).toEqual([true, alive]);
    expect(keeper.isOurs({ ...held, attributes: { orchestrator: "cni" } })).toBe(false);
    expect(keeper.isOurs({ ...held, attributes: {} })).toBe(false);
  });
}
