/**
 * Results of health checks, per instance and check, and what they mean (reference: marathon-behaviour 7.1). Pure bookkeeping:
 * times come in. In memory only: after a restart the checks say it again, and running instances keep their grace period.
 */

import type { AppHealthCheck } from "../app/app.ts";
import type { InstanceId } from "../app/app-id.ts";
import type { Health } from "../plan/instance.ts";

export interface HealthResult {
  readonly alive: boolean;
  readonly consecutiveFailures: number;
  readonly firstSuccessMs?: number;
  readonly lastSuccessMs?: number;
  readonly lastFailureMs?: number;
  readonly lastFailureCause?: string;
}

export type Outcome = { readonly healthy: true } | { readonly healthy: false; readonly cause: string };

export interface Recorded {
  readonly result: HealthResult;
  /** False: the failure does not count, as it came before the first success and within the grace period. */
  readonly counted: boolean;
  readonly changed: boolean;
  /** One failure too many. */
  readonly kill: boolean;
}

const none: HealthResult = { alive: false, consecutiveFailures: 0 };

export class HealthResults {
  readonly #results = new Map<InstanceId, (HealthResult | undefined)[]>();

  of(instance: InstanceId): readonly (HealthResult | undefined)[] {
    return this.#results.get(instance) ?? [];
  }

  forget(instance: InstanceId): void {
    this.#results.delete(instance);
  }

  retain(instances: ReadonlyMap<InstanceId, unknown>): void {
    for (const id of this.#results.keys()) if (!instances.has(id)) this.#results.delete(id);
  }

  record(
    instance: InstanceId,
    index: number,
    check: Pick<AppHealthCheck, "gracePeriodSeconds" | "maxConsecutiveFailures">,
    outcome: Outcome,
    times: { readonly nowMs: number; readonly runningSinceMs: number },
  ): Recorded {
    const results = this.#results.get(instance) ?? [];
    const before = results[index];
    const { nowMs } = times;
    if (!outcome.healthy && before?.firstSuccessMs === undefined) {
      const inGrace = nowMs < times.runningSinceMs + check.gracePeriodSeconds * 1000;
      if (inGrace) return { result: before ?? none, counted: false, changed: false, kill: false };
    }
    const result: HealthResult = outcome.healthy
      ? {
          ...before,
          alive: true,
          consecutiveFailures: 0,
          firstSuccessMs: before?.firstSuccessMs ?? nowMs,
          lastSuccessMs: nowMs,
        }
      : {
          ...before,
          alive: false,
          consecutiveFailures: (before?.consecutiveFailures ?? 0) + 1,
          lastFailureMs: nowMs,
          lastFailureCause: outcome.cause,
        };
    results[index] = result;
    this.#results.set(instance, results);
    const { maxConsecutiveFailures } = check;
    return {
      result,
      counted: true,
      changed: before?.alive !== result.alive,
      kill: !outcome.healthy && maxConsecutiveFailures > 0 && result.consecutiveFailures >= maxConsecutiveFailures,
    };
  }

  /** @param checks how many the instance's app has; @param running an instance without checks is healthy when it runs. */
  health(instance: InstanceId, checks: number, running: boolean): Health {
    if (!running) return "unknown";
    const results = this.of(instance);
    let known = 0;
    for (let index = 0; index < checks; index += 1) {
      const result = results[index];
      if (result === undefined) continue;
      if (!result.alive) return "unhealthy";
      known += 1;
    }
    return known === checks ? "healthy" : "unknown";
  }
}
