/** Node: a host of the cluster and its addresses (calico-datastore.md 2.1). */

import { z } from "zod";
import {
  type Cidr,
  type IpAddress,
  ipFamily,
  prefixLength,
  tryParseCidr,
  tryParseIpAddress,
} from "../base/addresses.ts";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";

export const NodeSpec = z.looseObject({
  bgp: absentOr(
    z.looseObject({
      asNumber: absentOr(z.union([z.number(), z.string()])),
      ipv4Address: absentOr(z.string()),
      ipv6Address: absentOr(z.string()),
    }),
  ),
  addresses: absentOr(z.array(z.looseObject({ address: z.string(), type: absentOr(z.string()) }))),
});

export const Node = z.looseObject({
  ...resourceSchema("Node", NodeSpec).shape,
  spec: z.preprocess((value) => value ?? {}, NodeSpec),
});
export type Node = z.infer<typeof Node>;

export interface NewNode {
  readonly name: string;
  /** Address with the prefix length of its interface, e.g. 172.31.0.11/24; host bits are kept. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export function newNode(wanted: NewNode, stamp: NewObject): Node {
  const { name, ipv4, ipv6, labels } = wanted;
  const addresses = [ipv4, ipv6].filter((address) => address !== undefined);
  return check(Node, {
    kind: "Node",
    apiVersion,
    metadata: newMetadata(name, stamp, labels === undefined ? {} : { labels: { ...labels } }),
    spec: {
      bgp: {
        ...(ipv4 === undefined ? {} : { ipv4Address: ipv4 }),
        ...(ipv6 === undefined ? {} : { ipv6Address: ipv6 }),
      },
      addresses: addresses.map((address) => ({ address, type: "CalicoNodeIP" })),
    },
    status: {},
  });
}

/** @throws BadInput for a value that is no valid Node (it then counts as absent). */
export function decodeNode(text: string, path = ""): Node {
  return decode(Node, text, path);
}

/** The address other hosts route to: BGP address, else first InternalIP, else first ExternalIP of the family. */
export function hostAddress(node: Node, family: 4 | 6): IpAddress | undefined {
  const { bgp, addresses = [] } = node.spec;
  const ofType = (type: string) => addresses.filter((entry) => entry.type === type).map((entry) => entry.address);
  const candidates = [
    family === 4 ? bgp?.ipv4Address : bgp?.ipv6Address,
    ...ofType("InternalIP"),
    ...ofType("ExternalIP"),
  ];
  for (const text of candidates) {
    const address = text === undefined ? undefined : tryParseIpAddress(text.split("/")[0] ?? "");
    if (address !== undefined && ipFamily(address) === family) return address;
  }
  return undefined;
}

/** The subnet of the host's address, if its prefix length is known. */
export function hostSubnet(node: Node, family: 4 | 6): Cidr | undefined {
  const text = family === 4 ? node.spec.bgp?.ipv4Address : node.spec.bgp?.ipv6Address;
  const cidr = text === undefined ? undefined : tryParseCidr(text);
  return cidr === undefined || prefixLength(cidr) === (family === 4 ? 32 : 128) ? undefined : cidr;
}
