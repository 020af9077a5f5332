/** Pieces of rules that several of the fixed chains are made of. */
import type { ChainSpec, Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import { acceptedBit, passBit } from "./chain-names.ts";

export interface ChainContent {
  readonly chain: ChainSpec;
  readonly rules: readonly RuleSpec[];
}

/** raw: before connection tracking, so that forged packets leave no trace in it. */
export const priorityRaw = -300;
/** Neighbour discovery and multicast listener reports: IPv6 does not work without them (RFC 4861, RFC 2710). */
const neighbourDiscovery = [130, 131, 132, 133, 134, 135, 136];

export const established: Match = { match: "connection", states: ["established", "related"] };
export const ofNeighbourDiscovery = (types = neighbourDiscovery): Match => ({ match: "icmp", family: 6, types });
/** Routers advertise themselves to the host, and endpoints are none. */
export const endpointDiscovery = neighbourDiscovery.filter((type) => type !== 134);
/** What was decided for one side of a packet must not count for the other. */
export const forgetDecision: RuleSpec = { matches: [], actions: [{ do: "clear-mark", bit: acceptedBit | passBit }] };
/** Of no connection that the host has seen begin. */
export const invalid: RuleSpec = {
  matches: [{ match: "connection", states: ["invalid"] }],
  actions: [{ do: "count" }, { do: "drop" }],
  comment: "invalid",
};
