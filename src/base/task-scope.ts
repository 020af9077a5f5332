/**
 * Owns concurrent tasks: the first failure stops the siblings, all are awaited, the first cause is thrown.
 * Disposing stops and awaits them.
 */

import { isAbort } from "./errors.ts";

export class TaskScope implements AsyncDisposable {
  readonly name: string;
  readonly #controller = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly cause: unknown } | undefined;

  constructor(name: string, signal?: AbortSignal) {
    this.name = name;
    if (signal?.aborted) this.#controller.abort(signal.reason);
    // Taken off again when this scope stops: the parent may live for ever.
    signal?.addEventListener("abort", () => this.#controller.abort(signal.reason), {
      once: true,
      signal: this.#controller.signal,
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  run(name: string, task: (signal: AbortSignal) => Promise<void>): void {
    const running = this.#guarded(name, task).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #guarded(name: string, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await task(this.signal);
    } catch (cause) {
      if (this.signal.aborted && (isAbort(cause) || cause === this.signal.reason)) return;
      this.#failure ??= { cause: new Error(`${this.name}: ${name} failed`, { cause }) };
      this.#controller.abort(new DOMException(`${name} failed`, "AbortError"));
    }
  }

  stop(): void {
    this.#controller.abort(new DOMException(`${this.name} stopped`, "AbortError"));
  }

  /** Resolves when every task has ended; throws the first failure. */
  get finished(): Promise<void> {
    return this.#finish();
  }

  async #finish(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
