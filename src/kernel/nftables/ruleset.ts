/**
 * Sets, chains and rules as data. Everything a rule can say here is used by somebody; rendering is in render.ts only.
 * All objects live in tables of the inet family (IPv4 and IPv6 in one).
 */
import type { Cidr, IpAddress } from "../../base/addresses.ts";

/**
 * Keys as text: "cali1" / "cali1 10.0.0.1" / "10.0.0.1" / "10.0.0.0/8" / "10.0.0.1,6,80" (protocol and port). A verdict map has a verdict beside each key,
 * an address map an address.
 * Addresses lie in a hash table; networks in a tree, which is slower to fill and to search, and refuses overlaps.
 */
export type SetKind =
  | "interfaces"
  | "interface-addresses4"
  | "interface-addresses6"
  | "addresses4"
  | "addresses6"
  | "networks4"
  | "networks6"
  | "address-ports4"
  | "address-ports6"
  | "interface-verdicts"
  | "address-map4"
  | "address-map6";

export interface SetSpec {
  readonly name: string;
  readonly kind: SetKind;
}

export type Verdict = "accept" | "drop" | { readonly goto: string };

export interface SetElement {
  readonly key: string;
  readonly verdict?: Verdict;
  /** Of an address map. */
  readonly address?: IpAddress;
}

export interface Hook {
  readonly type: "filter" | "nat";
  readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
  readonly priority: number;
}

export interface ChainSpec {
  readonly name: string;
  /** Base chains have one; their policy is accept: what must not pass is dropped by a rule. */
  readonly hook?: Hook;
}

export type Side = "source" | "destination";
export type Direction = "in" | "out";
type Family = 4 | 6;

/** What a packet must be like; all matches of a rule must hold. */
export type Match =
  | { readonly match: "interface"; readonly direction: Direction; readonly prefix: string; readonly not?: true }
  | { readonly match: "interface-in-set"; readonly direction: Direction; readonly set: string; readonly not?: true }
  | { readonly match: "interface-source-in-set"; readonly family: Family; readonly set: string }
  | { readonly match: "family"; readonly family: Family }
  | {
      readonly match: "address";
      readonly side: Side;
      readonly family: Family;
      readonly networks: readonly Cidr[];
      readonly not?: true;
    }
  | {
      readonly match: "address-in-set";
      readonly side: Side;
      readonly family: Family;
      readonly set: string;
      readonly not?: true;
    }
  /** Address, protocol and port of the side together. */
  | {
      readonly match: "port-in-set";
      readonly side: Side;
      readonly family: Family;
      readonly set: string;
      readonly not?: true;
    }
  | { readonly match: "interface-named"; readonly direction: Direction; readonly name: string; readonly not?: true }
  | { readonly match: "protocol"; readonly numbers: readonly number[]; readonly not?: true }
  | {
      readonly match: "ports";
      readonly side: Side;
      readonly ranges: readonly { readonly first: number; readonly last: number }[];
      readonly not?: true;
    }
  | {
      readonly match: "icmp";
      readonly family: Family;
      readonly types: readonly number[];
      readonly code?: number;
      readonly not?: true;
    }
  | { readonly match: "connection"; readonly states: readonly ("established" | "related" | "invalid" | "new")[] }
  /** The packet is one too many. */
  | { readonly match: "rate-over"; readonly limit: Rate }
  /** Of those that came by here, more than so many connections are open, this one included. */
  | { readonly match: "connections-over"; readonly count: number }
  | { readonly match: "mark"; readonly bit: number; readonly not?: true };

/** Of packets: so many in each unit of time, and `burst` at once after a silence (0: the kernel's own choice, 5). */
export interface Rate {
  readonly count: number;
  readonly per: "second" | "minute" | "hour" | "day";
  readonly burst: number;
}

/** What is done then; the last one of a rule may be a verdict. */
export type Action =
  /** "reset" refuses a TCP connection the way a closed port does. */
  | { readonly do: "accept" | "drop" | "reject" | "reset" | "return" | "count" | "untrack" }
  /** The source address becomes the given one, or else that of the interface the packet leaves by. */
  | {
      readonly do: "source-nat";
      readonly address?: IpAddress;
      readonly ports?: { readonly first: number; readonly last: number };
    }
  /** The destination address becomes what the map has for it; without an entry there the rule does not match. */
  | { readonly do: "destination-nat"; readonly family: Family; readonly map: string }
  | { readonly do: "destination-nat-to"; readonly address: IpAddress; readonly port: number }
  | { readonly do: "set-dscp"; readonly family: Family; readonly value: number }
  | { readonly do: "jump" | "goto"; readonly chain: string }
  | { readonly do: "dispatch"; readonly direction: Direction; readonly map: string }
  | { readonly do: "set-mark" | "clear-mark"; readonly bit: number }
  | { readonly do: "log"; readonly prefix: string; readonly limit: Rate };

export interface RuleSpec {
  readonly matches: readonly Match[];
  readonly actions: readonly Action[];
  readonly comment?: string;
}

/** One step of an atomic transaction on one table. Order counts; a refused step refuses all. */
export type Operation =
  | { readonly op: "add-table" | "delete-table" }
  | { readonly op: "add-set" | "delete-set"; readonly set: SetSpec }
  | { readonly op: "add-chain"; readonly chain: ChainSpec }
  | { readonly op: "flush-chain" | "delete-chain"; readonly chain: string }
  | { readonly op: "add-rule"; readonly chain: string; readonly rule: RuleSpec }
  | ElementOperation;

export interface ElementOperation {
  readonly op: "add-elements" | "delete-elements";
  readonly set: SetSpec;
  readonly elements: readonly SetElement[];
}

export function interfaceAddressKey(interfaceName: string, address: IpAddress): string {
  return `${interfaceName} ${address}`;
}

/** What a map has beside the key; "" for sets. */
export function elementValueText({ verdict, address }: SetElement): string {
  return address ?? (verdict === undefined ? "" : verdictText(verdict));
}

function verdictText(verdict: Verdict): string {
  return typeof verdict === "string" ? verdict : `goto ${verdict.goto}`;
}
