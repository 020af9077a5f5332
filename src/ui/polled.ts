/** Asks again and again while a page is shown; keeps the last answer when one request fails, and says that it failed. */

import { useCallback, useEffect, useState } from "react";

export interface Polled<Answer> {
  readonly answer: Answer | undefined;
  readonly error: Error | undefined;
  /** Asks at once, for example after a change. */
  readonly refresh: () => void;
}

const pollEveryMs = 2_000;

export function usePolled<Answer>(ask: (signal: AbortSignal) => Promise<Answer>, key: string): Polled<Answer> {
  const [round, setRound] = useState(0);
  const [state, setState] = useState<{ key: string; answer?: Answer; error?: Error }>({ key });
  const refresh = useCallback(() => setRound((last) => last + 1), []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: key stands for ask; round asks again at once
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const loop = async () => {
      try {
        const answer = await ask(stop.signal);
        if (!stop.signal.aborted) setState({ key, answer });
      } catch (error) {
        if (!stop.signal.aborted) {
          const failed = error instanceof Error ? error : new Error(String(error));
          setState((last) => (last.key === key ? { ...last, error: failed } : { key, error: failed }));
        }
      }
      if (!stop.signal.aborted) timer = setTimeout(loop, pollEveryMs);
    };
    void loop(); // it catches everything itself
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, round]);
  return {
    answer: state.key === key ? state.answer : undefined,
    error: state.key === key ? state.error : undefined,
    refresh,
  };
}
