/** Where in the store it stands what a host needs to know before it may take an address. */

import { affinitiesPrefix, ipamConfigKey, kindPrefix, nodeKey } from "../model/keys.ts";

export const poolsPrefix = kindPrefix("IPPool");
export const reservationsPrefix = kindPrefix("IPReservation");

export function hostViewKeys(host: string): { readonly keys: readonly string[]; readonly prefixes: readonly string[] } {
  return { keys: [ipamConfigKey, nodeKey(host)], prefixes: [poolsPrefix, reservationsPrefix, affinitiesPrefix(host)] };
}
