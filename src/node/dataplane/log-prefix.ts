/** What stands before a line that the log action writes to the kernel log (felix-dataplane.md 3.4). */
import type { HostSettings, RateLimit, RuleListId } from "../../policy/enforcement.ts";
import type { RuleSettings } from "./rule-rendering.ts";

/** Bounds what a logging rule can do to the kernel log when nobody has said how much. */
export const logLimitDefault: RateLimit = { count: 10, per: "second", burst: 5 };

/** The kernel takes 127 bytes (NF_LOG_PREFIXLEN). */
const prefixMax = 125;

/** What the settings of the host mean for the rules of one list. */
export function ruleSettingsFor(list: RuleListId, settings: HostSettings): RuleSettings {
  const { logLimit = logLimitDefault, denyAction, logPrefix } = settings;
  return { denyAction, logPrefix: logPrefixFor(logPrefix, list), logLimit };
}

/** `%t` tier, `%k` kind, `%p` namespace and name, `%n` name of the list a rule stands in; a profile has no tier. */
export function logPrefixFor(prefix: string, list: RuleListId): string {
  const { tier, kind, namespace, name } = whoseList(list);
  const full = namespace === undefined ? name : `${namespace}/${name}`;
  const words: Readonly<Record<string, string>> = { "%t": tier, "%k": kind, "%p": full, "%n": name };
  const filled = prefix.replace(/%[tkpn]/g, (specifier) => words[specifier] ?? specifier);
  return `${printable(filled).slice(0, prefixMax - 2)}: `;
}

/** From the identity that policy/ gives its lists: "profile/NAME", "policy/TIER/NAME", "policy/TIER/NAMESPACE/NAME". */
function whoseList(list: RuleListId) {
  const [word, ...parts] = list.split("/");
  if (word !== "policy") return { tier: "", kind: "pro", namespace: undefined, name: parts.join("/") };
  const [tier = "", first = "", second] = parts;
  return second === undefined
    ? { tier, kind: "gnp", namespace: undefined, name: first }
    : { tier, kind: "np", namespace: first, name: second };
}

/** What nftables cannot spell becomes "_". */
function printable(text: string): string {
  return text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "_");
}
