/** What becomes of a log that cannot be written: the process goes on, and counts. */
import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { join } from "node:path";

const script = `
  const { createLog } = await import(${JSON.stringify(join(import.meta.dir, "log.ts"))});
  const failures = { errors: 0, dropped: 0 };
  const log = createLog("test", "info", failures);
  for (let at = 0; at < 30; at++) log.info({ event: "e", text: "x".repeat(100_000) });
  console.log(JSON.stringify(failures));
`;

function run(stderr: number | "pipe") {
  const child = Bun.spawnSync([process.execPath, "-e", script], { stdin: "ignore", stdout: "pipe", stderr });
  return { exitCode: child.exitCode, counted: JSON.parse(child.stdout.toString()), written: child.stderr?.toString() };
}

test("lines that find no room on a full disk are counted, and those that no longer fit the memory set aside are dropped", () => {
  const { exitCode, counted } = run(openSync("/dev/full", "w"));
  expect(exitCode).toBe(0);
  // Some ten of these lines fit into what is set aside.
  expect(counted.errors).toBeGreaterThanOrEqual(10);
  expect(counted.dropped).toBeGreaterThanOrEqual(15);
  expect(counted.dropped).toBeLessThan(25);
});

test("where there is room nothing is counted, and every line is written", () => {
  const { counted, written } = run("pipe");
  expect(counted).toEqual({ errors: 0, dropped: 0 });
  expect(written?.trim().split("\n")).toHaveLength(30);
});
