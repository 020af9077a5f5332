/**
 * Routes of the main table that lead out of one interface and are somebody else's: list, remove exactly one.
 * What the kernel made for an address of the interface (protocol "kernel", with it fe80::/64) goes with that address and
 * is none of these.
 */
import {
  addressBytes,
  addressFromBytes,
  type Cidr,
  ipFamily,
  networkAddress,
  prefixLength,
  tryParseCidr,
} from "../base/addresses.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, type Message, u32Of } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";
import { delRoute } from "./routes.ts";

export interface ForeignRoute {
  readonly destination: Cidr;
  readonly interfaceIndex: number;
  readonly metric: number;
  /** Who made it (/etc/iproute2/rt_protos). */
  readonly protocol: number;
}

const getRoute = 26;
const rtmsgBytes = 12;
const attribute = { destination: 1, outInterface: 4, priority: 6, table: 15 } as const;
const tableMain = 254;
const typeUnicast = 1;
const scopeNowhere = 255;
const cloned = 0x2;
const byKernel: ReadonlySet<number> = new Set([1, 2]); // RTPROT_REDIRECT, RTPROT_KERNEL
const familyNumber = { 4: 2, 6: 10 } as const;

export function listForeignRoutes(socket: NetlinkSocket, ownProtocol: number): ForeignRoute[] {
  return ([4, 6] as const).flatMap((family) => {
    const messages = socket.dump("list routes of others", getRoute, (writer) =>
      writer.u8(familyNumber[family]).bytes(new Uint8Array(rtmsgBytes - 1)),
    );
    return messages.flatMap((message) => parseForeignRoute(message, ownProtocol) ?? []);
  });
}

/** Undefined for whatever is not meant here. */
export function parseForeignRoute({ body }: Message, ownProtocol: number): ForeignRoute | undefined {
  const [family = 0, length = 0, , tosBits = 0, table = 0, protocol = 0, , type = 0, , flags = 0] = body;
  if (body.length < rtmsgBytes || (family !== familyNumber[4] && family !== familyNumber[6])) return undefined;
  if (type !== typeUnicast || tosBits !== 0 || protocol === ownProtocol || byKernel.has(protocol)) return undefined;
  // The second byte of struct rtmsg.rtm_flags.
  if ((flags & cloned) !== 0) return undefined;
  const attributes = attributesIn(body, rtmsgBytes);
  const inTable = attributes.has(attribute.table) ? u32Of(attributes.get(attribute.table)) : table;
  const interfaceIndex = u32Of(attributes.get(attribute.outInterface));
  if (inTable !== tableMain || interfaceIndex === 0) return undefined;
  const bytes = attributes.get(attribute.destination) ?? new Uint8Array(family === familyNumber[4] ? 4 : 16);
  const destination = tryParseCidr(`${addressFromBytes(bytes)}/${length}`);
  if (destination === undefined) return undefined;
  return { destination, interfaceIndex, metric: u32Of(attributes.get(attribute.priority)), protocol };
}

/** False when it has gone meanwhile. */
export function removeForeignRoute(socket: NetlinkSocket, route: ForeignRoute): boolean {
  const { destination, interfaceIndex, metric, protocol } = route;
  try {
    socket.request(`remove foreign route ${destination}`, delRoute, 0, (writer) => {
      writer.u8(familyNumber[ipFamily(destination)]).u8(prefixLength(destination)).u8(0).u8(0);
      writer.u8(tableMain).u8(protocol).u8(scopeNowhere).u8(typeUnicast).u32(0);
      writer.attribute(attribute.destination, addressBytes(networkAddress(destination)));
      writer.attributeU32(attribute.outInterface, interfaceIndex);
      if (metric !== 0) writer.attributeU32(attribute.priority, metric);
    });
    return true;
  } catch (error) {
    if (isKernelError(error, "ESRCH", "ENOENT")) return false;
    throw error;
  }
}
