/**
 * Which test files there are, and how they are run: `*.test.ts` anywhere are unit tests (no root, no daemons);
 * `*.system.test.ts` and everything in test/acceptance/ need the real kernel, Docker, etcd or a browser.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { bun, root } from "./setup.mjs";

/** They compare what the whole machine has before and after: nothing else may run meanwhile. */
const comparesMachine = new Set(["src/lab/lab.system.test.ts"]);

export function testFiles() {
  const all = ["src", "test", "bench"]
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.test\.tsx?$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((file) => !file.startsWith("test/fixtures/"))
    .sort();
  const isSystem = (file) => /\.system\.test\.tsx?$/.test(file);
  const system = all.filter(isSystem);
  return {
    unit: all.filter((file) => !isSystem(file)),
    alone: system.filter((file) => comparesMachine.has(file)),
    system: system.filter((file) => !comparesMachine.has(file)),
  };
}

/** In two processes beside each other: one keeps no more than one processor busy. */
export async function runUnitTests(files, options) {
  const halves = [0, 1].map((half) => files.filter((_, at) => at % 2 === half)).filter((some) => some.length > 0);
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const counts of await Promise.all(halves.map((some) => runTests(some, options))))
    for (const key of Object.keys(total)) total[key] += counts[key];
  return total;
}

/**
 * Runs files in one `bun test` process.
 * @returns counts from the runner's own JUnit report; a process that died without one counts as a failure.
 */
export async function runTests(files, { timeoutMs, quiet = false }) {
  const folder = mkdtempSync(join(tmpdir(), "margay-test-"));
  const report = join(folder, "report.xml");
  const args = ["test", `--timeout=${timeoutMs}`, "--reporter=junit", `--reporter-outfile=${report}`];
  const child = spawn(bun, [...args, ...files.map((file) => `./${file}`)], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(chunk));
  const status = await new Promise((done) => child.on("close", (code, signal) => done(code ?? signal)));
  const counts = countsOf(report);
  rmSync(folder, { recursive: true, force: true });
  if (counts === undefined || (status !== 0 && counts.failed === 0)) {
    console.log(`${files.join(" ")}: the test process ended with ${status}`);
    process.stdout.write(Buffer.concat(output));
    return { passed: counts?.passed ?? 0, failed: (counts?.failed ?? 0) + 1, skipped: counts?.skipped ?? 0 };
  }
  if (counts.failed > 0 || !quiet) process.stdout.write(Buffer.concat(output));
  return counts;
}

/** The attributes of the report's root element. */
function countsOf(report) {
  let text;
  try {
    text = readFileSync(report, "utf8");
  } catch {
    return undefined;
  }
  const head = /<testsuites\b[^>]*>/.exec(text)?.[0];
  if (head === undefined) return undefined;
  const number = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = number("failures") + number("errors");
  const skipped = number("skipped");
  return { passed: number("tests") - failed - skipped, failed, skipped };
}
