/**
 * Rules of profiles in the classic syntax: printed from v3 rules, and read from the words of a command
 * (calicoctl.md 3.5.1, 3.5.2; calico-datastore.md 7.2). A tag T is the label T with an empty value.
 * What the classic syntax has no word for is printed all the same, so that no rule looks wider or narrower than it is.
 */

import { type Cidr, ipFamily, tryParseCidr } from "../../../base/addresses.ts";
import { isLabelKey } from "../../../model/names.ts";
import type { EntityRule, Rule } from "../../../model/rule.ts";
import { CommandFailure, paragraph, UsageError } from "../command.ts";
import { plainTagNames, type TagNames } from "./tag-names.ts";

/** `allow tcp from tag web cidr 10.0.0.0/8 to ports 80,443` */
export function ruleText(rule: Rule, names: TagNames = plainTagNames): string {
  const action = rule.action === "Pass" ? "next-tier" : rule.action.toLowerCase();
  const words = [
    action,
    ...(rule.ipVersion === undefined ? [] : [`ipv${rule.ipVersion}`]),
    ...(rule.protocol === undefined ? [] : [String(rule.protocol).toLowerCase()]),
    ...(rule.notProtocol === undefined ? [] : [`!${String(rule.notProtocol).toLowerCase()}`]),
    ...icmpWords(rule.icmp, ""),
    ...icmpWords(rule.notICMP, "!"),
    ...sideWords("from", rule.source, names),
    ...sideWords("to", rule.destination, names),
    ...(rule.http === undefined ? [] : ["http ..."]),
  ];
  return words.join(" ");
}

/** The tag a selector stands for, in either of the forms upstream writes. */
export function tagOfSelector(selector: string): string | undefined {
  const [, inHas, compared] = /^\s*(?:has\(\s*(\S+?)\s*\)|(\S+)\s*==\s*(?:''|""))\s*$/.exec(selector) ?? [];
  return inHas ?? compared;
}

function icmpWords(icmp: Rule["icmp"], not: string): readonly string[] {
  if (icmp?.type === undefined) return [];
  return [`${not}type ${icmp.type}`, ...(icmp.code === undefined ? [] : [`code ${icmp.code}`])];
}

function sideWords(word: "from" | "to", side: EntityRule | undefined, names: TagNames): readonly string[] {
  if (side === undefined) return [];
  const tag = side.selector === undefined ? undefined : tagOfSelector(side.selector);
  const selector = side.selector === undefined || side.selector.trim() === "" ? undefined : side.selector;
  const { names: accountNames = [], selector: accounts } = side.serviceAccounts ?? {};
  const words = [
    ...listWords("ports", side.ports),
    ...(tag === undefined ? [] : [`tag ${names.tag(tag)}`]),
    ...listWords("cidr", side.nets),
    ...(tag === undefined && selector !== undefined ? [`selector ${selector}`] : []),
    ...listWords("!ports", side.notPorts),
    ...listWords("!cidr", side.notNets),
    ...(side.notSelector ? [`!selector ${side.notSelector}`] : []),
    ...(side.namespaceSelector ? [`namespace-selector ${side.namespaceSelector}`] : []),
    ...listWords("service-accounts", accountNames),
    ...(accounts ? [`service-account-selector ${accounts}`] : []),
    ...(side.services === undefined ? [] : ["services ..."]),
  ];
  return words.length === 0 ? [] : [word, ...words];
}

function listWords(word: string, values: readonly (string | number)[] | undefined): readonly string[] {
  return values === undefined || values.length === 0 ? [] : [`${word} ${values.join(",")}`];
}

/** @throws UsageError for words that are no rule, CommandFailure for values that cannot be */
export function parseRule(words: readonly string[], usage: string, names: TagNames): Rule {
  const reader = new WordReader(words, usage);
  const action = reader.take("allow", "deny");
  if (action === undefined) throw new UsageError(usage);
  const protocol = reader.take("tcp", "udp", "icmp", "icmpv6");
  const icmp = protocol === "icmp" || protocol === "icmpv6" ? parseIcmp(reader) : undefined;
  const source = reader.take("from") === undefined ? {} : parsePeer(reader, protocol, names);
  const destination = reader.take("to") === undefined ? {} : parsePeer(reader, protocol, names);
  if (!reader.atEnd) throw new UsageError(usage);
  checkFamilies(protocol, [...(source.nets ?? []), ...(destination.nets ?? [])] as Cidr[]);
  return {
    action: action === "allow" ? "Allow" : "Deny",
    ...(protocol === undefined ? {} : { protocol: protocol === "icmpv6" ? "ICMPv6" : protocol.toUpperCase() }),
    ...(icmp === undefined ? {} : { icmp }),
    ...(Object.keys(source).length === 0 ? {} : { source }),
    ...(Object.keys(destination).length === 0 ? {} : { destination }),
  };
}

