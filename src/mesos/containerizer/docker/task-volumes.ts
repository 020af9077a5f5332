/**
 * The `-v` words of a task's volumes, the sandbox last (reference/docker.md 6.2, "Volumes"). Pure. A host directory that
 * is missing is made by Docker, as with `docker run -v`: Mesos tasks rely on it.
 */

import type { DockerInfo } from "../../protocol/container-info.ts";
import type { Volume } from "../../protocol/resource-info.ts";
import { LaunchRefused } from "./launch-refused.ts";

export interface SandboxPaths {
  /** On the agent's host. */
  readonly sandboxDirectory: string;
  /** Inside the container. */
  readonly mappedDirectory: string;
}

export function volumeBinds(
  volumes: readonly Volume[],
  docker: DockerInfo,
  paths: SandboxPaths,
): { readonly binds: readonly string[]; readonly driver: string | undefined } {
  const driver = volumeDriver(volumes, docker);
  const binds = volumes.map((volume) => bindOf(volume, driver, paths));
  return { binds: [...binds, `${paths.sandboxDirectory}:${paths.mappedDirectory}`], driver };
}

function volumeDriver(volumes: readonly Volume[], docker: DockerInfo): string | undefined {
  let driver: string | undefined;
  for (const volume of volumes) {
    const wanted = volume.source?.docker_volume?.driver;
    if (wanted === undefined) continue;
    if (driver !== undefined && driver !== wanted) throw new LaunchRefused("Only one volume driver is supported");
    driver = wanted;
  }
  if (docker.volume_driver === undefined) return driver;
  if (driver !== undefined && driver !== docker.volume_driver) {
    throw new LaunchRefused("Only one volume driver per task is supported");
  }
  return docker.volume_driver;
}

function bindOf(volume: Volume, driver: string | undefined, paths: SandboxPaths): string {
  const inside = volume.container_path.startsWith("/")
    ? volume.container_path
    : `${paths.mappedDirectory}/${volume.container_path}`;
  const mode = volume.mode === "RW" ? "rw" : volume.mode === "RO" ? "ro" : undefined;
  if (mode === undefined) throw new LaunchRefused("Unsupported volume mode");
  return `${sourceOf(volume, driver, paths)}:${inside}:${mode}`;
}

function sourceOf(volume: Volume, driver: string | undefined, paths: SandboxPaths): string {
  const hostPath = volume.host_path ?? volume.source?.host_path?.path;
  if (hostPath !== undefined && hostPath !== "") {
    if (!hostPath.startsWith("/") && !volume.container_path.startsWith("/")) {
      throw new LaunchRefused(
        `Both host_path '${hostPath}' and container_path '${volume.container_path}' of a volume are relative`,
      );
    }
    if (hostPath.startsWith("/") || driver !== undefined) return hostPath;
    return belowSandbox(paths.sandboxDirectory, hostPath);
  }
  const dockerVolume = volume.source?.docker_volume;
  if (dockerVolume !== undefined) return dockerVolume.name;
  const own = volume.source?.sandbox_path;
  if (own !== undefined && own.type !== "PARENT") return belowSandbox(paths.sandboxDirectory, own.path);
  throw new LaunchRefused("Host path or volume source is required");
}

/** A relative path that climbs out of the sandbox would reach another task's files. */
function belowSandbox(sandboxDirectory: string, path: string): string {
  if (path.split("/").includes("..")) throw new LaunchRefused(`Volume path '${path}' leaves the sandbox`);
  return `${sandboxDirectory}/${path.replace(/^\/+/, "")}`;
}
