/** What is known of a flow from the resources and from the kernels, brought to one verdict, as data and as text. */

import type { DirectionTrace, ListStep } from "../../policy/explain/direction.ts";
import type { HostPart, ModelFlow } from "../../policy/explain/flow.ts";
import { type Packet, trafficText } from "../../policy/explain/packet.ts";
import type { KernelReport } from "./ask-kernels.ts";
import { columns } from "./text.ts";

export interface PartyReport {
  readonly asked: string;
  readonly title: string;
  readonly address: string;
  readonly host?: string;
  readonly endpoint?: string;
  readonly profiles?: readonly string[];
}

export interface FlowReport {
  readonly verdict: "allowed" | "denied" | "unreachable";
  readonly reason: string;
  /** "partly": some kernel was not asked or not understood, the others agree. */
  readonly kernel: "agrees" | "disagrees" | "partly" | "not asked";
  readonly disagreements: readonly string[];
  readonly from: PartyReport;
  readonly to: PartyReport;
  readonly packet: Packet;
  readonly notes: readonly string[];
  readonly model: ModelFlow;
  readonly kernels: readonly KernelReport[];
}

export interface FlowFacts {
  readonly from: PartyReport;
  readonly to: PartyReport;
  readonly packet: Packet;
  readonly notes: readonly string[];
  readonly model: ModelFlow;
  readonly kernels: readonly KernelReport[];
}

export function flowReport(facts: FlowFacts): FlowReport {
  const { model, kernels } = facts;
  const disagreements = kernels.flatMap(({ host, expected, answer }) =>
    answer === undefined || answer.verdict === "unknown" || answer.verdict === expected
      ? []
      : [`${host}: the resources say ${word(expected)}, its kernel says ${word(answer.verdict)}: ${answer.reason}`],
  );
  const notes = [...facts.notes, ...model.notes, ...kernels.flatMap(stateNotes)];
  const base = { ...facts, notes, disagreements };
  if (disagreements.length > 0) {
    const denying = kernels.find(({ answer }) => answer?.verdict === "deny");
    const open = model.verdict === "unreachable" ? "unreachable" : "allowed";
    const verdict = denying === undefined ? open : "denied";
    const reason = denying === undefined ? model.reason : `on ${denying.host}: ${denying.answer?.reason}`;
    return { verdict, reason, kernel: "disagrees", ...base };
  }
  const known = kernels.filter(({ answer }) => answer !== undefined && answer.verdict !== "unknown").length;
  const kernel = known === 0 ? "not asked" : known === kernels.length ? "agrees" : "partly";
  return { verdict: model.verdict, reason: model.reason, kernel, ...base };
}

/** 0: allowed, 2: denied or unreachable, 3: resources and kernel disagree. 1 is for errors. */
export function exitCodeOf({ verdict, disagreements }: FlowReport): number {
  if (disagreements.length > 0) return 3;
  return verdict === "allowed" ? 0 : 2;
}

function stateNotes({ host, answer, asked, error }: KernelReport): readonly string[] {
  if (error !== undefined) return [`the kernel of ${host} was not asked: ${error}`];
  const notes: string[] = [];
  if (asked === "directly") notes.push(`the node of ${host} does not answer; its kernel was read by this command`);
  if (answer?.verdict === "unknown") notes.push(`the kernel of ${host} could not be judged: ${answer.reason}`);
  if (answer?.node !== undefined && !answer.node.ready)
    notes.push(`the node of ${host} is not ready: ${answer.node.notReady.join("; ")}`);
  return notes;
}

const word = (verdict: "allow" | "deny" | "unknown") =>
  verdict === "allow" ? "allowed" : verdict === "deny" ? "denied" : "unknown";

