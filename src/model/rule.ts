/**
 * Rules as they stand in profiles and policies (calico-datastore.md 3). The schema checks each field by itself;
 * checkRule() checks what fields say about each other, in upstream's words.
 */

import { z } from "zod";
import { type Cidr, prefixLength, tryParseCidr } from "../base/addresses.ts";
import { BadInput } from "../base/errors.ts";
import { absentOr } from "./resource.ts";
import { parseSelector } from "./selector/parse.ts";

const protocolNumbers: Readonly<Record<string, number>> = {
  TCP: 6,
  UDP: 17,
  ICMP: 1,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
};
export const protocolsWithPorts: ReadonlySet<number> = new Set([6, 17, 132]);

const Protocol = z.union([z.string(), z.number()]);
const Icmp = z.looseObject({ type: absentOr(z.int().min(0).max(254)), code: absentOr(z.int().min(0).max(255)) });

const Port = z.union([z.number(), z.string()]);

export const EntityRule = z.looseObject({
  nets: absentOr(z.array(z.string())),
  notNets: absentOr(z.array(z.string())),
  selector: absentOr(z.string()),
  notSelector: absentOr(z.string()),
  namespaceSelector: absentOr(z.string()),
  ports: absentOr(z.array(Port)),
  notPorts: absentOr(z.array(Port)),
  services: absentOr(z.looseObject({})),
  serviceAccounts: absentOr(z.looseObject({ names: absentOr(z.array(z.string())), selector: absentOr(z.string()) })),
});
export type EntityRule = z.infer<typeof EntityRule>;

export const Rule = z.looseObject({
  action: z.enum(["Allow", "Deny", "Log", "Pass"]),
  ipVersion: absentOr(z.union([z.literal(4), z.literal(6)])),
  protocol: absentOr(Protocol),
  notProtocol: absentOr(Protocol),
  icmp: absentOr(Icmp),
  notICMP: absentOr(Icmp),
  source: absentOr(EntityRule),
  destination: absentOr(EntityRule),
  http: absentOr(z.looseObject({})),
  metadata: absentOr(z.looseObject({})),
});
export type Rule = z.infer<typeof Rule>;

export interface NumberedPorts {
  readonly kind: "range";
  readonly first: number;
  readonly last: number;
}
export interface NamedPort {
  readonly kind: "name";
  readonly name: string;
}

/** @throws BadInput `protocol name invalid` or `protocol number invalid`. */
export function protocolNumber(protocol: string | number, path: string): number {
  if (typeof protocol === "string" && !/^\d+$/.test(protocol)) {
    const number = Object.hasOwn(protocolNumbers, protocol) ? protocolNumbers[protocol] : undefined;
    const expected = `${Object.keys(protocolNumbers).join(", ")} or a number from 1 to 255`;
    if (number === undefined) throw new BadInput(path, `protocol name invalid: "${protocol}"`, expected);
    return number;
  }
  const number = Number(protocol);
  if (!Number.isInteger(number) || number < 1 || number > 255) {
    throw new BadInput(path, `protocol number invalid: ${protocol}`, "a number from 1 to 255");
  }
  return number;
}

/** The name a protocol has in v3, or its number. */
export function protocolName(number: number): string | number {
  return Object.entries(protocolNumbers).find(([, value]) => value === number)?.[0] ?? number;
}

/** @throws BadInput `port range invalid`. */
export function parsePort(port: string | number, path: string): NumberedPorts | NamedPort {
  const text = String(port);
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  if (match === null) {
    if (typeof port === "string" && /^[a-zA-Z0-9_.-]{1,128}$/.test(text)) return { kind: "name", name: text };
    throw new BadInput(path, `port "${text}" invalid`, 'a port, a range like "80:90" or a port name');
  }
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < 1 || last < 1 || first > 65535 || last > 65535) {
    const problem = `port range invalid, port number must be between 1 and 65535: "${text}"`;
    throw new BadInput(path, problem, "1 to 65535");
  }
  if (first > last) throw new BadInput(path, `port range invalid: "${text}"`, "the smaller port first");
  return { kind: "range", first, last };
}

