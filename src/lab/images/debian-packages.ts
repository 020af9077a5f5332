/**
 * Files of Debian packages without installing them: downloaded with apt, unpacked into a folder. Dependencies are
 * followed as far as they are libraries; what a package's scripts would set up is not needed in an image.
 */

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { OperationError } from "../../base/errors.ts";
import { mustRun, runCommand } from "../command.ts";

const library = /^(lib|zlib1g)/;
const aptTimeoutMs = 10 * 60_000;
const dependsOptions = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
  (name) => `--no-${name}`,
);

/** Unpacks the packages and the libraries they need into `<folder>/root`; answers that path. */
export async function unpackPackages(
  names: readonly string[],
  folder: string,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  await ensureLists(names, progress, signal);
  const all = await withLibraries(names, signal);
  progress(`downloading ${all.length} Debian packages`);
  const downloads = join(folder, "packages");
  const root = join(folder, "root");
  await mkdir(downloads, { recursive: true });
  await mkdir(root, { recursive: true });
  await mustRun(["apt-get", "download", "-q", ...all], { cwd: downloads, signal, timeoutMs: aptTimeoutMs });
  const files = (await readdir(downloads)).filter((name) => name.endsWith(".deb"));
  progress(`unpacking ${files.length} Debian packages`);
  for (const file of files) await mustRun(["dpkg-deb", "-x", join(downloads, file), root], { signal });
  return root;
}

/** A fresh machine, or a container image, has no package lists yet. */
async function ensureLists(
  names: readonly string[],
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  if ((await unknownPackages(names, signal)).length === 0) return;
  progress("fetching the lists of Debian packages (apt-get update)");
  await mustRun(["apt-get", "update", "-q"], { signal, timeoutMs: aptTimeoutMs });
  const unknown = await unknownPackages(names, signal);
  if (unknown.length === 0) return;
  throw new OperationError("IMAGE_NO_PACKAGE", `apt knows no package ${unknown.join(", ")}`, {
    remedy: "use Debian 12 or newer, or take the images from a registry with --pull",
  });
}

async function unknownPackages(names: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const results = await Promise.all(names.map((name) => runCommand(["apt-cache", "show", "-q", name], { signal })));
  return names.filter((_, at) => results[at]?.exitCode !== 0);
}

async function withLibraries(names: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const found = new Set(names);
  let fresh: readonly string[] = names;
  while (fresh.length > 0) {
    const text = await mustRun(["apt-cache", "depends", "--important", ...dependsOptions, ...fresh], { signal });
    // "  Depends: libc6" or " |PreDepends: libc6"; a virtual package stands in angle brackets.
    const needed = [...text.matchAll(/^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)/gm)].map((match) => match[1] ?? "");
    fresh = [...new Set(needed)].filter((name) => library.test(name) && !found.has(name));
    for (const name of fresh) found.add(name);
  }
  return [...found].sort();
}
