/** Who waits until a key has been seen at a revision or later: the bridge from "written to the store" to "known here". */
export class RevisionWaiters {
  readonly #waiting = new Map<string, Set<{ readonly revision: number; readonly resolve: () => void }>>();
  readonly #seen = new Map<string, number>();

  /** A deleted key is seen as never; a waiter for it goes on waiting and its signal ends that. */
  seen(key: string, revision: number | undefined): void {
    if (revision === undefined) this.#seen.delete(key);
    else this.#seen.set(key, revision);
    const waiters = this.#waiting.get(key);
    if (waiters === undefined || revision === undefined) return;
    for (const waiter of waiters) if (waiter.revision <= revision) waiter.resolve();
  }

  async until(key: string, revision: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if ((this.#seen.get(key) ?? -1) >= revision) return;
    await new Promise<void>((resolve, reject) => {
      const waiters = this.#waiting.get(key) ?? new Set();
      this.#waiting.set(key, waiters);
      const leave = () => {
        signal.removeEventListener("abort", onAbort);
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiting.delete(key);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter = {
        revision,
        resolve: () => {
          leave();
          resolve();
        },
      };
      waiters.add(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
