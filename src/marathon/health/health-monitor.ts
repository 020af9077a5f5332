/**
 * Keeps a prober per running instance and Marathon-side check, takes in what agents report of the checks they carry out,
 * and says when an instance has failed once too often (reference: marathon-behaviour 7).
 *
 * - Checks begin as soon as the instance runs, quickly at first: "healthy" waits for the app, not for the interval.
 * - Only instances that run and can be reached are probed; each by the checks of the version it was launched with.
 * - Readiness checks work alike, until they pass once; they hold back a roll-out, they never kill.
 */

import { type Clock, deadline } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { type App, type AppHealthCheck, networkModeOf, portsOf } from "../app/app.ts";
import type { InstanceId } from "../app/app-id.ts";
import { isDelegated } from "../app/validation.ts";
import type { EventBus } from "../events/event-bus.ts";
import type { Health, Instance } from "../plan/instance.ts";
import { pathOf } from "../plan/task-info.ts";
import { HealthResults, type Outcome } from "./health-results.ts";
import type { Probe, ProbeTarget } from "./probe.ts";

export interface HealthMonitorOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly bus: EventBus;
  readonly probe: Probe;
  readonly definitionOf: (instance: Instance) => App | undefined;
  /** Health or readiness of something changed. */
  readonly onChange: () => void;
  readonly onFailed: (instance: Instance, cause: string) => void;
}

interface Prober {
  readonly controller: AbortController;
  instance: Instance;
}