class WordReader {
  readonly #words: readonly string[];
  readonly #usage: string;
  #at = 0;

  constructor(words: readonly string[], usage: string) {
    this.#words = words;
    this.#usage = usage;
  }

  get atEnd(): boolean {
    return this.#at >= this.#words.length;
  }

  get next(): string | undefined {
    return this.#words[this.#at];
  }

  take<const Word extends string>(...choices: readonly Word[]): Word | undefined {
    const found = choices.find((choice) => choice === this.next);
    if (found !== undefined) this.#at++;
    return found;
  }

  value(): string {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new UsageError(this.#usage);
    return word;
  }
}

function parseIcmp(reader: WordReader): { type: number; code?: number } | undefined {
  if (reader.take("type") === undefined) return undefined;
  const type = icmpNumber(reader.value(), 254);
  return reader.take("code") === undefined ? { type } : { type, code: icmpNumber(reader.value(), 255) };
}

function icmpNumber(text: string, most: number): number {
  if (/^\d{1,3}$/.test(text) && Number(text) <= most) return Number(text);
  throw new CommandFailure("stdout", "Invalid ICMP type or ICMP code specified.\n");
}

function parsePeer(reader: WordReader, protocol: string | undefined, names: TagNames): EntityRule {
  const side: EntityRule = {};
  if ((protocol === "tcp" || protocol === "udp") && reader.take("ports") !== undefined) {
    side.ports = parsePorts(reader.value());
  } else if (reader.next === "ports") {
    throw new CommandFailure("stdout", `Ports are not valid with protocol '${protocol ?? "None"}'\n`);
  }
  if (reader.take("tag") !== undefined) side.selector = `has(${names.label(checkTag(reader.value()))})`;
  // Before v0.6 the word was not written.
  const bare = reader.next !== undefined && reader.next !== "to" && tryParseCidr(reader.next) !== undefined;
  if (reader.take("cidr") !== undefined || bare) {
    const cidr = tryParseCidr(reader.value());
    if (cidr === undefined) throw new CommandFailure("stdout", "Invalid CIDR specified.\n");
    side.nets = [cidr];
  }
  return side;
}

/** @throws CommandFailure */
export function checkTag(tag: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(tag) && isLabelKey(tag)) return tag;
  const problem = "Tags names can only contain numbers, letters, dots, dashes and underscores.";
  throw new CommandFailure("stdout", paragraph(problem));
}

function parsePorts(text: string): (number | string)[] {
  return text.split(",").map((part) => {
    const [, first, last] = /^(\d{1,6})(?:[:-](\d{1,6}))?$/.exec(part) ?? [];
    if (first === undefined) {
      const problem = `Ports: '${text}' are invalid; expecting a comma-separated list of ports and port ranges.`;
      throw new CommandFailure("stdout", paragraph(problem));
    }
    const [least, most] = [Number(first), Number(last ?? first)];
    const fail = (problem: string) => new CommandFailure("stdout", paragraph(problem));
    if (least > most) throw fail(`Port range minimum (${least}) > maximum (${most}).`);
    if (least < 1) throw fail(`Port minimum (${least}) out-of-range.`);
    if (most > 65535) throw fail(`Port maximum (${most}) out-of-range.`);
    return least === most ? least : `${least}:${most}`;
  });
}

function checkFamilies(protocol: string | undefined, cidrs: readonly Cidr[]): void {
  const families = new Set(cidrs.map(ipFamily));
  if (protocol === "icmp") families.add(4);
  if (protocol === "icmpv6") families.add(6);
  if (families.size <= 1) return;
  throw new CommandFailure("stdout", "Invalid or unmatching IP versions for SRCCIDR/DSTCIDR.\n");
}
