/** What a receiver that does exactly what it was told would do with a packet. */

import { cidrContains, parseIpAddress } from "../../base/addresses.ts";
import { invariant } from "../../base/errors.ts";
import type { Rule, RuleListId, RuleMatch, TierRef } from "../enforcement.ts";
import { portMember } from "../port-member.ts";
import type { CheckingSink } from "./checking-sink.ts";
import type { Direction, OraclePacket, Verdict } from "./oracle.ts";

const protocolNumbers = { TCP: 6, UDP: 17, ICMP: 1, ICMPv6: 58 } as const;

export interface Judge {
  readonly tiers: readonly TierRef[];
  /** Undefined: what no tier decides goes on. */
  readonly profiles: readonly RuleListId[] | undefined;
}

export function verdictOf(sink: CheckingSink, judge: Judge, direction: Direction, packet: OraclePacket): Verdict {
  const side = direction === "ingress" ? "inbound" : "outbound";
  const decide = (ids: readonly RuleListId[]): Rule["action"] | undefined => {
    for (const id of ids) {
      const list = sink.lists.get(id);
      invariant(list !== undefined, `list ${id} is known`);
      const hit = list[side].find((rule) => rule.action !== "log" && matchesRule(sink, rule, packet));
      if (hit !== undefined) return hit.action;
    }
    return undefined;
  };
  for (const tier of judge.tiers) {
    if (tier[side].length === 0) continue;
    const action = decide(tier[side]);
    if (action === "allow" || action === "deny") return action;
    if (action === undefined && tier.defaultAction === "deny") return "deny";
  }
  if (judge.profiles === undefined) return "none";
  for (const profile of judge.profiles) {
    // Pass is no verdict: the list ends there, as in the kernel, and the next profile is asked.
    const action = decide([profile]);
    if (action === "allow" || action === "deny") return action;
  }
  return "deny";
}

function matchesRule(sink: CheckingSink, rule: Rule, packet: OraclePacket): boolean {
  const protocol = protocolNumbers[packet.protocol];
  const ofIcmp = ({ type, code }: { type: number; code?: number }) =>
    packet.icmp.type === type && (code === undefined || packet.icmp.code === code);
  if (rule.ipVersion !== undefined && (rule.ipVersion === 6) !== packet.source.includes(":")) return false;
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  if (rule.notProtocol === protocol) return false;
  if (rule.icmp !== undefined && !ofIcmp(rule.icmp)) return false;
  if (rule.notIcmp !== undefined && ofIcmp(rule.notIcmp)) return false;
  return (
    matchesSide(sink, rule.source, packet.source, packet.sourcePort, protocol) &&
    matchesSide(sink, rule.destination, packet.destination, packet.destinationPort, protocol)
  );
}

function matchesSide(sink: CheckingSink, match: RuleMatch, text: string, port: number, protocol: number): boolean {
  const address = parseIpAddress(text);
  const inSet = (id: string) => [...(sink.sets.get(id) ?? [])].some((cidr) => cidrContains(cidr, address));
  const inPortSet = (id: string) => sink.portSets.get(id)?.has(portMember({ address, protocol, port })) ?? false;
  const hasPorts = protocol === protocolNumbers.TCP || protocol === protocolNumbers.UDP;
  const inRange = ({ first, last }: { first: number; last: number }) => hasPorts && first <= port && port <= last;
  const { nets, notNets, sets, notSets, ports, notPorts, portSets = [], notPortSets = [] } = match;
  return (
    (nets.length === 0 || nets.some((net) => cidrContains(net, address))) &&
    !notNets.some((net) => cidrContains(net, address)) &&
    (sets.length === 0 || sets.some(inSet)) &&
    !notSets.some(inSet) &&
    (ports.length + portSets.length === 0 || ports.some(inRange) || portSets.some(inPortSet)) &&
    !notPorts.some(inRange) &&
    !notPortSets.some(inPortSet)
  );
}
