/**
 * Docker (and others) set the policy of iptables' FORWARD chain to DROP, and no accept of our table can undo that. So two
 * rules are appended there: what our table has accepted (it sets a mark bit, and runs earlier) and touches an endpoint's
 * interface is accepted. Appended, not inserted: an administrator's explicit drop still counts, only the policy does not.
 * By mark and interface: without our table nothing carries the mark, and the host stays closed.
 */
import type { HostNetwork } from "../../kernel/host-network.ts";
import type { IptablesRule } from "../../kernel/iptables.ts";
import { acceptedBit } from "./chain-names.ts";

/** How our rules are told from all others, in any version. */
export const forwardComment = "margay: accepted by endpoint policy";
const mark = `0x${acceptedBit.toString(16)}/0x${acceptedBit.toString(16)}`;

function wantedRules(prefixes: readonly string[]): IptablesRule[] {
  return prefixes.flatMap((prefix) =>
    ["-i", "-o"].map(
      (direction): IptablesRule => ({
        chain: "FORWARD",
        arguments: [
          ...[direction, `${prefix}+`],
          ...["-m", "mark", "--mark", mark],
          ...["-m", "comment", "--comment", forwardComment],
          ...["-j", "ACCEPT"],
        ],
      }),
    ),
  );
}

/** How `iptables -S` prints the rule. */
function printed(rule: IptablesRule): string {
  const words = rule.arguments.map((word) => (word.includes(" ") ? `"${word}"` : word));
  return `-A ${rule.chain} ${words.join(" ")}`;
}

/** @returns how many rules were missing. */
export async function ensureForwardAccept(network: HostNetwork, prefixes: readonly string[]): Promise<number> {
  let repaired = 0;
  const wanted = wantedRules(prefixes);
  for (const variant of network.iptablesVariants()) {
    const present = await network.markedIptablesRules(variant, forwardComment);
    for (const rule of wanted) {
      const copies = present.filter((line) => line.trim() === printed(rule)).length;
      for (let extra = 1; extra < copies; extra++) await network.deleteIptablesRule(variant, rule);
      if (copies > 0) continue;
      await network.appendIptablesRule(variant, rule);
      repaired++;
    }
  }
  return repaired;
}

export async function removeForwardAccept(network: HostNetwork, prefixes: readonly string[]): Promise<void> {
  for (const variant of network.iptablesVariants()) {
    const present = await network.markedIptablesRules(variant, forwardComment);
    for (const rule of wantedRules(prefixes))
      for (const line of present) if (line.trim() === printed(rule)) await network.deleteIptablesRule(variant, rule);
  }
}
