/** The single executable: built as users build it, it stands alone and answers to each of its names. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dir);
const folder = mkdtempSync(join(tmpdir(), "margay-executable-"));

function called(name: string, ...words: readonly string[]) {
  // Away from the repository and its packages, as on a host that has only this file.
  const ended = Bun.spawnSync([join(folder, name), ...words], { cwd: folder, env: { PATH: "/usr/bin:/bin" } });
  return { exitCode: ended.exitCode, stdout: ended.stdout.toString(), stderr: ended.stderr.toString() };
}

beforeAll(() => {
  const built = Bun.spawnSync(["node", "scripts/build.mjs", folder], { cwd: root });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

test("tells its version and its commands", () => {
  expect(called("margay", "--version")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^margay \d+\.\d+\.\d+\n$/),
  });
  const help = called("margay", "--help");
  expect(help.exitCode).toBe(0);
  for (const role of ["lab", "node", "store", "master", "agent", "marathon", "calicoctl"]) {
    expect(help.stdout).toContain(`\n  ${role} `);
    const { exitCode, stdout } = called("margay", role, "--help");
    expect({ role, exitCode, says: stdout.length > 0 }).toEqual({ role, exitCode: 0, says: true });
  }
});

test("called as calicoctl it is calicoctl", () => {
  expect(called("calicoctl", "--help").stdout).toContain("calicoctl");
  expect(called("margay", "calicoctl", "--help").stdout).toBe(called("calicoctl", "--help").stdout);
});

describe("a name whose role is not built yet says so and fails", () => {
  for (const name of ["calico", "calico-ipam", "calico_mesos"])
    test(name, () => {
      const { exitCode, stderr } = called(name);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("is not built yet");
    });
});

test("an unknown command is refused with what there is", () => {
  const { exitCode, stderr } = called("margay", "nonsense");
  expect(exitCode).toBe(1);
  expect(stderr).toContain('unknown command "nonsense"');
  expect(stderr).toContain("marathon");
});

test("the store, the libraries it loads and the page it serves are inside", () => {
  // The page is a part of the marathon role: were it not bundled, loading the role would fail.
  expect(called("margay", "marathon", "--http_port=nonsense")).toMatchObject({ exitCode: 112 });
  expect(called("margay", "store", "--nonsense")).toMatchObject({ exitCode: 2 });
});
