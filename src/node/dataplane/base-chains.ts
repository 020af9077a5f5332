/**
 * The fixed part of the table: hooks, dispatch by interface, source check, NAT. Nothing in it grows with endpoints.
 *
 * A packet of an endpoint meets, in this order:
 *   source-check   (raw prerouting)  only known interfaces, only their own addresses
 *   forward-from   (forward -30)     outbound policy of the sending endpoint
 *   forward-to     (forward -20)     inbound policy of the receiving endpoint
 *   input-from     (input -30)       outbound policy for what is meant for this host
 * Two base chains rather than one, because an accept ends a base chain: the sender's yes must not speak for the
 * receiver. Both mark the packet for iptables' FORWARD (forward-accept.ts), which runs after them (priority 0): before
 * the decision, because a drop is final, so whatever gets there was accepted. The host itself may always talk to its
 * endpoints.
 */
import { parseCidr } from "../../base/addresses.ts";
import type { ChainSpec, RuleSpec, SetSpec } from "../../kernel/nftables/ruleset.ts";
import { acceptedBit, names } from "./chain-names.ts";
import { dropRule } from "./rule-rendering.ts";

export interface ChainContent {
  readonly chain: ChainSpec;
  readonly rules: readonly RuleSpec[];
}

export interface BaseChainOptions {
  /** Interfaces whose names begin so are endpoints, known or not. */
  readonly interfacePrefixes: readonly string[];
  /** What becomes of packets to the host that outbound policy accepts: left to the host's own rules, or dropped. */
  readonly endpointToHost: "return" | "drop";
}

export const fixedSets: readonly SetSpec[] = [
  { name: names.endpoints, kind: "interfaces" },
  { name: names.sources4, kind: "interface-addresses4" },
  { name: names.sources6, kind: "interface-addresses6" },
  { name: names.fromEndpoint, kind: "interface-verdicts" },
  { name: names.toEndpoint, kind: "interface-verdicts" },
  { name: names.pools4, kind: "networks4" },
  { name: names.pools6, kind: "networks6" },
  { name: names.natPools4, kind: "networks4" },
  { name: names.natPools6, kind: "networks6" },
];

/** raw: before connection tracking, so that forged packets leave no trace in it. */
const priorityRaw = -300;
/** Calico's own value: after Docker's and kube-proxy's 100. */
const priorityNat = 110;
/** Neighbour discovery and multicast listener reports: IPv6 does not work without them (RFC 4861, RFC 2710). */
const neighbourDiscovery = [130, 131, 132, 133, 135, 136];
const noAddress = "::/128";
const linkLocal = "fe80::/10";
/** Every endpoint's gateway; on no interface (proxy ARP answers for it). */
export const gatewayAddress = "169.254.1.1";

