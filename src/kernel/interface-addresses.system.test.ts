/** Addresses on the real kernel while others change them: no picture is taken from a reading that was interrupted. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIpAddress } from "../base/addresses.ts";
import { LinuxHostNetwork } from "./host-network.ts";
import { listAddresses } from "./interface-addresses.ts";
import { isKernelError } from "./libc.ts";
import { NetlinkSocket, netlinkRoute } from "./netlink/socket.ts";
import { eventually, interfaceNamed, TestNamespace } from "./testing/test-namespaces.ts";

/** So many that listing them takes the kernel some twenty messages. */
const addressCount = 8_000;
const lookups = 200;

test("the interface of an address is found while thousands are there and others come and go", async () => {
  using host = new TestNamespace("dumps", { enter: true });
  const directory = mkdtempSync(join(tmpdir(), "margay-dumps-"));
  using _ = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const batch = (name: string, lines: readonly string[]) => {
    writeFileSync(join(directory, name), `${lines.join("\n")}\n`);
    return join(directory, name);
  };
  using network = LinuxHostNetwork.open({ routeProtocol: 109, table: "margay" });
  using socket = NetlinkSocket.open(netlinkRoute);
  network.createVeth({ name: interfaceNamed("eth0"), peerName: interfaceNamed("far0") });
  host.must("ip", "address", "add", "10.7.0.11/24", "dev", "eth0");
  const there = Array.from({ length: addressCount }, (_, at) => `address add fd00::${at.toString(16)} dev eth0 nodad`);
  host.must("ip", "-batch", batch("there", there));
  const change = [
    ...["address add fd01::1 dev eth0 nodad", "address del fd01::1/128 dev eth0"],
    ...["link set far0 mtu 1400", "link set far0 mtu 1500", "link set far0 name far1", "link set far1 name far0"],
  ].join("\n");
  const changes = batch("changes", new Array<string>(20_000).fill(change));
  const changing = host.start("sh", "-c", `while ip -batch ${changes}; do :; done`);

  const interrupted = () => {
    try {
      listAddresses(socket);
      return false;
    } catch (error) {
      if (isKernelError(error, "EINTR")) return true;
      throw error;
    }
  };
  await eventually("a list of all addresses that is interrupted", interrupted, 30_000);
  for (const [address, name] of [
    ["10.7.0.11", "eth0"],
    ["fd00::1f3f", "eth0"],
    ["127.0.0.1", "lo"],
    ["10.7.0.12", undefined],
    ["fd02::1", undefined],
  ] as const) {
    const found = new Set<string | undefined>();
    for (let at = 0; at < lookups; at++) found.add(network.linkWithAddress(parseIpAddress(address))?.name);
    expect([address, ...found]).toEqual([address, name]);
  }
  expect(changing.exitCode).toBeNull();
}, 60_000);
