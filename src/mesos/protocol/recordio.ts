/**
 * RecordIO: `<decimal byte length>\n<that many bytes>`, records back to back (reference: mesos-api 1.2).
 *
 * Length counts bytes of the UTF-8 text, never characters. Chunk boundaries mean nothing to a reader; a writer puts one
 * record into one chunk, because old clients depend on it. A record longer than the reader's limit, a length that is not
 * a plain number, and a stream that ends inside a record are errors: the caller drops the connection.
 */

export const recordMaxBytesDefault = 4 * 1024 * 1024;
const headerMaxBytes = 20;
const lineFeed = 0x0a;
const digitZero = 0x30;

const encoder = new TextEncoder();

export class RecordIoError extends Error {
  override readonly name = "RecordIoError";
}

export function encodeRecord(payload: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  const header = encoder.encode(`${bytes.length}\n`);
  const record = new Uint8Array(header.length + bytes.length);
  record.set(header);
  record.set(bytes, header.length);
  return record;
}

/** Takes chunks cut anywhere, gives back whole records. After it threw once it must not be fed again. */
export class RecordDecoder {
  readonly #recordMaxBytes: number;
  #length: number | undefined;
  #headerDigits = 0;
  #headerValue = 0;
  #parts: Uint8Array[] = [];
  #partsBytes = 0;
  #failed = false;

  constructor(options: { readonly recordMaxBytes?: number } = {}) {
    this.#recordMaxBytes = options.recordMaxBytes ?? recordMaxBytesDefault;
  }

  /** True between records: a stream may end here. */
  get atBoundary(): boolean {
    return this.#length === undefined && this.#headerDigits === 0;
  }

  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#failed) throw new RecordIoError("the stream was already refused");
    const records: Uint8Array[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#length === undefined) {
        offset = this.#readHeader(chunk, offset);
        if (this.#length !== 0) continue;
      }
      const wanted = (this.#length ?? 0) - this.#partsBytes;
      const taken = chunk.subarray(offset, offset + wanted);
      offset += taken.length;
      if (taken.length < wanted) {
        // A copy: the caller may reuse its buffer.
        this.#parts.push(taken.slice());
        this.#partsBytes += taken.length;
        break;
      }
      records.push(this.#completeWith(taken));
    }
    return records;
  }

  #readHeader(chunk: Uint8Array, start: number): number {
    let offset = start;
    for (; offset < chunk.length; offset += 1) {
      const byte = chunk[offset] ?? 0;
      if (byte === lineFeed) {
        if (this.#headerDigits === 0) this.#fail("a record length is missing");
        if (this.#headerValue > this.#recordMaxBytes) {
          this.#fail(`a record of ${this.#headerValue} bytes exceeds the limit of ${this.#recordMaxBytes}`);
        }
        this.#length = this.#headerValue;
        this.#headerDigits = 0;
        this.#headerValue = 0;
        return offset + 1;
      }
      const digit = byte - digitZero;
      if (digit < 0 || digit > 9) this.#fail("a record length is not a number");
      this.#headerDigits += 1;
      if (this.#headerDigits > headerMaxBytes) this.#fail("a record length is too long");
      this.#headerValue = this.#headerValue * 10 + digit;
    }
    return offset;
  }

  #completeWith(last: Uint8Array): Uint8Array {
    const record = new Uint8Array(this.#partsBytes + last.length);
    let position = 0;
    for (const part of this.#parts) {
      record.set(part, position);
      position += part.length;
    }
    record.set(last, position);
    this.#parts = [];
    this.#partsBytes = 0;
    this.#length = undefined;
    return record;
  }

  #fail(problem: string): never {
    this.#failed = true;
    throw new RecordIoError(problem);
  }
}

/** The records of a response body as text, one by one. Throws RecordIoError if the stream ends inside a record. */
export async function* readRecords(
  body: ReadableStream<Uint8Array>,
  options: { readonly recordMaxBytes?: number } = {},
): AsyncGenerator<string, void, void> {
  const decoder = new RecordDecoder(options);
  const text = new TextDecoder("utf-8", { fatal: true });
  for await (const chunk of body) {
    for (const record of decoder.push(chunk)) yield text.decode(record);
  }
  if (!decoder.atBoundary) throw new RecordIoError("the stream ended inside a record");
}
