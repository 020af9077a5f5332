/**
 * Forgets the connections of addresses that were given back, so that the next owner of an address does not inherit an
 * "established" verdict. ctnetlink (linux/netfilter/nfnetlink_conntrack.h): a dump, then a delete per match. Every dump
 * walks the whole hash table of the namespace (some 10 ms at 262,144 buckets, however few connections there are), so one
 * serves all addresses as long as the connections are few; else the kernel picks out (CTA_FILTER, Linux 5.8) those of
 * each address, which saves copying the rest.
 */
import { addressBytes, addressFromBytes, type IpAddress, ipFamily } from "../base/addresses.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, type Message, type MessageWriter } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";
import { readSetting } from "./sysctl.ts";

const nested = 0x8000;
const subsystem = 1 << 8;
const ctGet = subsystem | 1;
const ctDelete = subsystem | 2;
const ctaTupleOrig = 1;
const ctaTupleReply = 2;
const ctaId = 12;
const ctaZone = 18;
const ctaFilter = 25;
const ctaTupleIp = 1;
const filterSource = 0x1;
const nfgenmsgBytes = 4;
const familyNumber = { 4: 2, 6: 10 } as const;

const connectionsCopiedMax = 20_000;

/**
 * Original source = the address opened it; reply source = the address was connected to, also after NAT.
 * @returns how many connections were forgotten.
 */
export function forgetFlows(socket: NetlinkSocket, addresses: readonly IpAddress[]): number {
  const connections = readSetting(["netfilter", "nf_conntrack_count"]);
  if (connections === "0" || addresses.length === 0) return 0;
  let forgotten = 0;
  for (const family of [4, 6] as const) {
    const wanted = new Set(addresses.filter((address) => ipFamily(address) === family));
    if (wanted.size === 0) continue;
    const doing = `forget connections of ${[...wanted].slice(0, 3).join(", ")}`;
    const flows =
      Number(connections ?? Number.POSITIVE_INFINITY) <= connectionsCopiedMax
        ? socket.dump(doing, ctGet, (writer) => nfgenmsg(writer, familyNumber[family]))
        : [...wanted].flatMap((address) => flowsOf(socket, doing, address));
    for (const { body } of flows) {
      const attributes = attributesIn(body, nfgenmsgBytes);
      const ends = [ctaTupleOrig, ctaTupleReply].map((tuple) => sourceOf(attributes.get(tuple)));
      if (!ends.some((end) => end !== undefined && wanted.has(end))) continue;
      if (deleteFlow(socket, doing, familyNumber[family], attributes)) forgotten++;
    }
  }
  return forgotten;
}

/** An old kernel ignores the filter and answers everything: the caller looks at each match anyway. */
function flowsOf(socket: NetlinkSocket, doing: string, address: IpAddress): Message[] {
  return [ctaTupleOrig, ctaTupleReply].flatMap((tuple) =>
    socket.dump(doing, ctGet, (writer) => {
      const family = ipFamily(address);
      nfgenmsg(writer, familyNumber[family]);
      writer.nest(tuple, () =>
        writer.nest(ctaTupleIp, () => writer.attribute(family === 4 ? 1 : 3, addressBytes(address))),
      );
      writer.nest(ctaFilter, () => {
        writer.attributeU32(1, tuple === ctaTupleOrig ? filterSource : 0);
        writer.attributeU32(2, tuple === ctaTupleReply ? filterSource : 0);
      });
    }),
  );
}

function sourceOf(tuple: Uint8Array | undefined): IpAddress | undefined {
  const ip = tuple === undefined ? undefined : attributesIn(tuple, 0).get(ctaTupleIp);
  if (ip === undefined) return undefined;
  const attributes = attributesIn(ip, 0);
  const bytes = attributes.get(1) ?? attributes.get(3);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

function deleteFlow(
  socket: NetlinkSocket,
  doing: string,
  family: number,
  flow: ReadonlyMap<number, Uint8Array>,
): boolean {
  const original = flow.get(ctaTupleOrig);
  if (original === undefined) return false;
  try {
    socket.request(doing, ctDelete, 0, (writer) => {
      nfgenmsg(writer, family);
      writer.attribute(ctaTupleOrig | nested, original);
      for (const type of [ctaId, ctaZone]) {
        const value = flow.get(type);
        if (value !== undefined) writer.attribute(type, value);
      }
    });
    return true;
  } catch (error) {
    if (isKernelError(error, "ENOENT")) return false; // it ended by itself
    throw error;
  }
}

function nfgenmsg(writer: MessageWriter, family: number): void {
  writer.u8(family).u8(0).u16Network(0);
}
