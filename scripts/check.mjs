/** `npm run check`: types, lint, import rules and unit tests. Under a minute; needs no root and starts no daemon. */

import { run, setup } from "./setup.mjs";
import { runUnitTests, testFiles } from "./test-files.mjs";

setup();
step("types", () => run("node_modules/.bin/tsc", ["-p", "."]));
step("lint and format", () => run("node_modules/.bin/biome", ["check", "--error-on-warnings", "."]));
const startedMs = Date.now();
const { passed, failed, skipped } = await runUnitTests(testFiles().unit, { timeoutMs: 20_000, quiet: true });
console.log(`unit tests: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds(startedMs)})`);
process.exit(failed === 0 && skipped === 0 && passed > 0 ? 0 : 1);

function step(name, work) {
  const startedMs = Date.now();
  work();
  console.log(`${name}: ok (${seconds(startedMs)})`);
}

function seconds(startedMs) {
  return `${((Date.now() - startedMs) / 1000).toFixed(1)} s`;
}
