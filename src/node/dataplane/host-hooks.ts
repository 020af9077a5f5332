/**
 * Where host endpoints come in: the rules they add to the base chains, and base chains of their own. Only there while any
 * host endpoint is. felix-dataplane.md 3.8.
 * - Each place has a map from interface to chain (host-endpoints.ts); an interface without a host endpoint is not in it.
 * - Policy before connection tracking (raw) or before DNAT that says yes is final: hostAcceptedBit tells those after it.
 * - Neighbour discovery always passes: without it the host could not even be asked for its failsafe ports over IPv6.
 */
import type { Action, Match, RuleSpec } from "../../kernel/nftables/ruleset.ts";
import { type ChainContent, established, forgetDecision, ofNeighbourDiscovery, priorityRaw } from "./base-rules.ts";
import { acceptedBit, type HostHook, hostAcceptedBit, names, passBit } from "./chain-names.ts";

/** Before DNAT (-100), after connection tracking (-200). */
const priorityMangle = -150;

const acceptedBefore: Match = { match: "mark", bit: hostAcceptedBit };
const notAcceptedBefore: Match = { match: "mark", bit: hostAcceptedBit, not: true };
const accepted: Match = { match: "mark", bit: acceptedBit };
const ask = (hook: HostHook): readonly Action[] => [{ do: "jump", chain: names.host[hook] }];
const acceptedEarly: readonly Action[] = [
  { do: "clear-mark", bit: acceptedBit },
  { do: "set-mark", bit: hostAcceptedBit },
];
const discovery: RuleSpec = { matches: [ofNeighbourDiscovery()], actions: [{ do: "accept" }] };
const forgetAll: RuleSpec = {
  matches: [],
  actions: [{ do: "clear-mark", bit: acceptedBit | passBit | hostAcceptedBit }],
};

function untracked(hook: HostHook): RuleSpec[] {
  return [
    forgetAll,
    discovery,
    { matches: [], actions: ask(hook) },
    { matches: [accepted], actions: [...acceptedEarly, { do: "untrack" }, { do: "accept" }] },
  ];
}

/** Forwarded packets of host endpoints: nobody has to say yes, and established ones passed before. */
function forwarded(hook: HostHook): RuleSpec[] {
  return [forgetDecision, { matches: [notAcceptedBefore], actions: ask(hook) }];
}

function own(hook: HostHook): RuleSpec[] {
  return [
    { matches: [acceptedBefore], actions: [{ do: "accept" }] },
    discovery,
    { matches: [established], actions: [{ do: "accept" }] },
    forgetDecision,
    { matches: [], actions: ask(hook) },
    { matches: [], actions: [{ do: "clear-mark", bit: acceptedBit }] },
  ];
}

/** After the rules of the base chains for endpoints, which leave them with "goto". */
export const hostRules = {
  rawPrerouting: untracked("untrackedInbound"),
  forward: [
    { matches: [established], actions: [{ do: "accept" }] },
    ...forwarded("forwardInbound"),
    ...forwarded("forwardOutbound"),
    { matches: [], actions: [{ do: "clear-mark", bit: acceptedBit }] },
  ],
  /** The map has no endpoints in it, so what comes from one is not asked a second time. */
  forwardTo: forwarded("forwardInbound"),
  forwardFrom: forwarded("forwardOutbound"),
  input: own("inbound"),
  output: own("outbound"),
} satisfies Record<string, readonly RuleSpec[]>;

export function hostHookChains(
  ofEndpoints: (direction: "in" | "out", actions: readonly Action[]) => readonly RuleSpec[],
): ChainContent[] {
  return [
    {
      chain: { name: "host-raw-output", hook: { type: "filter", hook: "output", priority: priorityRaw } },
      rules: [...ofEndpoints("out", [{ do: "accept" }]), ...untracked("untrackedOutbound")],
    },
    {
      chain: { name: "host-before-dnat", hook: { type: "filter", hook: "prerouting", priority: priorityMangle } },
      rules: [
        ...ofEndpoints("in", [{ do: "accept" }]),
        { matches: [acceptedBefore], actions: [{ do: "accept" }] },
        discovery,
        { matches: [established], actions: [{ do: "accept" }] },
        forgetDecision,
        { matches: [], actions: ask("preDnat") },
        { matches: [accepted], actions: acceptedEarly },
      ],
    },
  ];
}
