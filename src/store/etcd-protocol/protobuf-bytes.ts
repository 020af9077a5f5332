/**
 * Protobuf's numbers and lengths in bytes (https://protobuf.dev/programming-guides/encoding). Reading throws Malformed for
 * whatever does not add up. Writing goes from the end to the start: the length of a part, which stands before it, is known then.
 */

export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** How the value after a tag is laid out. */
export const wire = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;

export function tagOf(fieldNumber: number, layout: number): number {
  return fieldNumber * 8 + layout;
}

/** Seven bytes of 7 bits are a number exactly; what 64 bits have beyond them, 15 bits, takes three bytes more. */
const lowBytes = 7;
const highBytes = 3;
/** One value of 64 bits in three views: arithmetic with bigint is slow. Margay's processors put the lower half first. */
const unsigned = new BigUint64Array(1);
const signed = new BigInt64Array(unsigned.buffer);
const halves = new Uint32Array(unsigned.buffer);
/** Transactions can hold transactions. As other implementations. */
const depthMax = 100;

export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** Of the message that is being read. */
  #end: number;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  uint64(): bigint {
    this.#long();
    return unsigned[0] ?? 0n;
  }

  int64(): bigint {
    this.#long();
    return signed[0] ?? 0n;
  }

  /** Reads 64 bits into the views. */
  #long(): void {
    let low = 0;
    let high = 0;
    let scale = 1;
    for (let count = 1; ; count++) {
      const byte = this.#next();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
      if (count === lowBytes) {
        high = this.number(highBytes);
        break;
      }
    }
    halves[0] = low; // what is beyond 32 bits is cut off
    halves[1] = Math.floor(low / 2 ** 32) + high * 2 ** 17;
  }

  /** A length, a tag. */
  number(bytesMax = lowBytes): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < bytesMax; count++) {
      const byte = this.#next();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new Malformed("a number of too many bytes");
  }

  /** A part of the bytes that are read, not a copy. */
  bytes(): Uint8Array {
    const end = this.#ahead(this.number());
    const start = this.#at;
    this.#at = end;
    return this.#bytes.subarray(start, end);
  }

  /** What stands behind a length; `read` sees no further. */
  within<T>(read: () => T): T {
    if (++this.#depth > depthMax) throw new Malformed("too many messages in one another");
    const outer = this.#end;
    this.#end = this.#ahead(this.number());
    const value = read();
    this.#end = outer;
    this.#depth--;
    return value;
  }

  /** Passes over the value of a field that nobody knows. There are no groups (layouts 3 and 4) in proto3. */
  skip(tag: number): void {
    if (tag < tagOf(1, 0)) throw new Malformed("a field of number 0");
    const layout = tag % 8;
    if (layout === wire.varint) this.uint64();
    else if (layout === wire.fixed64) this.#at = this.#ahead(8);
    else if (layout === wire.fixed32) this.#at = this.#ahead(4);
    else if (layout === wire.lengthDelimited) this.bytes();
    else throw new Malformed(`a value of unknown layout ${layout}`);
  }

  #next(): number {
    const byte = this.#at < this.#end ? this.#bytes[this.#at++] : undefined;
    if (byte === undefined) throw new Malformed("it ends within a number");
    return byte;
  }

  #ahead(length: number): number {
    const end = this.#at + length;
    if (end > this.#end) throw new Malformed("it ends within a value");
    return end;
  }
}

const firstBytes = 1024;

export class Writer {
  #bytes = Buffer.allocUnsafe(firstBytes);
  /** What is written lies from here to the end. */
  #start = firstBytes;

  get length(): number {
    return this.#bytes.length - this.#start;
  }

  written(): Buffer {
    return this.#bytes.subarray(this.#start);
  }

  uint64(value: bigint): void {
    unsigned[0] = value;
    if (unsigned[0] !== value) throw new RangeError(`${value} does not fit into 64 bits`);
    this.#long();
  }

  int64(value: bigint): void {
    signed[0] = value;
    if (signed[0] !== value) throw new RangeError(`${value} does not fit into 64 bits`);
    this.#long();
  }

  /** Writes the 64 bits of the views. */
  #long(): void {
    const upper = halves[1] ?? 0;
    const high = upper >>> 17;
    let low = (upper % 2 ** 17) * 2 ** 32 + (halves[0] ?? 0);
    if (high === 0) {
      this.number(low);
      return;
    }
    this.number(high);
    const start = this.#room(lowBytes);
    for (let at = start; at < start + lowBytes; at++) {
      this.#bytes[at] = (low % 0x80) + 0x80;
      low = Math.floor(low / 0x80);
    }
  }

  number(value: number): void {
    let count = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count++;
    let at = this.#room(count);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[at++] = (rest % 0x80) + 0x80;
    this.#bytes[at] = rest;
  }

  bytes(value: Uint8Array): void {
    const start = this.#room(value.length); // first: it may exchange the buffer
    this.#bytes.set(value, start);
  }

  /** How many bytes it took. */
  text(value: string): number {
    const length = Buffer.byteLength(value);
    const start = this.#room(length);
    this.#bytes.write(value, start, length);
    return length;
  }

  /** Where `length` bytes more are to begin. */
  #room(length: number): number {
    if (length > this.#start) {
      const grown = Buffer.allocUnsafe(2 * this.#bytes.length + length);
      const start = grown.length - this.length;
      grown.set(this.written(), start);
      this.#bytes = grown;
      this.#start = start;
    }
    this.#start -= length;
    return this.#start;
  }
}
