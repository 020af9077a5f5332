/** The whole main routing table, whoever made the routes: for somebody who asks where a packet goes. */
import {
  addressFromBytes,
  type Cidr,
  cidrContains,
  type IpAddress,
  prefixLength,
  tryParseCidr,
} from "../base/addresses.ts";
import { attributesIn, type Message, u32Of } from "./netlink/message.ts";
import { NetlinkSocket, netlinkRoute } from "./netlink/socket.ts";

export interface RouteEntry {
  readonly destination: Cidr;
  /** "nowhere": blackhole, unreachable, prohibit. */
  readonly kind: "link" | "gateway" | "nowhere";
  readonly gateway?: IpAddress | undefined;
  /** 0 when there are several. */
  readonly interfaceIndex: number;
  readonly metric: number;
}

const getRoute = 26;
const rtmsgBytes = 12;
const attribute = { destination: 1, outInterface: 4, gateway: 5, priority: 6, table: 15, via: 18 } as const;
const tableMain = 254;
const typeUnicast = 1;
const typesNowhere: ReadonlySet<number> = new Set([6, 7, 8]);
const familyNumber = { 4: 2, 6: 10 } as const;

export function allRoutes(): RouteEntry[] {
  using socket = NetlinkSocket.open(netlinkRoute);
  return ([4, 6] as const).flatMap((family) => {
    const messages = socket.dump("list all routes", getRoute, (writer) => {
      // struct rtmsg: only the family is asked for.
      writer.u8(familyNumber[family]);
      for (let at = 1; at < rtmsgBytes; at++) writer.u8(0);
    });
    return messages.flatMap((message) => parseEntry(message, family) ?? []);
  });
}

/** The longest prefix that fits, of equal ones the lowest metric. */
export function routeFor(routes: readonly RouteEntry[], address: IpAddress): RouteEntry | undefined {
  const fitting = routes.filter(({ destination }) => cidrContains(destination, address));
  const length = (route: RouteEntry) => prefixLength(route.destination);
  return fitting.toSorted((a, b) => length(b) - length(a) || a.metric - b.metric)[0];
}

function parseEntry({ body }: Message, family: 4 | 6): RouteEntry | undefined {
  const attributes = attributesIn(body, rtmsgBytes);
  const table = attributes.has(attribute.table) ? u32Of(attributes.get(attribute.table)) : body[4];
  const type = body[7] ?? 0;
  const nowhere = typesNowhere.has(type);
  if (table !== tableMain || (type !== typeUnicast && !nowhere)) return undefined;
  const bytes = attributes.get(attribute.destination) ?? new Uint8Array(family === 4 ? 4 : 16);
  const destination = tryParseCidr(`${addressFromBytes(bytes)}/${body[1] ?? 0}`);
  if (destination === undefined) return undefined;
  const gateway = attributes.get(attribute.gateway);
  const viaGateway = gateway !== undefined || attributes.has(attribute.via);
  return {
    destination,
    gateway: gateway && addressFromBytes(gateway),
    kind: nowhere ? "nowhere" : viaGateway ? "gateway" : "link",
    interfaceIndex: attributes.has(attribute.outInterface) ? u32Of(attributes.get(attribute.outInterface)) : 0,
    metric: attributes.has(attribute.priority) ? u32Of(attributes.get(attribute.priority)) : 0,
  };
}
