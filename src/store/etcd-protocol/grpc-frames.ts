/**
 * gRPC's framing over HTTP/2: each message with a flag byte and its length, errors as trailers.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Compression is not spoken (nobody is made to use it).
 */
import { EtcdError, grpcStatus } from "../etcd-error.ts";

const prefixBytes = 5;
const empty = Buffer.alloc(0);

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}

/** Cuts a stream of chunks into messages; the parts of a message are put together once, when it is complete. */
export class FrameReader {
  readonly #messageMaxBytes: number;
  #chunks: Buffer[] = [];
  #buffered = 0;

  constructor(messageMaxBytes: number) {
    this.#messageMaxBytes = messageMaxBytes;
  }

  /** Messages completed by this chunk. Throws EtcdError for what is too long or compressed. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      const length = this.#nextLength();
      if (length === undefined || this.#buffered < prefixBytes + length) return messages;
      const all = this.#joined();
      messages.push(all.subarray(prefixBytes, prefixBytes + length));
      const rest = all.subarray(prefixBytes + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#buffered = rest.length;
    }
  }

  /** Bytes of a message that never came to its end. */
  get pendingBytes(): number {
    return this.#buffered;
  }

  #nextLength(): number | undefined {
    if (this.#buffered < prefixBytes) return undefined;
    const first = this.#chunks[0] ?? empty;
    const head = first.length >= prefixBytes ? first : this.#joined();
    if (head[0] !== 0) {
      throw new EtcdError(grpcStatus.unimplemented, "grpc: compressed messages are not supported", "STORE_BAD_REQUEST");
    }
    const length = head.readUInt32BE(1);
    if (length > this.#messageMaxBytes) {
      throw new EtcdError(
        grpcStatus.resourceExhausted,
        `grpc: received message larger than max (${length} vs. ${this.#messageMaxBytes})`,
        "STORE_BAD_REQUEST",
      );
    }
    return length;
  }

  #joined(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks, this.#buffered)];
    return this.#chunks[0] ?? empty;
  }
}

/** Everything but printable ASCII, and the percent sign, as %XX of its UTF-8 bytes. */
export function encodeStatusMessage(message: string): string {
  let encoded = "";
  for (const byte of Buffer.from(message, "utf8")) {
    const printable = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += printable ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

export function decodeStatusMessage(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    // The specification asks to show what does not decode as it came.
    return encoded;
  }
}
