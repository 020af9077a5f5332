/** Durations in Go's notation. */
import { expect, test } from "bun:test";
import { parseGoDuration } from "./go-duration.ts";

const cases: readonly [text: string | undefined, ms: number | undefined][] = [
  ["90s", 90_000],
  ["1m30s", 90_000],
  ["500ms", 500],
  ["1.5h", 5_400_000],
  ["250us", 0.25],
  ["0", 0],
  ["0s", 0],
  ["-5s", -5_000],
  [undefined, undefined],
  ["", undefined],
  ["90", undefined],
  ["s", undefined],
  ["5 s", undefined],
  ["5sx", undefined],
];
for (const [text, ms] of cases) test(`${text} is ${ms}`, () => expect(parseGoDuration(text)).toBe(ms));
