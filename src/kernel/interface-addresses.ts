/** Addresses of interfaces: list, add, remove. rtnetlink(7), struct ifaddrmsg. */
import { addressBytes, addressFromBytes, type IpAddress, ipFamily } from "../base/addresses.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, flag, type Message, type MessageWriter, viewOf } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
}

export const newAddress = 20;
export const delAddress = 21;
const getAddress = 22;
const ifaddrmsgBytes = 8;
const ifaAddress = 1;
const ifaLocal = 2;

export function listAddresses(socket: NetlinkSocket): InterfaceAddress[] {
  const messages = socket.dump("list addresses", getAddress, (writer) => writer.u32(0).u32(0));
  return messages.flatMap((message) => parseAddress(message) ?? []);
}

export function parseAddress({ body }: Message): InterfaceAddress | undefined {
  if (body.length < ifaddrmsgBytes) return undefined;
  const attributes = attributesIn(body, ifaddrmsgBytes);
  // IFA_ADDRESS is the peer of a point-to-point link; IFA_LOCAL, when there, is the address itself.
  const bytes = attributes.get(ifaLocal) ?? attributes.get(ifaAddress);
  if (bytes === undefined) return undefined;
  const interfaceIndex = viewOf(body).getUint32(4, true);
  return { interfaceIndex, address: addressFromBytes(bytes), prefixLength: body[1] ?? 0 };
}

/** No complaint when the address is there already. */
export function addAddress(socket: NetlinkSocket, wanted: InterfaceAddress): void {
  socket.request(`add address ${wanted.address}`, newAddress, flag.create | flag.replace, (writer) => {
    writeAddress(writer, wanted);
  });
}

/** False when there was none. */
export function removeAddress(socket: NetlinkSocket, unwanted: InterfaceAddress): boolean {
  try {
    socket.request(`remove address ${unwanted.address}`, delAddress, 0, (writer) => writeAddress(writer, unwanted));
    return true;
  } catch (error) {
    if (isKernelError(error, "EADDRNOTAVAIL", "ENODEV")) return false;
    throw error;
  }
}

function writeAddress(writer: MessageWriter, { address, prefixLength, interfaceIndex }: InterfaceAddress): void {
  writer.u8(ipFamily(address) === 4 ? 2 : 10);
  writer.u8(prefixLength).u8(0).u8(0).u32(interfaceIndex);
  writer.attribute(ifaLocal, addressBytes(address)).attribute(ifaAddress, addressBytes(address));
}
