/** What was asked for a host's address of one family (felix-dataplane.md 6.1, step 5), and what comes of it. */
import { type IpAddress, ipFamily, parseIpAddress, prefixLength, tryParseCidr } from "../../base/addresses.ts";
import { BadInput, unreachable } from "../../base/errors.ts";
import {
  type DetectionMethod,
  detectAddress,
  type HostAddress,
  type HostSurroundings,
  withPrefixLength,
} from "./address-detection.ts";

export type AddressWish =
  | { readonly kind: "given"; readonly address: IpAddress; readonly prefixLength: number | undefined }
  | { readonly kind: "detect"; readonly method: DetectionMethod }
  /** What the Node says already; `otherwise` when it says nothing. */
  | { readonly kind: "keep"; readonly otherwise: DetectionMethod | undefined }
  | { readonly kind: "none" };

export interface AddressWishes {
  readonly ipv4: AddressWish;
  readonly ipv6: AddressWish;
}

export interface HostAddresses {
  readonly ipv4: HostAddress | undefined;
  readonly ipv6: HostAddress | undefined;
}

/** `otherwise`: of a host that says nothing and whose Node says nothing. @throws BadInput */
export function parseAddressWish(
  text: string,
  { path, family, method }: { readonly path: string; readonly family: 4 | 6; readonly method: DetectionMethod },
): AddressWish {
  const word = text.trim();
  // An IPv6 address is used when it is asked for; without an IPv4 address most networks cannot be reached.
  if (word === "") return { kind: "keep", otherwise: family === 4 ? method : undefined };
  if (word === "autodetect") return { kind: "detect", method };
  if (word === "none") return { kind: "none" };
  const address = parseIpAddress(word.split("/")[0] ?? "", path);
  const cidr = tryParseCidr(word);
  if (ipFamily(address) !== family || cidr === undefined) {
    const expected = `an IPv${family} address, with or without prefix length, autodetect or none`;
    throw new BadInput(path, `"${word}" is not an IPv${family} address`, expected);
  }
  return { kind: "given", address, prefixLength: word.includes("/") ? prefixLength(cidr) : undefined };
}

/** `stored`: of the host's Node. @throws OperationError NODE_NO_ADDRESS when none is found that was asked for */
export async function fulfil(
  wish: AddressWish,
  family: 4 | 6,
  stored: HostAddress | undefined,
  host: HostSurroundings,
): Promise<HostAddress | undefined> {
  switch (wish.kind) {
    case "given":
      return givenAddress(wish, stored, host);
    case "detect":
      return await detectAddress(wish.method, family, host);
    case "keep":
      if (stored !== undefined || wish.otherwise === undefined) return stored;
      return await detectAddress(wish.otherwise, family, host);
    case "none":
      return undefined;
    default:
      return unreachable(wish);
  }
}

/** An interface that is gone for a moment takes no knowledge along: the prefix length stays what it was. */
function givenAddress(
  { address, prefixLength: given }: Extract<AddressWish, { kind: "given" }>,
  stored: HostAddress | undefined,
  host: HostSurroundings,
): HostAddress {
  if (given !== undefined) return { address, prefixLength: given };
  const interfaces = host.interfaces();
  const isHeld = interfaces.some(({ addresses }) => addresses.some((one) => one.address === address));
  return !isHeld && stored?.address === address ? stored : withPrefixLength(address, interfaces);
}

export async function fulfilBoth(
  wishes: AddressWishes,
  stored: HostAddresses,
  host: HostSurroundings,
): Promise<HostAddresses> {
  return {
    ipv4: await fulfil(wishes.ipv4, 4, stored.ipv4, host),
    ipv6: await fulfil(wishes.ipv6, 6, stored.ipv6, host),
  };
}

export function addressText({ address, prefixLength: length }: HostAddress): string {
  return `${address}/${length}`;
}

export function sameAddresses(a: HostAddresses, b: HostAddresses): boolean {
  const text = (one: HostAddress | undefined) => one && addressText(one);
  return text(a.ipv4) === text(b.ipv4) && text(a.ipv6) === text(b.ipv6);
}
