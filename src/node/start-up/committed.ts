/** Writes of start-up: several hosts may do them at once, so each is compared with what it rests on and tried again. */
import { OperationError } from "../../base/errors.ts";
import type { Store } from "../../store/store.ts";

const ATTEMPTS_MAX = 20;

/** undefined: somebody was faster. */
export async function commit(
  store: Store,
  { key, modRevision, value }: { readonly key: string; readonly modRevision: number; readonly value: string },
  signal: AbortSignal,
): Promise<true | undefined> {
  const transaction = { compare: [{ key, modRevision }], success: [{ put: key, value }] };
  const { succeeded } = await store.transact(transaction, { signal });
  return succeeded ? true : undefined;
}

export async function createIfAbsent(store: Store, key: string, value: string, signal: AbortSignal): Promise<void> {
  await commit(store, { key, modRevision: 0, value }, signal);
}

export async function untilCommitted<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  for (let count = 0; count < ATTEMPTS_MAX; count += 1) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  const problem = `${what} was changed by others ${ATTEMPTS_MAX} times while it was written`;
  throw new OperationError("STORE_CONFLICT", problem, { retry: "backoff" });
}
