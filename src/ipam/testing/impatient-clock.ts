/** A test's clock on which nobody waits for a retry: what matters is the order of requests, which the test decides. */

import type { Clock, TestClock } from "../../base/clock.ts";

export function impatientClock(clock: TestClock): Clock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: () => Promise.resolve(),
    timer: (ms, onTime) => clock.timer(ms, onTime),
    uuid: () => clock.uuid(),
    random: () => clock.random(),
  };
}
