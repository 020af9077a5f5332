/**
 * Rules as the kernel's own expressions (linux/netfilter/nf_tables.h): loads into a register, comparisons of it, a verdict.
 * Only what the rules of policies and endpoints are made of; a rule with anything else is libnftables' business. Says
 * exactly what libnftables would say (the contract test compares both).
 */
import { addressBytes, type Cidr, ipFamily, networkAddress, prefixLength } from "../../base/addresses.ts";
import { unreachable } from "../../base/errors.ts";
import type { MessageWriter } from "../netlink/message.ts";
import { reduceNetworks } from "./networks.ts";
import { objectName } from "./render.ts";
import type { Action, Match, RuleSpec } from "./ruleset.ts";
import { attribute, type VerdictName, writeVerdict } from "./wire.ts";

type Write = (writer: MessageWriter) => void;

interface Expression {
  readonly name: string;
  readonly content: Write;
}

type Comparison = keyof typeof comparisons;

const register = 1;
const verdictRegister = 0;
const comparisons = { equal: 0, different: 1, atMost: 3, atLeast: 5 } as const;
const metaKey = { mark: 3, familyNumber: 15, protocol: 16 } as const;
const familyByte = { 4: 2, 6: 10 } as const;
const payloadBase = { network: 1, transport: 2 } as const;
/** Of source and destination in the headers of IPv4, IPv6 and all transport protocols with ports. */
const addressOffset = { 4: { source: 12, destination: 16 }, 6: { source: 8, destination: 24 } } as const;
const portOffset = { source: 0, destination: 2 } as const;
const lookupInverted = 1;

/** Undefined: something in it is not known here. */
export function ruleExpressions(rule: RuleSpec): readonly Expression[] | undefined {
  const expressions: Expression[] = [];
  let family: 4 | 6 | undefined;
  for (const match of rule.matches) {
    if ("family" in match && match.family !== family) {
      // An address is looked for only in packets that have one; once said, it holds for the rest of the rule.
      if (family !== undefined) return undefined;
      family = match.family;
      expressions.push(loadMeta(metaKey.familyNumber), compare("equal", Uint8Array.of(familyByte[family])));
    }
    const written = matchExpressions(match);
    if (written === undefined) return undefined;
    expressions.push(...written);
  }
  for (const action of rule.actions) {
    const written = actionExpressions(action);
    if (written === undefined) return undefined;
    expressions.push(...written);
  }
  return expressions;
}

export function writeExpressions(writer: MessageWriter, expressions: readonly Expression[]): void {
  writer.nest(attribute.ruleExpressions, () => {
    for (const { name, content } of expressions)
      writer.nest(attribute.listItem, () => {
        writer.attributeText(attribute.expressionName, name);
        writer.nest(attribute.expressionData, content);
      });
  });
}

function matchExpressions(match: Match): readonly Expression[] | undefined {
  const comparison: Comparison = "not" in match && match.not ? "different" : "equal";
  switch (match.match) {
    case "family":
      return [];
    case "address": {
      const networks = reduceNetworks(match.networks);
      const [network] = networks;
      if (network === undefined || networks.length > 1 || ipFamily(network) !== match.family) return undefined;
      return addressExpressions(network, addressOffset[match.family][match.side], comparison);
    }
    case "address-in-set": {
      const length = match.family === 4 ? 4 : 16;
      const load = loadPayload("network", addressOffset[match.family][match.side], length);
      return [load, lookup(match.set, match.not === true)];
    }
    case "protocol": {
      const [number] = match.numbers;
      if (number === undefined || match.numbers.length > 1) return undefined;
      return [loadMeta(metaKey.protocol), compare(comparison, Uint8Array.of(number))];
    }
    case "ports": {
      const [range] = match.ranges;
      if (range === undefined || match.ranges.length > 1) return undefined;
      const load = loadPayload("transport", portOffset[match.side], 2);
      if (range.first === range.last) return [load, compare(comparison, portBytes(range.first))];
      if (match.not) return undefined;
      return [load, compare("atLeast", portBytes(range.first)), compare("atMost", portBytes(range.last))];
    }
    case "mark":
      return [
        loadMeta(metaKey.mark),
        bitwise(hostBytes(match.bit), hostBytes(0)),
        compare(match.not ? "equal" : "different", hostBytes(0)),
      ];
    case "interface":
    case "interface-named":
    case "interface-in-set":
    case "interface-source-in-set":
    case "port-in-set":
    case "icmp":
    case "connection":
    case "rate-over":
    case "connections-over":
      return undefined;
    default:
      return unreachable(match);
  }
}

