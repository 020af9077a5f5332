/**
 * What a lab needs on the machine beside Margay itself, and how it gets there: as Debian packages, installed with apt
 * when asked to (`margay lab prerequisites --install`, which `npm start` and `npm test` call), else named in an error.
 */

import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import { runCommand } from "./command.ts";

export type StoreKind = "embedded" | "etcd";
export type Purpose = StoreKind | "tests";

interface Prerequisite {
  readonly command?: string;
  readonly library?: string;
  /** The first of them that the machine's distribution has. */
  readonly packages: readonly string[];
}

const always: readonly Prerequisite[] = [
  { command: "dockerd", packages: ["docker.io"] },
  // A package of its own since Debian 13.
  { command: "docker", packages: ["docker-cli", "docker.io"] },
  { command: "containerd", packages: ["containerd"] },
  { command: "runc", packages: ["runc"] },
  { command: "iptables", packages: ["iptables"] },
  { command: "ip", packages: ["iproute2"] },
  { command: "nft", packages: ["nftables"] },
  { library: "libnftables.so.1", packages: ["libnftables1"] },
  { command: "conntrack", packages: ["conntrack"] },
  { command: "unshare", packages: ["util-linux"] },
  { command: "mount", packages: ["mount"] },
  { command: "curl", packages: ["curl"] },
];

const etcd: readonly Prerequisite[] = [
  { command: "etcd", packages: ["etcd-server", "etcd"] },
  { command: "etcdctl", packages: ["etcd-client", "etcd"] },
];

const tests: readonly Prerequisite[] = [
  ...etcd,
  { command: "chromium", packages: ["chromium"] },
  { command: "ping", packages: ["iputils-ping"] },
  { command: "nc", packages: ["netcat-openbsd"] },
  { command: "sysctl", packages: ["procps"] },
  { command: "tcpdump", packages: ["tcpdump"] },
  { command: "busybox", packages: ["busybox-static"] },
  { command: "bird", packages: ["bird2"] },
  { command: "zsh", packages: ["zsh"] },
  { command: "fish", packages: ["fish"] },
];

const aptTimeoutMs = 15 * 60_000;

/** Debian's own folders come before /usr/local: the Docker daemon and its command line belong together. */
const commandFolders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

export function commandPath(command: string): string | undefined {
  return commandFolders.map((folder) => join(folder, command)).find((path) => accessible(path, constants.X_OK));
}

/** Throws, naming the packages, when something is missing. */
export function checkPrerequisites(purpose: Purpose): void {
  if (process.getuid?.() !== 0) {
    throw new OperationError("LAB_NEEDS_ROOT", "a lab is made of namespaces and mounts: run this command as root");
  }
  const missing = missingFor(purpose);
  if (missing.length === 0) return;
  throw new OperationError("LAB_NEEDS_PACKAGES", `missing on this machine: ${missing.map(nameOf).join(", ")}`, {
    remedy: `apt-get install --no-install-recommends ${lastNames(missing).join(" ")}`,
  });
}

/** Installs what is missing where that is possible; otherwise throws, saying what to install. */
export async function installPrerequisites(purpose: Purpose, progress: (line: string) => void): Promise<void> {
  const missing = missingFor(purpose);
  if (process.getuid?.() !== 0 || missing.length === 0 || commandPath("apt-get") === undefined) {
    return checkPrerequisites(purpose);
  }
  let known = await knownPackages(missing);
  const nameIn = (item: Prerequisite) => item.packages.find((name) => known.has(name));
  if (missing.some((item) => nameIn(item) === undefined)) {
    progress("fetching the lists of Debian packages (apt-get update)");
    await apt(["update", "-q"]);
    known = await knownPackages(missing);
  }
  const unknown = missing.filter((item) => nameIn(item) === undefined);
  if (unknown.length > 0) {
    throw new OperationError("LAB_NO_PACKAGE", `apt knows no package for: ${unknown.map(nameOf).join(", ")}`, {
      remedy: "use Debian 12 or newer, or install these by other means",
    });
  }
  const packages = [...new Set(missing.map(nameIn).filter((name) => name !== undefined))];
  progress(`installing ${packages.join(", ")}`);
  await withoutStartingServices(() => apt(["install", "-q", "-y", "--no-install-recommends", ...packages]));
  checkPrerequisites(purpose);
}

function missingFor(purpose: Purpose): readonly Prerequisite[] {
  const more = { embedded: [], etcd, tests }[purpose];
  return [...always, ...more].filter((item) => !there(item));
}

function nameOf({ command, library }: Prerequisite): string {
  return command ?? library ?? "";
}

function lastNames(items: readonly Prerequisite[]): readonly string[] {
  return [...new Set(items.map(({ packages }) => packages.at(-1) ?? ""))];
}

/** Those of the items' packages that apt knows. */
async function knownPackages(items: readonly Prerequisite[]): Promise<ReadonlySet<string>> {
  const names = new Set(items.flatMap(({ packages }) => packages));
  const { stdout } = await runCommand(["apt-cache", "show", "-q", "--no-all-versions", ...names]);
  return new Set([...stdout.matchAll(/^Package: (\S+)$/gm)].map((match) => match[1] ?? ""));
}

/**
 * Installing Docker would start its daemon on the machine itself, which changes addresses, routes and firewall there.
 * Debian asks /usr/sbin/policy-rc.d before it starts a service; 101 means "not allowed" (invoke-rc.d(8)).
 */
async function withoutStartingServices(install: () => Promise<void>): Promise<void> {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) return install();
  const remove = () => rmSync(policy, { force: true });
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  process.once("exit", remove);
  try {
    await install();
  } finally {
    process.off("exit", remove);
    remove();
  }
}

async function apt(words: readonly string[]): Promise<void> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const { exitCode, stdout, stderr } = await runCommand(["apt-get", ...words], {
    env: { ...env, DEBIAN_FRONTEND: "noninteractive" },
    timeoutMs: aptTimeoutMs,
  });
  if (exitCode === 0) return;
  throw new OperationError(
    "LAB_APT_FAILED",
    `apt-get ${words.join(" ")} ended with ${exitCode}: ${(stderr || stdout).slice(-2_000)}`,
  );
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
