/**
 * What a listed nftables table does with the first packet of a connection: pure. It knows exactly the expressions the
 * dataplane writes; meeting any other one it says so instead of guessing.
 * - An accept ends its base chain and the next one of the hook goes on; a drop is final.
 * - The packet begins a connection: its state is "new".
 */
import { cidrContains, tryParseCidr, tryParseIpAddress } from "../../base/addresses.ts";
import type { ListedChain, ListedRule, ListedTable } from "../../kernel/nftables/table-listing.ts";
import { icmpProtocol, type Packet, protocolsWithPorts } from "../../policy/explain/packet.ts";

/** Where a packet is. An interface is "" where there is none: what the host itself sends has come in nowhere. */
export interface PacketAtHook {
  readonly hook: "prerouting" | "input" | "forward" | "output";
  readonly inInterface: string;
  readonly outInterface: string;
}

export interface KernelStep {
  readonly chain: string;
  /** Place in its chain, from 1. */
  readonly rule: number;
  readonly handle: number;
  readonly comment: string;
  readonly did: string;
}

export interface HookOutcome {
  readonly hook: PacketAtHook["hook"];
  readonly verdict: "accept" | "drop";
  readonly steps: readonly KernelStep[];
}

/** The table holds something that is not ours or not known here. */
export class NotUnderstood extends Error {}

type Ending = "accept" | "drop" | "end";
type Json = Readonly<Record<string, unknown>>;
type Value = string | number;

const jumpsMax = 16; // NFT_JUMP_STACK_SIZE
/** Bits of ct state (NF_CT_STATE_BIT). */
const connectionState = { new: 8, untracked: 64 } as const;
const familyNumber = { 4: 2, 6: 10 } as const;
const portProtocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, dccp: 33, sctp: 132, udplite: 136 };

/** One packet's way through the hooks; what one of them leaves on it (mark, tracking) the next one sees. */
export class Passage {
  readonly #table: ListedTable;
  #packet: Packet;
  readonly #family: 4 | 6;
  #steps: KernelStep[] = [];
  #at: PacketAtHook = { hook: "prerouting", inInterface: "", outInterface: "" };
  #mark = 0;
  #state: number = connectionState.new;

  constructor(table: ListedTable, packet: Packet) {
    this.#table = table;
    this.#packet = packet;
    this.#family = packet.source.includes(":") ? 6 : 4;
  }

  /** As it is after the hooks it has met: its destination may be translated. */
  get packet(): Packet {
    return this.#packet;
  }

  /** @throws NotUnderstood */
  hook(at: PacketAtHook): HookOutcome {
    this.#at = at;
    this.#steps = [];
    const bases = [...this.#table.chains.values()].flatMap((chain) =>
      chain.hook?.hook === at.hook ? [{ chain, hook: chain.hook }] : [],
    );
    for (const { chain, hook } of bases.sort((a, b) => a.hook.priority - b.hook.priority)) {
      if (hook.type !== "filter" && hook.type !== "nat")
        throw new NotUnderstood(`a chain of type ${hook.type} at ${at.hook}: ${chain.name}`);
      const verdict = this.#baseChain(chain, hook.policy);
      if (verdict === "drop") return { hook: at.hook, verdict, steps: this.#steps };
    }
    return { hook: at.hook, verdict: "accept", steps: this.#steps };
  }

  #baseChain(chain: ListedChain, policy: string): "accept" | "drop" {
    const ending = this.#chain(chain, 0);
    if (ending !== "end") return ending;
    if (policy !== "accept" && policy !== "drop") throw new NotUnderstood(`policy ${policy} of chain ${chain.name}`);
    if (policy === "drop")
      this.#steps.push({ chain: chain.name, rule: 0, handle: 0, comment: "", did: "drop by the chain's policy" });
    return policy;
  }

  #chain(chain: ListedChain, depth: number): Ending {
    if (depth > jumpsMax) throw new NotUnderstood(`more than ${jumpsMax} jumps into each other`);
    for (const [at, rule] of chain.rules.entries()) {
      const outcome = this.#rule(chain, rule, at + 1, depth);
      if (outcome === "return") return "end";
      if (outcome !== "next") return outcome;
    }
    return "end";
  }

