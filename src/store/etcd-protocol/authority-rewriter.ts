/**
 * Replaces the :authority of HTTP/2 requests, on the raw bytes, before the HTTP/2 server sees them.
 *
 * Why: grpc-go up to 1.26 (etcdctl 3.4) sends the dial target as authority, for endpoints given as URLs that is
 * "http://127.0.0.1:2379". Go's server does not mind; Bun's (1.4.5) resets the stream with PROTOCOL_ERROR, because a
 * slash cannot be in an authority, and so `endpoint status` and every other Maintenance call would fail.
 *
 * How: the field is sent once per connection as a literal with static name index 1 and then referred to by its place
 * in HPACK's dynamic table (RFC 7541). The literal's value is exchanged for a constant no longer than any real address,
 * so the server's table never evicts what the client still counts on. Nothing else is decoded; all other bytes pass.
 */

const prefaceBytes = 24;
const frameHeadBytes = 9;
const typeHeaders = 1;
const flagEndHeaders = 0x4;
const flagPadded = 0x8;
const flagPriority = 0x20;
const authorityNameIndex = 1;
/** Larger header frames than any peer may send by default; those pass as they are. */
const headersMaxBytes = 16_384;
/** Not Huffman-coded, four bytes. */
const replacement = Buffer.from([4, ...Buffer.from("etcd")]);
const none = Buffer.alloc(0);

export class AuthorityRewriter {
  /** Bytes of the preface or of a frame's payload that pass without being looked at. */
  #passing = prefaceBytes;
  /** Start of a frame that is not complete yet. */
  #held: Buffer = none;

  /** The bytes to hand on; may be empty. */
  push(chunk: Buffer): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = none;
    const parts: Buffer[] = [];
    let passFrom = 0;
    let at = 0;
    while (at < bytes.length) {
      if (this.#passing > 0) {
        const step = Math.min(this.#passing, bytes.length - at);
        this.#passing -= step;
        at += step;
        continue;
      }
      if (bytes.length - at < frameHeadBytes) break;
      const length = bytes.readUIntBE(at, 3);
      const rewritable = bytes[at + 3] === typeHeaders && length <= headersMaxBytes;
      if (!rewritable) {
        this.#passing = frameHeadBytes + length;
        continue;
      }
      const end = at + frameHeadBytes + length;
      if (bytes.length < end) break;
      const frame = rewriteHeaders(bytes.subarray(at, end));
      if (frame !== undefined) {
        parts.push(bytes.subarray(passFrom, at), frame);
        passFrom = end;
      }
      at = end;
    }
    this.#held = bytes.subarray(at);
    const rest = bytes.subarray(passFrom, at);
    return parts.length === 0 ? rest : Buffer.concat([...parts, rest]);
  }
}

/** The HEADERS frame with another authority; undefined if there is nothing to change. */
function rewriteHeaders(frame: Buffer): Buffer | undefined {
  const flags = frame[4] ?? 0;
  // A block that goes on in a CONTINUATION frame may end in the middle of a field.
  if ((flags & flagEndHeaders) === 0) return undefined;
  const padBytes = (flags & flagPadded) === 0 ? 0 : (frame[frameHeadBytes] ?? 0);
  const start = frameHeadBytes + ((flags & flagPadded) === 0 ? 0 : 1) + ((flags & flagPriority) === 0 ? 0 : 5);
  const value = findAuthority(frame, start, frame.length - padBytes);
  if (value === undefined) return undefined;
  const rewritten = Buffer.concat([frame.subarray(0, value.start), replacement, frame.subarray(value.end)]);
  rewritten.writeUIntBE(rewritten.length - frameHeadBytes, 0, 3);
  return rewritten;
}

/** Where the literal value of :authority lies, its length byte included. RFC 7541 section 6. */
function findAuthority(bytes: Buffer, start: number, end: number): { start: number; end: number } | undefined {
  let at = start;
  while (at < end) {
    const first = bytes[at] ?? 0;
    if ((first & 0x80) !== 0) {
      at = integer(bytes, at, 7).next;
      continue;
    }
    if ((first & 0xe0) === 0x20) {
      at = integer(bytes, at, 5).next;
      continue;
    }
    const name = integer(bytes, at, (first & 0x40) === 0 ? 4 : 6);
    const valueStart = name.value === 0 ? stringEnd(bytes, name.next) : name.next;
    const valueEnd = stringEnd(bytes, valueStart);
    // What does not add up is left to the server to refuse.
    if (valueEnd > end) return undefined;
    if (name.value === authorityNameIndex) return { start: valueStart, end: valueEnd };
    at = valueEnd;
  }
  return undefined;
}

function stringEnd(bytes: Buffer, at: number): number {
  const length = integer(bytes, at, 7);
  return length.next + length.value;
}

/** RFC 7541 section 5.1; more than four continuation bytes are nonsense here and end the search. */
function integer(bytes: Buffer, at: number, prefixBits: number): { value: number; next: number } {
  const mask = 2 ** prefixBits - 1;
  let value = (bytes[at] ?? 0) & mask;
  let next = at + 1;
  if (value < mask) return { value, next };
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if ((byte & 0x80) === 0) return { value, next };
  }
  return { value: Number.MAX_SAFE_INTEGER, next };
}
