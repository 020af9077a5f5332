/**
 * `/files/*`: reading sandboxes over HTTP (reference/mesos-api.md 6.5). A path is taken apart into ids and the rest inside
 * one sandbox; anything else, and whatever a link inside leads out of it, does not exist.
 */

import type { Stats } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { BadInput } from "../../../base/errors.ts";
import { codeOf, type OpenedFile, openBelow } from "../../containerizer/sandbox-file.ts";
import { parsePathPart, type WorkDirectory } from "../work-directory.ts";

/** Mesos reads sixteen pages at most. */
const readMaxBytes = 16 * 4096;

export interface FileEntry {
  readonly path: string;
  readonly nlink: number;
  readonly size: number;
  readonly mtime: number;
  readonly mode: string;
  readonly uid: string;
  readonly gid: string;
}

/** Refused with 400; undefined from the functions below is 404. */
export class FilesRefused extends Error {
  override readonly name = "FilesRefused";
}

export class SandboxFiles {
  readonly #directory: WorkDirectory;
  readonly #agentId: () => string | undefined;

  constructor(directory: WorkDirectory, agentId: () => string | undefined) {
    this.#directory = directory;
    this.#agentId = agentId;
  }

  async browse(path: string): Promise<readonly FileEntry[] | undefined> {
    const opened = await this.#open(path);
    if (opened === undefined) return undefined;
    await using directory = opened;
    // By the descriptor: the name might lead elsewhere by now.
    const real = `/proc/self/fd/${directory.handle.fd}`;
    const plain = path.replace(/\/+$/, "");
    const status = await directory.handle.stat();
    if (!status.isDirectory()) return [entryOf(status, plain)];
    const entries = await Promise.all(
      (await readdir(real)).map(async (name) => entryOf(await lstat(join(real, name)), `${plain}/${name}`)),
    );
    return entries.sort((one, other) => (one.path < other.path ? -1 : 1));
  }

  async read(path: string, offset: number, length: number): Promise<{ offset: number; data: string } | undefined> {
    const opened = await this.#open(path);
    if (opened === undefined) return undefined;
    await using file = opened;
    const { size } = await plainFile(file);
    if (offset === -1) return { offset: size, data: "" };
    const wanted = Math.min(length === -1 ? readMaxBytes : length, readMaxBytes, Math.max(0, size - offset));
    const bytes = Buffer.alloc(wanted);
    const { bytesRead } = await file.handle.read(bytes, 0, wanted, offset);
    return { offset, data: bytes.subarray(0, bytesRead).toString("utf8") };
  }

  /** The whole file; the receiver closes it by reading to the end or cancelling. */
  async download(
    path: string,
  ): Promise<{ readonly body: ReadableStream; readonly size: number; readonly name: string } | undefined> {
    const opened = await this.#open(path);
    if (opened === undefined) return undefined;
    try {
      const { size } = await plainFile(opened);
      return { body: streamOf(opened, size), size, name: basename(path) };
    } catch (cause) {
      await opened.handle.close();
      throw cause;
    }
  }

  async #open(path: string): Promise<OpenedFile | undefined> {
    const parts = path.split("/").filter((part) => part !== "");
    if (parts.includes("..") || parts.includes(".") || path.includes("\0")) return undefined;
    const found = await this.#sandboxOf(path, parts);
    return found === undefined ? undefined : await openBelow(found.root, join(found.root, ...found.rest));
  }

  /** `<work_dir>/slaves/A/frameworks/F/executors/E/runs/C/...`, or the same from `/frameworks` on for the present agent. */
  async #sandboxOf(
    path: string,
    parts: readonly string[],
  ): Promise<{ root: string; rest: readonly string[] } | undefined> {
    const workParts = this.#directory.root.split("/").filter((part) => part !== "");
    const below = workParts.every((part, at) => parts[at] === part) ? parts.slice(workParts.length) : undefined;
    const agentId = this.#agentId();
    const words =
      below?.[0] === "slaves"
        ? below.slice(1)
        : path.startsWith("/frameworks/") && agentId !== undefined
          ? [agentId, ...parts]
          : [];
    const [agent, frameworks, framework, executors, executor, runs, run, ...rest] = words;
    if (frameworks !== "frameworks" || executors !== "executors" || runs !== "runs") return undefined;
    if (agent === undefined || framework === undefined || executor === undefined || run === undefined) return undefined;
    try {
      for (const part of [agent, framework, executor, run]) parsePathPart(part, "path");
    } catch (cause) {
      if (cause instanceof BadInput) return undefined;
      throw cause;
    }
    const ids = { agentId: agent, frameworkId: framework, executorId: executor };
    const containerId = run === "latest" ? await latestRun(join(this.#directory.sandboxes(ids), "latest")) : run;
    return containerId === undefined ? undefined : { root: this.#directory.sandbox({ ...ids, containerId }), rest };
  }
}

async function latestRun(link: string): Promise<string | undefined> {
  try {
    return parsePathPart(await readlink(link), "latest");
  } catch (cause) {
    if (cause instanceof BadInput || codeOf(cause) === "ENOENT" || codeOf(cause) === "EINVAL") return undefined;
    throw cause;
  }
}

async function plainFile(file: OpenedFile): Promise<{ size: number }> {
  const status = await file.handle.stat();
  if (status.isDirectory()) throw new FilesRefused("Cannot read a directory.\n");
  if (!status.isFile()) throw new FilesRefused("Cannot read what is not a plain file.\n");
  return status;
}

function streamOf(file: OpenedFile, size: number): ReadableStream {
  let position = 0;
  return new ReadableStream({
    async pull(controller) {
      const bytes = Buffer.alloc(Math.min(readMaxBytes, size - position));
      const { bytesRead } =
        bytes.length === 0 ? { bytesRead: 0 } : await file.handle.read(bytes, 0, bytes.length, position);
      position += bytesRead;
      if (bytesRead > 0) return controller.enqueue(bytes.subarray(0, bytesRead));
      await file.handle.close();
      controller.close();
    },
    async cancel() {
      await file.handle.close();
    },
  });
}

function entryOf(status: Stats, path: string): FileEntry {
  return {
    path,
    nlink: status.nlink,
    size: status.size,
    mtime: Math.trunc(status.mtimeMs / 1_000),
    mode: modeText(status.mode, status.isDirectory() ? "d" : status.isSymbolicLink() ? "l" : "-"),
    uid: ownerText(status.uid),
    gid: ownerText(status.gid),
  };
}

function modeText(mode: number, kind: string): string {
  const bits = [..."rwxrwxrwx"].map((letter, at) => ((mode >> (8 - at)) & 1 ? letter : "-"));
  return kind + bits.join("");
}

function ownerText(id: number): string {
  return id === 0 ? "root" : String(id);
}
