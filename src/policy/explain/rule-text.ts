/** A rule as one line for people. */
import type { EntityRule, Rule } from "../../model/rule.ts";

export function ruleText(rule: Rule): string {
  const icmp = (value: Rule["icmp"]) => `${value?.type ?? "any"}${value?.code === undefined ? "" : `/${value.code}`}`;
  const parts = [
    rule.action.toLowerCase(),
    rule.ipVersion === undefined ? undefined : `IPv${rule.ipVersion}`,
    rule.protocol === undefined ? undefined : String(rule.protocol).toLowerCase(),
    rule.notProtocol === undefined ? undefined : `not ${String(rule.notProtocol).toLowerCase()}`,
    rule.icmp === undefined ? undefined : `type ${icmp(rule.icmp)}`,
    rule.notICMP === undefined ? undefined : `type not ${icmp(rule.notICMP)}`,
    sideText("from", rule.source),
    sideText("to", rule.destination),
  ];
  return parts.filter((part) => part !== undefined).join(" ");
}

function sideText(word: string, side: EntityRule | undefined): string | undefined {
  if (side === undefined) return undefined;
  const list = (title: string, values: readonly (string | number)[] | undefined) =>
    values === undefined || values.length === 0 ? undefined : `${title}${values.join(",")}`;
  const text = (title: string, value: string | undefined) =>
    value === undefined || value.trim() === "" ? undefined : `${title}${value}`;
  const parts = [
    text("", side.selector),
    text("not ", side.notSelector),
    text("namespaces ", side.namespaceSelector),
    list("service accounts ", side.serviceAccounts?.names),
    text("service accounts ", side.serviceAccounts?.selector),
    list("", side.nets),
    list("not ", side.notNets),
    list("ports ", side.ports),
    list("not ports ", side.notPorts),
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : `${word} ${parts.join(" ")}`;
}
