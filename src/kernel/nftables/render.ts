/**
 * The one place where nftables syntax is written. Names, texts and numbers are checked here, so nothing handed in can
 * add a statement of its own. Syntax: nft(8), 1.0.6 or later (no "destroy").
 */
import { ipFamily, prefixLength, tryParseCidr, tryParseIpAddress } from "../../base/addresses.ts";
import { BadInput, invariant, unreachable } from "../../base/errors.ts";
import { reduceNetworks } from "./networks.ts";
import type {
  Action,
  ChainSpec,
  Direction,
  Match,
  Operation,
  Rate,
  RuleSpec,
  SetElement,
  SetKind,
  SetSpec,
  Side,
  Verdict,
} from "./ruleset.ts";

export function renderTransaction(table: string, operations: readonly Operation[]): string {
  const tableName = objectName(table);
  return operations.map((operation) => `${renderOperation(`inet ${tableName}`, operation)}\n`).join("");
}

function renderOperation(table: string, operation: Operation): string {
  switch (operation.op) {
    case "add-table":
      return `add table ${table}`;
    case "delete-table":
      return `delete table ${table}`;
    case "add-set": {
      const { set } = operation;
      return `add ${setWord(set.kind)} ${table} ${objectName(set.name)} { ${setDefinition(set.kind)} }`;
    }
    case "delete-set":
      return `delete ${setWord(operation.set.kind)} ${table} ${objectName(operation.set.name)}`;
    case "add-chain":
      return `add chain ${table} ${objectName(operation.chain.name)}${hookDefinition(operation.chain)}`;
    case "flush-chain":
      return `flush chain ${table} ${objectName(operation.chain)}`;
    case "delete-chain":
      return `delete chain ${table} ${objectName(operation.chain)}`;
    case "add-rule":
      return `add rule ${table} ${objectName(operation.chain)} ${renderRule(operation.rule)}`;
    case "add-elements":
    case "delete-elements": {
      const { op, set, elements } = operation;
      invariant(elements.length > 0, "an element operation names elements");
      const verb = op === "add-elements" ? "add" : "delete";
      const list = elements.map((element) => renderElement(set, element, verb === "add")).join(", ");
      return `${verb} element ${table} ${objectName(set.name)} { ${list} }`;
    }
    default:
      return unreachable(operation);
  }
}

/** One rule without its chain, the way it also serves as the rule's identity. */
export function renderRule(rule: RuleSpec): string {
  const parts = [...rule.matches.map(renderMatch), ...rule.actions.map(renderAction)];
  if (rule.comment !== undefined) parts.push(`comment "${commentText(rule.comment)}"`);
  return parts.join(" ");
}

function renderMatch(match: Match): string {
  switch (match.match) {
    case "interface":
      return `${interfaceWord(match.direction)} ${not(match)}"${interfaceText(match.prefix)}*"`;
    case "interface-in-set":
      return `${interfaceWord(match.direction)} ${not(match)}@${objectName(match.set)}`;
    case "interface-source-in-set":
      return `iifname . ${ipWord(match.family)} saddr @${objectName(match.set)}`;
    case "family":
      return `meta nfproto ${match.family === 4 ? "ipv4" : "ipv6"}`;
    case "address": {
      const networks = reduceNetworks(match.networks);
      invariant(networks.length > 0, "an address match names networks");
      for (const network of networks)
        invariant(ipFamily(network) === match.family, "networks are of the rule's family");
      const list = networks.map((network) => networkText(network)).join(", ");
      return `${ipWord(match.family)} ${sideWord(match.side)} ${not(match)}{ ${list} }`;
    }
    case "address-in-set":
      return `${ipWord(match.family)} ${sideWord(match.side)} ${not(match)}@${objectName(match.set)}`;
    case "port-in-set":
      return `${ipWord(match.family)} ${sideWord(match.side)} . meta l4proto . th ${portWord(match.side)} ${not(match)}@${objectName(match.set)}`;
    case "interface-named":
      return `${interfaceWord(match.direction)} ${not(match)}"${interfaceText(match.name)}"`;
    case "protocol":
      return `meta l4proto ${not(match)}${numberSet(match.numbers, 255)}`;
    case "ports": {
      const ranges = mergeRanges(match.ranges);
      const list = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
      return `th ${portWord(match.side)} ${not(match)}{ ${list} }`;
    }
    case "icmp": {
      const word = match.family === 4 ? "icmp" : "icmpv6";
      if (match.code === undefined) return `${word} type ${not(match)}${numberSet(match.types, 255)}`;
      const pairs = match.types.map((type) => `${integer(type, 255)} . ${integer(match.code, 255)}`).join(", ");
      return `${word} type . ${word} code ${not(match)}{ ${pairs} }`;
    }
    case "connection":
      return `ct state ${match.states.join(",")}`;
    case "rate-over":
      return `limit rate over ${rateText(match.limit)}`;
    case "connections-over":
      return `ct count over ${integer(match.count, 0xffff_ffff)}`;
    case "mark":
      return `meta mark & ${hex(match.bit)} ${match.not ? "==" : "!="} 0`;
    default:
      return unreachable(match);
  }
}

