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
import type { NamedPort } from "./members.ts";
import { sideSelectors } from "./rule-selectors.ts";
import { portSetIdOf, setIdOf } from "./set-id.ts";

export interface ConvertedRules {
  readonly list: RuleList;
  /** The sets the list refers to, with what they hold. */
  readonly sets: ReadonlyMap<SetId, SetContent>;
}

/** The addresses of what the selector matches or, with a port, address and number of their ports of that name. */
export interface SetContent {
  readonly selector: Selector;
  readonly port?: NamedPort;
}

export interface RulesDocument {
  readonly ingress?: readonly RuleDocument[] | undefined;
  readonly egress?: readonly RuleDocument[] | undefined;
}

type SetOf = (selector: Selector, port?: NamedPort) => SetId;

const icmp4 = 1;
const icmp6 = 58;

/** `namespace`: of a NetworkPolicy. @throws BadInput for the first rule that cannot be enforced */
export function convertRules(document: RulesDocument, namespace: string | undefined): ConvertedRules {
  const sets = new Map<SetId, SetContent>();
  const setOf: SetOf = (selector, port) => {
    const id = port === undefined ? setIdOf(selector) : portSetIdOf(selector, port);
    sets.set(id, port === undefined ? { selector } : { selector, port });
    return id;
  };
  const convertAll = (direction: "ingress" | "egress") =>
    (document[direction] ?? []).flatMap((rule, at) => convertRule(rule, namespace, `spec.${direction}[${at}]`, setOf));
  const list = { inbound: convertAll("ingress"), outbound: convertAll("egress") };
  return { list, sets };
}

/** None if the rule can never match. */
function convertRule(rule: RuleDocument, namespace: string | undefined, path: string, setOf: SetOf): readonly Rule[] {
  checkRule(rule, path);
  if (rule.http !== undefined)
    throw new BadInput(`${path}.http`, "HTTP matches are not supported", "a rule without http");
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol, `${path}.protocol`);
  const notProtocol =
    rule.notProtocol === undefined ? undefined : protocolNumber(rule.notProtocol, `${path}.notProtocol`);
  const families = new Set<4 | 6>();
  if (rule.ipVersion !== undefined) families.add(rule.ipVersion);
  if (protocol === icmp4) families.add(4);
  if (protocol === icmp6) families.add(6);
  for (const net of [...(rule.source?.nets ?? []), ...(rule.destination?.nets ?? [])]) {
    families.add(net.includes(":") ? 6 : 4);
  }
  if (families.size > 1) return [];
  const source = convertSide(rule.source ?? {}, { namespace, protocol, path: `${path}.source`, setOf });
  const destination = convertSide(rule.destination ?? {}, { namespace, protocol, path: `${path}.destination`, setOf });
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

interface SideContext {
  readonly namespace: string | undefined;
  readonly protocol: number | undefined;
  readonly path: string;
  readonly setOf: SetOf;
}

function convertSide(side: EntityRule, { namespace, protocol, path, setOf }: SideContext): RuleMatch {
  if (side.services !== undefined) {
    throw new BadInput(`${path}.services`, "service matches need Kubernetes", "a selector instead");
  }
  const { positive, negative } = sideSelectors(side, namespace, path);
  const portsOf = (field: "ports" | "notPorts") => {
    const parsed = (side[field] ?? []).map((port, at) => parsePort(port, `${path}.${field}[${at}]`));
    const ranges = parsed.flatMap((port): PortRange[] =>
      port.kind === "range" ? [{ first: port.first, last: port.last }] : [],
    );
    const named = parsed.flatMap((port) =>
      port.kind === "name" ? [setOf(positive ?? { kind: "all" }, { name: port.name, protocol })] : [],
    );
    return { ranges, named };
  };
  const ports = portsOf("ports");
  const notPorts = portsOf("notPorts");
  return {
    nets: (side.nets ?? []).map((net, at) => parseRuleNet(net, `${path}.nets[${at}]`)),
    notNets: (side.notNets ?? []).map((net, at) => parseRuleNet(net, `${path}.notNets[${at}]`)),
    sets: positive === undefined ? [] : [setOf(positive)],
    notSets: negative === undefined ? [] : [setOf(negative)],
    ports: ports.ranges,
    notPorts: notPorts.ranges,
    ...(ports.named.length === 0 ? {} : { portSets: ports.named }),
    ...(notPorts.named.length === 0 ? {} : { notPortSets: notPorts.named }),
  };
}

function icmpOf(icmp: RuleDocument["icmp"]): { type: number; code?: number } | undefined {
  if (icmp?.type === undefined) return undefined;
  return icmp.code === undefined ? { type: icmp.type } : { type: icmp.type, code: icmp.code };
}