/** CIDR text is required and must have no host bits. @throws BadInput */
export function parseRuleNet(text: string, path: string): Cidr {
  const cidr = text.includes("/") ? tryParseCidr(text) : undefined;
  if (cidr === undefined) throw new BadInput(path, `invalid CIDR "${text}"`, "a CIDR like 10.0.0.0/8 or 10.0.0.1/32");
  // Canonical text differs from the given one also for IPv6 spelling, so compare what masking removes.
  const given = tryParseCidr(text.slice(0, text.indexOf("/")));
  if (given === undefined || cidr.slice(0, cidr.indexOf("/")) !== given.slice(0, given.indexOf("/"))) {
    throw new BadInput(path, `CIDR "${text}" is not strictly masked`, `${cidr}`);
  }
  return cidr;
}

/** As clients store it: numbers written as text become numbers, a range of one port that port. @throws BadInput */
export function normalizedRule(rule: Rule, path = ""): Rule {
  const protocolOf = (protocol: string | number | undefined) =>
    typeof protocol === "string" && /^\d+$/.test(protocol) ? Number(protocol) : protocol;
  const portOf = (port: string | number, where: string): string | number => {
    const parsed = parsePort(port, where);
    if (parsed.kind === "name") return parsed.name;
    return parsed.first === parsed.last ? parsed.first : `${parsed.first}:${parsed.last}`;
  };
  const sideOf = (side: EntityRule, where: string): EntityRule => ({
    ...side,
    ...(side.ports === undefined ? {} : { ports: side.ports.map((port) => portOf(port, `${where}.ports`)) }),
    ...(side.notPorts === undefined
      ? {}
      : { notPorts: side.notPorts.map((port) => portOf(port, `${where}.notPorts`)) }),
  });
  return {
    ...rule,
    ...(rule.protocol === undefined ? {} : { protocol: protocolOf(rule.protocol) }),
    ...(rule.notProtocol === undefined ? {} : { notProtocol: protocolOf(rule.notProtocol) }),
    ...(rule.source === undefined ? {} : { source: sideOf(rule.source, `${path}.source`) }),
    ...(rule.destination === undefined ? {} : { destination: sideOf(rule.destination, `${path}.destination`) }),
  };
}

const Http = z.looseObject({
  methods: absentOr(z.array(z.string())),
  paths: absentOr(z.array(z.looseObject({ exact: absentOr(z.string()), prefix: absentOr(z.string()) }))),
});

/** What only writers are told: HTTP and service matches at the wrong place. @throws BadInput */
export function checkRulePlacement(rule: Rule, direction: "ingress" | "egress", path: string): void {
  const services = { ingress: rule.destination?.services, egress: rule.source?.services }[direction];
  if (services !== undefined) {
    const where = direction === "ingress" ? "ingress rule destination" : "egress rule source";
    throw new BadInput(`${path}.services`, `not allowed in ${where}`, "services on the other side");
  }
  for (const side of ["source", "destination"] as const) {
    const {
      services: named,
      nets,
      notNets,
      selector,
      notSelector,
      namespaceSelector,
      serviceAccounts,
    } = rule[side] ?? {};
    if (named === undefined) continue;
    const others = [nets, notNets, selector, notSelector, namespaceSelector, serviceAccounts];
    if (others.every((other) => other === undefined)) continue;
    const problem = "services cannot be combined with selectors, nets or service accounts";
    throw new BadInput(`${path}.${side}.services`, problem, "services alone");
  }
  if (rule.http === undefined) return;
  const where = `${path}.http`;
  if (rule.action !== "Allow") throw new BadInput(where, "only valid for Allow rules", "action Allow");
  if (direction === "egress") throw new BadInput(where, "not allowed in egress rule", "an ingress rule");
  if (rule.protocol !== undefined && protocolNumber(rule.protocol, `${path}.protocol`) !== 6) {
    const problem = "rules that specify HTTP fields must set protocol to TCP or empty";
    throw new BadInput(`${path}.protocol`, problem, "TCP");
  }
  const { methods = [], paths = [] } = Http.safeParse(rule.http).data ?? {};
  if (new Set(methods).size !== methods.length)
    throw new BadInput(`${where}.methods`, "has a method twice", "each once");
  for (const { exact, prefix } of paths) {
    const text = exact ?? prefix ?? "";
    if ((exact === undefined) === (prefix === undefined) || !text.startsWith("/") || /[ ?#]/.test(text)) {
      const problem = "each path is exactly one of exact and prefix, starts with / and has no space, ? or #";
      throw new BadInput(`${where}.paths`, problem, "a path like /foo");
    }
  }
}

/** @throws BadInput for the first thing that is wrong with the rule, in itself or between its fields. */
export function checkRule(rule: Rule, path: string): void {
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol, `${path}.protocol`);
  if (rule.notProtocol !== undefined) protocolNumber(rule.notProtocol, `${path}.notProtocol`);
  checkIcmp(rule, protocol, path);
  const families = new Set<4 | 6>();
  for (const side of ["source", "destination"] as const) {
    const entity = rule[side];
    if (entity !== undefined) checkEntity(entity, protocol, families, `${path}.${side}`);
  }
  if (families.size > 1) throw new BadInput(path, "rule contains both IPv4 and IPv6 CIDRs", "one family per rule");
  const [family] = families;
  if (family !== undefined && rule.ipVersion !== undefined && rule.ipVersion !== family) {
    throw new BadInput(`${path}.ipVersion`, "rule IP version doesn't match CIDR version", `${family}`);
  }
}

