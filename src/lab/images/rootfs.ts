/**
 * Picks from unpacked packages what a few programs need to run, and no more: the programs, the libraries that the
 * packages' own dynamic loader names for them, and given files.
 */

import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { OperationError } from "../../base/errors.ts";
import { mustRun, runCommand } from "../command.ts";
import { type TarEntry, withParents } from "./tar-archive.ts";

export interface RootfsRecipe {
  /** Absolute paths of programs in the packages. */
  readonly programs: readonly string[];
  /** Path in the image -> program it leads to. */
  readonly links: Readonly<Record<string, string>>;
  readonly folders: readonly string[];
  readonly files: Readonly<Record<string, string>>;
}

export async function rootfs(root: string, recipe: RootfsRecipe, signal: AbortSignal): Promise<readonly TarEntry[]> {
  const entries = new Map<string, TarEntry>();
  const add = (entry: TarEntry) => void entries.set(entry.path, entry);
  await addBusybox(root, add, signal);
  const loader = await findLoader(root);
  for (const program of recipe.programs) {
    const file = await resolveIn(root, program);
    add({ kind: "file", path: program.slice(1), mode: 0o755, content: await readFile(file) });
    for (const [target, source] of await librariesOf(loader, file, signal)) {
      if (!entries.has(target)) add({ kind: "file", path: target, mode: 0o755, content: await readFile(source) });
    }
  }
  for (const [path, target] of Object.entries(recipe.links)) add({ kind: "link", path: path.slice(1), target });
  for (const path of recipe.folders) add({ kind: "folder", path: path.slice(1), mode: 0o755 });
  add({ kind: "folder", path: "tmp", mode: 0o1777 });
  for (const [path, text] of Object.entries({ ...accounts, ...recipe.files })) {
    add({ kind: "file", path: path.slice(1), mode: 0o644, content: Buffer.from(text) });
  }
  return withParents([...entries.values()]);
}

const accounts: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
  "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

async function addBusybox(root: string, add: (entry: TarEntry) => void, signal: AbortSignal): Promise<void> {
  const file = await resolveIn(root, "/bin/busybox");
  add({ kind: "file", path: "bin/busybox", mode: 0o755, content: await readFile(file) });
  const applets = (await mustRun([file, "--list"], { signal })).trim().split("\n");
  for (const name of applets) if (name !== "busybox") add({ kind: "link", path: `bin/${name}`, target: "busybox" });
}

interface Loader {
  readonly path: string;
  readonly folders: readonly string[];
}

/** The dynamic loader and the library folders of the packages, not the machine's. */
async function findLoader(root: string): Promise<Loader> {
  const folders: string[] = [];
  for (const top of ["lib", "lib64", "usr/lib", "usr/lib64"]) {
    for (const folder of [join(root, top), ...(await subfolders(join(root, top)))]) folders.push(folder);
  }
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (!/^ld-linux.*\.so\.\d+$/.test(name)) continue;
      const path = join(folder, name);
      if ((await lstat(path)).isFile()) return { path, folders };
    }
  }
  throw new OperationError("IMAGE_NO_LOADER", "the unpacked packages contain no dynamic loader (libc6)");
}

async function subfolders(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

/** Path in the image -> file to copy, for everything the loader would map for a program. */
async function librariesOf(loader: Loader, file: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const words = [loader.path, "--inhibit-cache", "--library-path", loader.folders.join(":"), "--list", file];
  const { exitCode, stdout, stderr } = await runCommand(words, { signal, env: {} });
  const found = new Map<string, string>();
  // A static program needs none.
  if (/statically linked|not a dynamic executable/.test(stdout + stderr)) return found;
  if (exitCode !== 0 || stdout.includes("not found")) {
    throw new OperationError(
      "IMAGE_LIBRARY_MISSING",
      `${basename(file)} lacks a library: ${(stderr || stdout).trim()}`,
    );
  }
  const multiarch = basename(dirname(loader.path));
  for (const line of stdout.split("\n")) {
    const [, name, source] = /^\s+(\S+) => (\S+) \(/.exec(line) ?? [];
    if (name === undefined || source === undefined) continue;
    // The loader itself is asked for by an absolute path, everything else by its name.
    found.set(name.startsWith("/") ? name.slice(1) : `lib/${multiarch}/${name}`, source);
  }
  return found;
}

/** Follows symbolic links as the image would: an absolute one starts at the packages' root, not the machine's. */
async function resolveIn(root: string, path: string): Promise<string> {
  let current = normalize(path);
  for (let hops = 0; hops < 20; hops++) {
    const status = await lstat(join(root, current)).catch(() => undefined);
    if (status === undefined) throw new OperationError("IMAGE_NO_FILE", `the unpacked packages have no ${path}`);
    if (!status.isSymbolicLink()) return join(root, current);
    const target = await readlink(join(root, current));
    current = target.startsWith("/") ? normalize(target) : normalize(join(dirname(current), target));
  }
  throw new OperationError("IMAGE_NO_FILE", `${path} is a loop of symbolic links`);
}
