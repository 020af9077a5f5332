/**
 * One program kept running on a virtual host: started, watched for readiness, started again with back-off when it ends.
 * It writes its log straight to a file (opened for appending), so that it outlives its supervisor.
 */

import { closeSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Backoff } from "../base/backoff.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { describeError, isAbort, OperationError } from "../base/errors.ts";
import { childrenOf, enterWords, pathInHost, processAlive } from "./host-namespaces.ts";
import type { ServicePhase, ServiceState } from "./lab-state.ts";
import { logTail, rotateLog } from "./service-log.ts";

export interface ServiceDefinition {
  readonly name: string;
  readonly words: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Files on the host that a killed predecessor may have left and that would stop a new start. */
  readonly removeBefore?: readonly string[];
  /** Resolves when ready, else throws the reason why not yet. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly readyWithinMs: number;
}

export interface ServiceOptions {
  readonly definition: ServiceDefinition;
  readonly host: string;
  readonly hostPid: number;
  readonly logPath: string;
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly onChange: () => void;
  readonly clock?: Clock;
}

const probeEveryMs = 50;
const logCheckEveryMs = 10_000;
const parentCheckEveryMs = 1_000;
/** Nobody waits longer for a service that ends each time it is started. */
const fruitlessStartsMax = 8;
/** A service that ran this long has come up: its next end is not part of a row of failures. */
const settledAfterMs = 10_000;

export class Service {
  readonly name: string;
  readonly #options: ServiceOptions;
  readonly #clock: Clock;
  #phase: ServicePhase = "waiting";
  #reason = "not started yet";
  #sinceMs: number;
  #starts = 0;
  #outer: Bun.Subprocess<"ignore", number, number> | undefined;
  /** Known from the time it was ready. */
  #program: number | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#sinceMs = this.#clock.nowMs();
    this.name = options.definition.name;
  }

