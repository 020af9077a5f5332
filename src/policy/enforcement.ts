/**
 * What ONE host must enforce: the output of policy/ and the input of the dataplane.
 * - Within one flush dependencies come first (address sets, rule lists, then endpoints), removals in reverse:
 *   a receiver never sees a reference to something unknown and never loses something still referenced.
 * - An endpoint with `problems` is closed in both directions: it carries neither tiers nor profiles.
 * - A tier takes part in a direction only if its list for that direction is not empty; a list entry without rules
 *   still counts (the policy selects the endpoint, so the end-of-tier action applies).
 * - Sets and rule lists hold both address families; a rule whose nets or protocol bind it to one says so in ipVersion.
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
  readonly ports: readonly PortRange[];
  readonly notPorts: readonly PortRange[];
}

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
  readonly profiles: readonly RuleListId[];
  /** Reasons why the endpoint is closed, readable for a user. */
  readonly problems: readonly string[];
}

export interface EnforcementSink {
  addressSet(id: SetId, members: ReadonlySet<Cidr> | undefined): void;
  addressSetDelta(id: SetId, added: readonly Cidr[], removed: readonly Cidr[]): void;
  ruleList(id: RuleListId, list: RuleList | undefined): void;
  endpoint(key: string, endpoint: EndpointEnforcement | undefined): void;
  natPools(pools: readonly { cidr: Cidr; natOutgoing: boolean }[]): void;
  /** Routes to other hosts: block CIDRs (or /32s) via the owner's host address; own blocks are listed in localBlocks (blackholed). */
  remoteRoutes(routes: ReadonlyMap<Cidr, IpAddress>): void;
  localBlocks(blocks: readonly Cidr[]): void;
}