function renderAction(action: Action): string {
  switch (action.do) {
    case "accept":
    case "drop":
    case "return":
      return action.do;
    case "count":
      return "counter";
    case "reject":
      return "reject with icmpx type admin-prohibited";
    case "reset":
      return "reject with tcp reset";
    case "untrack":
      return "notrack";
    case "source-nat":
      return sourceNat(action);
    case "destination-nat":
      return `dnat ${ipWord(action.family)} to ${ipWord(action.family)} daddr map @${objectName(action.map)}`;
    case "destination-nat-to": {
      const family = ipFamily(action.address);
      const target = addressText(action.address, family);
      return `dnat ${ipWord(family)} to ${family === 6 ? `[${target}]` : target}:${integer(action.port, 65_535)}`;
    }
    case "set-dscp":
      return `${ipWord(action.family)} dscp set ${integer(action.value, 63)}`;
    case "jump":
    case "goto":
      return `${action.do} ${objectName(action.chain)}`;
    case "dispatch":
      return `${interfaceWord(action.direction)} vmap @${objectName(action.map)}`;
    case "set-mark":
      return `meta mark set meta mark | ${hex(action.bit)}`;
    case "clear-mark":
      return `meta mark set meta mark & ${hex(~action.bit)}`;
    case "log":
      return `limit rate ${rateText(action.limit)} log prefix "${logPrefixText(action.prefix)}" level info`;
    default:
      return unreachable(action);
  }
}

function sourceNat({ address, ports }: Extract<Action, { do: "source-nat" }>): string {
  const range = ports === undefined ? "" : `:${integer(ports.first, 65_535)}-${integer(ports.last, 65_535)}`;
  if (address === undefined) return `masquerade${range === "" ? "" : ` to ${range}`} fully-random`;
  const family = ipFamily(address);
  const target = addressText(address, family);
  return `snat ${ipWord(family)} to ${family === 6 && range !== "" ? `[${target}]` : target}${range} fully-random`;
}

function renderElement(set: SetSpec, element: SetElement, withValue: boolean): string {
  const key = elementKeyText(set.kind, element.key);
  if (isAddressMap(set.kind) && withValue) {
    invariant(element.address !== undefined, "an element of an address map has an address");
    return `${key} : ${addressText(element.address, set.kind === "address-map4" ? 4 : 6)}`;
  }
  if (set.kind !== "interface-verdicts" || !withValue) return key;
  invariant(element.verdict !== undefined, "an element of a verdict map has a verdict");
  return `${key} : ${verdictWords(element.verdict)}`;
}

function elementKeyText(kind: SetKind, key: string): string {
  switch (kind) {
    case "interfaces":
    case "interface-verdicts":
      return `"${interfaceText(key)}"`;
    case "interface-addresses4":
    case "interface-addresses6": {
      const [interfaceName = "", address = ""] = key.split(" ");
      return `"${interfaceText(interfaceName)}" . ${addressText(address, kind === "interface-addresses4" ? 4 : 6)}`;
    }
    case "address-ports4":
    case "address-ports6": {
      const [address = "", protocol, port] = key.split(",");
      const numbers = `${integer(Number(protocol), 255)} . ${integer(Number(port), 65_535)}`;
      return `${addressText(address, kind === "address-ports4" ? 4 : 6)} . ${numbers}`;
    }
    case "addresses4":
    case "address-map4":
      return addressText(key, 4);
    case "addresses6":
    case "address-map6":
      return addressText(key, 6);
    case "networks4":
    case "networks6":
      return networkText(key, kind === "networks4" ? 4 : 6);
    default:
      return unreachable(kind);
  }
}

function verdictWords(verdict: Verdict): string {
  return typeof verdict === "string" ? verdict : `goto ${objectName(verdict.goto)}`;
}

function setWord(kind: SetKind): string {
  return kind === "interface-verdicts" || isAddressMap(kind) ? "map" : "set";
}

function isAddressMap(kind: SetKind): boolean {
  return kind === "address-map4" || kind === "address-map6";
}

