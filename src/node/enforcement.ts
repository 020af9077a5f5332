/**
 * From the store to the kernel of this host: WatchedPrefix -> policy calculation -> data plane.
 * - A change only notes what is new; the work is done in the reconciler's pass, in batches, one pass at a time.
 * - Store out of reach: what was last known stays enforced, and passes go on repairing the kernel.
 * - Nothing is swept from the kernel before the first complete listing.
 * - While the datastore is locked, what is enforced stays, and nothing new is.
 * - `programmed` is the policy gate: it resolves after a pass that began when the record was known has succeeded.
 */
import type { Clock } from "../base/clock.ts";
import { describeError, isAbort, OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { orAborted } from "../base/or-aborted.ts";
import { Reconciler } from "../base/reconciler.ts";
import { handlesPrefix, kindPrefix } from "../model/keys.ts";
import type { KeyValue, Store } from "../store/store.ts";
import { WatchedPrefix } from "../store/watched-prefix.ts";
import type { HealthBoard } from "./health-board.ts";
import { RevisionWaiters } from "./revision-waiters.ts";

const RESYNC_EVERY_MS = 60_000;
/** As Felix: a main loop that is silent for this long is not live. */
const WATCHDOG_MS = 90_000;
const GATE_RETRY_MS = 50;
const endpointsPrefix = kindPrefix("WorkloadEndpoint");

/** What of the policy calculation is used here. */
export interface Calculator {
  update(key: string, value: string | undefined): void;
  /** From then on flush() tells. */
  inSync(): void;
  /** Tells the data plane what has changed. */
  flush(): void;
  /** Documents that cannot be read and count as absent, with the reason. */
  readonly invalid: ReadonlyMap<string, string>;
}

export interface KernelSide {
  apply(signal: AbortSignal): Promise<void>;
  setInSync(): void;
  /** See Dataplane. */
  closeUnlessStanding(): Promise<void>;
}

export interface EnforcementOptions {
  readonly store: Store;
  readonly calculator: Calculator;
  readonly dataplane: KernelSide;
  /** `known`: the key was there before. */
  readonly onChange: (key: string, value: KeyValue | undefined, known: boolean) => void;
  /** The calculation has taken in one change. */
  readonly onUpdate: (durationMs: number) => void;
  readonly onInSync: () => void;
  /** The datastore has to be read from the start. */
  readonly onResync: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly health: HealthBoard;
  /** Somebody is changing the datastore as a whole. */
  readonly isLocked: () => boolean;
  readonly onPass: (durationMs: number, failed: boolean) => void;
}

export class Enforcement {
  readonly #options: EnforcementOptions;
  readonly #watched: WatchedPrefix;
  readonly #reconciler: Reconciler;
  readonly #endpoints = new RevisionWaiters();
  readonly #firstSync = Promise.withResolvers<void>();
  #everInSync = false;
  /** The first complete picture has been handed on. */
  #begun = false;
  #enforcedRevision = 0;
  #lastError: string | undefined;

  constructor(options: EnforcementOptions) {
    this.#options = options;
    const { store, clock, log, health } = options;
    health.register("Datastore", { detail: "waiting for the first complete listing" });
    health.register("Dataplane", { timeoutMs: WATCHDOG_MS, detail: "waiting for the datastore" });
    this.#watched = new WatchedPrefix({
      store,
      prefix: "/calico/",
      // As many as addresses, and of no use here.
      except: handlesPrefix,
      clock,
      log,
      onChange: (key, value, known) => this.#onChange(key, value, known),
      onInSync: () => this.#onInSync(),
      onStale: () => {
        health.report("Datastore", { detail: "out of reach; the last known state is enforced" });
        options.onResync();
      },
    });
    this.#reconciler = new Reconciler({
      name: "dataplane",
      clock,
      log,
      pass: (signal) => this.#pass(signal),
      resyncEveryMs: RESYNC_EVERY_MS,
    });
  }

  get inSync(): boolean {
    return this.#watched.inSync;
  }

  /** Up to which revision of the store this host has been told. */
  get revision(): number {
    return this.#watched.revision;
  }

  async watch(signal: AbortSignal): Promise<void> {
    await this.#watched.run(signal);
  }

  async converge(signal: AbortSignal): Promise<void> {
    await this.#reconciler.run(signal);
  }

  /** Look at the kernel again: a link has come or gone. */
  poke(): void {
    this.#reconciler.poke();
  }

  /**
   * Resolves when the kernel enforces the endpoint at `key` as it was written at `revision`, or as it is by then.
   * @throws OperationError with the reason when that is not so by the time the signal aborts.
   */
  async programmed(key: string, revision: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#endpoints.until(key, revision, signal);
      await orAborted(this.#firstSync.promise, signal);
    } catch (cause) {
      const message = "the endpoint has not come back from the datastore in time";
      throw new OperationError("NODE_GATE_STORE", message, { retry: "backoff", cause });
    }
    for (;;) {
      try {
        return await this.#reconciler.settled(signal);
      } catch (cause) {
        if (!signal.aborted && !isAbort(cause)) {
          await this.#options.clock.sleep(GATE_RETRY_MS, signal).catch(() => {});
          if (!signal.aborted) continue;
        }
        const reason = this.#lastError ?? describeError(cause);
        throw new OperationError(
          "NODE_GATE_KERNEL",
          `the kernel does not enforce the endpoint's policy yet: ${reason}`,
          {
            retry: "backoff",
            cause,
          },
        );
      }
    }
  }

  status(): object {
    return {
      datastore: this.#watched.inSync ? "in-sync" : this.#everInSync ? "out of reach" : "waiting",
      revision: this.#watched.revision,
      enforcedRevision: this.#enforcedRevision,
      lastError: this.#lastError ?? null,
      invalid: Object.fromEntries(this.#options.calculator.invalid),
    };
  }

  #onChange(key: string, value: KeyValue | undefined, known: boolean): void {
    const { calculator, clock, onUpdate } = this.#options;
    const startedMs = clock.monotonicMs();
    calculator.update(key, value?.value);
    // The first listing is measured as a whole, by the first pass.
    if (this.#everInSync) onUpdate(clock.monotonicMs() - startedMs);
    this.#options.onChange(key, value, known);
    if (key.startsWith(endpointsPrefix)) this.#endpoints.seen(key, value?.modRevision);
    // Before the first listing is complete every pass would see a part of the cluster.
    if (this.#everInSync) this.#reconciler.poke();
  }

  #onInSync(): void {
    this.#everInSync = true;
    this.#firstSync.resolve();
    this.#options.onInSync();
    this.#options.health.report("Datastore", { ready: true, detail: "in sync" });
    this.#reconciler.poke();
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { calculator, dataplane, clock, health, onPass } = this.#options;
    if (!this.#everInSync) {
      // What a former process programmed goes on being enforced; nothing is known that could be added to it.
      await dataplane.closeUnlessStanding();
      health.report("Dataplane", { live: true });
      return;
    }
    const startedMs = clock.monotonicMs();
    const { revision } = this.#watched;
    try {
      if (this.#options.isLocked()) await this.#keepAsItIs(signal);
      if (!this.#begun) {
        calculator.inSync();
        dataplane.setInSync();
        this.#begun = true;
      }
      calculator.flush();
      await dataplane.apply(signal);
      this.#enforcedRevision = revision;
      this.#lastError = undefined;
      health.report("Dataplane", { live: true, ready: true, detail: "kernel state applied" });
      onPass(clock.monotonicMs() - startedMs, false);
    } catch (error) {
      if (signal.aborted) throw error;
      this.#lastError = describeError(error);
      health.report("Dataplane", { live: true, ready: false, detail: this.#lastError });
      onPass(clock.monotonicMs() - startedMs, true);
      throw error;
    }
  }

  /** @throws always: what was asked for is not in force */
  async #keepAsItIs(signal: AbortSignal): Promise<never> {
    // Before the first picture the data plane would take everything in the kernel for left over.
    if (this.#begun) await this.#options.dataplane.apply(signal);
    else await this.#options.dataplane.closeUnlessStanding();
    throw new OperationError(
      "DATASTORE_LOCKED",
      "the datastore is locked (datastoreReady is false); nothing is changed",
      {
        remedy: "calicoctl datastore migrate unlock",
        retry: "after-change",
      },
    );
  }
}
