/**
 * Routes of the main table: list those of one protocol number, put (replace), remove. rtnetlink(7), struct rtmsg.
 * A route's protocol number is the mark by which its owner finds it again.
 */
import {
  addressBytes,
  addressFromBytes,
  type Cidr,
  type IpAddress,
  ipFamily,
  networkAddress,
  prefixLength,
  tryParseCidr,
} from "../base/addresses.ts";
import { invariant } from "../base/errors.ts";
import { isKernelError } from "./libc.ts";
import { attributesIn, flag, type Message, type MessageWriter, u32Of } from "./netlink/message.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

export type RouteTarget =
  | { readonly kind: "link"; readonly interfaceIndex: number }
  /** A link-local gateway needs its interface; reading routes does not tell it. */
  | { readonly kind: "gateway"; readonly gateway: IpAddress; readonly interfaceIndex?: number }
  | { readonly kind: "blackhole" };

export interface Route {
  readonly destination: Cidr;
  readonly target: RouteTarget;
  /** Lower wins among routes to the same destination. IPv6 has no 0: the kernel makes it 1024. */
  readonly metric: number;
  /** What this host sends from when it uses the route; an address of its own. */
  readonly source?: IpAddress;
}

export const newRoute = 24;
export const delRoute = 25;
const getRoute = 26;
const rtmsgBytes = 12;
const rtaDst = 1;
const rtaOif = 4;
const rtaGateway = 5;
const rtaPriority = 6;
const rtaPreferredSource = 7;
const rtaTable = 15;
const tableMain = 254;
const scopeUniverse = 0;
const scopeLink = 253;
const scopeNowhere = 255;
const typeUnicast = 1;
const typeBlackhole = 6;

function familyNumber(family: 4 | 6): number {
  return family === 4 ? 2 : 10;
}

export function listRoutes(socket: NetlinkSocket, protocol: number): Route[] {
  return ([4, 6] as const).flatMap((family) => {
    const messages = socket.dump("list routes", getRoute, (writer) =>
      rtmsg(writer, { family, prefix: 0, protocol: 0, scope: 0, type: 0 }),
    );
    return messages.flatMap((message) => {
      const parsed = parseRoute(message);
      return parsed === undefined || parsed.protocol !== protocol ? [] : [parsed.route];
    });
  });
}

/** Undefined for routes of other tables, of other types, and for copies the kernel keeps (RTM_F_CLONED). */
export function parseRoute(message: Message): { protocol: number; route: Route } | undefined {
  const { body } = message;
  if (body.length < rtmsgBytes) return undefined;
  const family = body[0] === 2 ? 4 : body[0] === 10 ? 6 : undefined;
  const attributes = attributesIn(body, rtmsgBytes);
  const table = attributes.has(rtaTable) ? u32Of(attributes.get(rtaTable)) : body[4];
  const cloned = ((body[9] ?? 0) & 0x2) !== 0;
  if (family === undefined || table !== tableMain || cloned) return undefined;
  const bytes = attributes.get(rtaDst) ?? new Uint8Array(family === 4 ? 4 : 16);
  const destination = tryParseCidr(`${addressFromBytes(bytes)}/${body[1] ?? 0}`);
  if (destination === undefined) return undefined;
  const target = targetOf(body[7] ?? 0, attributes);
  if (target === undefined) return undefined;
  const source = attributes.get(rtaPreferredSource);
  const route = {
    destination,
    target,
    metric: u32Of(attributes.get(rtaPriority)),
    ...(source === undefined ? {} : { source: addressFromBytes(source) }),
  };
  return { protocol: body[5] ?? 0, route };
}

function targetOf(type: number, attributes: ReadonlyMap<number, Uint8Array>): RouteTarget | undefined {
  if (type === typeBlackhole) return { kind: "blackhole" };
  if (type !== typeUnicast) return undefined;
  const gateway = attributes.get(rtaGateway);
  if (gateway !== undefined) return { kind: "gateway", gateway: addressFromBytes(gateway) };
  return { kind: "link", interfaceIndex: u32Of(attributes.get(rtaOif)) };
}

/** Makes or replaces the route with this destination and metric, whoever made the one before. */
export function putRoute(socket: NetlinkSocket, route: Route, protocol: number): void {
  invariant(protocol > 4 && protocol < 256, "routes carry a protocol number of ours");
  const family = ipFamily(route.destination);
  const scope = route.target.kind === "link" && family === 4 ? scopeLink : scopeUniverse;
  const type = route.target.kind === "blackhole" ? typeBlackhole : typeUnicast;
  socket.request(`add route ${route.destination}`, newRoute, flag.create | flag.replace, (writer) => {
    rtmsg(writer, { family, prefix: prefixLength(route.destination), protocol, scope, type });
    key(writer, route);
    if (route.target.kind === "gateway" && route.target.interfaceIndex !== undefined)
      writer.attributeU32(rtaOif, route.target.interfaceIndex);
    if (route.target.kind === "link") writer.attributeU32(rtaOif, route.target.interfaceIndex);
    if (route.target.kind === "gateway") writer.attribute(rtaGateway, addressBytes(route.target.gateway));
    if (route.source !== undefined) writer.attribute(rtaPreferredSource, addressBytes(route.source));
  });
}

/** False when there was none. Only a route with this protocol number is removed. */
export function removeRoute(
  socket: NetlinkSocket,
  route: Pick<Route, "destination" | "metric">,
  protocol: number,
): boolean {
  const family = ipFamily(route.destination);
  try {
    socket.request(`remove route ${route.destination}`, delRoute, 0, (writer) => {
      rtmsg(writer, { family, prefix: prefixLength(route.destination), protocol, scope: scopeNowhere, type: 0 });
      key(writer, route);
    });
    return true;
  } catch (error) {
    if (isKernelError(error, "ESRCH", "ENOENT")) return false;
    throw error;
  }
}

interface RtMsg {
  readonly family: 4 | 6;
  readonly prefix: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
}

function rtmsg(writer: MessageWriter, head: RtMsg): void {
  writer.u8(familyNumber(head.family)).u8(head.prefix).u8(0).u8(0);
  writer.u8(tableMain).u8(head.protocol).u8(head.scope).u8(head.type).u32(0);
}

function key(writer: MessageWriter, route: Pick<Route, "destination" | "metric">): void {
  writer.attribute(rtaDst, addressBytes(networkAddress(route.destination)));
  if (route.metric !== 0) writer.attributeU32(rtaPriority, route.metric);
}