function actionExpressions(action: Action): readonly Expression[] | undefined {
  switch (action.do) {
    case "accept":
    case "drop":
    case "return":
      return [verdict(action.do)];
    case "jump":
    case "goto":
      return [verdict(action.do, objectName(action.chain))];
    case "count":
      return [{ name: "counter", content: () => {} }];
    case "set-mark":
      return markExpressions(~action.bit, action.bit);
    case "clear-mark":
      return markExpressions(~action.bit, 0);
    case "reject":
    case "reset":
    case "untrack":
    case "source-nat":
    case "destination-nat":
    case "destination-nat-to":
    case "set-dscp":
    case "dispatch":
    case "log":
      return undefined;
    default:
      return unreachable(action);
  }
}

/** A prefix of whole bytes is compared as such, any other under a mask. */
function addressExpressions(network: Cidr, offset: number, comparison: Comparison): Expression[] | undefined {
  const bytes = addressBytes(networkAddress(network));
  const length = prefixLength(network);
  if (length === 0) return undefined;
  if (length % 8 === 0) {
    const whole = length / 8;
    return [loadPayload("network", offset, whole), compare(comparison, bytes.subarray(0, whole))];
  }
  const mask = bytes.map((_, at) => 0xff & (0xff00 >> Math.min(8, Math.max(0, length - at * 8))));
  const load = loadPayload("network", offset, bytes.length);
  return [load, bitwise(mask, new Uint8Array(bytes.length)), compare(comparison, bytes)];
}

function markExpressions(mask: number, set: number): Expression[] {
  const store: Write = (writer) =>
    writer.attributeU32Network(attribute.metaKey, metaKey.mark).attributeU32Network(attribute.metaSource, register);
  return [loadMeta(metaKey.mark), bitwise(hostBytes(mask), hostBytes(set)), { name: "meta", content: store }];
}

function loadMeta(key: number): Expression {
  const content: Write = (writer) =>
    writer.attributeU32Network(attribute.metaKey, key).attributeU32Network(attribute.metaDestination, register);
  return { name: "meta", content };
}

function loadPayload(base: keyof typeof payloadBase, offset: number, length: number): Expression {
  const content: Write = (writer) =>
    writer
      .attributeU32Network(attribute.payloadDestination, register)
      .attributeU32Network(attribute.payloadBase, payloadBase[base])
      .attributeU32Network(attribute.payloadOffset, offset)
      .attributeU32Network(attribute.payloadLength, length);
  return { name: "payload", content };
}

function compare(comparison: Comparison, value: Uint8Array): Expression {
  const content: Write = (writer) => {
    writer.attributeU32Network(attribute.compareSource, register);
    writer.attributeU32Network(attribute.compareOperator, comparisons[comparison]);
    writer.nest(attribute.compareData, () => writer.attribute(attribute.dataValue, value));
  };
  return { name: "cmp", content };
}

/** (register & mask) ^ flipped, into the same register. */
function bitwise(mask: Uint8Array, flipped: Uint8Array): Expression {
  const content: Write = (writer) => {
    writer.attributeU32Network(attribute.bitwiseSource, register);
    writer.attributeU32Network(attribute.bitwiseDestination, register);
    writer.attributeU32Network(attribute.bitwiseLength, mask.length);
    writer.nest(attribute.bitwiseMask, () => writer.attribute(attribute.dataValue, mask));
    writer.nest(attribute.bitwiseXor, () => writer.attribute(attribute.dataValue, flipped));
  };
  return { name: "bitwise", content };
}

function lookup(set: string, inverted: boolean): Expression {
  const content: Write = (writer) => {
    writer.attributeText(attribute.lookupSet, objectName(set));
    writer.attributeU32Network(attribute.lookupSource, register);
    if (inverted) writer.attributeU32Network(attribute.lookupFlags, lookupInverted);
  };
  return { name: "lookup", content };
}

function verdict(name: VerdictName, chain?: string): Expression {
  const content: Write = (writer) => {
    writer.attributeU32Network(attribute.immediateDestination, verdictRegister);
    writer.nest(attribute.immediateData, () => writeVerdict(writer, name, chain));
  };
  return { name: "immediate", content };
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}

/** Marks are numbers of the host, in its own byte order. */
function hostBytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value >>> 0).buffer);
}
