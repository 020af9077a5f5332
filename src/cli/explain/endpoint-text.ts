/** What applies to an endpoint, as text. */
import type { FailsafePort } from "../../policy/enforcement.ts";
import type { AppliedList, EndpointExplanation, HostEndpointExplanation } from "../../policy/explain/endpoint.ts";
import type { LabelOfItem } from "../../policy/explain/labels.ts";
import { columns } from "./text.ts";

export function hostEndpointText(explanation: HostEndpointExplanation): string {
  const { name, host, interfaceName, addresses, problems, warnings, labels, failsafe, stages, profiles } = explanation;
  const state =
    problems.length === 0 ? "OPEN to what its policies and profiles allow" : "CLOSED but for failsafe ports";
  const facts = [
    ["name", name],
    ["host", host],
    ["interface", interfaceName === "*" ? "all that no other host endpoint is for" : (interfaceName ?? "by address")],
    ...addresses.map((address) => ["address", address]),
    ["failsafe in", failsafe.inbound.map(failsafeText).join(" ") || "none"],
    ["failsafe out", failsafe.outbound.map(failsafeText).join(" ") || "none"],
  ];
  const lines = [
    `${state}: host endpoint ${name} on ${host}`,
    ...problems.map((problem) => `  problem: ${problem}`),
    ...warnings.map((warning) => `  warning: ${warning}`),
    "",
    ...columns(facts, 0),
    "",
    "labels",
    ...labelLines(labels),
  ];
  for (const { stage, tiers } of stages) {
    if (stage !== "normal" && tiers.length === 0) continue;
    for (const direction of stage === "preDNAT" ? (["inbound"] as const) : directions) {
      const own = { tiers, profiles: stage === "normal" ? profiles : [], problems };
      lines.push("", ...directionLines(`${direction}, ${stageTitles[stage]}`, own, direction, stageEnds[stage]));
    }
  }
  return `${lines.join("\n")}\n`;
}

const directions = ["inbound", "outbound"] as const;
const stageTitles = {
  doNotTrack: "before connection tracking (doNotTrack)",
  preDNAT: "before DNAT (preDNAT)",
  applyOnForward: "what the host forwards (applyOnForward)",
  normal: "what the host itself receives or sends",
} as const;
const stageEnds = {
  doNotTrack: "  the end: goes on",
  preDNAT: "  the end: goes on",
  applyOnForward: "  the end: goes on",
  normal: "  the end: deny",
} as const;

function failsafeText({ protocol, port, net }: FailsafePort): string {
  const name = { 6: "tcp", 17: "udp", 132: "sctp" }[protocol] ?? String(protocol);
  return net === undefined ? `${name}/${port}` : `${name}/${port} with ${net}`;
}

function labelLines(labels: readonly LabelOfItem[]): readonly string[] {
  return columns(
    labels.map(({ label, value, origin }) => [label, `= "${value}"`, `from ${origin}`]),
    2,
  );
}

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
    ...labelLines(labels),
  ];
  for (const direction of directions)
    lines.push("", ...directionLines(direction, explanation, direction, stageEnds.normal));
  return `${lines.join("\n")}\n`;
}

function directionLines(
  title: string,
  { tiers, profiles, problems }: Pick<EndpointExplanation, "tiers" | "profiles" | "problems">,
  direction: "inbound" | "outbound",
  ending: string,
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
  const end = problems.length > 0 ? "  closed before all of this, see the problems above" : ending;
  return [title, ...lines, end];
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
