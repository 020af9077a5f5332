/** What passes cost and found, as plain numbers for metrics and benches. */
import type { Clock } from "../../base/clock.ts";

/** What is told each time it happens, because its distribution matters; durations are wall time. */
export type MeasureName =
  | "interface-changes"
  | "address-changes"
  | "routes-read-seconds"
  | "flows-forgotten-seconds"
  | "child-process-seconds";
export type OnMeasured = (name: MeasureName, value: number) => void;

/** Numbers that only grow. */
export interface DataplaneCounters {
  applies: number;
  failures: number;
  resyncs: number;
  /** Asked for, whether or not the kernel said yes. */
  filterTransactions: number;
  filterErrors: number;
  /** Those of the above that change sets or maps, or what is in them. */
  filterSetTransactions: number;
  filterSetErrors: number;
  /** In transactions that the kernel said yes to. */
  filterOperations: number;
  filterReads: number;
  filterReadErrors: number;
  routeWrites: number;
  flowsForgotten: number;
  /** What read-backs found different from what had been confirmed: each one is somebody's interference, or our bug. */
  driftFound: number;
}

export function newCounters(): DataplaneCounters {
  return {
    applies: 0,
    failures: 0,
    resyncs: 0,
    filterTransactions: 0,
    filterErrors: 0,
    filterSetTransactions: 0,
    filterSetErrors: 0,
    filterOperations: 0,
    filterReads: 0,
    filterReadErrors: 0,
    routeWrites: 0,
    flowsForgotten: 0,
    driftFound: 0,
  };
}

const steps = ["read", "filter", "interfaces", "bandwidth", "flows", "routes", "forward"] as const;
export type ApplyStep = (typeof steps)[number];
/** Milliseconds. */
export type ApplyTimings = Readonly<Record<ApplyStep | "total", number>>;

export const noTimings: ApplyTimings = {
  ...(Object.fromEntries(steps.map((step) => [step, 0])) as Record<ApplyStep, number>),
  total: 0,
};

/** Runs the steps of one pass; one that fails does not stop the others. */
export class PassSteps {
  readonly #clock: Clock;
  readonly #timings: Record<ApplyStep | "total", number> = { ...noTimings };
  readonly #startMs: number;
  #stepMs: number;
  readonly failures: unknown[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#stepMs = this.#startMs;
  }

  /** @param work throws, or answers what failed of several things it did. */
  async run(step: ApplyStep, work: () => readonly unknown[] | Promise<readonly unknown[]>): Promise<void> {
    try {
      this.failures.push(...(await work()));
    } catch (error) {
      this.failures.push(error);
    }
    const nowMs = this.#clock.monotonicMs();
    this.#timings[step] = nowMs - this.#stepMs;
    this.#stepMs = nowMs;
  }

  timings(): ApplyTimings {
    return { ...this.#timings, total: this.#clock.monotonicMs() - this.#startMs };
  }
}
