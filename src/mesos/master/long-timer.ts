/** A timer that may be longer than the runtime's own limit of some 24 days: failover timeouts are often years. */

import type { Clock } from "../../base/clock.ts";

const stepMaxMs = 24 * 3_600_000;

export function longTimer(clock: Clock, ms: number, onTime: () => void): Disposable {
  const untilMs = clock.monotonicMs() + ms;
  let current = arm();
  function arm(): Disposable {
    const leftMs = untilMs - clock.monotonicMs();
    return clock.timer(Math.min(Math.max(0, leftMs), stepMaxMs), () => {
      if (clock.monotonicMs() >= untilMs) onTime();
      else current = arm();
    });
  }
  return { [Symbol.dispose]: () => current[Symbol.dispose]() };
}
