/**
 * Says in the store that this host's agent lives, as Felix does (calico-datastore.md 1.9): under a lease, so that it is gone
 * some time after the agent is, and once more without, so that one can see it ever was. Off with reportingInterval 0, which
 * is what start-up writes. Who stops in order takes the leased key along; who is killed leaves it to the lease.
 */
import type { Clock } from "../../base/clock.ts";
import { describeError, isAbort } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { hostStatusKey, lastReportedStatusKey } from "../../model/status-keys.ts";
import type { Store } from "../../store/store.ts";
import type { AgentSettings } from "../agent-settings.ts";

export interface ProcessStatusOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly settings: () => AgentSettings;
}

/** As Felix: not before it can be thought to stay. */
const firstAfterMs = 10_000;
/** How often it is looked whether reporting was switched on, and how precise the interval is. */
const tickMs = 1_000;
const revokeWithinMs = 2_000;

export class ProcessStatus {
  readonly #options: ProcessStatusOptions;
  readonly #startedMs: number;
  /** Under any of these the key may be: a report that was cut off may have been written. */
  readonly #leases = new Set<string>();
  #first = true;
  #lastError: string | undefined;

  constructor(options: ProcessStatusOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let nextMs = this.#startedMs + firstAfterMs;
    while (!signal.aborted) {
      await clock.sleep(Math.min(tickMs, Math.max(1, nextMs - clock.monotonicMs())), signal).catch(() => {});
      if (signal.aborted) break;
      const { reportingIntervalMs } = this.#options.settings();
      if (reportingIntervalMs === 0) await this.#withdraw();
      if (reportingIntervalMs === 0 || clock.monotonicMs() < nextMs) continue;
      await this.#report(signal);
      // Exactly the interval, unless it was off for a while.
      const plannedMs = nextMs + reportingIntervalMs;
      nextMs = plannedMs > clock.monotonicMs() ? plannedMs : clock.monotonicMs() + reportingIntervalMs;
    }
    await this.#withdraw();
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { store, clock, host, settings, log } = this.#options;
    const { region, reportingTtlSeconds } = settings();
    const value = JSON.stringify({
      time: new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z"),
      uptime: Math.round(clock.monotonicMs() - this.#startedMs) / 1_000,
      first_update: this.#first,
    });
    try {
      // A lease of its own for each report: the one before runs out by itself, with nothing on it any more.
      const lease = await store.grantLease(reportingTtlSeconds);
      this.#leases.add(lease);
      await store.transact(
        {
          compare: [],
          success: [
            { put: hostStatusKey(region, host), value, lease },
            { put: lastReportedStatusKey(region, host), value },
          ],
        },
        { signal },
      );
      for (const other of this.#leases) if (other !== lease) this.#leases.delete(other);
      this.#first = false;
      this.#lastError = undefined;
    } catch (error) {
      if (signal.aborted && isAbort(error)) return;
      this.#lastError = describeError(error);
      log.warn({ event: "process_status_not_reported", error: this.#lastError });
    }
  }

  async #withdraw(): Promise<void> {
    const { store, clock, log } = this.#options;
    const leases = [...this.#leases];
    if (leases.length === 0) return;
    this.#leases.clear();
    const answered = new AbortController();
    try {
      // Nobody waits for a store that does not answer: then the leases end it.
      const revoked = Promise.all(leases.map((lease) => store.revokeLease(lease))).finally(() => answered.abort());
      await Promise.race([revoked, clock.sleep(revokeWithinMs, answered.signal).catch(() => revoked)]);
    } catch (error) {
      log.warn({ event: "process_status_not_withdrawn", error: describeError(error) });
    }
  }
}
