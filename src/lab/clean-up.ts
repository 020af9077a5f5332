/**
 * Removes every trace of a lab, knowing only its name; safe to repeat, and after a kill -9 of anything.
 * Holders are found by their environment. Each takes its host's processes along, and these the mounts, interfaces,
 * routes and rules; then only directories and empty cgroups are left.
 */

import { readdirSync, readFileSync } from "node:fs";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { holderVariable, processAlive } from "./host-namespaces.ts";
import { labFolder, labRoot } from "./lab-state.ts";

const cgroupRoot = "/sys/fs/cgroup";
const cgroupTop = "margay-lab";

/** Docker's --cgroup-parent on a host. */
export function cgroupParent(lab: string, host: string): string {
  return `/${cgroupTop}/${lab}/${host}`;
}

/** Ids of the processes that hold namespaces of a lab. */
export function holdersOf(lab: string): readonly number[] {
  const mark = `${holderVariable}=${lab}/`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => environmentOf(pid).some((entry) => entry.startsWith(mark)));
}

/** True when a lab of this name has left, or still has, something on the machine. */
export async function labTraces(lab: string): Promise<readonly string[]> {
  const traces = holdersOf(lab).map((pid) => `process ${pid}`);
  for (const path of [labFolder(lab), ...(await cgroupsOf(lab))]) if (await exists(path)) traces.push(path);
  return traces;
}

export async function removeLab(lab: string): Promise<void> {
  await endHolders(lab);
  for (const path of await cgroupsOf(lab)) await removeCgroups(path);
  await removeFolder(labFolder(lab));
  await rmdirIfEmpty(labRoot());
  for (const controller of await controllers()) await rmdirIfEmpty(join(controller, cgroupTop));
}

async function endHolders(lab: string): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 20_000;
  for (;;) {
    const pids = holdersOf(lab).filter(processAlive);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone between looking and killing.
      }
    }
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new OperationError("LAB_STUCK", `lab "${lab}": processes ${pids.join(", ")} do not end after SIGKILL`);
    }
    // The first process of a namespace ends after all others of it have.
    await systemClock.sleep(10);
  }
}

/** Cgroup v1 has one tree per controller, v2 a single one (cgroups(7)). */
async function controllers(): Promise<readonly string[]> {
  const names = await readdir(cgroupRoot).catch(() => []);
  const folders = names.map((name) => join(cgroupRoot, name));
  return [cgroupRoot, ...folders];
}

async function cgroupsOf(lab: string): Promise<readonly string[]> {
  const paths = (await controllers()).map((folder) => join(folder, cgroupTop, lab));
  const there = await Promise.all(paths.map(exists));
  return paths.filter((_, at) => there[at]);
}

/** A cgroup is busy for a moment after its last process has ended. */
async function removeCgroups(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await removeCgroups(join(path, entry.name));
  }
  const deadlineMs = systemClock.monotonicMs() + 5_000;
  for (;;) {
    try {
      await rmdir(path);
      return;
    } catch (cause) {
      if (!(await exists(path))) return;
      if (systemClock.monotonicMs() > deadlineMs) {
        throw new OperationError("LAB_STUCK", `cannot remove the cgroup ${path}`, { cause });
      }
      await systemClock.sleep(10);
    }
  }
}

async function removeFolder(path: string): Promise<void> {
  if (readFileSync("/proc/self/mounts", "utf8").includes(` ${path}/`)) {
    throw new OperationError("LAB_MOUNTED", `something of the machine is mounted below ${path}: unmount it first`);
  }
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

async function rmdirIfEmpty(path: string): Promise<void> {
  // ENOTEMPTY: another lab is there; ENOENT: nothing to do.
  await rmdir(path).catch(() => undefined);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}
