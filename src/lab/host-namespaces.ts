/**
 * One virtual host's namespaces: network, mounts, processes and host name, kept by a holder process.
 * The holder is the first process of its process namespace, so killing it ends the whole host (pid_namespaces(7)); it
 * ignores SIGCHLD, so that orphans which become its children are reaped by the kernel. Its environment names lab and
 * host: that is how a later clean-up finds it without any file.
 * Entered with nsenter, never `ip netns exec`, which would mount a /sys without cgroups over the host's.
 */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { systemClock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import { NetworkNamespace } from "../kernel/namespaces.ts";
import { commandPath } from "./prerequisites.ts";

export const holderVariable = "MARGAY_LAB_HOLDER";

export interface Holder {
  /** Process id on the machine. */
  readonly pid: number;
}

/** The holder's name in the environment of its process. */
export function holderMark(lab: string, host: string): string {
  return `${lab}/${host}`;
}

export async function startHolder(lab: string, host: string): Promise<Holder> {
  const outer = Bun.spawn(
    [
      commandPath("unshare") ?? "unshare",
      ...["--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"],
      ...["env", "--ignore-signal=CHLD", "sleep", "infinity"],
    ],
    {
      stdio: ["ignore", "ignore", "ignore"],
      env: { PATH: systemPath, [holderVariable]: holderMark(lab, host) },
      // Its own session: Ctrl-C on the terminal is for the program that takes the lab down in order.
      detached: true,
    },
  );
  outer.unref();
  const deadlineMs = systemClock.monotonicMs() + 10_000;
  for (;;) {
    // Only when unshare has become sleep are all namespaces and /proc in place.
    const pid = childrenOf(outer.pid).find((child) => processName(child) === "sleep");
    if (pid !== undefined) return { pid };
    if (outer.exitCode !== null || systemClock.monotonicMs() > deadlineMs) {
      outer.kill("SIGKILL");
      throw new OperationError("LAB_NAMESPACES", `${lab}: cannot make the namespaces of ${host} (unshare failed)`, {
        remedy: "run on a machine or virtual machine whose root may make namespaces and mounts",
      });
    }
    await systemClock.sleep(2);
  }
}

export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Words that put a program into all of a host's namespaces; nsenter ends as the program does. */
export function enterWords(pid: number): readonly string[] {
  return [commandPath("nsenter") ?? "nsenter", "-t", String(pid), "-m", "-u", "-n", "-p", "--"];
}

/** Words for a program that sees the machine's files and processes but the host's network. */
export function enterNetworkWords(pid: number): readonly string[] {
  return [commandPath("nsenter") ?? "nsenter", "-t", String(pid), "-n", "--"];
}

/** Runs a synchronous function in the host's network namespace; sockets it opens stay there. */
export function inNetworkOf<T>(pid: number, work: () => T): T {
  using namespace = NetworkNamespace.open(`/proc/${pid}/ns/net`);
  return namespace.run(work);
}

/** A path of the host, as the machine can reach it. */
export function pathInHost(pid: number, path: string): string {
  return `/proc/${pid}/root${path}`;
}

export function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text.split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export function processName(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}

export function processAlive(pid: number): boolean {
  try {
    // A zombie has released everything a clean-up waits for.
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Clock ticks since boot at which a process began: with its id, a name that is not used twice. */
export async function processStart(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
