/** Differences that patch(1) turns back into the second text, and short ones. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { unifiedDiff } from "./text-diff.ts";

const titles = { from: "a", to: "b" };

test("lines of context, counted as patch counts them", () => {
  const before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n";
  const after = before.replace("2\n", "two\n").replace("15\n", "");
  expect(unifiedDiff(before, after, titles)).toBe(
    "--- a\n+++ b\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n@@ -12,5 +12,4 @@\n 12\n 13\n 14\n-15\n 16\n",
  );
  expect(unifiedDiff(before, before, titles)).toBe("");
  expect(unifiedDiff("", "x\n", titles)).toBe("--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n");
  expect(unifiedDiff("x\n", "", titles)).toBe("--- a\n+++ b\n@@ -1,1 +0,0 @@\n-x\n");
});

const text = fc
  .array(fc.constantFrom("a", "b", "c", ""), { maxLength: 30 })
  .map((lines) => lines.map((line) => `${line}\n`).join(""));

test("applied to the first text it gives the second, for any two texts", () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      expect(applied(before, unifiedDiff(before, after, titles))).toBe(after);
    }),
    { numRuns: 500 },
  );
});

test("texts that share nothing are replaced as a whole, in bounded time", () => {
  const many = (word: string) => Array.from({ length: 3_000 }, (_, at) => `${word}${at}\n`).join("");
  expect(applied(many("a"), unifiedDiff(many("a"), many("b"), titles))).toBe(many("b"));
});

/** What patch(1) does, strictly. */
function applied(before: string, diff: string): string {
  if (diff === "") return before;
  const lines = before === "" ? [] : before.replace(/\n$/, "").split("\n");
  const result: string[] = [];
  let at = 0;
  for (const line of diff.replace(/\n$/, "").split("\n").slice(2)) {
    const hunk = /^@@ -(\d+),(\d+) /.exec(line);
    if (hunk !== null) {
      const start = Number(hunk[1]) - (hunk[2] === "0" ? 0 : 1);
      while (at < start) result.push(lines[at++] ?? "missing");
      continue;
    }
    const own = line.slice(1);
    if (line[0] !== "+") expect(lines[at++]).toBe(own);
    if (line[0] !== "-") result.push(own);
  }
  result.push(...lines.slice(at));
  return result.map((line) => `${line}\n`).join("");
}
