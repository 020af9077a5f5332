/**
 * IP addresses and CIDRs as checked types in canonical text: IPv4 dotted quad, IPv6 compressed lower case (RFC 5952),
 * CIDRs with their host bits cleared. Two equal addresses are equal strings.
 */

import { BadInput } from "./errors.ts";

const octet = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const canonicalHostCidr4 = new RegExp(String.raw`^(?:${octet}\.){3}${octet}/32$`);

const [dot, digit0, digit9] = [46, 48, 57];

declare const family4: unique symbol;
declare const family6: unique symbol;
declare const cidrBrand: unique symbol;
export type Ipv4 = string & { readonly [family4]: true };
export type Ipv6 = string & { readonly [family6]: true };
export type IpAddress = Ipv4 | Ipv6;
export type Cidr = string & { readonly [cidrBrand]: true };
export type IpFamily = 4 | 6;

export function tryParseIpAddress(text: string): IpAddress | undefined {
  const bytes = bytesOf(text);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

/** @throws BadInput when the text is no IPv4 or IPv6 address (zones and leading zeros are refused). */
export function parseIpAddress(text: string, path = ""): IpAddress {
  const address = tryParseIpAddress(text);
  if (address === undefined) throw new BadInput(path, `"${text}" is not an IP address`, "an IPv4 or IPv6 address");
  return address;
}

/** A bare address counts as a /32 or /128; host bits are cleared. */
export function tryParseCidr(text: string): Cidr | undefined {
  // As every writer writes it: every address of the cluster comes through here when an agent starts.
  if (canonicalHostCidr4.test(text)) return text as Cidr;
  const slash = text.indexOf("/");
  const bytes = bytesOf(slash < 0 ? text : text.slice(0, slash));
  if (bytes === undefined) return undefined;
  const bits = bytes.length * 8;
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  if (length > bits) return undefined;
  return cidrOf(bytes, length);
}

/** Of one address: a bare one, or one with /32 or /128. */
export function tryParseHostCidr(text: string): Cidr | undefined {
  const cidr = tryParseCidr(text);
  return cidr === undefined || prefixLength(cidr) === (ipFamily(cidr) === 4 ? 32 : 128) ? cidr : undefined;
}

/** @throws BadInput when the text is neither a CIDR nor an address. */
export function parseCidr(text: string, path = ""): Cidr {
  const cidr = tryParseCidr(text);
  if (cidr === undefined)
    throw new BadInput(path, `"${text}" is not a CIDR`, "an address and prefix length like 10.0.0.0/8");
  return cidr;
}

export function ipFamily(text: IpAddress | Cidr): IpFamily {
  return text.includes(":") ? 6 : 4;
}

export function isIpv4(address: IpAddress): address is Ipv4 {
  return ipFamily(address) === 4;
}

export function prefixLength(cidr: Cidr): number {
  let length = 0;
  for (let at = cidr.lastIndexOf("/") + 1; at < cidr.length; at++) length = length * 10 + cidr.charCodeAt(at) - digit0;
  return length;
}

/** The lowest address of the CIDR. */
export function networkAddress(cidr: Cidr): IpAddress {
  return cidr.slice(0, cidr.indexOf("/")) as IpAddress;
}

/** /32 or /128 of one address. */
export function hostCidr(address: IpAddress): Cidr {
  return `${address}/${ipFamily(address) === 4 ? 32 : 128}` as Cidr;
}

export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  if (ipFamily(cidr) !== ipFamily(address)) return false;
  return sharesPrefix(addressBytes(networkAddress(cidr)), addressBytes(address), prefixLength(cidr));
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  if (ipFamily(a) !== ipFamily(b)) return false;
  const shorter = Math.min(prefixLength(a), prefixLength(b));
  return sharesPrefix(addressBytes(networkAddress(a)), addressBytes(networkAddress(b)), shorter);
}

/** True when every address of inner is in outer. */
export function cidrCovers(outer: Cidr, inner: Cidr): boolean {
  return prefixLength(outer) <= prefixLength(inner) && cidrOverlaps(outer, inner);
}

/** The index-th address of the CIDR, counting from its lowest. */
export function addressAt(cidr: Cidr, index: bigint | number): IpAddress {
  const base = addressBytes(networkAddress(cidr));
  return addressFromBytes(bytesFromNumber(numberFromBytes(base) + BigInt(index), base.length));
}

/** Position of the address in the CIDR; negative or past the end when it lies outside. */
export function indexOf(cidr: Cidr, address: IpAddress): bigint {
  return numberFromBytes(addressBytes(address)) - numberFromBytes(addressBytes(networkAddress(cidr)));
}

/** The CIDR of the given length that holds the address. */
export function cidrAround(address: IpAddress, length: number): Cidr {
  return cidrOf(addressBytes(address), length);
}

/** 4 or 16 bytes, network order. */
export function addressBytes(address: IpAddress): Uint8Array {
  const bytes = bytesOf(address);
  if (bytes === undefined) throw new BadInput("", `"${address}" is not an IP address`, "an IPv4 or IPv6 address");
  return bytes;
}

export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join(".") as Ipv4;
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0));
  return compress(groups) as Ipv6;
}

/** RFC 5952: the longest run of at least two zero groups, the first of equals, becomes "::". */
function compress(groups: readonly number[]): string {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (best.start < 0) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

function bytesOf(text: string): Uint8Array | undefined {
  return text.includes(":") ? bytesOf6(text) : bytesOf4(text);
}

function bytesOf4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : dot;
    if (code === dot) {
      if (digits === 0 || part === 4) return undefined;
      bytes[part++] = value;
      digits = value = 0;
      continue;
    }
    // No more digits after a leading zero.
    if (code < digit0 || code > digit9 || (digits > 0 && value === 0)) return undefined;
    value = value * 10 + code - digit0;
    digits++;
    if (value > 255) return undefined;
  }
  return part === 4 ? bytes : undefined;
}

function bytesOf6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  for (const [at, group] of [...head, ...new Array<number>(missing).fill(0), ...tail].entries()) {
    bytes[at * 2] = group >> 8;
    bytes[at * 2 + 1] = group & 0xff;
  }
  return bytes;
}

/** 16-bit groups of one side of "::"; only the last side may end in a dotted quad. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    if (part.includes(".")) {
      const quad = last && at === parts.length - 1 ? bytesOf4(part) : undefined;
      if (quad === undefined) return undefined;
      groups.push(((quad[0] ?? 0) << 8) | (quad[1] ?? 0), ((quad[2] ?? 0) << 8) | (quad[3] ?? 0));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function cidrOf(bytes: Uint8Array, length: number): Cidr {
  const masked = bytes.map((byte, at) => {
    const kept = Math.min(8, Math.max(0, length - at * 8));
    return byte & (0xff00 >> kept) & 0xff;
  });
  return `${addressFromBytes(masked)}/${length}` as Cidr;
}

function sharesPrefix(a: Uint8Array, b: Uint8Array, length: number): boolean {
  const whole = length >> 3;
  for (let at = 0; at < whole; at++) if (a[at] !== b[at]) return false;
  const rest = length & 7;
  return rest === 0 || (((a[whole] ?? 0) ^ (b[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0;
}

function numberFromBytes(bytes: Uint8Array): bigint {
  let number = 0n;
  for (const byte of bytes) number = (number << 8n) | BigInt(byte);
  return number;
}

function bytesFromNumber(number: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = size - 1, rest = number; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}
