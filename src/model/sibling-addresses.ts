/**
 * The addresses that a container has on its other interfaces, written on the WorkloadEndpoint of each of them. A container has
 * one default route: what it sends leaves by one interface with the address of any, so its host lets all of them pass there.
 */

import { type IpAddress, tryParseIpAddress } from "../base/addresses.ts";

export const SIBLING_ADDRESSES_ANNOTATION = "margay.io/sibling-addresses";
/** Those of them that are on the interface of its default route. */
export const GATEWAY_ADDRESSES_ANNOTATION = "margay.io/gateway-addresses";

const none: readonly IpAddress[] = [];

type Annotations = Readonly<Record<string, string>> | undefined;

/** What is no address there counts for nothing: the packet is then refused, as without the annotation. */
export function siblingAddressesOf(annotations: Annotations): readonly IpAddress[] {
  return addressesIn(annotations?.[SIBLING_ADDRESSES_ANNOTATION]);
}

export function gatewayAddressesOf(annotations: Annotations): readonly IpAddress[] {
  return addressesIn(annotations?.[GATEWAY_ADDRESSES_ANNOTATION]);
}

function addressesIn(text: string | undefined): readonly IpAddress[] {
  if (text === undefined) return none;
  return text.split(",").flatMap((part) => tryParseIpAddress(part) ?? []);
}