export function baseChains(options: BaseChainOptions): ChainContent[] {
  const { interfacePrefixes } = options;
  const perPrefix = (rule: (prefix: string) => RuleSpec): RuleSpec[] => interfacePrefixes.map(rule);
  const forPrefix = (direction: "in" | "out", chain: string) =>
    perPrefix((prefix) => ({
      matches: [{ match: "interface", direction, prefix }],
      actions: [{ do: "goto", chain }],
    }));
  const forwarded = (direction: "in" | "out", chain: string) =>
    perPrefix((prefix) => ({
      matches: [{ match: "interface", direction, prefix }],
      actions: [
        { do: "set-mark", bit: acceptedBit },
        { do: "goto", chain },
      ],
    }));
  const chains: ChainContent[] = [
    {
      chain: { name: "source-check", hook: { type: "filter", hook: "prerouting", priority: priorityRaw } },
      rules: forPrefix("in", "endpoint-source"),
    },
    { chain: { name: "endpoint-source" }, rules: sourceRules() },
    {
      chain: { name: "forward-from", hook: { type: "filter", hook: "forward", priority: -30 } },
      rules: forwarded("in", names.dispatchFrom),
    },
    {
      chain: { name: "forward-to", hook: { type: "filter", hook: "forward", priority: -20 } },
      rules: forwarded("out", names.dispatchTo),
    },
    {
      chain: { name: "input-from", hook: { type: "filter", hook: "input", priority: -30 } },
      rules: [
        ...perPrefix((prefix) => ({
          matches: [
            { match: "interface", direction: "in", prefix },
            { match: "icmp", family: 6, types: neighbourDiscovery },
          ],
          actions: [{ do: "accept" }],
        })),
        ...forPrefix("in", names.dispatchFrom),
      ],
    },
    {
      chain: { name: "output-to", hook: { type: "filter", hook: "output", priority: -30 } },
      rules: perPrefix((prefix) => ({
        matches: [
          { match: "interface", direction: "out", prefix },
          { match: "interface-in-set", direction: "out", set: names.endpoints, not: true },
        ],
        actions: [{ do: "count" }, { do: "drop" }],
        comment: "unknown interface",
      })),
    },
    {
      chain: { name: "nat-outgoing", hook: { type: "nat", hook: "postrouting", priority: priorityNat } },
      rules: ([4, 6] as const).map((family) => ({
        matches: [
          {
            match: "address-in-set",
            side: "source",
            family,
            set: family === 4 ? names.natPools4 : names.natPools6,
          },
          {
            match: "address-in-set",
            side: "destination",
            family,
            set: family === 4 ? names.pools4 : names.pools6,
            not: true,
          },
        ],
        actions: [{ do: "masquerade" }],
      })),
    },
    {
      chain: { name: names.dispatchFrom },
      rules: [
        { matches: [], actions: [{ do: "dispatch", direction: "in", map: names.fromEndpoint }] },
        dropRule("unknown interface"),
      ],
    },
    {
      chain: { name: names.dispatchTo },
      rules: [
        { matches: [], actions: [{ do: "dispatch", direction: "out", map: names.toEndpoint }] },
        dropRule("unknown interface"),
      ],
    },
  ];
  if (options.endpointToHost === "drop") chains.push(hostClosed(interfacePrefixes));
  return chains;
}

function sourceRules(): RuleSpec[] {
  return [
    // Forwarding it would send it round the loopback route that makes proxy ARP answer (routes.ts).
    {
      matches: [{ match: "address", side: "destination", family: 4, networks: [parseCidr(`${gatewayAddress}/32`)] }],
      actions: [{ do: "drop" }],
      comment: "the gateway takes no packets",
    },
    { matches: [{ match: "interface-source-in-set", family: 4, set: names.sources4 }], actions: [{ do: "accept" }] },
    { matches: [{ match: "interface-source-in-set", family: 6, set: names.sources6 }], actions: [{ do: "accept" }] },
    {
      matches: [
        { match: "interface-in-set", direction: "in", set: names.endpoints },
        { match: "address", side: "source", family: 6, networks: [parseCidr(linkLocal), parseCidr(noAddress)] },
        { match: "icmp", family: 6, types: neighbourDiscovery },
      ],
      actions: [{ do: "accept" }],
    },
    dropRule("unknown interface or forged source"),
  ];
}

function hostClosed(prefixes: readonly string[]): ChainContent {
  return {
    chain: { name: "input-closed", hook: { type: "filter", hook: "input", priority: -20 } },
    rules: prefixes.flatMap((prefix): RuleSpec[] => [
      {
        matches: [
          { match: "interface", direction: "in", prefix },
          { match: "connection", states: ["established", "related"] },
        ],
        actions: [{ do: "accept" }],
      },
      {
        matches: [
          { match: "interface", direction: "in", prefix },
          { match: "icmp", family: 6, types: neighbourDiscovery },
        ],
        actions: [{ do: "accept" }],
      },
      {
        matches: [{ match: "interface", direction: "in", prefix }],
        actions: [{ do: "count" }, { do: "drop" }],
        comment: "endpoints may not reach the host",
      },
    ]),
  };
}
