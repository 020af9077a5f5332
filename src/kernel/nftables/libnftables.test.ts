/** What is loaded, and what must not be. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

test("a library that lies in the current directory is not loaded", () => {
  const folder = mkdtempSync(join(tmpdir(), "margay-library-"));
  try {
    writeFileSync(join(folder, "libnftables.so.1"), "");
    const script = `
      import { Libnftables } from "${import.meta.dir}/libnftables.ts";
      try { new Libnftables(); } catch (error) { console.log(error.code, error.message); }
    `;
    const { stdout } = Bun.spawnSync([process.execPath, "-e", script], { cwd: folder });
    expect(stdout.toString()).toBe(`NFT_MISSING ${folder}/libnftables.so.1 might be loaded in place of the system's\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
