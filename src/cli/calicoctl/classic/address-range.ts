/** A range of addresses as the fewest CIDRs that hold exactly it. */

import {
  addressAt,
  type Cidr,
  cidrAround,
  type IpAddress,
  indexOf,
  ipFamily,
  parseCidr,
} from "../../../base/addresses.ts";

/** undefined: the end is not behind the start. Both are of one family. */
export function cidrsOfRange(start: IpAddress, end: IpAddress): readonly Cidr[] | undefined {
  const bits = ipFamily(start) === 4 ? 32 : 128;
  const whole = parseCidr(bits === 32 ? "0.0.0.0/0" : "::/0");
  let at = indexOf(whole, start);
  const last = indexOf(whole, end);
  if (at >= last) return undefined;
  const cidrs: Cidr[] = [];
  while (at <= last) {
    let size = 0;
    const fits = (wider: bigint) => at % wider === 0n && at + wider - 1n <= last;
    while (size < bits && fits(1n << BigInt(size + 1))) size++;
    cidrs.push(cidrAround(addressAt(whole, at), bits - size));
    at += 1n << BigInt(size);
  }
  return cidrs;
}
