/** Waits for conditions, with a deadline and the last reason why not. Tests never wait for a time. */

import { systemClock } from "../../src/base/clock.ts";
import { describeError } from "../../src/base/errors.ts";

export interface EventuallyOptions {
  readonly withinMs?: number;
  readonly everyMs?: number;
}

/** Tries until the attempt returns without throwing; throws its last error, with the time that was given, otherwise. */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T> | T,
  { withinMs = 30_000, everyMs = 100 }: EventuallyOptions = {},
): Promise<T> {
  const untilMs = systemClock.monotonicMs() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (systemClock.monotonicMs() >= untilMs) {
        throw new Error(`not within ${withinMs} ms: ${what}: ${describeError(error)}`, { cause: error });
      }
    }
    await systemClock.sleep(everyMs);
  }
}
