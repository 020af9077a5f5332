/**
 * The IPv6 link-local address of the host's end of a veth: next hop of the container at its other end. The kernel makes it
 * when the link has a carrier, which is when Docker has taken the other end up: after Join was answered. So it is foretold
 * from the link's MAC, as the kernel will do it (net/ipv6/addrconf.c, addrconf_addr_gen; RFC 4291 appendix A). Undefined
 * where IPv6 is off, or where an administrator chose another way to make addresses.
 */
import { readFile } from "node:fs/promises";
import { addressFromBytes, type IpAddress } from "../base/addresses.ts";
import type { InterfaceName } from "../base/names.ts";

const GENERATED_FROM_MAC = "0";
const UNIVERSAL_LOCAL_BIT = 0x02;

export async function linkLocalAddress(name: InterfaceName): Promise<IpAddress | undefined> {
  const settings = `/proc/sys/net/ipv6/conf/${name}`;
  if ((await read(`${settings}/disable_ipv6`)) !== "0") return undefined;
  if ((await read(`${settings}/addr_gen_mode`)) !== GENERATED_FROM_MAC) return undefined;
  return linkLocalOfMac((await read(`/sys/class/net/${name}/address`)) ?? "");
}

export function linkLocalOfMac(mac: string): IpAddress | undefined {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return undefined;
  const [first = 0, ...rest] = mac.split(":").map((byte) => Number.parseInt(byte, 16));
  const interfaceId = [first ^ UNIVERSAL_LOCAL_BIT, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  return addressFromBytes(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...interfaceId]));
}

async function read(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return undefined; // a kernel without IPv6, or the link is gone: both mean that there is no such address
  }
}
