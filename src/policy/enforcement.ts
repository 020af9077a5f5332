/**
 * What ONE host must enforce: the output of policy/ and the input of the dataplane.
 * - Within one flush dependencies come first (address sets, rule lists, then endpoints), removals in reverse:
 *   a receiver never sees a reference to something unknown and never loses something still referenced.
 * - An endpoint with `problems` is closed in both directions: it carries neither tiers nor profiles.
 * - A tier takes part in a direction only if its list for that direction is not empty; a list entry without rules
 *   still counts (the policy selects the endpoint, so the end-of-tier action applies).
 * - Sets and rule lists hold both address families; a rule whose nets or protocol bind it to one says so in ipVersion.
 * - What a receiver has no method for is never sent to it in another guise: rules with named ports close whoever they
 *   apply to on a receiver without portSet(), and host endpoints are not told to one without hostEndpoint().
 * Absent on purpose: nftables syntax, kernel names, counters.
 */
import type { Cidr, IpAddress } from "../base/addresses.ts";
import type { InterfaceName } from "../base/names.ts";

/** Stable hash of a selector's normal form; letters, digits, "-" and "_" only, starts with a letter. */
export type SetId = string;
/** For example "profile/my-calico-net" or "policy/default/allow-web". */
export type RuleListId = string;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** All members that are not empty must match (AND); within one member any entry may match (OR). */
export interface RuleMatch {
  readonly nets: readonly Cidr[];
  readonly notNets: readonly Cidr[];
  readonly sets: readonly SetId[];
  readonly notSets: readonly SetId[];
  /** One member together with portSets: the port is in a range OR address, protocol and port are in a port set. */
  readonly ports: readonly PortRange[];
  readonly notPorts: readonly PortRange[];
  /** Named ports; only on a receiver that has portSet(). Absent means empty. */
  readonly portSets?: readonly SetId[];
  /** One member together with notPorts: none of them may match. */
  readonly notPortSets?: readonly SetId[];
}

/** "<address>,<protocol number>,<port>", e.g. "192.168.0.1,6,80": see port-member.ts. */
export type PortMember = string;

export interface Rule {
  readonly action: "allow" | "deny" | "pass" | "log";
  readonly ipVersion?: 4 | 6;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: { type: number; code?: number };
  readonly notIcmp?: { type: number; code?: number };
  readonly source: RuleMatch;
  readonly destination: RuleMatch;
}

export interface RuleList {
  readonly inbound: readonly Rule[];
  readonly outbound: readonly Rule[];
}

export interface TierRef {
  readonly name: string;
  readonly defaultAction: "deny" | "pass";
  readonly inbound: readonly RuleListId[];
  readonly outbound: readonly RuleListId[];
}

export interface EndpointEnforcement {
  /** The store key of the endpoint. */
  readonly key: string;
  readonly interfaceName: InterfaceName;
  readonly mac: string | undefined;
  readonly addresses: readonly IpAddress[];
  readonly tiers: readonly TierRef[];
  /** A "pass" in one of them is no verdict: that list ends there, the next one is asked. */
  readonly profiles: readonly RuleListId[];
  /** Reasons why the endpoint is closed, readable for a user. */
  readonly problems: readonly string[];
  /** Of its container on other interfaces: packets may come from them, none go to them here. Absent means none. */
  readonly siblingAddresses?: readonly IpAddress[];
  /** Those of them that its container sends by, when that is another interface. Absent means none. */
  readonly gatewayAddresses?: readonly IpAddress[];
  /** Other source addresses it may use; only on a receiver that has hostSettings(). Absent means none. */
  readonly allowedSources?: readonly Cidr[];
  /** Absent means none. */
  readonly limits?: EndpointLimits;
  /** Of what it sends to outside the cluster, to neither a pool nor a host. Absent: left as it is. */
  readonly dscp?: number;
}

export interface EndpointLimits {
  readonly inbound?: TrafficLimits;
  readonly outbound?: TrafficLimits;
}

/** Of one direction of an endpoint; what the host itself sends to it is under none of them but bandwidth. */
export interface TrafficLimits {
  /** More packets are dropped, of open connections too. */
  readonly packets?: { readonly perSecond: number; readonly burst: number };
  /** More TCP connections at a time are refused with a reset. */
  readonly connections?: number;
  readonly bandwidth?: Bandwidth;
}

export interface Bandwidth {
  readonly bitsPerSecond: number;
  /** After a silence so much passes at once. */
  readonly burstBits: number;
  /** How fast a burst may be; absent: as fast as the line. */
  readonly peakBitsPerSecond?: number;
  readonly minBurstBytes?: number;
}

