/**
 * Checks one container again and again: first after the delay, then an interval after each result. While the grace period
 * lasts and nothing succeeded yet, failures do not count, so it asks more often: a program that is up after 300 ms need
 * not wait a whole interval to be called healthy.
 */

import { type Clock, deadline } from "../../../base/clock.ts";
import type { Log } from "../../../base/log.ts";
import { type HealthCheck, healthCheckDefaults } from "../../protocol/health-check.ts";
import { afterResult, type HealthState, healthUnknown } from "./health-state.ts";
import { type ProbeTarget, probe } from "./probe.ts";

const eagerMinMs = 100;
const eagerMaxMs = 5_000;

export interface HealthEvent {
  readonly healthy: boolean;
  readonly failures: number;
  readonly detail: string;
  /** The limit of failures was reached. */
  readonly kill: boolean;
}

export interface HealthCheckerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly check: HealthCheck;
  readonly target: ProbeTarget;
  /** What was told before the agent was restarted. */
  readonly healthyBefore: boolean | undefined;
  readonly onChange: (event: HealthEvent) => Promise<void>;
}

/** Ends with the signal, or when the container is to be killed. */
export async function checkHealth(options: HealthCheckerOptions, signal: AbortSignal): Promise<void> {
  const { clock, check, target } = options;
  const seconds = { ...healthCheckDefaults, ...defined(check) };
  const limits = {
    gracePeriodMs: seconds.grace_period_seconds * 1_000,
    consecutiveFailures: seconds.consecutive_failures,
  };
  let state: HealthState =
    options.healthyBefore === undefined
      ? healthUnknown
      : { healthy: options.healthyBefore, everHealthy: options.healthyBefore, failures: 0 };
  const startedAtMs = target.report.startedAtMs;
  const intervalMs = Math.max(eagerMinMs, seconds.interval_seconds * 1_000);
  let eagerMs = eagerMinMs;
  await clock.sleep(Math.max(0, startedAtMs + seconds.delay_seconds * 1_000 - clock.nowMs()), signal);
  for (;;) {
    const result = await probe(check, target, deadline(clock, seconds.timeout_seconds * 1_000, signal));
    signal.throwIfAborted();
    const verdict = afterResult(state, { ok: result.ok, sinceStartMs: clock.nowMs() - startedAtMs }, limits);
    state = verdict.state;
    options.log.debug({ event: "health-check", container: target.containerId, ...result });
    if (verdict.tell) {
      const { failures } = state;
      await options.onChange({ healthy: result.ok, failures, detail: result.detail, kill: verdict.kill });
    }
    if (verdict.kill) return;
    const forgiven = !result.ok && !verdict.tell;
    await clock.sleep(forgiven ? Math.min(intervalMs, eagerMs) : intervalMs, signal);
    eagerMs = Math.min(eagerMs * 2, eagerMaxMs);
  }
}

function defined(check: HealthCheck): Partial<Record<keyof typeof healthCheckDefaults, number>> {
  const given: Partial<Record<keyof typeof healthCheckDefaults, number>> = {};
  for (const name of Object.keys(healthCheckDefaults) as (keyof typeof healthCheckDefaults)[]) {
    const value = check[name];
    if (typeof value === "number" && value >= 0) given[name] = value;
  }
  return given;
}
