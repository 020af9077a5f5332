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
const familyNumber = { 4: 2, 6: 10 } as const;

/** @param family of both when it is left out */
export function listAddresses(socket: NetlinkSocket, family?: 4 | 6): InterfaceAddress[] {
  const number = family === undefined ? 0 : familyNumber[family];
  const messages = socket.dump("list addresses", getAddress, (writer) => writer.u32(number).u32(0));
  return messages.flatMap((message) => parseAddress(message) ?? []);
}

/**
 * The index of the interface that has the address. Not taken from a list of all: where containers come and go, so do the IPv6
 * addresses of their interfaces, as many as containers, and such a list is interrupted over and over. IPv6 can be asked for one
 * address (inet6_rtm_getaddr); of IPv4 a host has few, so that one message holds them all and nothing can come in between.
 */
export function interfaceWithAddress(socket: NetlinkSocket, address: IpAddress): number | undefined {
  const family = ipFamily(address);
  if (family === 4) return listAddresses(socket, family).find((one) => one.address === address)?.interfaceIndex;
  try {
    const answer = socket.query(`find address ${address}`, getAddress, (writer) =>
      writer.u32(familyNumber[family]).u32(0).attribute(ifaAddress, addressBytes(address)),
    );
    return parseAddress(answer)?.interfaceIndex;
  } catch (error) {
    if (isKernelError(error, "EADDRNOTAVAIL")) return undefined;
    throw error;
  }
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
  writer.u8(familyNumber[ipFamily(address)]);
  writer.u8(prefixLength).u8(0).u8(0).u32(interfaceIndex);
  writer.attribute(ifaLocal, addressBytes(address)).attribute(ifaAddress, addressBytes(address));
}