function setDefinition(kind: SetKind): string {
  switch (kind) {
    case "interfaces":
      return "type ifname;";
    case "interface-addresses4":
      return "type ifname . ipv4_addr;";
    case "interface-addresses6":
      return "type ifname . ipv6_addr;";
    case "addresses4":
      return "type ipv4_addr;";
    case "addresses6":
      return "type ipv6_addr;";
    case "networks4":
      return "type ipv4_addr; flags interval;";
    case "networks6":
      return "type ipv6_addr; flags interval;";
    case "address-ports4":
      return "type ipv4_addr . inet_proto . inet_service;";
    case "address-ports6":
      return "type ipv6_addr . inet_proto . inet_service;";
    case "interface-verdicts":
      return "type ifname : verdict;";
    case "address-map4":
      return "type ipv4_addr : ipv4_addr;";
    case "address-map6":
      return "type ipv6_addr : ipv6_addr;";
    default:
      return unreachable(kind);
  }
}

function hookDefinition(chain: ChainSpec): string {
  if (chain.hook === undefined) return "";
  const { type, hook, priority } = chain.hook;
  invariant(Number.isInteger(priority) && Math.abs(priority) <= 1_000, "a hook priority is a small integer");
  return ` { type ${type} hook ${hook} priority ${priority}; policy accept; }`;
}

/** Names of tables, chains, sets: 127 bytes would do for the kernel (NFT_NAME_MAXLEN 256). */
export function objectName(name: string): string {
  if (!/^[a-zA-Z][a-zA-Z0-9_./-]{0,120}$/.test(name))
    throw new BadInput("nftables name", `"${name}" cannot name an object`, "letters, digits and . _ / - only");
  return name;
}

/** A trailing * would match a prefix, and a quote would end the string: neither can come in here. */
function interfaceText(name: string): string {
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(name))
    throw new BadInput("interface name", `"${name}" cannot be used in a rule`, "letters, digits and . _ - only");
  return name;
}

export function commentText(text: string): string {
  invariant(text.length <= 120, "a comment has at most 120 characters");
  return printableText(text, "comment");
}

function printableText(text: string, what: string): string {
  if (!/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text))
    throw new BadInput(`nftables ${what}`, `"${text}" cannot be a ${what}`, "printable characters");
  return text;
}

function logPrefixText(text: string): string {
  invariant(text.length <= 127, "a log prefix has at most 127 characters");
  return printableText(text, "log prefix");
}

function rateText({ count, per, burst }: Rate): string {
  const bursting = burst === 0 ? "" : ` burst ${integer(burst, 10_000)} packets`;
  return `${integer(count, 10_000)}/${per}${bursting}`;
}

function networkText(text: string, family?: 4 | 6): string {
  const network = tryParseCidr(text);
  if (network === undefined || (family !== undefined && ipFamily(network) !== family))
    throw new BadInput("set element", `"${text}" is not a network of this set`, `an IPv${family ?? "4 or IPv6"} CIDR`);
  const whole = prefixLength(network) === (ipFamily(network) === 4 ? 32 : 128);
  return whole ? network.slice(0, network.indexOf("/")) : network;
}

function addressText(text: string, family: 4 | 6): string {
  const address = tryParseIpAddress(text);
  if (address === undefined || ipFamily(address) !== family)
    throw new BadInput("set element", `"${text}" is not an address of this set`, `an IPv${family} address`);
  return address;
}

function mergeRanges(ranges: readonly { first: number; last: number }[]): { first: number; last: number }[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    integer(first, 65_535);
    integer(last, 65_535);
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else merged.push({ first, last });
  }
  invariant(merged.length > 0, "a port match names ports");
  return merged;
}

function numberSet(numbers: readonly number[], max: number): string {
  const texts = numbers.map((number) => integer(number, max));
  invariant(texts.length > 0, "a match names values");
  return texts.length === 1 ? (texts[0] ?? "") : `{ ${[...new Set(texts)].join(", ")} }`;
}

function integer(value: number | undefined, max: number): string {
  invariant(
    value !== undefined && Number.isInteger(value) && value >= 0 && value <= max,
    `${value} is within 0..${max}`,
  );
  return String(value);
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, "0")}`;
}

function not(match: { readonly not?: true }): string {
  return match.not ? "!= " : "";
}

function ipWord(family: 4 | 6): string {
  return family === 4 ? "ip" : "ip6";
}

function portWord(side: Side): string {
  return side === "source" ? "sport" : "dport";
}

function sideWord(side: Side): string {
  return side === "source" ? "saddr" : "daddr";
}

function interfaceWord(direction: Direction): string {
  return direction === "in" ? "iifname" : "oifname";
}
