/**
 * Docker's multiplexed output stream: frames of an 8-byte header (byte 0 the stream, bytes 4-7 the length, big-endian) and
 * a payload. Frames may be cut at any byte by the transport. A container with a TTY sends raw bytes instead.
 * Source: reference/docker.md 5.5.
 */
import { EngineError } from "./engine-error.ts";

const HEADER_BYTES = 8;

export type OutputStream = "stdin" | "stdout" | "stderr" | "system";

export interface OutputChunk {
  readonly stream: OutputStream;
  readonly bytes: Uint8Array;
}

const STREAMS: readonly OutputStream[] = ["stdin", "stdout", "stderr", "system"];

/** Hands payload on as it arrives, without waiting for the end of a frame, so that memory does not follow the frame size. */
export class OutputDemultiplexer {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #stream: OutputStream = "stdout";
  #payloadLeft = 0;

  push(bytes: Uint8Array): OutputChunk[] {
    const chunks: OutputChunk[] = [];
    let offset = 0;
    while (offset < bytes.length) {
      if (this.#payloadLeft > 0) {
        const end = Math.min(bytes.length, offset + this.#payloadLeft);
        chunks.push({ stream: this.#stream, bytes: bytes.subarray(offset, end) });
        this.#payloadLeft -= end - offset;
        offset = end;
        continue;
      }
      const take = Math.min(HEADER_BYTES - this.#headerFilled, bytes.length - offset);
      this.#header.set(bytes.subarray(offset, offset + take), this.#headerFilled);
      this.#headerFilled += take;
      offset += take;
      if (this.#headerFilled === HEADER_BYTES) this.#openFrame();
    }
    return chunks;
  }

  #openFrame(): void {
    const view = new DataView(this.#header.buffer);
    const stream = STREAMS[view.getUint8(0)];
    if (stream === undefined) {
      throw new EngineError(
        "DOCKER_PROTOCOL",
        200,
        `Docker's output stream names stream ${view.getUint8(0)}; is this a TTY?`,
      );
    }
    this.#stream = stream;
    this.#payloadLeft = view.getUint32(4);
    this.#headerFilled = 0;
  }
}

export async function* outputChunks(body: ReadableStream<Uint8Array>, tty: boolean): AsyncGenerator<OutputChunk> {
  if (tty) {
    for await (const bytes of body) yield { stream: "stdout", bytes };
    return;
  }
  const demultiplexer = new OutputDemultiplexer();
  for await (const bytes of body) yield* demultiplexer.push(bytes);
}
