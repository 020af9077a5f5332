/**
 * Installs the npm packages of the lock file when they are missing or older than it. Plain Node, no dependencies.
 * Used by `npm start`, `npm test` and ./margay, so that a fresh clone needs no other step.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const bun = join(root, "node_modules/.bin/bun");

export function setup() {
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major < 20) fail(`Node ${process.versions.node} is too old; Margay's set-up needs Node 20 or newer`);
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const marker = join(root, "node_modules/.margay-installed");
  if (existsSync(marker) && existsSync(bun) && readFileSync(marker, "utf8") === wanted) return;
  console.error("Installing npm packages ...");
  // Not "npm ci": it refuses the lock file where a registry lacks optional packages of other platforms. This takes the same
  // versions from the lock file and leaves that as it is.
  run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]);
  // The bun package fetches its program from a sibling package; its first call finishes that where npm ran no scripts.
  run(bun, ["--version"], "ignore");
  writeFileSync(marker, wanted);
}

/** Runs a command in the repository's root; ends this process with its exit code when it fails. */
export function run(command, args, stdout = "inherit") {
  const result = spawnSync(command, args, { cwd: root, stdio: ["inherit", stdout, "inherit"] });
  if (result.error !== undefined) fail(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

export function fail(message) {
  console.error(`margay: ${message}`);
  process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) setup();