function checkIcmp(rule: Rule, protocol: number | undefined, path: string): void {
  for (const icmp of [rule.icmp, rule.notICMP]) {
    if (icmp?.code !== undefined && icmp.type === undefined) {
      throw new BadInput(`${path}.icmp`, "ICMP code specified without an ICMP type", "a type");
    }
  }
  if (rule.icmp !== undefined && protocol !== 1 && protocol !== 58) {
    const problem = "rules that specify ICMP fields must set protocol to ICMP";
    throw new BadInput(`${path}.protocol`, problem, "ICMP or ICMPv6");
  }
  if (protocol === 1 && rule.ipVersion === 6) {
    throw new BadInput(`${path}.ipVersion`, "must set ipversion to '4' with protocol icmp", "4");
  }
  if (protocol === 58 && rule.ipVersion === 4) {
    throw new BadInput(`${path}.ipVersion`, "must set ipversion to '6' with protocol icmpv6", "6");
  }
}

function checkEntity(entity: EntityRule, protocol: number | undefined, families: Set<4 | 6>, path: string): void {
  for (const field of ["nets", "notNets"] as const) {
    for (const [at, text] of (entity[field] ?? []).entries()) {
      const net = parseRuleNet(text, `${path}.${field}[${at}]`);
      families.add(net.includes(":") ? 6 : 4);
      if (field === "notNets" && prefixLength(net) === 0) {
        const problem = "catch-all CIDR in negation creates logical contradiction (matches no traffic)";
        throw new BadInput(`${path}.${field}[${at}]`, problem, "a smaller CIDR");
      }
    }
  }
  for (const field of ["ports", "notPorts"] as const) {
    for (const [at, port] of (entity[field] ?? []).entries()) checkPort(port, protocol, `${path}.${field}[${at}]`);
  }
  for (const field of ["selector", "notSelector"] as const) {
    const text = entity[field];
    if (text !== undefined) parseSelector(text, `${path}.${field}`, { global: "refuse" });
  }
  const { namespaceSelector, serviceAccounts } = entity;
  if (namespaceSelector !== undefined) {
    parseSelector(namespaceSelector, `${path}.namespaceSelector`, { global: "only-alone" });
  }
  if (serviceAccounts?.selector !== undefined) {
    parseSelector(serviceAccounts.selector, `${path}.serviceAccounts.selector`, { global: "refuse" });
  }
}

function checkPort(port: string | number, protocol: number | undefined, path: string): void {
  const numbered = parsePort(port, path).kind === "range";
  if (protocol === undefined ? !numbered : protocolsWithPorts.has(protocol)) return;
  const problem =
    protocol === undefined
      ? "rules with numeric port or port range must set protocol to TCP or UDP or SCTP"
      : "rules that specify ports must set protocol to TCP or UDP or SCTP";
  throw new BadInput(path, problem, "protocol TCP, UDP or SCTP");
}
