/**
 * Which way to addresses of other hosts, from the blocks of the address plan (calico-datastore.md 6.7):
 * a block to the host that owns it; an address of it that another host has borrowed to that host; own blocks are
 * named, so that what is not in use of them is dropped instead of sent out.
 */

import { addressAt, type Cidr, hostCidr, type IpAddress, prefixLength } from "../base/addresses.ts";
import type { BlockHolders } from "../model/block-holders.ts";
import { ownerHost } from "../model/ipam-documents.ts";
import { hostAddress, type Node } from "../model/node.ts";

/** Calico's blocks are never larger; a wider "block" in the store would draw other traffic to a host. */
const prefixLengthMin = { ipv4: 20, ipv6: 116 };

interface BlockRoutes {
  readonly own: boolean;
  /** CIDR and the host it is reached through. */
  readonly via: readonly (readonly [cidr: Cidr, host: string])[];
}

interface HostAddresses {
  readonly ipv4: IpAddress | undefined;
  readonly ipv6: IpAddress | undefined;
}

export class Routes {
  readonly #host: string;
  readonly #blocks = new Map<Cidr, BlockRoutes>();
  readonly #hosts = new Map<string, HostAddresses>();
  #changed = true;

  constructor(host: string) {
    this.#host = host;
  }

  setBlock(cidr: Cidr, block: BlockHolders | undefined): void {
    const routes = block === undefined || block.cidr !== cidr ? undefined : this.#routesOf(block);
    if (JSON.stringify(routes) === JSON.stringify(this.#blocks.get(cidr))) return;
    if (routes === undefined) this.#blocks.delete(cidr);
    else this.#blocks.set(cidr, routes);
    this.#changed = true;
  }

  setNode(name: string, node: Node | undefined): void {
    const addresses = node && { ipv4: hostAddress(node, 4), ipv6: hostAddress(node, 6) };
    const known = this.#hosts.get(name);
    if (addresses?.ipv4 === known?.ipv4 && addresses?.ipv6 === known?.ipv6) return;
    if (addresses === undefined) this.#hosts.delete(name);
    else this.#hosts.set(name, addresses);
    this.#changed = true;
  }

  /** Undefined if nothing has changed since the last call. */
  take():
    | {
        readonly remote: ReadonlyMap<Cidr, IpAddress>;
        readonly own: readonly Cidr[];
        readonly hosts: readonly IpAddress[];
      }
    | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    const remote = new Map<Cidr, IpAddress>();
    const own: Cidr[] = [];
    for (const cidr of [...this.#blocks.keys()].sort()) {
      const routes = this.#blocks.get(cidr);
      if (routes?.own) own.push(cidr);
      for (const [destination, host] of routes?.via ?? []) {
        const address = this.#hosts.get(host)?.[destination.includes(":") ? "ipv6" : "ipv4"];
        if (address !== undefined) remote.set(destination, address);
      }
    }
    const hosts = [...this.#hosts.values()].flatMap(({ ipv4, ipv6 }) => [ipv4 ?? [], ipv6 ?? []].flat());
    return { remote, own, hosts: hosts.sort() };
  }

  #routesOf(block: BlockHolders): BlockRoutes | undefined {
    if (prefixLength(block.cidr) < prefixLengthMin[block.cidr.includes(":") ? "ipv6" : "ipv4"]) return undefined;
    const owner = ownerHost(block);
    const via: [Cidr, string][] = owner === undefined || owner === this.#host ? [] : [[block.cidr, owner]];
    for (const [ordinal, node] of block.nodes) {
      const holder = node ?? owner;
      if (holder === undefined || holder === owner || holder === this.#host) continue;
      via.push([hostCidr(addressAt(block.cidr, ordinal)), holder]);
    }
    return { own: owner === this.#host, via };
  }
}
