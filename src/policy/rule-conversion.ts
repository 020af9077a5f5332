/**
 * From rules as users write them to rules as a host enforces them: selectors become address sets, names numbers.
 * What cannot be enforced exactly is refused, never loosened: whoever uses the rule is closed with the reason.
 */

import { BadInput } from "../base/errors.ts";
import {
  checkRule,
  type EntityRule,
  parsePort,
  parseRuleNet,
  protocolNumber,
  type Rule as RuleDocument,
} from "../model/rule.ts";
import type { Selector } from "../model/selector/selector.ts";
import type { PortRange, Rule, RuleList, RuleMatch, SetId } from "./enforcement.ts";
import { sideSelectors } from "./rule-selectors.ts";
import { setIdOf } from "./set-id.ts";

export interface ConvertedRules {
  readonly list: RuleList;
  /** The sets the list refers to, with what they hold. */
  readonly selectors: ReadonlyMap<SetId, Selector>;
}

export interface RulesDocument {
  readonly ingress?: readonly RuleDocument[] | undefined;
  readonly egress?: readonly RuleDocument[] | undefined;
}

const icmp4 = 1;
const icmp6 = 58;

/** `namespace`: of a NetworkPolicy. @throws BadInput for the first rule that cannot be enforced */
export function convertRules(document: RulesDocument, namespace: string | undefined): ConvertedRules {
  const selectors = new Map<SetId, Selector>();
  const setOf = (selector: Selector): SetId => {
    const id = setIdOf(selector);
    selectors.set(id, selector);
    return id;
  };
  const convertAll = (direction: "ingress" | "egress") =>
    (document[direction] ?? []).flatMap((rule, at) => convertRule(rule, namespace, `spec.${direction}[${at}]`, setOf));
  const list = { inbound: convertAll("ingress"), outbound: convertAll("egress") };
  return { list, selectors };
}

/** None if the rule can never match. */
function convertRule(
  rule: RuleDocument,
  namespace: string | undefined,
  path: string,
  setOf: (selector: Selector) => SetId,
): readonly Rule[] {
  checkRule(rule, path);
  if (rule.http !== undefined)
    throw new BadInput(`${path}.http`, "HTTP matches are not supported", "a rule without http");
  const source = convertSide(rule.source ?? {}, namespace, `${path}.source`, setOf);
  const destination = convertSide(rule.destination ?? {}, namespace, `${path}.destination`, setOf);
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol, `${path}.protocol`);
  const notProtocol =
    rule.notProtocol === undefined ? undefined : protocolNumber(rule.notProtocol, `${path}.notProtocol`);
  const families = new Set<4 | 6>();
  if (rule.ipVersion !== undefined) families.add(rule.ipVersion);
  if (protocol === icmp4) families.add(4);
  if (protocol === icmp6) families.add(6);
  for (const net of [...source.nets, ...destination.nets]) families.add(net.includes(":") ? 6 : 4);
  if (families.size > 1) return [];
  const [ipVersion] = families;
  const icmp = icmpOf(rule.icmp);
  const notIcmp = icmpOf(rule.notICMP);
  return [
    {
      action: actions[rule.action],
      ...(ipVersion === undefined ? {} : { ipVersion }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(notProtocol === undefined ? {} : { notProtocol }),
      ...(icmp === undefined ? {} : { icmp }),
      ...(notIcmp === undefined ? {} : { notIcmp }),
      source,
      destination,
    },
  ];
}

const actions = { Allow: "allow", Deny: "deny", Log: "log", Pass: "pass" } as const;

function convertSide(
  side: EntityRule,
  namespace: string | undefined,
  path: string,
  setOf: (selector: Selector) => SetId,
): RuleMatch {
  if (side.services !== undefined) {
    throw new BadInput(`${path}.services`, "service matches need Kubernetes", "a selector instead");
  }
  const { positive, negative } = sideSelectors(side, namespace, path);
  return {
    nets: (side.nets ?? []).map((net, at) => parseRuleNet(net, `${path}.nets[${at}]`)),
    notNets: (side.notNets ?? []).map((net, at) => parseRuleNet(net, `${path}.notNets[${at}]`)),
    sets: positive === undefined ? [] : [setOf(positive)],
    notSets: negative === undefined ? [] : [setOf(negative)],
    ports: (side.ports ?? []).map((port, at) => portRange(port, `${path}.ports[${at}]`)),
    notPorts: (side.notPorts ?? []).map((port, at) => portRange(port, `${path}.notPorts[${at}]`)),
  };
}

function portRange(port: string | number, path: string): PortRange {
  const parsed = parsePort(port, path);
  if (parsed.kind === "range") return { first: parsed.first, last: parsed.last };
  throw new BadInput(path, `named port "${parsed.name}" is not supported yet`, "a port number or range");
}

function icmpOf(icmp: RuleDocument["icmp"]): { type: number; code?: number } | undefined {
  if (icmp?.type === undefined) return undefined;
  return icmp.code === undefined ? { type: icmp.type } : { type: icmp.type, code: icmp.code };
}
