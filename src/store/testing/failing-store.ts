/**
 * A store whose owner is killed at one of its writes: before it happens, or after it happened and before the answer came.
 * Every later call fails too, as the calls of a dead process.
 */
import type { Store } from "../store.ts";

export class Killed extends Error {}

export interface DyingStore {
  readonly store: Store;
  /** Writes begun so far. */
  readonly writes: () => number;
}

/** `write`: which one, counted from 1; 0: none. */
export function dyingStore(inner: Store, write: number, when: "before" | "after"): DyingStore {
  let begun = 0;
  let dead = false;
  const alive = () => {
    if (dead) throw new Killed("the process is dead");
  };
  const writing = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    alive();
    begun += 1;
    if (begun !== write) return await work();
    dead = true;
    if (when === "after") await work();
    throw new Killed(`killed ${when} write ${write}`);
  };
  const reading = <Result>(work: () => Promise<Result>): Promise<Result> => {
    alive();
    return work();
  };
  const store: Store = {
    get: (key, options) => reading(() => inner.get(key, options)),
    list: (prefix, options) => reading(() => inner.list(prefix, options)),
    listPages: (prefix, options) => {
      alive();
      return inner.listPages(prefix, options);
    },
    put: (key, value, options) => writing(() => inner.put(key, value, options)),
    delete: (key, options) => writing(() => inner.delete(key, options)),
    transact: (transaction, options) => writing(() => inner.transact(transaction, options)),
    watch: (prefix, options) => inner.watch(prefix, options),
    grantLease: (ttlSeconds) => writing(() => inner.grantLease(ttlSeconds)),
    keepAlive: (lease, signal) => reading(() => inner.keepAlive(lease, signal)),
    revokeLease: (lease) => writing(() => inner.revokeLease(lease)),
    [Symbol.asyncDispose]: async () => {},
  };
  return { store, writes: () => begun };
}
