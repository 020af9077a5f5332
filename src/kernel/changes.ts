/**
 * What others (and we) changed in the namespace since the last look: links, routes of one protocol number, nftables.
 * Reading is a few non-blocking receives; nothing is decided here. Netlink keeps the order of events, so the last event
 * about an object is its state.
 */
import type { IpAddress } from "../base/addresses.ts";
import { type ForeignRoute, parseForeignRoute } from "./foreign-routes.ts";
import { delAddress, newAddress, parseAddress } from "./interface-addresses.ts";
import { delLink, type Link, newLink, parseLink } from "./links.ts";
import { attributesIn, type Message, textOf } from "./netlink/message.ts";
import { type NetlinkSocket, netlinkNetfilter, netlinkRoute, NetlinkSocket as Socket } from "./netlink/socket.ts";
import { attribute, groupNftables, nfgenmsgBytes, nft } from "./nftables/wire.ts";
import { delRoute, newRoute, parseRoute, type Route } from "./routes.ts";

export type Change =
  | { readonly kind: "link"; readonly link: Link }
  | { readonly kind: "link-gone"; readonly index: number; readonly name: string }
  | { readonly kind: "route" | "route-gone"; readonly route: Route }
  /** Somebody else made it. */
  | { readonly kind: "foreign-route"; readonly route: ForeignRoute }
  | { readonly kind: "address"; readonly address: IpAddress }
  /** The kernel drops routes with an address or a link without telling about each. */
  | { readonly kind: "address-gone"; readonly address: IpAddress }
  | { readonly kind: "table"; readonly family: number; readonly table: string }
  /** Some events did not fit the socket's buffer: believe nothing. */
  | { readonly kind: "lost"; readonly source: "links-and-routes" | "nftables" };

const groupLink = 1;
const groupAddress4 = 5;
const groupRoute4 = 7;
const groupAddress6 = 9;
const groupRoute6 = 11;

export class ChangeFeed implements Disposable {
  readonly #protocol: number;
  readonly #route: NetlinkSocket;
  readonly #nftables: NetlinkSocket;
  /** Netlink ports whose nftables changes are our own. */
  readonly #ownPorts = new Set<number>();

  constructor(options: { routeProtocol: number; eventBufferBytes?: number }) {
    const bufferBytes = options.eventBufferBytes ?? 16 * 1024 * 1024;
    this.#protocol = options.routeProtocol;
    this.#route = Socket.open(netlinkRoute, {
      groups: [groupLink, groupAddress4, groupRoute4, groupAddress6, groupRoute6],
      bufferBytes,
    });
    try {
      this.#nftables = Socket.open(netlinkNetfilter, { groups: [groupNftables], bufferBytes });
    } catch (error) {
      this.#route[Symbol.dispose]();
      throw error;
    }
  }

  /** Changes made from this port are not reported. */
  ignorePort(port: number): void {
    this.#ownPorts.add(port);
  }

  read(): Change[] {
    return [...this.#linksAndRoutes(), ...this.#tables()];
  }

  /**
   * To be called right after an own libnftables run: whoever changed our table in there was libnftables.
   * @returns whether the port is known now, and what others did meanwhile.
   */
  learnOwnPort(table: string): { readonly learned: boolean; readonly changes: readonly Change[] } {
    const { messages, lost } = this.#nftables.events();
    if (lost) return { learned: false, changes: [{ kind: "lost", source: "nftables" }] };
    const ours = messages.filter((message) => message.type !== nft.newGeneration && tableOf(message.body) === table);
    const ports = new Set(ours.map((message) => message.port));
    // Two writers at once: which of them is us shows another time.
    if (ports.size > 1) return { learned: false, changes: [{ kind: "lost", source: "nftables" }] };
    for (const port of ports) this.#ownPorts.add(port);
    return { learned: ports.size === 1, changes: this.#changedTables(messages) };
  }

  [Symbol.dispose](): void {
    this.#route[Symbol.dispose]();
    this.#nftables[Symbol.dispose]();
  }

  #linksAndRoutes(): Change[] {
    const { messages, lost } = this.#route.events();
    const changes: Change[] = lost ? [{ kind: "lost", source: "links-and-routes" }] : [];
    for (const message of messages) {
      if (message.type === newLink || message.type === delLink) {
        const link = parseLink(message);
        if (link === undefined) continue;
        if (message.type === newLink) changes.push({ kind: "link", link });
        else changes.push({ kind: "link-gone", index: link.index, name: link.name });
      } else if (message.type === newRoute || message.type === delRoute) {
        const parsed = parseRoute(message);
        if (parsed?.protocol !== this.#protocol) {
          const route = message.type === newRoute ? parseForeignRoute(message, this.#protocol) : undefined;
          if (route !== undefined) changes.push({ kind: "foreign-route", route });
          continue;
        }
        changes.push({ kind: message.type === newRoute ? "route" : "route-gone", route: parsed.route });
      } else if (message.type === delAddress || message.type === newAddress) {
        const address = parseAddress(message)?.address;
        if (address === undefined) continue;
        changes.push({ kind: message.type === newAddress ? "address" : "address-gone", address });
      }
    }
    return changes;
  }

  #tables(): Change[] {
    const { messages, lost } = this.#nftables.events();
    if (lost) return [{ kind: "lost", source: "nftables" }];
    return this.#changedTables(messages);
  }

  #changedTables(messages: readonly Message[]): Change[] {
    const touched = new Map<string, Change>();
    for (const message of messages) {
      if (message.type === nft.newGeneration || this.#ownPorts.has(message.port)) continue;
      const table = tableOf(message.body);
      const family = message.body[0] ?? 0;
      touched.set(`${family} ${table}`, { kind: "table", family, table });
    }
    return [...touched.values()];
  }
}

function tableOf(body: Uint8Array): string {
  return textOf(attributesIn(body, nfgenmsgBytes).get(attribute.table));
}
