/**
 * Waits for work somebody else owns, but not longer than the signal allows; the work itself goes on. Nothing is left at the
 * signal: a loop that races each of its reads with one promise would keep all it has read for as long as that promise lives.
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
