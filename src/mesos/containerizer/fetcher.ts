/**
 * Files that a command asks for, fetched into its sandbox before the container starts (reference/mesos-behaviour.md 5.4):
 * http(s), file and plain paths; archives are unpacked by the host's own tar, unzip and gunzip, started without a shell.
 * Absent on purpose: the cache, hadoop, ftp.
 */

import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { appendFile, chmod, copyFile, mkdir, open, rename } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { type Clock, deadline } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { URI } from "../protocol/command-info.ts";
import { type ContainerLaunch, LaunchFailed } from "./containerizer.ts";
import { openForAppend } from "./sandbox-file.ts";

const fetchTimeoutMs = 30 * 60_000;
const unpackTimeoutMs = 10 * 60_000;

export interface FetchOptions {
  readonly launch: ContainerLaunch;
  /** `--frameworks_home`: where relative paths start. */
  readonly frameworksHome: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export async function fetchUris(options: FetchOptions, signal: AbortSignal): Promise<void> {
  const { launch, log } = options;
  for (const uri of launch.task.command?.uris ?? []) {
    try {
      await fetchOne(uri, options, signal);
      await note(launch, `Fetched '${uri.value}'`);
    } catch (cause) {
      signal.throwIfAborted();
      const text = describeError(cause);
      log.warn({ event: "fetch-failed", task: launch.task.task_id.value, uri: withoutSecret(uri.value), error: text });
      await note(launch, `Failed to fetch '${uri.value}': ${text}`);
      throw new LaunchFailed(
        `Failed to launch container: Failed to fetch all URIs for container '${launch.containerId}': ` +
          `exited with status 1; ${withoutSecret(uri.value)}: ${text}`,
        { reason: "REASON_CONTAINER_LAUNCH_FAILED", cause },
      );
    }
  }
}

async function fetchOne(uri: URI, options: FetchOptions, signal: AbortSignal): Promise<void> {
  const directory = options.launch.sandboxDirectory;
  const name = targetName(uri);
  const target = join(directory, name);
  await mkdir(dirname(target), { recursive: true });
  const part = `${target}.part`;
  await download(uri.value, part, options, deadline(options.clock, fetchTimeoutMs, signal));
  await rename(part, target);
  if (uri.executable === true) return await chmod(target, 0o755);
  if (uri.extract === false) return;
  const command = unpackCommand(name, target, directory);
  if (command !== undefined) await unpack(command, deadline(options.clock, unpackTimeoutMs, signal));
}

/** `output_file`, else the last part of the path. Never outside of the sandbox. */
export function targetName(uri: URI): string {
  const fromUri = /^[a-z]+:\/\//i.test(uri.value) ? basename(new URL(uri.value).pathname) : basename(uri.value);
  const name = uri.output_file ?? decodeURIComponent(fromUri);
  if (name === "" || isAbsolute(name) || name.split("/").includes("..")) {
    throw new LaunchFailed(`URI '${withoutSecret(uri.value)}' names no file inside the sandbox`);
  }
  return name;
}

/** The suffixes Mesos unpacks; undefined: kept as it is. */
export function unpackCommand(name: string, target: string, directory: string): readonly string[] | undefined {
  if (/\.(tar|tgz|tar\.gz|tbz2|tar\.bz2|txz|tar\.xz)$/.test(name)) return ["tar", "-C", directory, "-xf", target];
  if (name.endsWith(".zip")) return ["unzip", "-o", "-q", "-d", directory, target];
  if (name.endsWith(".gz")) return ["gunzip", "-k", "-f", target];
  return undefined;
}

async function download(value: string, part: string, options: FetchOptions, signal: AbortSignal): Promise<void> {
  if (/^https?:\/\//i.test(value)) {
    const response = await fetch(value, { signal });
    if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`);
    // The name must be new: a container of an earlier attempt may have left a link there.
    const file = await open(
      part,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      0o644,
    );
    try {
      for await (const chunk of response.body) await file.appendFile(chunk);
    } finally {
      await file.close();
    }
    return;
  }
  const scheme = /^([a-z0-9+.-]+):\/\//i.exec(value)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file") throw new Error(`scheme "${scheme}" is not supported`);
  const path = scheme === "file" ? decodeURIComponent(new URL(value).pathname) : value;
  if (isAbsolute(path)) return await copyFile(path, part);
  if (options.frameworksHome === undefined) throw new Error("a relative path needs --frameworks_home");
  await copyFile(join(options.frameworksHome, path), part);
}

function unpack(command: readonly string[], signal: AbortSignal): Promise<void> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], signal });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      if (said.length < 1_000) said += chunk.toString();
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ended with status ${code}: ${said.trim().slice(0, 500)}`));
    });
  });
}

/** A user and password in a URL belong in the task's own sandbox at most. */
function withoutSecret(value: string): string {
  return value.replace(/\/\/[^/@]*@/, "//[secret]@");
}

async function note(launch: ContainerLaunch, line: string): Promise<void> {
  const file = await openForAppend(launch.sandboxDirectory, "stderr");
  try {
    await appendFile(file, `${line}\n`);
  } finally {
    await file.close();
  }
}