  #rule(chain: ListedChain, rule: ListedRule, number: number, depth: number): Ending | "return" | "next" {
    const step = (did: string) => {
      this.#steps.push({
        chain: chain.name,
        rule: number,
        handle: rule.handle,
        comment: textOfComment(rule.comment),
        did,
      });
    };
    let limited = false;
    let marked = 0;
    for (const expression of rule.expressions) {
      const [kind, content] = onlyMember(expression);
      switch (kind) {
        case "match":
          if (!this.#matches(content)) return "next";
          break;
        case "counter":
          break;
        case "limit":
          // The first packet of a connection is judged for a host at rest: no limit is exceeded.
          if (isOver(content)) return "next";
          limited = true;
          break;
        case "ct count":
          if (!isOver(content)) throw new NotUnderstood("a count of connections that are not too many");
          return "next";
        case "log":
          step("log");
          break;
        case "mangle":
          marked |= this.#mangle(content);
          break;
        case "dnat": {
          const translated = this.#translated(content);
          if (translated === undefined) return "next";
          const { destination, destinationPort } = translated;
          step(`destination becomes ${destination}${destinationPort === undefined ? "" : ` port ${destinationPort}`}`);
          this.#packet = { ...this.#packet, ...translated };
          return "accept";
        }
        case "notrack":
          this.#state = connectionState.untracked;
          break;
        case "accept":
        case "drop":
        case "reject":
          if (limited) throw new NotUnderstood(`a verdict under a rate limit in chain ${chain.name}`);
          step(kind);
          return kind === "accept" ? "accept" : "drop";
        case "return":
          if (limited) throw new NotUnderstood(`a verdict under a rate limit in chain ${chain.name}`);
          step(marked === 0 ? "return" : `return with mark 0x${marked.toString(16)}`);
          return "return";
        case "jump":
        case "goto": {
          const target = this.#target(content);
          if (limited) throw new NotUnderstood(`a jump under a rate limit in chain ${chain.name}`);
          step(`${kind} ${target.name}`);
          const ending = this.#chain(target, depth + 1);
          if (ending !== "end") return ending;
          if (kind === "goto") return "end";
          break;
        }
        case "vmap": {
          const found = this.#lookup(content);
          if (found === undefined) return "next";
          const [verdict, where] = onlyMember(found);
          if (verdict === "accept" || verdict === "drop") {
            step(`${verdict} (map)`);
            return verdict;
          }
          if (verdict !== "goto" && verdict !== "jump") throw new NotUnderstood(`verdict ${verdict} in a map`);
          const target = this.#target(where);
          step(`${verdict} ${target.name}`);
          const ending = this.#chain(target, depth + 1);
          if (ending !== "end") return ending;
          if (verdict === "goto") return "end";
          break;
        }
        default:
          throw new NotUnderstood(`expression ${kind} in chain ${chain.name}`);
      }
    }
    return "next";
  }

  #target(content: unknown): ListedChain {
    const name = isObject(content) ? content.target : undefined;
    const chain = this.#table.chains.get(String(name));
    if (chain === undefined) throw new NotUnderstood(`chain ${String(name)}, which is not there`);
    return chain;
  }

  #lookup(content: unknown): unknown {
    if (!isObject(content)) throw new NotUnderstood("a map without content");
    const { data } = content;
    const listed = isObject(data) ? data.set : typeof data === "string" ? this.#set(data) : undefined;
    if (!Array.isArray(listed)) throw new NotUnderstood("a map without elements");
    const elements: readonly unknown[] = listed;
    const keys = this.#read(content.key);
    if (keys === undefined) return undefined;
    const found = elements.find((pair) => Array.isArray(pair) && elementHolds(pair[0], keys));
    return Array.isArray(found) ? found[1] : undefined;
  }

  /** @returns undefined when the map has nothing for the packet: the rule does not match then. */
  #translated(content: unknown): Pick<Packet, "destination" | "destinationPort"> | undefined {
    const { addr, port } = isObject(content) ? content : {};
    const found = isObject(addr) && addr.map !== undefined ? this.#lookup(addr.map) : addr;
    if (found === undefined && isObject(addr)) return undefined;
    const destination = typeof found === "string" ? tryParseIpAddress(found) : undefined;
    if (destination === undefined) throw new NotUnderstood("a translation of the destination to no address");
    if (port === undefined) return { destination };
    if (typeof port !== "number") throw new NotUnderstood("a translation of the destination to several ports");
    return { destination, destinationPort: port };
  }

  #set(reference: string): readonly unknown[] {
    const elements = reference.startsWith("@") ? this.#table.sets.get(reference.slice(1)) : undefined;
    if (elements === undefined) throw new NotUnderstood(`set ${reference}, which is not there`);
    return elements;
  }

  /** @returns the bits it sets. */
  #mangle(content: unknown): number {
    if (isObject(content) && isDscp(content.key)) return 0; // no rule asks for it
    if (!isObject(content) || !isMark(content.key)) throw new NotUnderstood("a change of something else than the mark");
    const [operator, operands] = onlyMember(content.value);
    const [left, bits] = Array.isArray(operands) ? operands : [];
    if (!isMark(left) || typeof bits !== "number")
      throw new NotUnderstood("a mark set from something else than the mark");
    if (operator !== "|" && operator !== "&") throw new NotUnderstood(`operation ${operator} on the mark`);
    this.#mark = (operator === "|" ? this.#mark | bits : this.#mark & bits) >>> 0;
    return operator === "|" ? bits : 0;
  }

  #matches(content: unknown): boolean {
    if (!isObject(content)) throw new NotUnderstood("a match without content");
    const { op, left, right } = content;
    if (op === "in") return this.#matchesState(left, right);
    if (op !== "==" && op !== "!=") throw new NotUnderstood(`comparison ${String(op)}`);
    if (isObject(left) && "&" in left) {
      const [what, bits] = Array.isArray(left["&"]) ? left["&"] : [];
      if (!isMark(what) || typeof bits !== "number" || typeof right !== "number")
        throw new NotUnderstood("a bit match");
      return ((this.#mark & bits) >>> 0 === right) === (op === "==");
    }
    const values = this.#read(left);
    // A packet that has no such field does not match, whatever is asked of the field.
    if (values === undefined) return false;
    return this.#holds(right, values) === (op === "==");
  }

  #holds(right: unknown, values: readonly Value[]): boolean {
    if (typeof right === "string" && right.startsWith("@"))
      return this.#set(right).some((element) => elementHolds(element, values));
    if (isObject(right) && Array.isArray(right.set)) return right.set.some((element) => elementHolds(element, values));
    return elementHolds(right, values);
  }

  #matchesState(left: unknown, right: unknown): boolean {
    const [kind, content] = onlyMember(left);
    if (kind !== "ct" || !isObject(content) || content.key !== "state") throw new NotUnderstood("a match of bits");
    const states = Array.isArray(right) ? right : [right];
    if (!states.every((state) => typeof state === "number")) throw new NotUnderstood("a connection state by name");
    return states.includes(this.#state);
  }

  /** The values of one field or a concatenation; undefined when the packet has not all of them. */
  #read(left: unknown): readonly Value[] | undefined {
    const [kind, content] = onlyMember(left);
    if (kind === "concat" && Array.isArray(content)) {
      const parts = content.map((part: unknown) => this.#read(part));
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    if (kind === "ct" && isObject(content) && content.key === "state") return [this.#state];
    if (kind !== "meta" && kind !== "payload") throw new NotUnderstood(`field ${kind}`);
    const value = kind === "meta" ? this.#meta(content) : this.#payload(content);
    return value === undefined ? undefined : [value];
  }

  #meta(content: unknown): Value {
    const key = isObject(content) ? content.key : undefined;
    const packet = this.#packet;
    const { inInterface, outInterface } = this.#at;
    switch (key) {
      case "iifname":
        return inInterface;
      case "oifname":
        return outInterface;
      case "l4proto":
        return packet.protocol;
      case "nfproto":
        return familyNumber[this.#family];
      default:
        throw new NotUnderstood(`meta ${String(key)}`);
    }
  }

  #payload(content: unknown): Value | undefined {
    if (!isObject(content)) throw new NotUnderstood("a payload without a field");
    const packet = this.#packet;
    const { protocol, field } = content;
    const name = `${String(protocol)} ${String(field)}`;
    switch (name) {
      case "ip saddr":
      case "ip daddr":
      case "ip6 saddr":
      case "ip6 daddr":
        if (this.#family !== (protocol === "ip" ? 4 : 6)) return undefined;
        return field === "saddr" ? packet.source : packet.destination;
      case "icmp type":
      case "icmp code":
      case "icmpv6 type":
      case "icmpv6 code":
        if (packet.protocol !== icmpProtocol[protocol === "icmp" ? 4 : 6]) return undefined;
        return field === "type" ? packet.icmp?.type : packet.icmp?.code;
      default:
        break;
    }
    if (field !== "sport" && field !== "dport") throw new NotUnderstood(`field ${name}`);
    const wanted = Object.hasOwn(portProtocols, String(protocol)) ? portProtocols[String(protocol)] : undefined;
    if (wanted === undefined && protocol !== "th") throw new NotUnderstood(`field ${name}`);
    if (wanted !== undefined && wanted !== packet.protocol) return undefined;
    // "th" reads whatever stands there; the dataplane asks for a protocol with ports first.
    if (wanted === undefined && !protocolsWithPorts.has(packet.protocol)) return undefined;
    return field === "sport" ? packet.sourcePort : packet.destinationPort;
  }
}

/** Whether an element (or a single value) of a set covers the values. */
function elementHolds(element: unknown, values: readonly Value[]): boolean {
  if (isObject(element) && Array.isArray(element.concat)) {
    const parts: readonly unknown[] = element.concat;
    return parts.length === values.length && parts.every((part, at) => valueHolds(part, values[at] ?? ""));
  }
  const [value] = values;
  if (values.length !== 1 || value === undefined) throw new NotUnderstood("an element of another form than its key");
  return valueHolds(element, value);
}

function valueHolds(wanted: unknown, value: Value): boolean {
  if (typeof wanted === "number") return wanted === value;
  if (typeof wanted === "string") {
    if (typeof value !== "string") throw new NotUnderstood(`"${wanted}" where a number is read`);
    if (wanted.endsWith("*")) return value.startsWith(wanted.slice(0, -1));
    return wanted === value || (tryParseIpAddress(wanted) ?? wanted) === value;
  }
  const [kind, content] = onlyMember(wanted);
  if (kind === "prefix" && isObject(content)) {
    const cidr = tryParseCidr(`${String(content.addr)}/${String(content.len)}`);
    const address = tryParseIpAddress(String(value));
    if (cidr === undefined || address === undefined)
      throw new NotUnderstood("a prefix of something else than addresses");
    return cidrContains(cidr, address);
  }
  if (kind === "range" && Array.isArray(content) && content.length === 2) {
    const [first, last]: readonly unknown[] = content;
    if (typeof first === "number" && typeof last === "number" && typeof value === "number")
      return first <= value && value <= last;
  }
  throw new NotUnderstood(`an element of the form ${kind}`);
}

function onlyMember(value: unknown): readonly [kind: string, content: unknown] {
  const entries = isObject(value) ? Object.entries(value) : [];
  const [first] = entries;
  if (first === undefined || entries.length !== 1) throw new NotUnderstood(`the expression ${JSON.stringify(value)}`);
  return first;
}

function isOver(content: unknown): boolean {
  return isObject(content) && content.inv === true;
}

function isDscp(value: unknown): boolean {
  return isObject(value) && isObject(value.payload) && value.payload.field === "dscp";
}

function isMark(value: unknown): boolean {
  return isObject(value) && isObject(value.meta) && value.meta.key === "mark";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Without the tag by which the dataplane finds its chains again. */
function textOfComment(comment: string): string {
  return comment.replace(/^\S+ \d+\/\d+ ?/, "");
}
