/**
 * Bandwidth of interfaces: a token bucket (TBF) for what the host sends out of one, and for what comes in a redirection to
 * an IFB device, which has a bucket of its own. rtnetlink(7), struct tcmsg, linux/pkt_sched.h, pkt_cls.h, tc_mirred.h.
 */
import type { InterfaceName } from "../base/names.ts";
import { isKernelError } from "./libc.ts";
import { createIfb } from "./links.ts";
import { attributesIn, flag, type Message, type MessageWriter, textOf, viewOf } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

export interface TokenBucket {
  readonly bytesPerSecond: number;
  /** What may pass at once after a silence. */
  readonly burstBytes: number;
  /** How fast a burst may be. */
  readonly peak?: { readonly bytesPerSecond: number; readonly burstBytes: number };
  /** What waits for its turn; more is dropped. */
  readonly queueBytes: number;
}

export interface QueueingDiscipline {
  readonly interfaceIndex: number;
  /** "tbf", "ingress", "noqueue", ... */
  readonly kind: string;
  /** Major number: a free number for who made it, and so a place to recognise one's own by. */
  readonly handle: number;
  /** For what is sent; else for what is received, or inside another one. */
  readonly isRoot: boolean;
}

/** The verbs, for whoever shapes the traffic of a namespace. */
export interface TrafficShaping {
  qdiscs(): readonly QueueingDiscipline[];
  /** Index of the interface that an interface's incoming packets are led to. */
  redirectionOf(interfaceIndex: number): number | undefined;
  createIfb(name: InterfaceName, alias: string): void;
  setTokenBucket(interfaceIndex: number, bucket: TokenBucket, handle: number): void;
  removeTokenBucket(interfaceIndex: number): boolean;
  redirectIncoming(redirection: Redirection): void;
  stopRedirecting(interfaceIndex: number): boolean;
}

export function trafficShaping(socket: NetlinkSocket): TrafficShaping {
  return {
    qdiscs: () => listQdiscs(socket),
    redirectionOf: (interfaceIndex) => redirectionOf(socket, interfaceIndex),
    createIfb: (name, alias) => createIfb(socket, name, alias),
    setTokenBucket: (interfaceIndex, bucket, handle) => setTokenBucket(socket, interfaceIndex, bucket, handle),
    removeTokenBucket: (interfaceIndex) => removeRootQdisc(socket, interfaceIndex),
    redirectIncoming: (redirection) => redirectIncoming(socket, redirection),
    stopRedirecting: (interfaceIndex) => stopRedirecting(socket, interfaceIndex),
  };
}

export interface Redirection {
  readonly fromIndex: number;
  readonly toIndex: number;
}

const newQdisc = 36;
const delQdisc = 37;
const getQdisc = 38;
const newFilter = 44;
const getFilter = 46;
const tcmsgBytes = 20;
const tcaKind = 1;
const tcaOptions = 2;
const parentRoot = 0xffff_ffff;
const parentIngress = 0xffff_fff1;
const handleIngress = 0xffff_0000;
const tbf = { parameters: 1, rate64: 4, peakRate64: 5, burst: 6, peakBurst: 7 } as const;
/** TC_LINKLAYER_ETHERNET: the kernel computes lengths itself instead of asking for a table. */
const linkLayerEthernet = 1;
const u32Filter = { selector: 5, action: 7 } as const;
const u32Terminal = 1;
const action = { kind: 1, options: 2 } as const;
const mirredParameters = 2;
const egressRedirect = 1;
const stolen = 4;
/** Priority 1, ETH_P_ALL (3) in network order. */
const filterInfo = (1 << 16) | 0x0300;

function listQdiscs(socket: NetlinkSocket): QueueingDiscipline[] {
  const messages = socket.dump("list queueing disciplines", getQdisc, (writer) => tcmsg(writer, 0, 0, 0, 0));
  return messages.flatMap(({ body }) => {
    if (body.length < tcmsgBytes) return [];
    const view = viewOf(body);
    const kind = textOf(attributesIn(body, tcmsgBytes).get(tcaKind));
    const isRoot = view.getUint32(12, true) === parentRoot;
    return [{ interfaceIndex: view.getInt32(4, true), kind, handle: view.getUint32(8, true) >>> 16, isRoot }];
  });
}

/** Where an interface's incoming packets are led to by redirectIncoming(); undefined: nowhere. */
function redirectionOf(socket: NetlinkSocket, interfaceIndex: number): number | undefined {
  const messages = socket.dump(`list filters of interface ${interfaceIndex}`, getFilter, (writer) =>
    tcmsg(writer, interfaceIndex, 0, handleIngress, 0),
  );
  for (const message of messages) {
    const target = targetOf(message);
    if (target !== undefined) return target;
  }
  return undefined;
}

