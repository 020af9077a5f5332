/**
 * What Calico's clients call a field in messages: the name in their Go structure, which is not the one in the document
 * (asNumber is ASNumber, cidr is CIDR). Names that a rule of upstream already spells out stay as they are.
 */

/** Parts of names that Go writes in capitals; longest first where one begins another. */
const initialisms =
  /^(asPath|as|cidr|ipip|ipNAT|ip|vxlan|mac|mtu|icmp|http|bpf|nat|pre(?=DNAT)|dscp|qos|ttl|bgp)(?=[A-Z0-9]|s?$)/;
const fixed: Readonly<Record<string, string>> = {
  ipNetworks: "IPNetworks",
  ipNATs: "IPNATs",
  ipv4Address: "IPv4Address",
  ipv6Address: "IPv6Address",
  ipv4Gateway: "IPv4Gateway",
  ipv6Gateway: "IPv6Gateway",
  ipv4IPIPTunnelAddr: "IPv4IPIPTunnelAddr",
  ipv4VXLANTunnelAddr: "IPv4VXLANTunnelAddr",
  ipv6VXLANTunnelAddr: "IPv6VXLANTunnelAddr",
  ipVersion: "IPVersion",
  preDNAT: "PreDNAT",
  notICMP: "NotICMP",
  asPathPrefix: "ASPathPrefix",
};

/** The last field of a path. Of a list's entry the list: its value tells which. */
export function goFieldName(path: string): string {
  if (path === "" || /^(Metadata|IPPool)\./.test(path)) return path;
  const steps = path.split(/[.[\]]+/).filter((step) => step !== "");
  return capitalized(steps.findLast((step) => !/^\d+$/.test(step)) ?? path);
}

function capitalized(field: string): string {
  const known = Object.hasOwn(fixed, field) ? fixed[field] : undefined;
  if (known !== undefined) return known;
  const initial = initialisms.exec(field)?.[0];
  if (initial !== undefined) return initial.toUpperCase() + field.slice(initial.length);
  return field.charAt(0).toUpperCase() + field.slice(1);
}
