/** The role `margay store` as a user meets it: help, refusals, start and stop. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { Engine } from "../store/engine/engine.ts";
import { role } from "./store.ts";

const directory = mkdtempSync(join(tmpdir(), "margay-store-role-"));
afterAll(() => rmSync(directory, { recursive: true }));

async function run(argv: readonly string[], signal: AbortSignal = AbortSignal.abort()) {
  let stdout = "";
  let stderr = "";
  const code = await role.run(argv, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    stdin: async () => "",
    env: {},
    signal,
  });
  return { code, stdout, stderr };
}

test("--help tells of every flag and exits 0", async () => {
  const { code, stdout } = await run(["--help"]);
  expect(code).toBe(0);
  for (const flag of ["--listen", "--data-dir", "--advertise-client-urls", "--quota-backend-bytes", "--retention"]) {
    expect(stdout).toContain(flag);
  }
});

for (const [argv, sentence] of [
  [["--nonsense"], "--nonsense"],
  [["positional"], "positional"],
  [["--listen=https://127.0.0.1:2379"], "has the scheme https:"],
  [["--listen=,"], "no etcd endpoints specified"],
  [["--retention=0h"], "a duration such as 90s, 30m or 1h"],
  [["--retention=1day"], "a duration such as 90s, 30m or 1h"],
  [["--quota-backend-bytes=-1"], "quota-backend-bytes"],
  [["--retention-revisions=1.5"], "a whole number from 1"],
] as const) {
  test(`${argv.join(" ")} is refused in a sentence with exit code 2`, async () => {
    const { code, stderr } = await run(argv);
    expect(code).toBe(2);
    expect(stderr).toContain(sentence);
  });
}

test("it serves until it is told to stop, exits 0, and keeps its data to itself", async () => {
  const dataDir = join(directory, "new", "deep");
  const { code } = await run([`--data-dir=${dataDir}`, "--listen=http://127.0.0.1:0"]);
  expect(code).toBe(0);
  expect(statSync(dataDir).mode & 0o777).toBe(0o700);
  expect(statSync(join(dataDir, "margay-store.db")).isFile()).toBe(true);
});

test("a data directory that is in use, or none at all, is told and exits 1", async () => {
  const dataDir = mkdtempSync(join(directory, "used-"));
  await using _engine = Engine.open({ path: join(dataDir, "margay-store.db"), clock: systemClock });
  const inUse = await run([`--data-dir=${dataDir}`, "--listen=http://127.0.0.1:0"]);
  expect(inUse.code).toBe(1);
  expect(inUse.stderr).toContain("another process has the store");
  const file = join(directory, "file");
  writeFileSync(file, "");
  expect((await run([`--data-dir=${file}`, "--listen=http://127.0.0.1:0"])).code).toBe(1);
  writeFileSync(join(directory, "margay-store.db"), "this is no database, but long enough to look at ".repeat(50));
  const noDatabase = await run([`--data-dir=${directory}`, "--listen=http://127.0.0.1:0"]);
  expect(noDatabase.code).toBe(1);
  expect(noDatabase.stderr).toContain("cannot open the store");
});

test("an address that is taken is told and exits 1", async () => {
  using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
  const { code, stderr } = await run([`--data-dir=${join(directory, "t")}`, `--listen=http://127.0.0.1:${taken.port}`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/in use|EADDRINUSE/);
});
