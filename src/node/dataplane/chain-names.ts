/** Names of our objects in the kernel. A restarted process finds its own by these, so they depend on content only. */
import { createHash } from "node:crypto";
import type { RuleListId, SetId } from "../../policy/enforcement.ts";

export const tableName = "margay";
/** Marks our routes (`ip route show proto 109`, "m"); Felix has 80, BIRD 12, the kernel's tools 2 to 4. */
export const routeProtocol = 109;
/** Marks our interfaces, beside their name: `ip link show` prints it as alias. */
export const linkAlias = "margay endpoint";
/** Marks the devices through which what a limited endpoint sends is led. */
export const bandwidthAlias = "margay bandwidth";
/** Policy has said yes; at the end of a forwarded packet's way it also tells iptables so (filter-accept.ts). */
export const acceptedBit = 0x10000;
export const passBit = 0x20000;
/** A policy before connection tracking or before DNAT has said yes for a host endpoint: those after it are not asked. */
export const hostAcceptedBit = 0x40000;

export type PolicyDirection = "inbound" | "outbound";

export const names = {
  /** Interfaces of endpoints that are not closed, and of those that are. */
  endpoints: "endpoints",
  closed: "closed-endpoints",
  sources4: "endpoint-sources4",
  sources6: "endpoint-sources6",
  fromEndpoint: "from-endpoint",
  toEndpoint: "to-endpoint",
  dispatchFrom: "dispatch-from",
  dispatchTo: "dispatch-to",
  pools4: "pools4",
  pools6: "pools6",
  natPools4: "nat-pools4",
  natPools6: "nat-pools6",
  /** Hosts of the cluster. */
  hosts4: "hosts4",
  hosts6: "hosts6",
  spoofing: "spoofing-endpoints",
  /** From a container's other addresses to the one it sends by. */
  siblings4: "sibling-addresses4",
  siblings6: "sibling-addresses6",
  siblingDatagrams: "sibling-datagrams",
  siblingDatagramsOut: "sibling-datagrams-out",
  /** Packet rates and connection counts. */
  limitsTo: "limits-to",
  limitsFrom: "limits-from",
  /** DSCP by the interface a packet comes in, and by the one the host sends it by. */
  dscpFrom: "dscp-from",
  dscpBy: "dscp-by",
  hostInterfaces: "host-interfaces",
  /** By what is asked there; each is a map from interface to chain, and the chain that looks it up. */
  host: {
    inbound: "host-in",
    outbound: "host-out",
    forwardInbound: "host-forward-in",
    forwardOutbound: "host-forward-out",
    preDnat: "host-pre-dnat",
    untrackedInbound: "host-untracked-in",
    untrackedOutbound: "host-untracked-out",
  },
  failsafeInbound: "failsafe-in",
  failsafeOutbound: "failsafe-out",
  failsafeUntrackedInbound: "failsafe-untracked-in",
  failsafeUntrackedOutbound: "failsafe-untracked-out",
} as const;

export type HostHook = keyof typeof names.host;

/** The id itself where nftables can spell it, so that a person finds it; a digest of it where not. */
export function ruleListChain(id: RuleListId, direction: PolicyDirection): string {
  const prefix = direction === "inbound" ? "in" : "out";
  return /^[a-zA-Z0-9_./-]{1,90}$/.test(id) ? `${prefix}/${id}` : `${prefix}-digest/${digest(id)}`;
}

/** Endpoints under the same tiers and profiles share their chains: one more endpoint is a few more elements. */
export function endpointChain(direction: PolicyDirection, shape: string): string {
  return `${direction === "inbound" ? "to" : "from"}/${digest(shape)}`;
}

export function hostChain(hook: HostHook, shape: string): string {
  return `${names.host[hook]}/${digest(shape)}`;
}

/** Checks the other source addresses an endpoint may use. */
export function sourcesChain(networks: string): string {
  return `sources/${digest(networks)}`;
}

/** One endpoint's own: it counts. */
export function limitsChain(map: string, interfaceName: string, rules: string): string {
  return `${map}/${interfaceName}/${digest(rules)}`;
}

export function tierChain(direction: PolicyDirection, shape: string): string {
  return `tier-${direction}/${digest(shape)}`;
}

/** A set's single addresses ("a4-...") and its wider networks ("n4-...") are two sets in the kernel. */
export function addressSetName(id: SetId, family: 4 | 6, part: "addresses" | "networks"): string {
  const prefix = `${part === "addresses" ? "a" : "n"}${family}`;
  return /^[a-zA-Z0-9_-]{1,100}$/.test(id) ? `${prefix}-${id}` : `${prefix}-digest/${digest(id)}`;
}

/** Addresses with protocol and port. */
export function portSetName(id: SetId, family: 4 | 6): string {
  return /^[a-zA-Z0-9_-]{1,100}$/.test(id) ? `p${family}-${id}` : `p${family}-digest/${digest(id)}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 20);
}
