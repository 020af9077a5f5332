/**
 * Does a rule, as its user wrote it, match a packet? If not, what is the first thing that does not fit.
 * A selector means every endpoint, host endpoint and network set with such labels: an address matches it when any of
 * those it belongs to does.
 */
import { cidrContains, type IpAddress, parseCidr } from "../../base/addresses.ts";
import { type EntityRule, parsePort, protocolNumber, type Rule } from "../../model/rule.ts";
import { parseSelector } from "../../model/selector/parse.ts";
import { type Labels, matches, type Selector } from "../../model/selector/selector.ts";
import { namespaceLabel, serviceAccountLabel } from "../../model/workload-endpoint.ts";
import { type ClusterModel, itemsAt, type LabelledItem } from "./cluster-model.ts";
import { labelMap } from "./labels.ts";
import { icmpProtocol, type Packet, protocolsWithPorts } from "./packet.ts";

/** Undefined: the rule matches. */
export type Mismatch = string | undefined;

/** @param namespace of the policy the rule stands in. @throws BadInput for a rule that cannot be enforced. */
export function mismatchOf(rule: Rule, packet: Packet, namespace: string | undefined, model: ClusterModel): Mismatch {
  return (
    familyMismatch(rule, packet) ??
    protocolMismatch(rule, packet) ??
    icmpMismatch(rule, packet) ??
    sideMismatch("source", rule, packet, namespace, model) ??
    sideMismatch("destination", rule, packet, namespace, model)
  );
}

const familyOf = (text: string): 4 | 6 => (text.includes(":") ? 6 : 4);

function familyMismatch(rule: Rule, packet: Packet): Mismatch {
  const family = familyOf(packet.source);
  return rule.ipVersion === undefined || rule.ipVersion === family ? undefined : `it is for IPv${rule.ipVersion}`;
}

function protocolMismatch(rule: Rule, { protocol }: Packet): Mismatch {
  const { protocol: wanted, notProtocol: unwanted } = rule;
  if (wanted !== undefined && protocolNumber(wanted, "protocol") !== protocol) return `protocol is not ${wanted}`;
  if (unwanted !== undefined && protocolNumber(unwanted, "notProtocol") === protocol) return `protocol is ${unwanted}`;
  const sides = [rule.source, rule.destination];
  const asksPorts = sides.some((side) => (side?.ports ?? []).length > 0);
  return asksPorts && !protocolsWithPorts.has(protocol) ? "the protocol has no ports" : undefined;
}

/** A rule about ICMP types, positive or negative, is about ICMP packets of its family only. */
function icmpMismatch(rule: Rule, packet: Packet): Mismatch {
  for (const [field, not] of [
    ["icmp", false],
    ["notICMP", true],
  ] as const) {
    const wanted = rule[field];
    if (wanted?.type === undefined) continue;
    const family = ruleIcmpFamily(rule);
    if (packet.icmp === undefined || packet.protocol !== icmpProtocol[family]) return "it is no such ICMP packet";
    const same = wanted.type === packet.icmp.type && (wanted.code === undefined || wanted.code === packet.icmp.code);
    if (same === not) return `ICMP type or code is ${not ? "excluded" : "another"}`;
  }
  return undefined;
}

function ruleIcmpFamily(rule: Rule): 4 | 6 {
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol, "protocol");
  if (protocol === icmpProtocol[6]) return 6;
  return protocol === icmpProtocol[4] ? 4 : (rule.ipVersion ?? 4);
}

function sideMismatch(
  name: "source" | "destination",
  rule: Rule,
  packet: Packet,
  namespace: string | undefined,
  model: ClusterModel,
): Mismatch {
  const side = rule[name];
  if (side === undefined) return undefined;
  const address = packet[name];
  const within = (nets: readonly string[]) => nets.some((net) => cidrContains(parseCidr(net), address));
  const { nets = [], notNets = [] } = side;
  if (nets.length > 0 && !within(nets)) return `${name} ${address} is not in ${nets.join(", ")}`;
  if (within(notNets)) return `${name} ${address} is in an excluded network`;
  const selected = selectorMismatch(side, address, namespace, model);
  if (selected !== undefined) return `${name} ${address} ${selected}`;
  return portsMismatch(name, side, rule, packet, namespace, model);
}

const present = (text: string | undefined): text is string => text !== undefined && text.trim() !== "";

