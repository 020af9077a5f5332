/**
 * What a lab needs on the machine, from prerequisites.json, which `npm start` reads too to install what is missing.
 * A package of the form "a|b" is the first of them that the machine's distribution has.
 */

import { accessSync, constants, readdirSync } from "node:fs";
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import prerequisites from "./prerequisites.json" with { type: "json" };

export type StoreKind = "embedded" | "etcd";

interface Prerequisite {
  readonly command?: string;
  readonly library?: string;
  readonly package: string;
}

/** Debian's own folders come before /usr/local: the Docker daemon and its command line belong together. */
const commandFolders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

export function commandPath(command: string): string | undefined {
  return commandFolders.map((folder) => join(folder, command)).find((path) => accessible(path, constants.X_OK));
}

/** Throws, naming the packages, when something is missing. */
export function checkPrerequisites(store: StoreKind): void {
  if (process.getuid?.() !== 0) {
    throw new OperationError("LAB_NEEDS_ROOT", "a lab is made of namespaces and mounts: run this command as root");
  }
  const always: readonly Prerequisite[] = prerequisites.always;
  const forEtcd: readonly Prerequisite[] = store === "etcd" ? prerequisites.etcd : [];
  const wanted = [...always, ...forEtcd];
  const missing = wanted.filter((item) => !there(item));
  if (missing.length === 0) return;
  const names = missing.map(({ command, library }) => command ?? library);
  const packages = new Set(missing.map((item) => item.package.split("|").at(-1)));
  const remedy = `apt-get install --no-install-recommends ${[...packages].join(" ")}`;
  throw new OperationError("LAB_NEEDS_PACKAGES", `missing on this machine: ${names.join(", ")}; install: ${remedy}`, {
    remedy,
  });
}

function there({ command, library }: Prerequisite): boolean {
  if (command !== undefined && commandPath(command) === undefined) return false;
  if (library === undefined) return true;
  return libraryFolders().some((folder) => accessible(join(folder, library), constants.R_OK));
}

function libraryFolders(): readonly string[] {
  const multiarch = readdirSync("/usr/lib").filter((name) => name.includes("-linux-gnu"));
  return ["/usr/lib", "/usr/lib64", "/lib64", ...multiarch.map((name) => join("/usr/lib", name))];
}

function accessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
