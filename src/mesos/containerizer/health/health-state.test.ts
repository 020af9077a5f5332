/** When a health result is told and when it kills, as sequences of results (s success, f failure, . a second passes). */

import { describe, expect, test } from "bun:test";
import { afterResult, healthUnknown } from "./health-state.ts";

const check = { gracePeriodMs: 2_000, consecutiveFailures: 3 };

function run(results: string, limits = check): string {
  let state = healthUnknown;
  let sinceStartMs = 0;
  let told = "";
  for (const letter of results) {
    if (letter === ".") {
      sinceStartMs += 1_000;
      continue;
    }
    const verdict = afterResult(state, { ok: letter === "s", sinceStartMs }, limits);
    state = verdict.state;
    told += verdict.tell ? (state.healthy === true ? "H" : "U") : "-";
    if (verdict.kill) return `${told}!`;
  }
  return told;
}

describe("health", () => {
  const rows: readonly [name: string, results: string, told: string][] = [
    ["the first success is told, further ones are not", "sss", "H--"],
    ["failures within the grace period before any success do not count", "f.f.f", "---"],
    ["after the grace period each failure is told and the third kills", "...fff", "UUU!"],
    ["the first success ends the grace period", "sfff", "HUUU!"],
    ["a success between failures starts the count anew and is told", "...ffsff", "UUHUU"],
    ["failures of the grace period are not counted later", "ff...ff", "--UU"],
  ];
  for (const [name, results, told] of rows) test(name, () => expect(run(results)).toBe(told));
  test("with no failure allowed the first one kills", () => {
    expect(run("sf", { gracePeriodMs: 0, consecutiveFailures: 0 })).toBe("HU!");
  });
});
