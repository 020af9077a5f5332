/**
 * JSON objects out of a byte stream that promises no framing (events, pull progress): objects may be joined, split at any
 * byte, or separated by white space. Cost is one look at each byte.
 */
import { EngineError } from "./engine-error.ts";

const OBJECT_CHARACTERS_MAX = 4 * 1024 * 1024;

export class JsonObjectSplitter {
  readonly #decoder = new TextDecoder();
  #pending = "";
  #scanned = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The objects completed by these bytes, in order. */
  push(bytes: Uint8Array): unknown[] {
    this.#pending += this.#decoder.decode(bytes, { stream: true });
    const objects: unknown[] = [];
    let start = 0;
    for (let index = this.#scanned; index < this.#pending.length; index += 1) {
      const character = this.#pending[index];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === "\\") this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === "{") {
        if (this.#depth === 0) start = index;
        this.#depth += 1;
      } else if (character === "}" && this.#depth > 0) {
        this.#depth -= 1;
        if (this.#depth === 0) {
          objects.push(parse(this.#pending.slice(start, index + 1)));
          start = index + 1;
        }
      }
    }
    this.#pending = this.#depth === 0 ? "" : this.#pending.slice(start);
    this.#scanned = this.#pending.length;
    if (this.#pending.length > OBJECT_CHARACTERS_MAX) {
      throw new EngineError(
        "DOCKER_PROTOCOL",
        200,
        `Docker sent an object of more than ${OBJECT_CHARACTERS_MAX} characters`,
      );
    }
    return objects;
  }
}

export async function* jsonObjects(body: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const splitter = new JsonObjectSplitter();
  for await (const bytes of body) yield* splitter.push(bytes);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EngineError("DOCKER_PROTOCOL", 200, "Docker sent a broken object in a stream", { cause });
  }
}
