/**
 * The host this node is for: its name, which never changes, and its addresses, which may (a Node that says otherwise, an
 * address found anew). Whoever needs the address asks for it each time.
 */
import type { IpAddress } from "../../base/addresses.ts";
import { OperationError } from "../../base/errors.ts";
import type { HostAddresses } from "./address-wish.ts";

export class LocalHost {
  readonly name: string;
  #addresses: HostAddresses;

  /** @throws OperationError when there is no address at all */
  constructor(name: string, addresses: HostAddresses) {
    this.name = name;
    this.#addresses = addresses;
    this.update(addresses);
  }

  /** By which other hosts reach it: the IPv4 address if there is one. */
  get address(): IpAddress {
    const { ipv4, ipv6 } = this.#addresses;
    const one = ipv4 ?? ipv6;
    if (one === undefined) throw noAddress();
    return one.address;
  }

  get addresses(): HostAddresses {
    return this.#addresses;
  }

  update(addresses: HostAddresses): void {
    if (addresses.ipv4 === undefined && addresses.ipv6 === undefined) throw noAddress();
    this.#addresses = addresses;
  }
}

function noAddress(): OperationError {
  return new OperationError("NODE_NO_ADDRESS", "this host has neither an IPv4 nor an IPv6 address to be reached by", {
    remedy: "give one with --ip or --ip6, or let it be found with --ip=autodetect",
  });
}
