/**
 * Netlink messages as bytes: header, fixed part, attributes (type-length-value, padded to 4; RFC 3549, netlink(7)).
 * Host byte order is little endian here (x86-64, arm64); what the kernel wants in network order says so in its name.
 */
import { invariant } from "../../base/errors.ts";

export const headerBytes = 16;
const attributeHeaderBytes = 4;
const nested = 0x8000;
const typeMask = 0x3fff;

export const flag = {
  request: 0x1,
  ack: 0x4,
  root: 0x100,
  match: 0x200,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  dumpInterrupted: 0x10,
  ackAttributes: 0x200,
} as const;

/** Builds one or several messages into one buffer. */
export class MessageWriter {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #messageStart = -1;

  begin(type: number, flags: number, sequence: number): this {
    invariant(this.#messageStart < 0, "the message before is finished");
    this.#messageStart = this.#length;
    return this.u32(0).u16(type).u16(flags).u32(sequence).u32(0);
  }

  end(): this {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, true);
    this.#messageStart = -1;
    this.#pad();
    return this;
  }

  u8(value: number): this {
    this.#room(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u16Network(value: number): this {
    this.#room(2);
    this.#view.setUint16(this.#length, value, false);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    this.#view.setUint32(this.#length, value >>> 0, true);
    this.#length += 4;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(attributeHeaderBytes + value.length).u16(type);
    this.bytes(value);
    this.#pad();
    return this;
  }

  attributeText(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`));
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  attributeU32Network(type: number, value: number): this {
    return this.u16(8)
      .u16(type)
      .u16Network(value >>> 16)
      .u16Network(value & 0xffff);
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  nest(type: number, content: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type | nested);
    content(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }

  get length(): number {
    return this.#length;
  }

  finished(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #pad(): void {
    while (this.#length % 4 !== 0) this.u8(0);
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  /** Without the header; a copy, so it outlives the receive buffer. */
  readonly body: Uint8Array;
}

export function* messagesIn(bytes: Uint8Array): Generator<Message> {
  const view = viewOf(bytes);
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < headerBytes || at + length > bytes.length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      body: bytes.slice(at + headerBytes, at + length),
    };
    at += (length + 3) & ~3;
  }
}

/** The attributes of one level; a type that comes twice keeps its last value. Lists use {@link attributeList}. */
export function attributesIn(bytes: Uint8Array, start: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (const [type, value] of attributeList(bytes, start)) found.set(type, value);
  return found;
}

export function* attributeList(bytes: Uint8Array, start: number): Generator<[type: number, value: Uint8Array]> {
  for (let at = start; at + attributeHeaderBytes <= bytes.length; ) {
    const length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    if (length < attributeHeaderBytes || at + length > bytes.length) return;
    const type = ((bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8)) & typeMask;
    yield [type, bytes.subarray(at + attributeHeaderBytes, at + length)];
    at += (length + 3) & ~3;
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function textOf(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "";
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
}

export function u32Of(bytes: Uint8Array | undefined): number {
  return bytes === undefined || bytes.length < 4 ? 0 : viewOf(bytes).getUint32(0, true);
}

export function u32NetworkOf(bytes: Uint8Array | undefined): number {
  return bytes === undefined || bytes.length < 4 ? 0 : viewOf(bytes).getUint32(0, false);
}
