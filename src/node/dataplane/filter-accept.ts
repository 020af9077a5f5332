/**
 * Docker (and others) set the policy of iptables' FORWARD chain to DROP, for IPv4 and IPv6, and no accept of our table can
 * undo that. So two rules are appended there: what our table has accepted (it sets a mark bit, and runs earlier) and
 * touches an endpoint's interface is accepted. The same in INPUT, when endpoints may always reach their host, or services of it.
 * Appended, not inserted: an administrator's explicit drop still counts, only the policy does not.
 * By mark and interface: without our table nothing carries the mark, and the host stays closed.
 */
import type { Clock } from "../../base/clock.ts";
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { IptablesChain, IptablesRule } from "../../kernel/iptables.ts";
import type { HostSettings } from "../../policy/enforcement.ts";
import type { OnMeasured } from "./apply-measures.ts";
import { acceptedBit } from "./chain-names.ts";

/** How our rules are told from all others, in any version. */
export const acceptComment = "margay: accepted by endpoint policy";
const mark = `0x${acceptedBit.toString(16)}/0x${acceptedBit.toString(16)}`;

export type AcceptSettings = Pick<HostSettings, "interfacePrefixes" | "allowAction" | "endpointToHost" | "openStack">;

/** Whether other rules are needed. */
export function acceptsDiffer(before: AcceptSettings, after: AcceptSettings): boolean {
  return JSON.stringify(wantedRules(before)) !== JSON.stringify(wantedRules(after));
}

function wantedRules({ interfacePrefixes, allowAction, endpointToHost, openStack }: AcceptSettings): IptablesRule[] {
  const toHost = endpointToHost === "accept" || openStack !== undefined;
  return interfacePrefixes.flatMap((prefix) => {
    const rules: IptablesRule[] = [];
    if (allowAction === "accept") rules.push(acceptRule("FORWARD", "-i", prefix), acceptRule("FORWARD", "-o", prefix));
    if (allowAction === "accept" && toHost) rules.push(acceptRule("INPUT", "-i", prefix));
    return rules;
  });
}

function acceptRule(chain: IptablesChain, direction: "-i" | "-o", prefix: string): IptablesRule {
  return {
    chain,
    arguments: [
      ...[direction, `${prefix}+`],
      ...["-m", "mark", "--mark", mark],
      ...["-m", "comment", "--comment", acceptComment],
      ...["-j", "ACCEPT"],
    ],
  };
}

/** How `iptables -S` prints the rule. */
function printed(rule: IptablesRule): string {
  const words = rule.arguments.map((word) => (word.includes(" ") ? `"${word}"` : word));
  return `-A ${rule.chain} ${words.join(" ")}`;
}

/** The rule that was printed so. */
function parsed(line: string, chain: IptablesChain): IptablesRule {
  const words = line.match(/"[^"]*"|\S+/g) ?? [];
  return { chain, arguments: words.slice(2).map((word) => word.replace(/^"|"$/g, "")) };
}

export type IptablesAccess = Pick<
  HostNetwork,
  "iptablesTables" | "markedIptablesRules" | "appendIptablesRule" | "deleteIptablesRule"
>;

/** The same, and how long each of the programs that it starts took. */
export function timedIptables(network: IptablesAccess, clock: Clock, onMeasured: OnMeasured): IptablesAccess {
  const timed = async <Result>(run: () => Promise<Result>): Promise<Result> => {
    const startMs = clock.monotonicMs();
    try {
      return await run();
    } finally {
      onMeasured("child-process-seconds", (clock.monotonicMs() - startMs) / 1_000);
    }
  };
  return {
    iptablesTables: () => network.iptablesTables(),
    markedIptablesRules: (...words) => timed(() => network.markedIptablesRules(...words)),
    appendIptablesRule: (...words) => timed(() => network.appendIptablesRule(...words)),
    deleteIptablesRule: (...words) => timed(() => network.deleteIptablesRule(...words)),
  };
}

/** @returns how many rules were missing or too many. */
export async function ensureFilterAccept(
  network: IptablesAccess,
  settings: AcceptSettings | undefined,
): Promise<number> {
  let repaired = 0;
  const wanted = settings === undefined ? [] : wantedRules(settings);
  for (const { program, chains } of network.iptablesTables())
    for (const chain of chains) {
      const missing = new Map(wanted.filter((rule) => rule.chain === chain).map((rule) => [printed(rule), rule]));
      for (const line of await network.markedIptablesRules(program, chain, acceptComment)) {
        if (missing.delete(line.trim())) continue;
        if (await network.deleteIptablesRule(program, parsed(line.trim(), chain))) repaired++;
      }
      for (const rule of missing.values()) {
        await network.appendIptablesRule(program, rule);
        repaired++;
      }
    }
  return repaired;
}

export async function removeFilterAccept(network: IptablesAccess): Promise<void> {
  await ensureFilterAccept(network, undefined);
}
