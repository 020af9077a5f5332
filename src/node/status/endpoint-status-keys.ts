/**
 * How each endpoint of this host is, told in the store for whoever asks there (calico-datastore.md 1.9): up, down, error.
 * Off by default (endpointReportingEnabled); then what an earlier process told is taken back. Written at most once a delay,
 * and read back now and then: what somebody else wrote there is put right.
 */
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import { Tracker } from "../../base/tracker.ts";
import {
  hostEndpointStatusKey,
  hostEndpointStatusPrefix,
  workloadStatusKey,
  workloadStatusPrefix,
} from "../../model/status-keys.ts";
import type { Operation, Store } from "../../store/store.ts";
import type { AgentSettings } from "../agent-settings.ts";
import type { LocalEndpoint } from "./local-endpoints.ts";

export type EndpointState = "up" | "down" | "error";

export interface EndpointStatusOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly settings: () => AgentSettings;
  readonly endpoints: () => ReadonlyMap<string, LocalEndpoint>;
  readonly stateOf: (key: string) => EndpointState;
  /** Nothing is told, or taken back, before the endpoints are known and in force. */
  readonly ready: () => boolean;
}

/** As Felix: everything is looked at again every so many ticks. */
const ticksPerResync = 180;
const tickLeastMs = 100;
/** Keys a transaction of etcd takes without being told to take more. */
const operationsMax = 100;

export class EndpointStatusKeys {
  readonly #options: EndpointStatusOptions;
  readonly #tracker = new Tracker<string, string>();
  #region: string | undefined;
  #ticksUntilResync = 0;

  constructor(options: EndpointStatusOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, settings } = this.#options;
    const reconciler = new Reconciler({
      name: "endpoint-status",
      clock,
      log,
      pass: (stop) => this.#pass(stop),
      resyncEveryMs: Number.MAX_SAFE_INTEGER,
    });
    const ticking = reconciler.run(signal);
    while (!signal.aborted) {
      // Jitter, so that the hosts of a cluster that was started as one do not write as one.
      const delayMs = Math.max(tickLeastMs, settings().endpointReportingDelayMs) * (0.95 + 0.1 * clock.random());
      await clock.sleep(delayMs, signal).catch(() => {});
      if (!signal.aborted) reconciler.poke();
    }
    await ticking;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { settings, ready } = this.#options;
    if (!ready()) return;
    const { endpointReporting, region } = settings();
    if (region !== this.#region) this.#ticksUntilResync = 0;
    this.#region = region;
    if (this.#ticksUntilResync === 0) await this.#readBack(signal);
    // Nothing to tell and nothing told: no need to look again.
    else if (endpointReporting || this.#tracker.allActual.size > 0) this.#ticksUntilResync -= 1;
    this.#want(endpointReporting ? this.#states() : new Map());
    await this.#write(signal);
  }

  async #readBack(signal: AbortSignal): Promise<void> {
    const { store, host } = this.#options;
    const found = new Map<string, string>();
    for (const prefix of [workloadStatusPrefix(this.#region, host), hostEndpointStatusPrefix(host)]) {
      for (const { key, value } of (await store.list(prefix, { signal })).kvs) found.set(key, value);
    }
    this.#tracker.observed(found);
    this.#ticksUntilResync = ticksPerResync;
  }

  #states(): ReadonlyMap<string, string> {
    const { host, endpoints, stateOf } = this.#options;
    const wanted = new Map<string, string>();
    for (const [key, endpoint] of endpoints()) {
      const statusKey =
        endpoint.kind === "workload"
          ? workloadStatusKey(this.#region, host, endpoint)
          : hostEndpointStatusKey(host, endpoint.name);
      wanted.set(statusKey, JSON.stringify({ status: stateOf(key) }));
    }
    return wanted;
  }

  #want(wanted: ReadonlyMap<string, string>): void {
    for (const key of [...this.#tracker.allDesired.keys()]) if (!wanted.has(key)) this.#tracker.want(key, undefined);
    for (const [key, value] of wanted) this.#tracker.want(key, value);
  }

  async #write(signal: AbortSignal): Promise<void> {
    const changes = [
      ...[...this.#tracker.pendingPuts].map(([key, value]) => ({ key, value })),
      ...[...this.#tracker.pendingRemovals].map((key) => ({ key, value: undefined })),
    ];
    for (let at = 0; at < changes.length; at += operationsMax) {
      const part = changes.slice(at, at + operationsMax);
      const success = part.map(
        ({ key, value }): Operation => (value === undefined ? { delete: key } : { put: key, value }),
      );
      await this.#options.store.transact({ compare: [], success }, { signal });
      for (const { key, value } of part) this.#tracker.applied(key, value);
    }
  }
}
