/**
 * Which credential goes with an image: a file fetched into the sandbox (`.docker/config.json`, `.dockercfg`) comes before
 * the agent's `--docker_config` (reference/docker.md 6.4). What is read never reaches a log.
 */

import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { ANONYMOUS, type Credential, credentialFor } from "../../../plugins/docker/engine/registry-auth.ts";
import { openBelow } from "../sandbox-file.ts";

const configMaxBytes = 1024 * 1024;

export async function credentialOf(
  image: string,
  sandboxDirectory: string,
  agentConfig: string | undefined,
): Promise<Credential> {
  for (const name of [".docker/config.json", ".dockercfg"]) {
    const opened = await openBelow(sandboxDirectory, join(sandboxDirectory, name));
    if (opened === undefined) continue;
    await using file = opened;
    const { size } = await file.handle.stat();
    if (size <= configMaxBytes) return credentialFor(image, await file.handle.readFile("utf8"));
  }
  return agentConfig === undefined ? ANONYMOUS : credentialFor(image, agentConfig);
}

/** The flag holds JSON, an absolute path, or `file:///path`. */
export async function readDockerConfig(flag: string): Promise<string> {
  const path = flag.startsWith("file://") ? flag.slice("file://".length) : flag;
  return isAbsolute(path) ? await readFile(path, "utf8") : flag;
}
