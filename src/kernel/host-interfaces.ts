/** The interfaces of this host with their addresses, and the address it would speak to somebody from. */
import { addressBytes, addressFromBytes, type IpAddress, ipFamily } from "../base/addresses.ts";
import { listAddresses } from "./interface-addresses.ts";
import { isKernelError } from "./libc.ts";
import { listLinks } from "./links.ts";
import { attributesIn } from "./netlink/message.ts";
import { NetlinkSocket, netlinkRoute } from "./netlink/socket.ts";

export interface HostInterface {
  readonly index: number;
  readonly name: string;
  readonly addresses: readonly { readonly address: IpAddress; readonly prefixLength: number }[];
}

const getRoute = 26;
const rtmsgBytes = 12;
const rtaDestination = 1;
const rtaPreferredSource = 7;

/** By index, which is the order in which they came into being. */
export function hostInterfaces(): readonly HostInterface[] {
  using socket = NetlinkSocket.open(netlinkRoute);
  const addresses = Map.groupBy(listAddresses(socket), ({ interfaceIndex }) => interfaceIndex);
  return listLinks(socket)
    .toSorted((a, b) => a.index - b.index)
    .map(({ index, name }) => ({ index, name, addresses: addresses.get(index) ?? [] }));
}

/** As a socket connected to it would have; undefined: there is no route. */
export function sourceAddressFor(destination: IpAddress): IpAddress | undefined {
  using socket = NetlinkSocket.open(netlinkRoute);
  const bytes = addressBytes(destination);
  try {
    const { body } = socket.query(`find the route to ${destination}`, getRoute, (writer) => {
      // struct rtmsg: only family and length of the destination are asked for.
      writer.u8(ipFamily(destination) === 4 ? 2 : 10).u8(bytes.length * 8);
      for (let at = 2; at < rtmsgBytes; at++) writer.u8(0);
      writer.attribute(rtaDestination, bytes);
    });
    const source = attributesIn(body, rtmsgBytes).get(rtaPreferredSource);
    return source === undefined ? undefined : addressFromBytes(source);
  } catch (error) {
    if (isKernelError(error, "ENETUNREACH", "EHOSTUNREACH", "EINVAL", "EACCES")) return undefined;
    throw error;
  }
}