function targetOf({ body }: Message): number | undefined {
  const options = attributesIn(body, tcmsgBytes).get(tcaOptions);
  const actions = options && attributesIn(options, 0).get(u32Filter.action);
  const first = actions && attributesIn(actions, 0).get(1);
  const mirred = first && attributesIn(first, 0).get(action.options);
  const parameters = mirred && attributesIn(mirred, 0).get(mirredParameters);
  // struct tc_mirred: tc_gen (5 words), eaction, ifindex.
  return parameters === undefined || parameters.length < 28 ? undefined : viewOf(parameters).getUint32(24, true);
}

/** Replaces whatever the interface has at its root. @throws ENOENT, EOPNOTSUPP when the kernel has no TBF. */
function setTokenBucket(socket: NetlinkSocket, interfaceIndex: number, bucket: TokenBucket, handle: number): void {
  // A bucket is changed in place, and only under its own handle: away with one of another.
  removeRootQdisc(socket, interfaceIndex);
  const { bytesPerSecond, burstBytes, peak, queueBytes } = bucket;
  socket.request(`limit bandwidth of interface ${interfaceIndex}`, newQdisc, flag.create | flag.exclusive, (writer) => {
    tcmsg(writer, interfaceIndex, (handle << 16) >>> 0, parentRoot, 0);
    writer.attributeText(tcaKind, "tbf");
    writer.nest(tcaOptions, () => {
      const parameters = new Uint8Array(36);
      const view = viewOf(parameters);
      rateSpec(view, 0, bytesPerSecond);
      if (peak !== undefined) rateSpec(view, 12, peak.bytesPerSecond);
      view.setUint32(24, clamp32(queueBytes), true);
      writer.attribute(tbf.parameters, parameters);
      writer.attribute(tbf.rate64, u64(bytesPerSecond));
      writer.attributeU32(tbf.burst, clamp32(burstBytes));
      if (peak === undefined) return;
      writer.attribute(tbf.peakRate64, u64(peak.bytesPerSecond));
      writer.attributeU32(tbf.peakBurst, clamp32(peak.burstBytes));
    });
  });
}

/** False when the interface has none but the one every interface has. */
function removeRootQdisc(socket: NetlinkSocket, interfaceIndex: number): boolean {
  return removeQdisc(socket, interfaceIndex, 0, parentRoot);
}

/** What comes in on the interface goes through the queue of the other one first, and is then received as if nothing was. */
function redirectIncoming(socket: NetlinkSocket, { fromIndex, toIndex }: Redirection): void {
  stopRedirecting(socket, fromIndex);
  socket.request(
    `take in hand what interface ${fromIndex} receives`,
    newQdisc,
    flag.create | flag.exclusive,
    (writer) => {
      tcmsg(writer, fromIndex, handleIngress, parentIngress, 0);
      writer.attributeText(tcaKind, "ingress");
    },
  );
  socket.request(`redirect what interface ${fromIndex} receives`, newFilter, flag.create | flag.exclusive, (writer) => {
    tcmsg(writer, fromIndex, 0, handleIngress, filterInfo);
    writer.attributeText(tcaKind, "u32");
    writer.nest(tcaOptions, () => {
      // struct tc_u32_sel with one key whose mask is 0: every packet.
      const selector = new Uint8Array(32);
      selector[0] = u32Terminal;
      selector[2] = 1;
      writer.attribute(u32Filter.selector, selector);
      writer.nest(u32Filter.action, () =>
        writer.nest(1, () => {
          writer.attributeText(action.kind, "mirred");
          writer.nest(action.options, () => {
            const parameters = new Uint8Array(28);
            const view = viewOf(parameters);
            view.setInt32(8, stolen, true);
            view.setInt32(20, egressRedirect, true);
            view.setUint32(24, toIndex, true);
            writer.attribute(mirredParameters, parameters);
          });
        }),
      );
    });
  });
}

/** False when nothing was. */
function stopRedirecting(socket: NetlinkSocket, interfaceIndex: number): boolean {
  return removeQdisc(socket, interfaceIndex, handleIngress, parentIngress);
}

function removeQdisc(socket: NetlinkSocket, interfaceIndex: number, handle: number, parent: number): boolean {
  try {
    socket.request(`remove a queueing discipline of interface ${interfaceIndex}`, delQdisc, 0, (writer) =>
      tcmsg(writer, interfaceIndex, handle, parent, 0),
    );
    return true;
  } catch (error) {
    if (isKernelError(error, "ENOENT", "EINVAL", "ENODEV")) return false;
    throw error;
  }
}

function tcmsg(writer: MessageWriter, interfaceIndex: number, handle: number, parent: number, info: number): void {
  writer.u32(0).u32(interfaceIndex).u32(handle).u32(parent).u32(info);
}

/** struct tc_ratespec; the 64-bit attribute beside it counts where the number does not fit. */
function rateSpec(view: DataView, at: number, bytesPerSecond: number): void {
  view.setUint8(at + 1, linkLayerEthernet);
  view.setUint32(at + 8, clamp32(bytesPerSecond), true);
}

function clamp32(value: number): number {
  return Math.min(Math.max(Math.round(value), 1), 0xffff_ffff);
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt(Math.round(value)), true);
  return bytes;
}
