/** Which addresses the stored endpoints say they have: whatever else is believed, such an address is not to be given away. */
import { type IpAddress, ipFamily, networkAddress } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { decodeWorkloadEndpoint, networksOf } from "../model/workload-endpoint.ts";
import type { KeyValue } from "../store/store.ts";

export function claimsOf(endpoints: readonly KeyValue[]): (address: IpAddress) => boolean {
  const claimed = new Set<IpAddress>();
  const unreadable: string[] = [];
  for (const { key, value } of endpoints) {
    try {
      for (const cidr of networksOf(decodeWorkloadEndpoint(value, key), key)) claimed.add(networkAddress(cidr));
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      unreadable.push(value);
    }
  }
  return (address) => claimed.has(address) || unreadable.some((text) => mayMean(text, address));
}

/** An endpoint nobody can read may still be somebody's: it is enough that it has something like the address in it. */
function mayMean(text: string, address: IpAddress): boolean {
  // An IPv6 address can be written in many ways.
  return ipFamily(address) === 6 ? /[\da-f]{0,4}:[\da-f:]*:/i.test(text) : text.includes(address);
}
