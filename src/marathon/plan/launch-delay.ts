/**
 * Back-off of launches per app: the first failure delays by backoffSeconds, each further one by backoffFactor more, up to
 * maxLaunchDelaySeconds; a time without failure as long as that wipes it (reference: marathon-behaviour 3).
 * In memory only: lost on restart, as upstream.
 */

import type { App } from "../app/app.ts";
import type { AppId } from "../app/app-id.ts";

interface Delay {
  readonly delayMs: number;
  readonly notBeforeMs: number;
  readonly configVersion: string;
}

type DelayedApp = Pick<App, "id" | "versionInfo" | "backoffSeconds" | "backoffFactor" | "maxLaunchDelaySeconds">;

export class LaunchDelays {
  readonly #delays = new Map<AppId, Delay>();

  failed(app: DelayedApp, nowMs: number): void {
    const current = this.#current(app, nowMs);
    const maxMs = app.maxLaunchDelaySeconds * 1000;
    const nextMs = current === undefined ? app.backoffSeconds * 1000 : current.delayMs * app.backoffFactor;
    const delayMs = Math.min(nextMs, maxMs);
    this.#delays.set(app.id, {
      delayMs,
      notBeforeMs: nowMs + delayMs,
      configVersion: app.versionInfo.lastConfigChangeAt,
    });
  }

  reset(id: AppId): void {
    this.#delays.delete(id);
  }

  /** The time before which nothing is launched; a time in the past if there is no delay. */
  notBeforeMs(app: DelayedApp, nowMs: number): number {
    return this.#current(app, nowMs)?.notBeforeMs ?? 0;
  }

  #current(app: DelayedApp, nowMs: number): Delay | undefined {
    const delay = this.#delays.get(app.id);
    if (delay === undefined) return undefined;
    // As long again without failure as the longest delay: it is a stable app once more.
    const stableMs = delay.notBeforeMs + app.maxLaunchDelaySeconds * 1000;
    const stale = delay.configVersion !== app.versionInfo.lastConfigChangeAt || nowMs > stableMs;
    if (stale) this.#delays.delete(app.id);
    return stale ? undefined : delay;
  }
}
