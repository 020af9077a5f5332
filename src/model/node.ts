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
import { BadInput } from "../base/errors.ts";
import { absentOr, apiVersion, check, decode, type NewObject, newMetadata, resourceSchema } from "./resource.ts";
import { checkAll } from "./several-problems.ts";

const Ipv4Text = z.string().refine((text) => isAddressOrSubnet(text, 4), "is not an IPv4 address");
const Ipv6Text = z.string().refine((text) => isAddressOrSubnet(text, 6), "is not an IPv6 address");

/** Read without looking into texts: a host whose tunnel address is wrong still has an address. */
export const NodeSpec = z.looseObject({
  bgp: absentOr(
    z.looseObject({
      asNumber: absentOr(z.union([z.number(), z.string()])),
      ipv4Address: absentOr(z.string()),
      ipv6Address: absentOr(z.string()),
      ipv4IPIPTunnelAddr: absentOr(z.string()),
      routeReflectorClusterID: absentOr(z.string()),
    }),
  ),
  ipv4VXLANTunnelAddr: absentOr(z.string()),
  ipv6VXLANTunnelAddr: absentOr(z.string()),
  vxlanTunnelMACAddr: absentOr(z.string()),
  vxlanTunnelMACAddrV6: absentOr(z.string()),
  orchRefs: absentOr(z.array(z.looseObject({ nodeName: absentOr(z.string()), orchestrator: absentOr(z.string()) }))),
  wireguard: absentOr(
    z.looseObject({ interfaceIPv4Address: absentOr(z.string()), interfaceIPv6Address: absentOr(z.string()) }),
  ),
  addresses: absentOr(z.array(z.looseObject({ address: z.string(), type: absentOr(z.string()) }))),
  interfaces: absentOr(
    z.array(z.looseObject({ name: absentOr(z.string()), addresses: absentOr(z.array(z.string())) })),
  ),
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

const mac = /^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/;
const addressTypes = ["CalicoNodeIP", "InternalIP", "ExternalIP"];

/** What a client accepts of a Node. @throws BadInput */
export function checkNode({ spec }: Node): void {
  const { bgp } = spec;
  const texts: readonly [path: string, text: string | undefined, schema: z.ZodType][] = [
    ["spec.bgp.ipv4Address", bgp?.ipv4Address, Ipv4Text],
    ["spec.bgp.ipv6Address", bgp?.ipv6Address, Ipv6Text],
    ["spec.bgp.ipv4IPIPTunnelAddr", bgp?.ipv4IPIPTunnelAddr, Ipv4Text],
    ["spec.bgp.routeReflectorClusterID", bgp?.routeReflectorClusterID, Ipv4Text],
    ["spec.ipv4VXLANTunnelAddr", spec.ipv4VXLANTunnelAddr, Ipv4Text],
    ["spec.ipv6VXLANTunnelAddr", spec.ipv6VXLANTunnelAddr, Ipv6Text],
    ["spec.wireguard.interfaceIPv4Address", spec.wireguard?.interfaceIPv4Address, Ipv4Text],
    ["spec.wireguard.interfaceIPv6Address", spec.wireguard?.interfaceIPv6Address, Ipv6Text],
  ];
  const macs = [
    ["spec.vxlanTunnelMACAddr", spec.vxlanTunnelMACAddr],
    ["spec.vxlanTunnelMACAddrV6", spec.vxlanTunnelMACAddrV6],
  ] as const;
  checkAll([
    () => {
      if (bgp === undefined || Object.values(bgp).some((value) => value !== undefined)) return;
      throw new BadInput("spec.bgp", "Spec.BGP should not be empty", "an address, an AS number or no bgp at all");
    },
    () => {
      if (bgp?.asNumber === undefined || parseAsNumber(bgp.asNumber) !== undefined) return;
      throw new BadInput("spec.bgp.asNumber", "AS Number format invalid", "0 to 4294967295, or high.low");
    },
    ...texts.map(
      ([path, text, schema]) =>
        () =>
          text ? check(schema, text, path) : undefined,
    ),
    ...macs.map(([path, text]) => () => {
      if (!text || mac.test(text)) return;
      throw new BadInput(path, `"${text}" is not a MAC address`, "ee:ee:ee:ee:ee:ee");
    }),
    ...(spec.addresses ?? []).map((entry, at) => () => checkNodeAddress(entry, `spec.addresses[${at}]`)),
  ]);
}

function checkNodeAddress({ address, type }: { address: string; type?: string | undefined }, path: string): void {
  if (tryParseIpAddress(address.split("/")[0] ?? "") === undefined) {
    throw new BadInput(`${path}.address`, `"${address}" is not an address`, "an address");
  }
  if (type !== undefined && !addressTypes.includes(type)) {
    throw new BadInput(`${path}.type`, `"${type}" is not known`, addressTypes.join(", "));
  }
}

/** 0 to 4294967295, as a number, its text, or two halves with a dot; undefined: it is none. */
export function parseAsNumber(value: string | number): number | undefined {
  const [high, low, ...rest] = String(value).split(".");
  const part = (text: string | undefined, most: number) =>
    text !== undefined && /^\d+$/.test(text) && Number(text) <= most ? Number(text) : undefined;
  if (rest.length > 0 || high === undefined) return undefined;
  if (low === undefined) return part(high, 0xffffffff);
  const [left, right] = [part(high, 0xffff), part(low, 0xffff)];
  return left === undefined || right === undefined ? undefined : left * 0x10000 + right;
}

function isAddressOrSubnet(text: string, family: 4 | 6): boolean {
  const address = tryParseIpAddress(text.split("/")[0] ?? "");
  if (address === undefined || ipFamily(address) !== family) return false;
  return !text.includes("/") || tryParseCidr(text) !== undefined;
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
