/**
 * Set and map elements in nfnetlink's messages, to and fro. Says exactly what libnftables would say (the contract test
 * compares both).
 */
import {
  addressBytes,
  addressFromBytes,
  type IpAddress,
  networkAddress,
  prefixLength,
  tryParseCidr,
  tryParseIpAddress,
} from "../../base/addresses.ts";
import { BadInput, invariant, unreachable } from "../../base/errors.ts";
import {
  attributeList,
  attributesIn,
  type Message,
  type MessageWriter,
  textOf,
  u32NetworkOf,
} from "../netlink/message.ts";
import type { ElementOperation, SetElement, SetKind, Verdict } from "./ruleset.ts";
import { attribute, intervalEnd, verdictCode, writeVerdict } from "./wire.ts";

const interfaceBytes = 16;
/** The list is one attribute with a 16-bit length; an element takes at most some 350 bytes (a verdict's chain name). */
export const elementsPerMessage = 150;

/**
 * False for intervals that reach the last address: older kernels want those written in libnftables' own way. And for address
 * maps, which hardly ever change.
 */
export function canSendElements({ set, elements }: ElementOperation): boolean {
  if (set.kind !== "networks4" && set.kind !== "networks6") return !isAddressMap(set.kind);
  return elements.every((element) => networkBytes(element.key).end !== undefined);
}

function isAddressMap(kind: SetKind): kind is "address-map4" | "address-map6" {
  return kind === "address-map4" || kind === "address-map6";
}

/** At most elementsPerMessage. */
export function writeElements(
  writer: MessageWriter,
  kind: SetKind,
  elements: readonly SetElement[],
  adding: boolean,
): void {
  writer.nest(attribute.elementsList, () => {
    for (const element of elements) writeElement(writer, kind, element, adding);
  });
}

function writeElement(writer: MessageWriter, kind: SetKind, element: SetElement, adding: boolean): void {
  const item = (key: Uint8Array, flags: number, verdict?: Verdict) =>
    writer.nest(attribute.listItem, () => {
      if (flags !== 0) writer.attributeU32Network(attribute.elementFlags, flags);
      writer.nest(attribute.elementKey, () => writer.attribute(attribute.dataValue, key));
      if (verdict !== undefined) writer.nest(attribute.elementData, () => writeElementVerdict(writer, verdict));
    });
  switch (kind) {
    case "interfaces":
      item(interfaceKey(element.key), 0);
      return;
    case "interface-verdicts":
      invariant(!adding || element.verdict !== undefined, "an element of a verdict map has a verdict");
      item(interfaceKey(element.key), 0, adding ? element.verdict : undefined);
      return;
    case "interface-addresses4":
    case "interface-addresses6":
      item(interfaceAddressBytes(element.key, kind === "interface-addresses4" ? 4 : 16), 0);
      return;
    case "address-ports4":
    case "address-ports6":
      item(addressPortBytes(element.key, kind === "address-ports4" ? 4 : 16), 0);
      return;
    case "addresses4":
    case "addresses6":
      item(addressKey(element.key, kind === "addresses4" ? 4 : 16), 0);
      return;
    case "networks4":
    case "networks6": {
      const { start, end } = networkBytes(element.key);
      invariant(start.length === (kind === "networks4" ? 4 : 16), "a network is of its set's family");
      item(start, 0);
      if (end !== undefined) item(end, intervalEnd);
      return;
    }
    case "address-map4":
    case "address-map6":
      throw new Error(`elements of kind ${kind} are written by libnftables`);
    default:
      unreachable(kind);
  }
}

function writeElementVerdict(writer: MessageWriter, verdict: Verdict): void {
  if (typeof verdict === "string") writeVerdict(writer, verdict);
  else writeVerdict(writer, "goto", verdict.goto);
}

function interfaceKey(name: string): Uint8Array {
  const bytes = new Uint8Array(interfaceBytes);
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(name))
    throw new BadInput("interface name", `"${name}" cannot be used in a rule`, "letters, digits and . _ - only");
  bytes.set(Buffer.from(name));
  return bytes;
}

function interfaceAddressBytes(key: string, addressLength: number): Uint8Array {
  const [name = "", text = ""] = key.split(" ");
  return Uint8Array.from([...interfaceKey(name), ...addressKey(text, addressLength)]);
}

/** Each part of a concatenation is padded to four bytes. */
function addressPortBytes(key: string, addressLength: number): Uint8Array {
  const [text = "", protocol, port] = key.split(",");
  const [number, service] = [Number(protocol), Number(port)];
  if (!(number > 0 && number < 256 && service > 0 && service < 65_536))
    throw new BadInput("set element", `"${key}" is no port of an address`, "address,protocol,port");
  return Uint8Array.from([...addressKey(text, addressLength), number, 0, 0, 0, service >> 8, service & 0xff, 0, 0]);
}

function addressKey(text: string, length: number): Uint8Array {
  const address = tryParseIpAddress(text);
  const bytes = address === undefined ? new Uint8Array(0) : addressBytes(address);
  if (bytes.length !== length)
    throw new BadInput("set element", `"${text}" is not an address of this set`, `${length} bytes`);
  return bytes;
}

