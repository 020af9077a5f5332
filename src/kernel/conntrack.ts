/**
 * Forgets the connections of addresses that were given back, so that the next owner of an address does not inherit an
 * "established" verdict. ctnetlink (linux/netfilter/nfnetlink_conntrack.h): one filtered dump per address and
 * direction, then a delete per match. The filter attribute (Linux 5.8) saves copying the table; it is not trusted:
 * every match is looked at again here.
 */
import { addressBytes, addressFromBytes, type IpAddress, ipFamily } from "../base/addresses.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, type MessageWriter } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

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

/**
 * Original source = the address opened it; reply source = the address was connected to, also after NAT.
 * @returns how many connections were forgotten.
 */
export function forgetFlows(socket: NetlinkSocket, addresses: readonly IpAddress[]): number {
  let forgotten = 0;
  for (const address of addresses) {
    const family = ipFamily(address) === 4 ? 2 : 10;
    for (const tuple of [ctaTupleOrig, ctaTupleReply]) {
      const doing = `forget connections of ${address}`;
      const flows = socket.dump(doing, ctGet, (writer) => {
        nfgenmsg(writer, family);
        writer.nest(tuple, () =>
          writer.nest(ctaTupleIp, () => writer.attribute(family === 2 ? 1 : 3, addressBytes(address))),
        );
        writer.nest(ctaFilter, () => {
          writer.attributeU32(1, tuple === ctaTupleOrig ? filterSource : 0);
          writer.attributeU32(2, tuple === ctaTupleReply ? filterSource : 0);
        });
      });
      for (const { body } of flows) {
        const attributes = attributesIn(body, nfgenmsgBytes);
        if (sourceOf(attributes.get(tuple)) !== address) continue;
        if (deleteFlow(socket, doing, family, attributes)) forgotten++;
      }
    }
  }
  return forgotten;
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
