/** The linter's young rules are switched on by name: a bad example must be refused, or they would be off unnoticed. */

import { expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dir);

test("forgotten promises and forgotten cases do not pass the linter", () => {
  const folder = mkdtempSync(join(tmpdir(), "margay-lint-"));
  try {
    const config = JSON.parse(readFileSync(join(root, "biome.json"), "utf8"));
    delete config.$schema;
    delete config.files;
    delete config.vcs;
    writeFileSync(join(folder, "biome.json"), JSON.stringify(config));
    cpSync(join(root, "test/fixtures/lint/floating-promise.ts"), join(folder, "floating-promise.ts"));
    const biome = Bun.spawnSync([join(root, "node_modules/.bin/biome"), "lint", "."], { cwd: folder });
    const said = `${biome.stdout}${biome.stderr}`;
    expect(biome.exitCode).toBe(1);
    for (const rule of ["noFloatingPromises", "noMisusedPromises", "useExhaustiveSwitchCases"])
      expect(said).toContain(rule);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
