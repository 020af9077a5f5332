/** When a container is checked, and what a check that hangs or fails means. */

import { expect, test } from "bun:test";
import { TestClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import type { HealthCheck } from "../../protocol/health-check.ts";
import type { Containerizer, ContainerReport } from "../containerizer.ts";
import { checkHealth } from "./health-checker.ts";

const startMs = 1_780_000_000_000;
const report: ContainerReport = {
  phase: "running",
  inspection: "[]",
  addresses: [],
  hostNetwork: false,
  pid: 1,
  startedAtMs: startMs,
  finishedAtMs: 0,
  exitCode: 0,
  outOfMemory: false,
  error: "",
};

/** Commands answer as `answer` says for the time since the start in ms; undefined hangs until given up. */
function check(health: HealthCheck, answer: (sinceMs: number) => number | undefined) {
  const clock = new TestClock(startMs);
  const checks: number[] = [];
  const told: string[] = [];
  const run: Containerizer["run"] = async (_id, _argv, signal) => {
    const sinceMs = clock.nowMs() - startMs;
    checks.push(sinceMs);
    const exitCode = answer(sinceMs);
    if (exitCode !== undefined) return { exitCode, output: "" };
    await clock.sleep(3_600_000, signal);
    throw new Error("not reached");
  };
  const stop = new AbortController();
  const ended = checkHealth(
    {
      clock,
      log: silentLog,
      check: { type: "COMMAND", command: { value: "true" }, ...health },
      target: { containerId: "c", report, containerizer: { run } as unknown as Containerizer },
      healthyBefore: undefined,
      onChange: async ({ healthy, kill, detail }) =>
        void told.push(
          `${clock.nowMs() - startMs} ${healthy ? "healthy" : `unhealthy (${detail})`}${kill ? " kill" : ""}`,
        ),
    },
    stop.signal,
  ).catch((cause: unknown) => {
    if (!stop.signal.aborted) throw cause;
  });
  return { clock, checks, told, ended, stop };
}

test("the first check comes after the delay, the next an interval after each result", async () => {
  const { clock, checks, told, ended, stop } = check({ delay_seconds: 3, interval_seconds: 10 }, () => 0);
  await clock.advance(25_000);
  expect(checks).toEqual([3_000, 13_000, 23_000]);
  expect(told).toEqual(["3000 healthy"]);
  stop.abort();
  await ended;
});

test("a program that comes up is seen at once, however long the interval", async () => {
  const { clock, checks, told, ended, stop } = check(
    { delay_seconds: 0, interval_seconds: 60, grace_period_seconds: 300 },
    (sinceMs) => (sinceMs >= 600 ? 0 : 1),
  );
  await clock.advance(59_000);
  expect(checks).toEqual([0, 100, 300, 700]);
  expect(told).toEqual(["700 healthy"]);
  stop.abort();
  await ended;
});

test("after the grace period failures count at the interval's pace, and the limit ends the checks", async () => {
  const { clock, told, ended } = check(
    { delay_seconds: 0, interval_seconds: 2, grace_period_seconds: 1, consecutive_failures: 2 },
    () => 1,
  );
  await clock.advance(60_000);
  await ended;
  expect(told).toEqual(["1500 unhealthy (exit status 1)", "3500 unhealthy (exit status 1) kill"]);
});

test("a check that hangs has failed when its time is over", async () => {
  const { clock, told, ended } = check(
    { delay_seconds: 0, interval_seconds: 1, timeout_seconds: 5, grace_period_seconds: 0, consecutive_failures: 1 },
    () => undefined,
  );
  await clock.advance(60_000);
  await ended;
  expect(told).toEqual(["5000 unhealthy (timed out) kill"]);
});
