/**
 * `npm test`: all tests. Sets up what they need (npm packages; as root on Debian, system packages), runs the checks, the unit
 * tests and then every system test file in a process of its own, and ends with `N passed, N failed`.
 * `npm test -- WORD...` runs only the files whose path holds one of the words.
 */

import { bun, fail, run, setup } from "./setup.mjs";
import { runTests, runUnitTests, testFiles } from "./test-files.mjs";

/** Two at a time: the machine that this must pass on has two cores, and most of a system test is waiting. */
const systemTestsAtOnce = 2;
const systemTestTimeoutMs = 180_000;

setup();
if (process.getuid() !== 0) fail("the tests make network namespaces and start Docker: run them as root");
run(bun, ["src/main.ts", "lab", "prerequisites", "--install", "--for=tests"]);

const words = process.argv.slice(2);
const chosen = (files) => files.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
const total = { passed: 0, failed: 0, skipped: 0 };

if (words.length === 0) {
  run("node_modules/.bin/tsc", ["-p", "."]);
  run("node_modules/.bin/biome", ["check", "--error-on-warnings", "."]);
  console.log("types, lint and format: ok");
}
const unit = chosen(testFiles().unit);
if (unit.length > 0) await add("unit tests", runUnitTests(unit, { timeoutMs: 20_000, quiet: true }));

for (const file of chosen(testFiles().alone)) await add(file, runSystemTest(file));

const queue = chosen(testFiles().system);
await Promise.all(
  Array.from({ length: systemTestsAtOnce }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await add(file, runSystemTest(file));
  }),
);

if (total.skipped > 0) console.log(`${total.skipped} tests were skipped; none may be: they count as failed`);
const failed = total.failed + total.skipped;
console.log(`${total.passed} passed, ${failed} failed`);
process.exit(failed === 0 && total.passed > 0 ? 0 : 1);

function runSystemTest(file) {
  return runTests([file], { timeoutMs: systemTestTimeoutMs, quiet: true });
}

async function add(name, run) {
  const startedMs = Date.now();
  const counts = await run;
  for (const key of Object.keys(total)) total[key] += counts[key];
  const verdict = counts.failed === 0 ? "ok" : "FAILED";
  console.log(
    `${verdict} ${name}: ${counts.passed} passed, ${counts.failed} failed (${Math.round((Date.now() - startedMs) / 1000)} s)`,
  );
}