/**
 * An interface of the host itself (calico-datastore.md 2.3, 5.3). Which interface that is, is decided where the
 * interfaces are known: `interfaceName` alone counts if given, else whichever carries one of `expectedIps`; of several
 * candidates for one interface the byte-wise smallest `name` wins. "*" is a pool of its own, for interfaces that no
 * other one is for.
 * - Failsafe ports (HostSettings) come before everything here.
 * - `tiers` and `profiles` judge what host processes send and receive; none of both: dropped.
 * - `forwardTiers` judge what is forwarded: allowed if no tier has a list for the direction.
 * - `preDnatTiers` (inbound only) and `untrackedTiers` never deny at their end: defaultAction is "pass".
 *   Untracked ones do not apply to "*".
 * - With `problems` all lists are empty, and local as well as forwarded traffic of the interface is dropped.
 */
export interface HostEndpointEnforcement {
  readonly key: string;
  readonly name: string;
  /** "*": all interfaces of the host that are not workloads'. */
  readonly interfaceName: InterfaceName | "*" | undefined;
  readonly expectedIps: readonly IpAddress[];
  readonly tiers: readonly TierRef[];
  readonly profiles: readonly RuleListId[];
  readonly forwardTiers: readonly TierRef[];
  readonly preDnatTiers: readonly TierRef[];
  readonly untrackedTiers: readonly TierRef[];
  readonly problems: readonly string[];
  /** Of what the host sends by the interface to outside the cluster. Absent: left as it is. */
  readonly dscp?: number;
}

/** Open on host endpoints whatever policy says, so that nobody locks himself out. */
export interface FailsafePort {
  readonly protocol: number;
  readonly port: number;
  /** Only with this peer; undefined: with everybody. */
  readonly net: Cidr | undefined;
}

/** So many in each unit of time; after a silence `burst` at once. */
export interface RateLimit {
  readonly count: number;
  readonly per: "second" | "minute" | "hour" | "day";
  readonly burst: number;
}

/** What of FelixConfiguration decides about packets on this host: node.<host> over selected over default over built in. */
export interface HostSettings {
  /** Interfaces whose names begin so are workloads'. Never empty. */
  readonly interfacePrefixes: readonly string[];
  /** Packets of workloads to their host that outbound policy accepts. "return": the host's own rules decide. */
  readonly endpointToHost: "drop" | "accept" | "return";
  /** What becomes of packets that policy accepts; "return": other rules of the host have their say too. */
  readonly allowAction: "accept" | "return";
  readonly denyAction: "drop" | "reject";
  readonly failsafeInbound: readonly FailsafePort[];
  readonly failsafeOutbound: readonly FailsafePort[];
  /** Of the log action, without the ": " that is put behind it; `%t %k %p %n` stand for tier, kind and names of the policy. */
  readonly logPrefix: string;
  /** Of each log rule; undefined: not set, and the receiver bounds it as it sees fit. */
  readonly logLimit: RateLimit | undefined;
  /** Packets of no known connection are dropped, unless false. */
  readonly dropInvalid: boolean;
  readonly allowVxlanFromWorkloads: boolean;
  readonly allowIpipFromWorkloads: boolean;
  /** SNAT to it instead of masquerading. */
  readonly natOutgoingAddress: IpAddress | undefined;
  readonly natPortRange: PortRange | undefined;
  /** Traffic to the hosts' own addresses is not translated either. */
  readonly natExcludesHosts: boolean;
  /** Hosts that have no Node, and count as hosts all the same. */
  readonly externalHosts: readonly Cidr[];
  /** Foreign routes to workload interfaces are removed. */
  readonly removeExternalRoutes: boolean;
  /**
   * Undefined: this is no OpenStack. Else its endpoints may ask their host for DHCP and DNS, and for metadata, whatever
   * policy says.
   */
  readonly openStack: { readonly metadata: MetadataService | undefined } | undefined;
  /** Source of the routes to workloads. */
  readonly routeSource: { readonly ipv4: IpAddress | undefined; readonly ipv6: IpAddress | undefined };
}

/** Where requests to 169.254.169.254:80 are led. */
export interface MetadataService {
  /** An IPv4 address, or a name for the host to look up. */
  readonly host: string;
  readonly port: number;
}

/** A receiver that can match address, protocol and port together. */
export interface PortSetSink {
  portSet(id: SetId, members: ReadonlySet<PortMember> | undefined): void;
  portSetDelta(id: SetId, added: readonly PortMember[], removed: readonly PortMember[]): void;
}

/** A receiver that enforces on the host's own interfaces, by the settings of the host. */
export interface HostSink {
  /** Comes before everything else of a flush, first with the first flush. */
  hostSettings(settings: HostSettings): void;
  /** Of all hosts of the cluster, this one included. */
  hostAddresses(addresses: readonly IpAddress[]): void;
  hostEndpoint(key: string, endpoint: HostEndpointEnforcement | undefined): void;
}

export interface EnforcementSink extends Partial<PortSetSink>, Partial<HostSink> {
  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void;
  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void;
  ruleList(id: RuleListId, list: RuleList | undefined): void;
  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void;
  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void;
  /** Routes to other hosts: block CIDRs (or /32s) via the owner's host address; own blocks are listed in localBlocks (blackholed). */
  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void;
  localBlocks(blocks: readonly Cidr[]): void;
}
