/**
 * The IPv6 link-local address of an interface of this host: next hop of the container at its other end. The kernel makes it
 * when the link goes up and first checks that nobody else has it; hosts without IPv6 have none. Read from
 * /proc/net/if_inet6 (net/ipv6/addrconf.c, if6_seq_show): address, index, prefix length, scope, flags, name.
 */
import { readFile } from "node:fs/promises";
import { addressFromBytes, type IpAddress } from "../base/addresses.ts";
import type { Clock } from "../base/clock.ts";

const WAIT_MS = 2_000;
const ASK_EVERY_MS = 50;
const SCOPE_LINK = 0x20;
const FLAG_TENTATIVE = 0x40;
const FLAG_DAD_FAILED = 0x08;

/** undefined when none appears within 2 s. */
export async function linkLocalAddress(
  clock: Clock,
  name: string,
  signal: AbortSignal,
): Promise<IpAddress | undefined> {
  const untilMs = clock.monotonicMs() + WAIT_MS;
  for (;;) {
    const table = await readFile("/proc/self/net/if_inet6", "utf8").catch(() => undefined);
    if (table === undefined) return undefined; // a kernel without IPv6
    const address = findLinkLocal(table, name);
    if (address !== undefined || clock.monotonicMs() >= untilMs) return address;
    await clock.sleep(ASK_EVERY_MS, signal);
  }
}

export function findLinkLocal(table: string, name: string): IpAddress | undefined {
  for (const line of table.split("\n")) {
    const [address, , , scope, flags, device] = line.trim().split(/\s+/);
    if (device !== name || address?.length !== 32) continue;
    if (Number.parseInt(scope ?? "", 16) !== SCOPE_LINK) continue;
    // A tentative address answers too: both ends of a veth are ours, a duplicate cannot be.
    const flagBits = Number.parseInt(flags ?? "", 16);
    if ((flagBits & FLAG_DAD_FAILED) !== 0 && (flagBits & FLAG_TENTATIVE) === 0) continue;
    return addressFromBytes(Uint8Array.from(address.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)));
  }
  return undefined;
}
