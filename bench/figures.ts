/** Samples, their middle and spread, and a verdict against a goal: printed the same way by every benchmark. */

import { cpus, totalmem } from "node:os";

export interface Spread {
  readonly count: number;
  readonly min: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

export function spreadOf(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { count: sorted.length, min: at(0), median: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN };
}

export function printMachine(): void {
  const [cpu] = cpus();
  console.log(`machine: ${cpus().length} x ${cpu?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`);
}

export function printSpread(name: string, samples: readonly number[], unit: string): Spread {
  const spread = spreadOf(samples);
  const cells = [spread.median, spread.min, spread.p99, spread.max].map((value) => value.toFixed(1));
  console.log(
    `${name}: median ${cells[0]} ${unit} (min ${cells[1]}, p99 ${cells[2]}, max ${cells[3]}, n=${spread.count})`,
  );
  return spread;
}

/** Prints goal and figure; a budget that is exceeded makes the benchmark fail, a goal that is missed is only said. */
export function judge(
  what: string,
  value: number,
  limits: { readonly goal: string; readonly met: boolean; readonly budgetMet?: boolean },
): void {
  console.log(`${what}: ${value.toFixed(2)}, goal ${limits.goal}: ${limits.met ? "met" : "MISSED"}`);
  if (limits.budgetMet === false) {
    console.log(`${what}: outside its budget`);
    process.exitCode = 1;
  }
}

/** Runs a and b in turns, so that whatever else the machine does falls on both. */
export async function inTurns<A, B>(
  rounds: number,
  a: () => Promise<A>,
  b: () => Promise<B>,
): Promise<{ a: A[]; b: B[] }> {
  const results: { a: A[]; b: B[] } = { a: [], b: [] };
  for (let round = 0; round < rounds; round++) {
    results.a.push(await a());
    results.b.push(await b());
  }
  return results;
}

export async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
