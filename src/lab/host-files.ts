/**
 * What a virtual host sees of the machine's files: everything, except that /etc and /var/lib are overlays of its own,
 * /run and /var/log are its own, /sys shows its own network, and kernel settings outside its network are read-only
 * (dockerd would otherwise raise a machine-wide one, kernel.keys.root_maxkeys).
 */

import { readFileSync } from "node:fs";
import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AddressPlan, HostPlan } from "./address-plan.ts";
import { hostsFile } from "./address-plan.ts";
import { mustRun } from "./command.ts";
import { enterWords, pathInHost } from "./host-namespaces.ts";
import { commandPath } from "./prerequisites.ts";
import { compiled, shim } from "./program.ts";

/** On the host: the commands of the old stack, first on everybody's PATH. */
export const shimFolder = "/run/margay-lab/bin";

const shimNames = ["margay", "calicoctl", "calico", "calico-ipam", "calico_mesos"];

export interface HostFilesOptions {
  readonly pid: number;
  readonly host: HostPlan;
  readonly plan: AddressPlan;
  /** On the machine: what the host keeps. */
  readonly folder: string;
  readonly storeEndpoint: string;
}

export async function prepareHostFiles(options: HostFilesOptions): Promise<void> {
  const { pid, host, folder } = options;
  for (const name of ["etc", "etc.work", "lib", "lib.work", "log", "docker"]) {
    await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  }
  await chmod(join(folder, "etc"), 0o755);
  await chmod(join(folder, "lib"), 0o755);
  await chmod(join(folder, "log"), 0o755);
  const inHost = (...words: readonly string[]) => mustRun([...enterWords(pid), ...words]);

  await inHost("hostname", host.name);
  // Mounts of the machine below these would hold on to other people's namespaces and file systems.
  const hidden = mountsBelow(pid, ["/run", "/var/lib", "/var/log", "/etc"]);
  if (hidden.length > 0) await inHost("umount", "-l", ...hidden);
  await inHost("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run");
  await inHost("mkdir", "-p", "/run/docker/plugins", "/run/lock", "/run/margay", "/run/sys", shimFolder);

  // The folder lies below /var/lib: once that is an overlay, its path would lead through the overlay.
  const kept = "/run/margay-lab/kept";
  await inHost("mkdir", kept);
  await inHost("mount", "--bind", folder, kept);
  const overlay = (lower: string, name: string) =>
    inHost(
      ...["mount", "-t", "overlay", "-o"],
      `lowerdir=${lower},upperdir=${join(kept, name)},workdir=${join(kept, `${name}.work`)}`,
      ...["overlay", lower],
    );
  await overlay("/etc", "etc");
  await overlay("/var/lib", "lib");
  await inHost("mkdir", "-p", "/var/lib/docker", "/var/lib/margay", "/etc/docker", "/etc/calico");
  // Docker's own overlays cannot lie on an overlay.
  await inHost("mount", "--bind", join(kept, "docker"), "/var/lib/docker");
  await inHost("mount", "--bind", join(kept, "log"), "/var/log");
  await inHost("umount", kept);
  await inHost("rmdir", kept);

  await inHost("mount", "-t", "sysfs", "sysfs", "/run/sys");
  await inHost("mount", "--rbind", "/sys/fs/cgroup", "/run/sys/fs/cgroup");
  await inHost("umount", "-R", "-l", "/sys");
  await inHost("mount", "--move", "/run/sys", "/sys");

  await inHost("mount", "--bind", "/proc/sys", "/proc/sys");
  await inHost("mount", "-o", "remount,bind,ro", "/proc/sys");
  await inHost("mount", "--bind", "/proc/sys/net", "/proc/sys/net");
  await inHost("mount", "-o", "remount,bind,rw", "/proc/sys/net");

  await writeHostFiles(options);
  await addShims(pid);
}

async function writeHostFiles({ pid, host, plan, storeEndpoint }: HostFilesOptions): Promise<void> {
  const write = async (path: string, text: string) => {
    // Seen from here, an absolute link of the host's would lead to the machine's own file.
    await rm(pathInHost(pid, path), { force: true });
    await writeFile(pathInHost(pid, path), text, { flag: "wx", mode: 0o644 });
  };
  await write("/etc/hostname", `${host.name}\n`);
  await write("/etc/hosts", hostsFile(plan));
  await write(
    "/etc/resolv.conf",
    `# The lab has no name server: names are in /etc/hosts.\nnameserver ${plan.outside}\n`,
  );
  await write(
    "/etc/calico/calicoctl.cfg",
    "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\n" +
      `spec:\n  datastoreType: etcdv3\n  etcdEndpoints: ${storeEndpoint}\n`,
  );
}

async function addShims(pid: number): Promise<void> {
  for (const name of shimNames) {
    const path = pathInHost(pid, join(shimFolder, name));
    if (compiled) await symlink(process.execPath, path);
    else await writeFile(path, shim(name), { mode: 0o755 });
  }
  const docker = commandPath("docker");
  if (docker !== undefined) await symlink(docker, pathInHost(pid, join(shimFolder, "docker")));
}

/** Deepest first. */
function mountsBelow(pid: number, folders: readonly string[]): readonly string[] {
  return readFileSync(`/proc/${pid}/mounts`, "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "))
    .filter((path) => folders.some((folder) => path === folder || path.startsWith(`${folder}/`)))
    .reverse();
}