/** First waits between probes that have not succeeded yet; later ones are the check's interval. */
const eagerWaitsMs = [250, 500, 1000, 2000, 4000];
const delegatedMarginMs = 30_000;
const probesMax = 256;

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly results = new HealthResults();
  readonly #probers = new Map<InstanceId, Prober>();
  readonly #ready = new Set<InstanceId>();
  readonly #overdue = new Map<InstanceId, Disposable>();
  #probing = 0;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  health(instance: Instance): Health {
    const checks = this.#options.definitionOf(instance)?.healthChecks.length ?? 0;
    return this.results.health(instance.id, checks, instance.condition === "Running");
  }

  /** False while a readiness check has not passed yet. */
  ready(instance: Instance): boolean {
    const checks = this.#options.definitionOf(instance)?.readinessChecks.length ?? 0;
    return checks === 0 || this.#ready.has(instance.id);
  }

  /** Starts and stops probers so that exactly the instances given are looked after. */
  sync(instances: ReadonlyMap<InstanceId, Instance>): void {
    this.results.retain(instances);
    for (const id of this.#ready) if (!instances.has(id)) this.#ready.delete(id);
    for (const [id, prober] of this.#probers) {
      const instance = instances.get(id);
      if (instance?.condition === "Running" && instance.goal === "Running") prober.instance = instance;
      else this.#stop(id, prober);
    }
    for (const instance of instances.values()) {
      if (instance.condition !== "Running" || instance.goal !== "Running" || this.#probers.has(instance.id)) continue;
      this.#start(instance);
    }
    for (const [id, timer] of this.#overdue) {
      if (instances.has(id)) continue;
      timer[Symbol.dispose]();
      this.#overdue.delete(id);
    }
  }

  stop(): void {
    for (const [id, prober] of this.#probers) this.#stop(id, prober);
    for (const timer of this.#overdue.values()) timer[Symbol.dispose]();
    this.#overdue.clear();
  }

  /** What an agent says of the check it carries out. */
  reported(instance: Instance, healthy: boolean, message: string | undefined): void {
    const app = this.#options.definitionOf(instance);
    const index = app?.healthChecks.findIndex((check) => isDelegated(app, check)) ?? -1;
    const check = app?.healthChecks[index];
    if (app === undefined || check === undefined) return;
    // The agent applies the grace period before it reports.
    const outcome: Outcome = healthy
      ? { healthy }
      : { healthy, cause: message ?? "the agent reports the task as unhealthy" };
    this.#record(instance, app, index, { ...check, gracePeriodSeconds: 0, maxConsecutiveFailures: 0 }, outcome);
    this.#watchOverdue(instance, check, healthy);
  }

  /** The agent kills after too many failures. Should it not, we do, well after its time. */
  #watchOverdue(instance: Instance, check: AppHealthCheck, healthy: boolean): void {
    if (healthy || check.maxConsecutiveFailures === 0) {
      this.#overdue.get(instance.id)?.[Symbol.dispose]();
      this.#overdue.delete(instance.id);
    } else if (!this.#overdue.has(instance.id)) {
      const ms =
        check.maxConsecutiveFailures * (check.intervalSeconds + check.timeoutSeconds) * 1000 + delegatedMarginMs;
      const timer = this.#options.clock.timer(ms, () => this.#options.onFailed(instance, "unhealthy for too long"));
      this.#overdue.set(instance.id, timer);
    }
  }

  #start(instance: Instance): void {
    const app = this.#options.definitionOf(instance);
    if (app === undefined) return;
    const prober: Prober = { controller: new AbortController(), instance };
    this.#probers.set(instance.id, prober);
    app.healthChecks.forEach((check, index) => {
      if (!isDelegated(app, check)) this.#run(prober, this.#healthLoop(prober, app, check, index));
    });
    const readiness = app.readinessChecks[0];
    if (readiness !== undefined && !this.#ready.has(instance.id)) this.#run(prober, this.#readinessLoop(prober, app));
  }

  #run(prober: Prober, loop: Promise<void>): void {
    loop.catch((error: unknown) => {
      if (!prober.controller.signal.aborted) this.#options.log.error({ event: "prober_ended", err: error });
    });
  }

  #stop(id: InstanceId, prober: Prober): void {
    prober.controller.abort(new DOMException("the instance is no longer probed", "AbortError"));
    this.#probers.delete(id);
  }

  async #healthLoop(prober: Prober, app: App, check: AppHealthCheck, index: number): Promise<void> {
    const { clock, onFailed } = this.#options;
    const { signal } = prober.controller;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const outcome = await this.#probe(targetOf(app, check, prober.instance), check.timeoutSeconds * 1000, signal);
      if (signal.aborted) return;
      if (outcome !== undefined && this.#record(prober.instance, app, index, check, outcome)) {
        onFailed(prober.instance, outcome.healthy ? "" : outcome.cause);
      }
      const intervalMs = check.intervalSeconds * 1000;
      const succeeded = this.results.of(prober.instance.id)[index]?.firstSuccessMs !== undefined;
      const waitMs = succeeded ? intervalMs : Math.min(eagerWaitsMs[attempt] ?? intervalMs, intervalMs);
      await clock.sleep(waitMs, signal);
    }
  }

  async #readinessLoop(prober: Prober, app: App): Promise<void> {
    const { clock, onChange } = this.#options;
    const { signal } = prober.controller;
    const check = app.readinessChecks[0];
    if (check === undefined) return;
    const portIndex = portsOf(app).findIndex(({ name }) => name === check.portName);
    const target = targetOf(app, { ...check, portIndex, ignoreHttp1xx: false }, prober.instance);
    while (!signal.aborted) {
      const outcome = await this.#probe(target, check.timeoutSeconds * 1000, signal);
      if (outcome?.healthy) {
        this.#ready.add(prober.instance.id);
        return onChange();
      }
      await clock.sleep(check.intervalSeconds * 1000, signal);
    }
  }

  async #probe(target: ProbeTarget | string, timeoutMs: number, signal: AbortSignal): Promise<Outcome | undefined> {
    if (typeof target === "string") return { healthy: false, cause: target };
    // Rather late than refused: a probe that has to wait for others is no failure of the app.
    while (this.#probing >= probesMax) await this.#options.clock.sleep(50, signal);
    this.#probing += 1;
    try {
      return await this.#options.probe(target, deadline(this.#options.clock, timeoutMs, signal));
    } finally {
      this.#probing -= 1;
    }
  }

  /** True if the instance has to go. */
  #record(instance: Instance, app: App, index: number, check: AppHealthCheck, outcome: Outcome): boolean {
    const { clock, bus, onChange } = this.#options;
    const healthBefore = this.health(instance);
    const times = { nowMs: clock.nowMs(), runningSinceMs: instance.startedAtMs ?? instance.stagedAtMs };
    const recorded = this.results.record(instance.id, index, check, outcome, times);
    if (!recorded.counted) return false;
    if (!outcome.healthy) {
      bus.publish("failed_health_check_event", {
        appId: app.id,
        taskId: instance.id,
        healthCheck: app.healthChecks[index],
      });
    }
    if (recorded.changed) {
      const { alive } = recorded.result;
      const version = instance.runSpecVersion;
      bus.publish("health_status_changed_event", { appId: app.id, instanceId: instance.id, version, alive });
    }
    const health = this.health(instance);
    if (health !== healthBefore) {
      bus.publish("instance_health_changed_event", {
        instanceId: instance.id,
        runSpecId: app.id,
        runSpecVersion: instance.runSpecVersion,
        healthy: health === "unknown" ? null : health === "healthy",
      });
      onChange();
    }
    return recorded.kill;
  }
}

type Addressed = Pick<AppHealthCheck, "portIndex" | "path" | "ignoreHttp1xx"> & {
  readonly protocol: string;
  readonly port?: number;
};

/** Where Marathon itself probes (reference: marathon-behaviour 7.2); a text if that cannot be known. */
export function targetOf(app: App, check: Addressed, instance: Instance): ProbeTarget | string {
  const container = networkModeOf(app) === "container";
  const host = container ? instance.networkAddresses[0]?.ipAddress : (instance.agentAddress ?? instance.hostname);
  const index = check.portIndex ?? 0;
  const mapping = portsOf(app)[index];
  const listening = container && (mapping?.containerPort ?? 0) !== 0 ? mapping?.containerPort : instance.ports[index];
  const port = check.port ?? listening;
  if (host === undefined) return "the instance has no effective IP address";
  if (port === undefined) return "the check has no effective port";
  if (check.protocol === "TCP") return { kind: "tcp", host, port };
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const scheme = check.protocol.toLowerCase();
  return { kind: "http", url: `${scheme}://${authority}${pathOf(check)}`, ignoreHttp1xx: check.ignoreHttp1xx };
}
