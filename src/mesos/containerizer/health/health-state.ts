/**
 * When a health check's result is told, and when it kills (reference/mesos-behaviour.md 5.5). Pure.
 * A failure before the first success and within the grace period does not count. Otherwise each failure is told, and
 * `consecutive_failures` of them kill. The first success, and the first after failures, is told; further ones are not.
 */

export interface HealthState {
  /** Undefined until something was told. */
  readonly healthy: boolean | undefined;
  readonly everHealthy: boolean;
  readonly failures: number;
}

export const healthUnknown: HealthState = { healthy: undefined, everHealthy: false, failures: 0 };

export interface HealthVerdict {
  readonly state: HealthState;
  readonly tell: boolean;
  readonly kill: boolean;
}

export function afterResult(
  before: HealthState,
  result: { readonly ok: boolean; readonly sinceStartMs: number },
  check: { readonly gracePeriodMs: number; readonly consecutiveFailures: number },
): HealthVerdict {
  if (result.ok) {
    const state = { healthy: true, everHealthy: true, failures: 0 };
    return { state, tell: before.healthy !== true, kill: false };
  }
  if (!before.everHealthy && result.sinceStartMs <= check.gracePeriodMs) {
    return { state: before, tell: false, kill: false };
  }
  const failures = before.failures + 1;
  const state = { healthy: false, everHealthy: before.everHealthy, failures };
  return { state, tell: true, kill: failures >= check.consecutiveFailures };
}