  get state(): ServiceState {
    const pid = this.pid;
    return {
      name: this.name,
      phase: this.#phase,
      ...(pid === undefined ? {} : { pid }),
      reason: this.#reason,
      restarts: Math.max(0, this.#starts - 1),
      sinceMs: this.#sinceMs,
    };
  }

  /** The program's id on the machine; nsenter in front of it is only its parent. */
  get pid(): number | undefined {
    return this.#outer === undefined ? undefined : childrenOf(this.#outer.pid)[0];
  }

  get starts(): number {
    return this.#starts;
  }

  get ready(): boolean {
    return this.#phase === "ready";
  }

  /** Runs until the signal is aborted; returns at once then, leaving the process to the end of its host. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ clock: this.#clock, minMs: 100, maxMs: 5_000 });
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonicMs();
      const ended = await this.#runOnce(signal);
      if (signal.aborted) return;
      if (this.#clock.monotonicMs() - startedMs > settledAfterMs) backoff.reset();
      this.#enter("restarting", ended);
      try {
        await backoff.wait(signal);
      } catch (error) {
        if (isAbort(error)) return;
        throw error;
      }
    }
  }

  /** Resolves when ready; throws with the reason and the end of its log at the deadline. */
  async untilReady(signal: AbortSignal, afterStarts = 0): Promise<void> {
    const { readyWithinMs } = this.#options.definition;
    const startedMs = this.#clock.monotonicMs();
    const startsMax = this.#starts + fruitlessStartsMax;
    while (!(this.ready && this.#starts > afterStarts)) {
      signal.throwIfAborted();
      const waitedMs = this.#clock.monotonicMs() - startedMs;
      if (waitedMs > readyWithinMs || this.#starts > startsMax) {
        const said = await logTail(this.#options.logPath, 10);
        throw new OperationError(
          "LAB_SERVICE_NOT_READY",
          `${this.#options.host}: ${this.name} is not ready after ${(waitedMs / 1000).toFixed(0)} s and ` +
            `${this.#starts} starts: ${this.#reason}${said === "" ? "" : `; its log ends with: ${said}`}`,
        );
      }
      await this.#clock.sleep(probeEveryMs, signal);
    }
  }

  /** Sends a signal to the program and waits until that process has ended. */
  async kill(name: NodeJS.Signals = "SIGKILL", timeoutMs = 20_000): Promise<void> {
    const outer = this.#outer;
    const pid = this.pid;
    if (outer === undefined || pid === undefined) {
      throw new OperationError("LAB_SERVICE_NOT_RUNNING", `${this.#options.host}: ${this.name} is not running`);
    }
    process.kill(pid, name);
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
    while (processAlive(pid)) {
      if (this.#clock.monotonicMs() > deadlineMs) {
        throw new OperationError("LAB_SERVICE_STAYS", `${this.#options.host}: ${this.name} does not end on ${name}`);
      }
      await this.#clock.sleep(10);
    }
    await outer.exited;
  }

  /** One life of the process; answers how it ended. */
  async #runOnce(signal: AbortSignal): Promise<string> {
    const { definition, hostPid, logPath, baseEnv } = this.#options;
    for (const path of definition.removeBefore ?? []) await rm(pathInHost(hostPid, path), { force: true });
    if (signal.aborted) return "stopped";
    this.#enter("starting", "started");
    this.#starts++;
    const log = openSync(logPath, "a", 0o644);
    let outer: Bun.Subprocess<"ignore", number, number>;
    try {
      outer = Bun.spawn([...enterWords(hostPid), ...definition.words], {
        stdin: "ignore",
        stdout: log,
        stderr: log,
        env: { ...baseEnv, ...definition.env },
        cwd: "/",
        detached: true,
      });
    } finally {
      closeSync(log);
    }
    this.#outer = outer;
    using watching = new AbortScope(signal);
    const probing = this.#probe(watching.signal);
    const keeping = this.#keepLogSmall(watching.signal);
    const waking = this.#wakeStoppedParent(outer, watching.signal);
    const stopped = new Promise<"stopped">((resolve) => {
      // An aborted signal fires no event any more.
      if (watching.signal.aborted) resolve("stopped");
      watching.signal.addEventListener("abort", () => resolve("stopped"), { once: true });
    });
    const exit = await Promise.race([outer.exited, stopped]);
    // Somebody may kill nsenter alone: its program would go on beside its successor.
    if (exit !== "stopped") await this.#endOrphan();
    watching.stop();
    await Promise.all([probing, keeping, waking]);
    outer.kill("SIGCONT");
    this.#outer = undefined;
    if (exit === "stopped") return "stopped";
    return outer.signalCode === null ? `ended with exit code ${exit}` : `ended by ${outer.signalCode}`;
  }

  async #endOrphan(): Promise<void> {
    const pid = this.#program;
    this.#program = undefined;
    if (pid === undefined || !processAlive(pid)) return;
    process.kill(pid, "SIGKILL");
    while (processAlive(pid)) await this.#clock.sleep(10);
  }

  async #probe(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#options.definition.probe(AbortSignal.any([signal, AbortSignal.timeout(5_000)]));
        this.#program = this.pid;
        if (!signal.aborted) this.#enter("ready", "ready");
        return;
      } catch (error) {
        if (!signal.aborted) this.#reason = describeError(error);
      }
      await this.#clock.sleep(probeEveryMs, signal).catch(() => undefined);
    }
  }

  /** nsenter stops with a program that gets SIGSTOP, but does not go on with it: it would never tell that it has ended. */
  async #wakeStoppedParent(outer: Bun.Subprocess, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(parentCheckEveryMs, signal).catch(() => undefined);
      if (this.#program !== undefined && !processAlive(this.#program)) outer.kill("SIGCONT");
    }
  }

  async #keepLogSmall(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(logCheckEveryMs, signal).catch(() => undefined);
      if (!signal.aborted) await rotateLog(this.#options.logPath);
    }
  }

  #enter(phase: ServicePhase, reason: string): void {
    if (phase !== this.#phase) this.#sinceMs = this.#clock.nowMs();
    this.#phase = phase;
    this.#reason = reason;
    this.#options.onChange();
  }
}

/** A signal that follows another one and can also be aborted alone. */
class AbortScope implements Disposable {
  readonly #controller = new AbortController();
  readonly signal: AbortSignal;

  constructor(outer: AbortSignal) {
    this.signal = AbortSignal.any([outer, this.#controller.signal]);
  }

  stop(): void {
    this.#controller.abort(new DOMException("no longer needed", "AbortError"));
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}
