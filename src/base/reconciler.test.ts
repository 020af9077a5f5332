/** The reconciler: one pass at a time, one more after a poke during a pass, back-off after a failure, end on abort. */

import { expect, test } from "bun:test";
import { TestClock } from "./clock.ts";
import { silentLog } from "./log.ts";
import { Reconciler } from "./reconciler.ts";

function started(onPass: (reconciler: Reconciler) => Promise<void>) {
  const clock = new TestClock();
  const stop = new AbortController();
  const reconciler: Reconciler = new Reconciler({
    name: "test",
    clock,
    log: silentLog,
    pass: () => onPass(reconciler),
    resyncEveryMs: 60_000,
    retry: { minMs: 100, maxMs: 1000 },
  });
  const ended = reconciler.run(stop.signal);
  const end = async () => {
    stop.abort();
    await ended;
  };
  return { clock, reconciler, end };
}

test("runs at once, again when poked and when the timer says so", async () => {
  let passes = 0;
  const { clock, reconciler, end } = started(async () => void passes++);
  await clock.advance(0);
  expect(passes).toBe(1);
  reconciler.poke();
  await clock.advance(0);
  expect(passes).toBe(2);
  await clock.advance(60_000);
  expect(passes).toBe(3);
  await end();
});

test("a poke during a pass means one more pass, never two at once", async () => {
  let passes = 0;
  let running = 0;
  const { clock, end } = started(async (reconciler) => {
    expect(++running).toBe(1);
    passes++;
    if (passes === 1) for (let n = 0; n < 3; n++) reconciler.poke();
    await Promise.resolve();
    running--;
  });
  await clock.advance(0);
  expect(passes).toBe(2);
  await end();
});

test("a failed pass is tried again after a wait and tells those who waited for it", async () => {
  let passes = 0;
  const { clock, reconciler, end } = started(async () => {
    if (++passes === 2) throw new Error("kernel says no");
  });
  await clock.advance(0);
  const failed = expect(reconciler.settled()).rejects.toThrow("kernel says no");
  await clock.advance(0);
  await failed;
  expect(reconciler.lastError).toBeInstanceOf(Error);
  await clock.advance(1000);
  expect(passes).toBe(3);
  expect(reconciler.lastError).toBeUndefined();
  await end();
});

test("settled waits for a pass that began after the call", async () => {
  let wanted = 0;
  let seen = -1;
  const { clock, reconciler, end } = started(async () => {
    const now = wanted;
    await Promise.resolve();
    seen = now;
  });
  wanted = 7;
  const settled = reconciler.settled();
  await clock.advance(0);
  await settled;
  expect(seen).toBe(7);
  await end();
});
