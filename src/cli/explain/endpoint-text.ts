/** What applies to an endpoint, as text. */
import type { AppliedList, EndpointExplanation } from "../../policy/explain/endpoint.ts";
import { columns } from "./text.ts";

export function endpointText(explanation: EndpointExplanation, notes: readonly string[]): string {
  const { name, namespace, host, interfaceName, addresses, problems, warnings, labels } = explanation;
  const state = problems.length === 0 ? "OPEN to what its policies and profiles allow" : "CLOSED: nothing passes";
  const facts = [
    ["name", `${namespace}/${name}`],
    ["host", host],
    ["interface", interfaceName],
    ...addresses.map(({ address, place }) => ["address", `${address}  (${place})`]),
  ];
  const lines = [
    `${state}: endpoint ${addresses.map(({ address }) => address).join(", ")} on ${host}`,
    ...problems.map((problem) => `  problem: ${problem}`),
    ...warnings.map((warning) => `  warning: ${warning}`),
    ...notes.map((note) => `  note: ${note}`),
    "",
    ...columns(facts, 0),
    "",
    "labels",
    ...columns(
      labels.map(({ label, value, origin }) => [label, `= "${value}"`, `from ${origin}`]),
      2,
    ),
  ];
  for (const direction of ["inbound", "outbound"] as const) lines.push("", ...directionLines(explanation, direction));
  return `${lines.join("\n")}\n`;
}

function directionLines(
  { tiers, profiles, problems }: EndpointExplanation,
  direction: "inbound" | "outbound",
): readonly string[] {
  const lines: string[] = [];
  for (const { name, order, exists, defaultAction, policies } of tiers) {
    const taking = policies.filter((policy) => policy[direction] !== undefined);
    if (taking.length === 0) continue;
    const missing = exists ? "" : " (does not exist)";
    lines.push(`  tier ${name}${orderText(order)}${missing}, ends in ${defaultAction}`);
    for (const policy of taking) {
      const full = policy.namespace === undefined ? policy.name : `${policy.namespace}/${policy.name}`;
      lines.push(`    policy ${full}${orderText(policy.order)}, selects it by ${policy.selector}`);
      lines.push(...ruleLines(policy, direction, 6));
    }
  }
  for (const profile of profiles) lines.push(`  profile ${profile.name}`, ...ruleLines(profile, direction, 4));
  const end = problems.length > 0 ? "  closed before all of this, see the problems above" : "  the end: deny";
  return [direction, ...lines, end];
}

function ruleLines(list: AppliedList, direction: "inbound" | "outbound", indent: number): readonly string[] {
  const rules = list[direction] ?? [];
  if (rules.length === 0) return [`${" ".repeat(indent)}no rules`];
  return columns(
    rules.map((rule, at) => [String(at + 1), rule]),
    indent,
  );
}

const orderText = (order: number | undefined) => (order === undefined ? "" : ` (order ${order})`);
