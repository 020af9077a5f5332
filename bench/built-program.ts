/** The executable as users have it, built for one benchmark and gone with it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class BuiltProgram implements Disposable {
  /** Holds `margay` and the other names it answers to. */
  readonly folder = mkdtempSync(join(tmpdir(), "margay-built-"));

  constructor() {
    const cwd = dirname(import.meta.dir);
    const { exitCode, stderr } = Bun.spawnSync(["node", "scripts/build.mjs", this.folder], { cwd });
    if (exitCode === 0) return;
    this[Symbol.dispose]();
    throw new Error(`the build failed: ${stderr.toString()}`);
  }

  get margay(): string {
    return join(this.folder, "margay");
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
