/**
 * Links (interfaces): list, create veth pairs, change, delete. rtnetlink(7), struct ifinfomsg.
 */
import { BadInput } from "../base/errors.ts";
import type { InterfaceName } from "../base/names.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, flag, type Message, type MessageWriter, textOf, u32Of, viewOf } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Set by the administrator (IFF_UP); an address or route needs it. */
  readonly up: boolean;
  /** Carrier there and usable (IFF_RUNNING); of a veth: both ends are up. */
  readonly running: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** "veth", "bridge", ...; "" for a physical interface. */
  readonly kind: string;
  /** Free text a program can leave on an interface; how a restarted one recognises its own. */
  readonly alias: string;
}

export interface VethSpec {
  readonly name: InterfaceName;
  readonly peerName: InterfaceName;
  readonly mtu?: number;
  readonly mac?: string;
  readonly peerMac?: string;
  readonly alias?: string;
}

export const newLink = 16;
export const delLink = 17;
const getLink = 18;
const infoBytes = 16;

const iflaAddress = 1;
const iflaIfname = 3;
const iflaMtu = 4;
const iflaLinkinfo = 18;
const iflaNetNsPid = 19;
const iflaIfalias = 20;
const iflaNetNsFd = 28;
const iflaInfoKind = 1;
const iflaInfoData = 2;
const vethInfoPeer = 1;
const iffUp = 0x1;
const iffRunning = 0x40;
/** struct ifinfomsg.ifi_change: which of ifi_flags to touch. */
const changeUp = iffUp;

export function listLinks(socket: NetlinkSocket): Link[] {
  const messages = socket.dump("list links", getLink, (writer) => ifinfo(writer, 0, 0, 0));
  return messages.flatMap((message) => parseLink(message) ?? []);
}

/** Undefined when there is none of this index. */
export function linkOfIndex(socket: NetlinkSocket, index: number): Link | undefined {
  try {
    return parseLink(socket.query(`find link ${index}`, getLink, (writer) => ifinfo(writer, index, 0, 0)));
  } catch (error) {
    if (isKernelError(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** Undefined when the message is not about a link (an event of bridge ports, for example). */
export function parseLink(message: Message): Link | undefined {
  if (message.body.length < infoBytes || message.body[0] !== 0) return undefined;
  const view = viewOf(message.body);
  const attributes = attributesIn(message.body, infoBytes);
  const info = attributes.get(iflaLinkinfo);
  const flags = view.getUint32(8, true);
  const mac = attributes.get(iflaAddress);
  return {
    index: view.getInt32(4, true),
    name: textOf(attributes.get(iflaIfname)),
    up: (flags & iffUp) !== 0,
    running: (flags & iffRunning) !== 0,
    mtu: u32Of(attributes.get(iflaMtu)),
    mac: mac === undefined ? "" : [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":"),
    kind: info === undefined ? "" : textOf(attributesIn(info, 0).get(iflaInfoKind)),
    alias: textOf(attributes.get(iflaIfalias)),
  };
}

/** Both ends down. @throws EEXIST when a name is taken. */
export function createVeth(socket: NetlinkSocket, spec: VethSpec): void {
  const end = (writer: MessageWriter, name: string, mac: string | undefined) => {
    writer.attributeText(iflaIfname, name);
    if (spec.mtu !== undefined) writer.attributeU32(iflaMtu, spec.mtu);
    if (mac !== undefined) writer.attribute(iflaAddress, macBytes(mac));
  };
  socket.request(`create veth ${spec.name}`, newLink, flag.create | flag.exclusive, (writer) => {
    ifinfo(writer, 0, 0, 0);
    end(writer, spec.name, spec.mac);
    writer.nest(iflaLinkinfo, () => {
      writer.attribute(iflaInfoKind, Buffer.from("veth"));
      writer.nest(iflaInfoData, () =>
        writer.nest(vethInfoPeer, () => {
          ifinfo(writer, 0, 0, 0);
          end(writer, spec.peerName, spec.peerMac);
        }),
      );
    });
  });
  // The kernel ignores an alias in a creating message.
  if (spec.alias !== undefined) setLink(socket, spec.name, { alias: spec.alias });
}

/** An intermediate device: what is led to it waits in its queue and comes back. Down. @throws EEXIST */
export function createIfb(socket: NetlinkSocket, name: InterfaceName, alias: string): void {
  socket.request(`create device ${name}`, newLink, flag.create | flag.exclusive, (writer) => {
    ifinfo(writer, 0, 0, 0);
    writer.attributeText(iflaIfname, name);
    writer.nest(iflaLinkinfo, () => writer.attribute(iflaInfoKind, Buffer.from("ifb")));
  });
  setLink(socket, name, { alias });
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  readonly alias?: string;
  /** Moves the interface into the network namespace of this process. */
  readonly intoProcess?: number;
  /** Moves the interface into the network namespace of this descriptor. */
  readonly intoNamespace?: number;
}

/** @throws ENODEV when there is no such link. */
export function setLink(socket: NetlinkSocket, name: string, change: LinkChange): void {
  socket.request(`change link ${name}`, newLink, 0, (writer) => {
    ifinfo(writer, 0, change.up === true ? iffUp : 0, change.up === undefined ? 0 : changeUp);
    // With IFLA_IFNAME and index 0 the kernel looks the link up by name.
    writer.attributeText(iflaIfname, name);
    if (change.mtu !== undefined) writer.attributeU32(iflaMtu, change.mtu);
    if (change.mac !== undefined) writer.attribute(iflaAddress, macBytes(change.mac));
    if (change.alias !== undefined) writer.attribute(iflaIfalias, Buffer.from(change.alias));
    if (change.intoProcess !== undefined) writer.attributeU32(iflaNetNsPid, change.intoProcess);
    if (change.intoNamespace !== undefined) writer.attributeU32(iflaNetNsFd, change.intoNamespace);
  });
}

/** Only while it is down. @throws EEXIST when the name is taken */
export function renameLink(socket: NetlinkSocket, index: number, name: InterfaceName): void {
  socket.request(`rename link ${index} to ${name}`, newLink, 0, (writer) => {
    ifinfo(writer, index, 0, 0);
    writer.attributeText(iflaIfname, name);
  });
}

/** False when there was none. Deleting one end of a veth deletes the other. */
export function deleteLink(socket: NetlinkSocket, name: string): boolean {
  try {
    socket.request(`delete link ${name}`, delLink, 0, named(name));
    return true;
  } catch (error) {
    if (isKernelError(error, "ENODEV")) return false;
    throw error;
  }
}

/** The kernel needs 10 to 20 ms, in which it mostly waits for RCU: the process need not wait, too. */
export async function deleteLinkInBackground(socket: NetlinkSocket, name: string): Promise<boolean> {
  try {
    await socket.requestInBackground(`delete link ${name}`, delLink, 0, named(name));
    return true;
  } catch (error) {
    if (isKernelError(error, "ENODEV")) return false;
    throw error;
  }
}

function named(name: string): (writer: MessageWriter) => void {
  return (writer) => {
    ifinfo(writer, 0, 0, 0);
    writer.attributeText(iflaIfname, name);
  };
}

function ifinfo(writer: MessageWriter, index: number, flags: number, change: number): void {
  writer.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

function macBytes(mac: string): Uint8Array {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(mac))
    throw new BadInput("mac", `"${mac}" is not a MAC address`, "six bytes like ee:ee:ee:ee:ee:ee");
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}