/** First address, and the one after the last; undefined when there is none after it. */
function networkBytes(text: string): { start: Uint8Array; end: Uint8Array | undefined } {
  const cidr = tryParseCidr(text);
  if (cidr === undefined) throw new BadInput("set element", `"${text}" is not a network`, "a CIDR");
  const start = addressBytes(networkAddress(cidr));
  const end = Uint8Array.from(start);
  const length = prefixLength(cidr);
  if (length === 0) return { start, end: undefined };
  // Adds 1 at the last bit of the prefix.
  let at = (length - 1) >> 3;
  let carry = 1 << (7 - ((length - 1) & 7));
  for (; at >= 0 && carry > 0; at--) {
    const sum = (end[at] ?? 0) + carry;
    end[at] = sum & 0xff;
    carry = sum > 0xff ? 1 : 0;
  }
  return { start, end: carry > 0 ? undefined : end };
}

/** The elements in the messages of a dump. Intervals that are no single network come out as "first-last". */
export function readElements(kind: SetKind, messages: readonly Message[]): Map<string, SetElement> {
  const found = new Map<string, SetElement>();
  const bounds: { key: Uint8Array; end: boolean }[] = [];
  for (const { body } of messages)
    for (const [type, list] of attributeList(body, 4)) {
      if (type !== attribute.elementsList) continue;
      for (const [, item] of attributeList(list, 0)) {
        const { key, flags, data } = parseElement(item);
        if (key === undefined) continue;
        if (kind === "networks4" || kind === "networks6") {
          bounds.push({ key, end: (flags & intervalEnd) !== 0 });
          continue;
        }
        const text = keyText(kind, key);
        if (kind === "interface-verdicts") found.set(text, { key: text, verdict: readVerdict(data) });
        else if (isAddressMap(kind)) found.set(text, { key: text, ...readAddress(data) });
        else found.set(text, { key: text });
      }
    }
  for (const key of readIntervals(bounds)) found.set(key, { key });
  return found;
}

/** By hand and without a map: a read-back of a big set is made of this. */
function parseElement(item: Uint8Array): { key: Uint8Array | undefined; flags: number; data: Uint8Array | undefined } {
  let key: Uint8Array | undefined;
  let data: Uint8Array | undefined;
  let flags = 0;
  for (const [type, value] of attributeList(item, 0)) {
    if (type === attribute.elementKey)
      for (const [inner, bytes] of attributeList(value, 0)) if (inner === attribute.dataValue) key = bytes;
    if (type === attribute.elementData) data = value;
    if (type === attribute.elementFlags) flags = u32NetworkOf(value);
  }
  return { key, flags, data };
}

function keyText(kind: SetKind, key: Uint8Array): string {
  if (kind === "addresses4" || kind === "addresses6" || isAddressMap(kind)) return addressFromBytes(key);
  if (kind === "address-ports4" || kind === "address-ports6") {
    const length = kind === "address-ports4" ? 4 : 16;
    const [number = 0, high = 0, low = 0] = [key[length], key[length + 4], key[length + 5]];
    return `${addressFromBytes(key.subarray(0, length))},${number},${(high << 8) | low}`;
  }
  const name = textOf(key.subarray(0, interfaceBytes));
  if (kind === "interfaces" || kind === "interface-verdicts") return name;
  return `${name} ${addressFromBytes(key.subarray(interfaceBytes, kind === "interface-addresses4" ? 20 : 32))}`;
}

function readVerdict(data: Uint8Array | undefined): Verdict {
  const verdict = data === undefined ? undefined : attributesIn(data, 0).get(attribute.dataVerdict);
  const attributes = verdict === undefined ? new Map<number, Uint8Array>() : attributesIn(verdict, 0);
  const chain = attributes.get(attribute.verdictChain);
  if (chain !== undefined) return { goto: textOf(chain) };
  return u32NetworkOf(attributes.get(attribute.verdictCode)) === verdictCode.accept ? "accept" : "drop";
}

function readAddress(data: Uint8Array | undefined): { readonly address?: IpAddress } {
  const bytes = data === undefined ? undefined : attributesIn(data, 0).get(attribute.dataValue);
  return bytes === undefined ? {} : { address: addressFromBytes(bytes) };
}

/** Pairs each start with the next end. An end without a start is the marker libnftables puts before the first one. */
function readIntervals(bounds: { key: Uint8Array; end: boolean }[]): string[] {
  const sorted = [...bounds].sort((a, b) => Buffer.compare(a.key, b.key) || Number(b.end) - Number(a.end));
  const texts: string[] = [];
  let start: Uint8Array | undefined;
  for (const { key, end } of sorted) {
    if (!end) start = key;
    else if (start !== undefined) {
      texts.push(intervalText(start, key));
      start = undefined;
    }
  }
  if (start !== undefined) texts.push(intervalText(start, undefined));
  return texts;
}

function intervalText(start: Uint8Array, end: Uint8Array | undefined): string {
  const first = addressFromBytes(start);
  for (let length = start.length * 8; length > 0; length--) {
    const cidr = tryParseCidr(`${first}/${length}`);
    if (cidr === undefined || networkAddress(cidr) !== first) break;
    const candidate = networkBytes(cidr).end;
    if (end === undefined ? candidate === undefined : candidate !== undefined && Buffer.compare(candidate, end) === 0)
      return cidr;
  }
  const last = end === undefined ? new Uint8Array(start.length).fill(0xff) : minusOne(end);
  return `${first}-${addressFromBytes(last)}`;
}

function minusOne(address: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(address);
  for (let at = bytes.length - 1; at >= 0; at--) {
    const value = bytes[at] ?? 0;
    bytes[at] = (value - 1) & 0xff;
    if (value > 0) break;
  }
  return bytes;
}