export function flowText(report: FlowReport): string {
  const { from, to, packet } = report;
  const place = ({ asked, address, host }: PartyReport) =>
    `${asked === address ? address : `${asked} (${address})`}${host === undefined || host === asked ? "" : ` on ${host}`}`;
  const lines = [
    `${report.verdict.toUpperCase()}: ${trafficText(packet)} from ${place(from)} to ${place(to)}`,
    `  ${report.reason}`,
  ];
  for (const text of report.disagreements) lines.push(`  DISAGREEMENT on ${text}`);
  lines.push(...report.notes.map((note) => `  note: ${note}`), "");
  lines.push(...columns([partyRow("from", from), partyRow("to", to), packetRow(packet)], 0), "");
  for (const part of report.model.hosts) lines.push(...partLines(part, report.kernels), "");
  return `${lines.join("\n").trimEnd()}\n`;
}

function partyRow(title: string, { address, title: what, endpoint, host, profiles }: PartyReport): readonly string[] {
  const more = [
    what,
    endpoint === undefined ? undefined : endpoint,
    host === undefined ? undefined : `on ${host}`,
    profiles === undefined ? undefined : `profiles ${profiles.join(", ") || "none"}`,
  ];
  return [title, address, more.filter((part) => part !== undefined).join(", ")];
}

function packetRow(packet: Packet): readonly string[] {
  const source = packet.sourcePort === undefined ? "" : `, from port ${packet.sourcePort}`;
  return ["packet", trafficText(packet), `the first one of a connection${source}`];
}

function partLines(part: HostPart, kernels: readonly KernelReport[]): readonly string[] {
  const lines: string[] = [];
  for (const trace of [part.outbound, part.inbound])
    if (trace !== undefined) lines.push(...traceLines(titleOf(part, trace), trace));
  for (const { stage, endpoint, interfaceName, trace } of part.hostEndpoints ?? [])
    lines.push(
      ...traceLines(
        `${part.host}, ${trace.direction} ${stage} policy of host endpoint ${endpoint} (${interfaceName})`,
        trace,
      ),
    );
  if (part.fixed !== undefined)
    lines.push(`${part.host}: ${part.verdict === "allow" ? "allow" : "deny"}, ${part.fixed}`);
  const kernel = kernels.find(({ host, expected }) => host === part.host && expected === part.verdict);
  if (kernel !== undefined) lines.push(...kernelLines(kernel));
  return lines;
}

function titleOf({ host, from, to }: HostPart, { direction }: DirectionTrace): string {
  const place = direction === "outbound" ? from : to;
  return `${host}, ${direction} policy of ${typeof place === "string" ? place : place.interfaceName}`;
}

function traceLines(title: string, trace: DirectionTrace): readonly string[] {
  const verdict = trace.verdict === "none" ? "no objection" : trace.verdict;
  const lines = [`${title}: ${verdict}, by ${trace.decidedBy}`];
  for (const { name: tier, order, exists, policies, outcome } of trace.tiers) {
    lines.push(`  tier ${tier}${orderText(order)}${exists ? "" : " (does not exist)"}: ${outcome}`);
    for (const policy of policies) lines.push(...listLines(policy, "    "));
  }
  for (const profile of trace.profiles) lines.push(...listLines(profile, "  "));
  return lines;
}

function listLines(list: ListStep, indent: string): readonly string[] {
  const name = list.namespace === undefined ? list.name : `${list.namespace}/${list.name}`;
  const selector = list.selector === undefined ? "" : `, for ${list.selector}`;
  const rules = list.rules.map(({ number, rule, matched, because }) => [
    String(number),
    rule,
    matched ? "matches" : `no: ${because}`,
  ]);
  return [
    `${indent}${list.kind} ${name}${orderText(list.order)}${selector}: ${list.outcome}`,
    ...columns(rules, indent.length + 2),
  ];
}

const orderText = (order: number | undefined) => (order === undefined ? "" : ` (order ${order})`);

function kernelLines({ host, asked, answer, error }: KernelReport): readonly string[] {
  if (answer === undefined) return [`${host}, kernel: not asked: ${error}`];
  const rows = answer.hooks.flatMap(({ hook, steps }) =>
    steps.map(({ chain, rule, did, comment }) => [hook, chain, rule === 0 ? "" : `rule ${rule}`, did, comment]),
  );
  const faults = answer.faults.map((fault) => `  fault: ${fault}`);
  return [`${host}, kernel (asked ${asked}): ${answer.verdict}, ${answer.reason}`, ...columns(rows, 2), ...faults];
}
