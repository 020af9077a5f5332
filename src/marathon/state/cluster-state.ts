/**
 * Marathon's state: in memory for reading, in the store for keeping. Whatever changes it runs alone (`exclusive`), writes the
 * store first (`commit`) and memory after. When it is not known whether a write happened, everything is read again before
 * the next change: memory never disagrees with the store for longer than that.
 */

import { type Clock, deadline } from "../../base/clock.ts";
import { invariant } from "../../base/errors.ts";
import type { Operation, Store } from "../../store/store.ts";
import type { App } from "../app/app.ts";
import { type AppId, type InstanceId, type TaskId, type Timestamp, timestamp } from "../app/app-id.ts";
import { affectedApps, type Deployment } from "../plan/deployment.ts";
import type { Instance } from "../plan/instance.ts";
import { loadState, type TaskFailure } from "./records.ts";

const storeTimeoutMs = 10_000;
/** etcd's own default limit is 128. */
const operationsMax = 120;

export interface ClusterStateOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** After state was read again because a write's outcome was unknown. */
  readonly onReload: () => void;
}

export class ClusterState {
  readonly apps = new Map<AppId, App>();
  readonly versions = new Map<AppId, Map<Timestamp, App>>();
  readonly instances = new Map<InstanceId, Instance>();
  readonly deployments = new Map<string, Deployment>();
  readonly failures = new Map<AppId, TaskFailure>();
  frameworkId: string | undefined;
  readonly #byTask = new Map<TaskId, InstanceId>();
  readonly #options: ClusterStateOptions;
  #tail: Promise<unknown> = Promise.resolve();
  #uncertain = true;
  #loadedBefore = false;
  #exclusive = false;
  #lastVersionMs = 0;

  constructor(options: ClusterStateOptions) {
    this.#options = options;
  }

  /** One at a time, in the order of calls. */
  exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    const run = async () => {
      if (this.#uncertain) await this.#load();
      this.#exclusive = true;
      try {
        return await work();
      } finally {
        this.#exclusive = false;
      }
    };
    const result = this.#tail.then(run);
    this.#tail = result.catch(() => undefined); // the caller has the error; the next one goes on
    return result;
  }

  /** Writes all operations in one transaction, then changes memory. Only within exclusive(). */
  async commit(operations: readonly Operation[], apply: () => void): Promise<void> {
    invariant(this.#exclusive, "state is changed within exclusive() only");
    invariant(operations.length <= operationsMax, "a transaction has a limited number of operations");
    const { store, clock } = this.#options;
    try {
      if (operations.length > 0) {
        await store.transact({ compare: [], success: operations }, { signal: deadline(clock, storeTimeoutMs) });
      }
    } catch (error) {
      this.#uncertain = true;
      throw error;
    }
    apply();
  }

  instanceOfTask(task: string): Instance | undefined {
    const id = this.#byTask.get(task as TaskId);
    return id === undefined ? undefined : this.instances.get(id);
  }

  setInstance(instance: Instance): void {
    this.instances.set(instance.id, instance);
    this.#byTask.set(instance.taskId, instance.id);
  }

  dropInstance(instance: Instance): void {
    this.instances.delete(instance.id);
    this.#byTask.delete(instance.taskId);
  }

  instancesOf(app: AppId): readonly Instance[] {
    return [...this.instances.values()].filter((instance) => instance.appId === app);
  }

  deploymentsOf(app: AppId): readonly Deployment[] {
    return [...this.deployments.values()].filter((deployment) => affectedApps(deployment).includes(app));
  }

  setApp(app: App): void {
    this.apps.set(app.id, app);
    const versions = this.versions.get(app.id) ?? new Map<Timestamp, App>();
    this.versions.set(app.id, versions.set(app.version, app));
  }

  /** The oldest, when another one comes and there are enough. */
  oldVersion(id: AppId, max: number): Timestamp | undefined {
    const versions = [...(this.versions.get(id)?.keys() ?? [])];
    return versions.length < max ? undefined : versions.sort()[0];
  }

  dropVersion(id: AppId, version: Timestamp | undefined): void {
    if (version !== undefined) this.versions.get(id)?.delete(version);
  }

  dropApp(id: AppId): void {
    this.apps.delete(id);
    this.versions.delete(id);
    this.failures.delete(id);
  }

  /** The definition an instance was launched with; the present one if that version is no longer kept. */
  definitionOf(instance: Instance): App | undefined {
    return this.versions.get(instance.appId)?.get(instance.runSpecVersion) ?? this.apps.get(instance.appId);
  }

  /** The time now, but later than every version given out: versions are unique and ordered. */
  nextVersion(): Timestamp {
    this.#lastVersionMs = Math.max(this.#options.clock.nowMs(), this.#lastVersionMs + 1);
    return timestamp(this.#lastVersionMs);
  }

  async #load(): Promise<void> {
    const { store, clock } = this.#options;
    const stored = await loadState(store, deadline(clock, storeTimeoutMs));
    for (const map of [this.apps, this.versions, this.instances, this.deployments, this.failures, this.#byTask])
      map.clear();
    this.frameworkId = stored.frameworkId;
    for (const [id, app] of stored.apps) this.apps.set(id, app);
    for (const [id, versions] of stored.versions) this.versions.set(id, new Map(versions));
    for (const instance of stored.instances.values()) this.setInstance(instance);
    for (const [id, deployment] of stored.deployments) this.deployments.set(id, deployment);
    for (const [id, failure] of stored.failures) this.failures.set(id, failure);
    for (const app of stored.apps.values())
      this.#lastVersionMs = Math.max(this.#lastVersionMs, Date.parse(app.version));
    this.#uncertain = false;
    if (this.#loadedBefore) this.#options.onReload();
    this.#loadedBefore = true;
  }
}
