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
  const { stdout } = await runCommand(["apt-cache", "show", "-q", "--no-all-versions", ...names], { signal });
  const known = new Set([...stdout.matchAll(/^Package: (\S+)$/gm)].map((match) => match[1]));
  return names.filter((name) => !known.has(name));
}

/** One call for the whole graph: where apt keeps no cache, as in container images, each call reads all lists anew. */
async function withLibraries(names: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const words = ["apt-cache", "depends", "--recurse", "--important", ...dependsOptions, ...names];
  const needs = dependencyGraph(await mustRun(words, { signal }));
  const found = new Set(names);
  // A set that grows while it is walked is walked to its end.
  for (const name of found) {
    for (const needed of needs.get(name) ?? []) if (library.test(needed)) found.add(needed);
  }
  return [...found].sort();
}

/** "libssl3" at the start of a line, then "  Depends: libc6" or " |PreDepends: ..."; virtual packages are in angle brackets. */
export function dependencyGraph(text: string): ReadonlyMap<string, readonly string[]> {
  const graph = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of text.split("\n")) {
    const name = /^([a-z0-9][a-z0-9.+-]*)(?::\w+)?$/.exec(line)?.[1];
    if (name !== undefined) {
      current = graph.get(name) ?? [];
      graph.set(name, current);
    }
    const needed = /^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)/.exec(line)?.[1];
    if (needed !== undefined) current.push(needed);
  }
  return graph;
}
