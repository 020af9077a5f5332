/**
 * The container's end of a veth pair: moved into a network namespace, named, and given addresses and the way out. A link
 * of its own that stays what it is; other interfaces of the namespace are not touched.
 */
import { type Cidr, hostCidr, type IpAddress, ipFamily, parseCidr } from "../base/addresses.ts";
import type { InterfaceName } from "../base/names.ts";
import { addAddress, removeAddress } from "./interface-addresses.ts";
import { kernelError } from "./libc.ts";
import { type Link, listLinks, renameLink, setLink } from "./links.ts";
import { NetworkNamespace } from "./namespaces.ts";
import { NetlinkSocket, netlinkRoute } from "./netlink/socket.ts";
import { putRoute } from "./routes.ts";
import { readSetting, writeSetting } from "./sysctl.ts";

/** Next hop by family; a family without one gets addresses and no way out. */
export type NextHops = Readonly<Partial<Record<4 | 6, IpAddress>>>;

const everywhere: Readonly<Record<4 | 6, Cidr>> = { 4: parseCidr("0.0.0.0/0"), 6: parseCidr("::/0") };

export class ContainerLink {
  readonly #namespacePath: string;
  readonly #routeProtocol: number;
  readonly name: InterfaceName;

  /** @param routeProtocol marks the routes that are put there */
  constructor(namespacePath: string, name: InterfaceName, routeProtocol: number) {
    this.#namespacePath = namespacePath;
    this.name = name;
    this.#routeProtocol = routeProtocol;
  }

  /** Whether the namespace has an interface of this name. @throws when there is no such namespace */
  exists(): boolean {
    return this.#inside((socket) => this.#find(socket) !== undefined);
  }

  /** Takes in the end that the calling thread's namespace has under the other name; comes up under its own. */
  takeIn(otherName: InterfaceName): void {
    using namespace = NetworkNamespace.open(this.#namespacePath);
    {
      using outside = NetlinkSocket.open(netlinkRoute);
      setLink(outside, otherName, { intoNamespace: namespace.descriptor });
    }
    this.#inside((socket) => {
      const moved = listLinks(socket).find((link) => link.name === otherName);
      if (moved === undefined) throw kernelError(`find ${otherName} in its new namespace`, "ENODEV");
      renameLink(socket, moved.index, this.name);
      // Without this an IPv6 address could not be used for a second after the link came up.
      this.#setIfPresent("accept_dad", "0");
      setLink(socket, this.name, { up: true });
    });
  }

  /** Repeating it is fine. */
  addAddresses(addresses: readonly IpAddress[], nextHops: NextHops): void {
    this.#inside((socket) => {
      const link = this.#find(socket);
      if (link === undefined) throw kernelError(`find ${this.name} in ${this.#namespacePath}`, "ENODEV");
      // Docker switches IPv6 off in containers that have no such address of its own.
      if (addresses.some((address) => ipFamily(address) === 6)) this.#setIfPresent("disable_ipv6", "0");
      for (const address of addresses) {
        const bits = ipFamily(address) === 4 ? 32 : 128;
        addAddress(socket, { interfaceIndex: link.index, address, prefixLength: bits });
      }
      for (const family of new Set(addresses.map(ipFamily)))
        this.#putDefaultRoute(socket, link, nextHops[family], family);
    });
  }

  /** False when it was not there, or there is no such interface. */
  removeAddress(address: IpAddress): boolean {
    return this.#inside((socket) => {
      const link = this.#find(socket);
      const prefixLength = ipFamily(address) === 4 ? 32 : 128;
      return link !== undefined && removeAddress(socket, { interfaceIndex: link.index, address, prefixLength });
    });
  }

  #putDefaultRoute(socket: NetlinkSocket, link: Link, gateway: IpAddress | undefined, family: 4 | 6): void {
    if (gateway === undefined) return;
    const target = { kind: "link", interfaceIndex: link.index } as const;
    putRoute(socket, { destination: hostCidr(gateway), target, metric: 0 }, this.#routeProtocol);
    const way = { kind: "gateway", gateway, interfaceIndex: link.index } as const;
    putRoute(socket, { destination: everywhere[family], target: way, metric: 0 }, this.#routeProtocol);
  }

  #find(socket: NetlinkSocket): Link | undefined {
    return listLinks(socket).find((link) => link.name === this.name);
  }

  #setIfPresent(setting: string, value: string): void {
    const path = ["ipv6", "conf", this.name, setting];
    if (readSetting(path) !== undefined) writeSetting(path, value);
  }

  #inside<T>(work: (socket: NetlinkSocket) => T): T {
    using namespace = NetworkNamespace.open(this.#namespacePath);
    return namespace.run(() => {
      using socket = NetlinkSocket.open(netlinkRoute);
      return work(socket);
    });
  }
}