function selectorMismatch(
  side: EntityRule,
  address: IpAddress,
  namespace: string | undefined,
  model: ClusterModel,
): Mismatch {
  const names = side.serviceAccounts?.names ?? [];
  const positive = present(side.selector) || present(side.namespaceSelector);
  const accounts = names.length > 0 || present(side.serviceAccounts?.selector);
  const items = itemsAt(model, address);
  // Alone in a global policy it is about every address, known or not.
  if (!positive && !accounts && namespace === undefined) {
    if (!present(side.notSelector)) return undefined;
    const excluded = parseSelector(side.notSelector, "notSelector");
    const found = items.find(({ labelled }) => matches(excluded, labelMap(model, labelled.source)));
    return found === undefined ? undefined : `is ${found.title}, which ${side.notSelector} excludes`;
  }
  if (!positive && !accounts && !present(side.notSelector)) return undefined;
  if (items.some((item) => itemMatches(item, side, namespace, model))) return undefined;
  const asked = [side.selector, side.namespaceSelector, side.serviceAccounts?.selector].filter(present);
  const what = asked.length === 0 ? "what the rule asks for" : asked.join(" and ");
  const who = items.length === 0 ? "is no known endpoint or network set" : `(${items[0]?.title})`;
  return `${who}${items.length === 0 ? ", so it does" : " does"} not match ${what}`;
}

function itemMatches(
  item: LabelledItem,
  side: EntityRule,
  namespace: string | undefined,
  model: ClusterModel,
): boolean {
  const labels = labelMap(model, item.labelled.source);
  if (present(side.namespaceSelector)) {
    if (!namespaceMatches(parseSelector(side.namespaceSelector, "namespaceSelector"), labels)) return false;
  } else if (namespace !== undefined && labels.get(namespaceLabel) !== namespace) return false;
  const { names = [], selector: accounts } = side.serviceAccounts ?? {};
  if (names.length > 0 && !names.includes(labels.get(serviceAccountLabel) ?? "")) return false;
  if (present(accounts) && !matches(parseSelector(accounts, "serviceAccounts"), prefixed("pcsa.", labels)))
    return false;
  if (present(side.selector) && !matches(parseSelector(side.selector, "selector"), labels)) return false;
  return !present(side.notSelector) || !matches(parseSelector(side.notSelector, "notSelector"), labels);
}

const prefixed = (prefix: string, labels: Labels): Labels => ({ get: (label) => labels.get(`${prefix}${label}`) });

/** Labels of namespaces stand among those of the endpoint, prefixed; all() is "in some namespace", global() "in none". */
function namespaceMatches(selector: Selector, labels: Labels): boolean {
  switch (selector.kind) {
    case "all":
      return labels.get(namespaceLabel) !== undefined;
    case "global":
      return labels.get(namespaceLabel) === undefined;
    case "not":
      return !namespaceMatches(selector.operand, labels);
    case "and":
      return selector.operands.every((operand) => namespaceMatches(operand, labels));
    case "or":
      return selector.operands.some((operand) => namespaceMatches(operand, labels));
    default:
      return matches(selector, prefixed("pcns.", labels));
  }
}

function portsMismatch(
  name: "source" | "destination",
  side: EntityRule,
  rule: Rule,
  packet: Packet,
  namespace: string | undefined,
  model: ClusterModel,
): Mismatch {
  const { ports = [], notPorts = [] } = side;
  if (ports.length + notPorts.length === 0) return undefined;
  // Nothing is excluded of a packet without ports; what asks for ports has been told already.
  if (!protocolsWithPorts.has(packet.protocol)) return undefined;
  const port = name === "source" ? packet.sourcePort : packet.destinationPort;
  if (port === undefined) return "the packet has no ports";
  const among = (list: readonly (string | number)[]) =>
    list.some((text) => {
      const wanted = parsePort(text, "ports");
      if (wanted.kind === "range") return wanted.first <= port && port <= wanted.last;
      return itemsAt(model, packet[name]).some(
        (item) =>
          itemMatches(item, side, namespace, model) &&
          item.ports.some(
            (one) =>
              one.name === wanted.name &&
              one.port === port &&
              protocolNumber(one.protocol ?? rule.protocol ?? packet.protocol, "protocol") === packet.protocol,
          ),
      );
    });
  if (ports.length > 0 && !among(ports)) return `${name} port ${port} is not among ${ports.join(", ")}`;
  return among(notPorts) ? `${name} port ${port} is excluded` : undefined;
}
