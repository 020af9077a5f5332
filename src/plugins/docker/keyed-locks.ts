/** One at a time per key, in the order of arrival; different keys never wait for each other. */
import { orAborted } from "../../base/or-aborted.ts";

export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>();

  get heldCount(): number {
    return this.#tails.size;
  }

  /** Gives up waiting when the signal aborts; the place in the line is then passed on. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    let release: () => void = () => {};
    const own = new Promise<void>((resolve) => {
      release = resolve;
    });
    const tail = before.then(() => own);
    this.#tails.set(key, tail);
    try {
      await orAborted(before, signal);
      return await work();
    } finally {
      release();
      // Nobody came after: forget the key. The comparison and the removal have no await between them.
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
