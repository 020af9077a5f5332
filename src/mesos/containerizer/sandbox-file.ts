/**
 * Files in a sandbox are opened with care: the directory is mounted into the container, whose program may put links,
 * pipes or devices in the place of any file, while the agent that opens it is root on the host.
 * So: the last part is never followed, what was opened must be a plain file, and what was reached must lie in the sandbox.
 */

import { constants, realpathSync } from "node:fs";
import { type FileHandle, open, readlink, unlink } from "node:fs/promises";
import { join } from "node:path";
import { OperationError } from "../../base/errors.ts";

/** For appending output. Whatever stands there and is no plain file is removed first: the name is the agent's. */
export async function openForAppend(directory: string, name: "stdout" | "stderr"): Promise<FileHandle> {
  const path = join(directory, name);
  const flags =
    constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  for (let attempt = 0; ; attempt += 1) {
    let file: FileHandle | undefined;
    try {
      file = await open(path, flags, 0o644);
      if ((await file.stat()).isFile()) return file;
      await file.close();
    } catch (cause) {
      await file?.close();
      // ELOOP: a link; ENXIO: a pipe nobody reads.
      const code = codeOf(cause);
      if (code !== "ELOOP" && code !== "ENXIO") throw cause;
    }
    if (attempt >= 3) throw new OperationError("SANDBOX_FILE", `${path} is not a plain file`, { retry: "backoff" });
    await unlink(path);
  }
}

export interface OpenedFile extends AsyncDisposable {
  readonly handle: FileHandle;
  /** Where the opened thing really is. */
  readonly realPath: string;
}

/**
 * Opens something below a sandbox for reading; undefined when it does not exist or lies outside. The check is made on
 * what was opened, not on the name, so that nobody can exchange it in between.
 */
export async function openBelow(root: string, path: string): Promise<OpenedFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "EACCES" || code === "ENXIO")
      return undefined;
    throw cause;
  }
  try {
    const realPath = await readlink(`/proc/self/fd/${handle.fd}`);
    const realRoot = realpathSync(root);
    if (realPath === realRoot || realPath.startsWith(`${realRoot}/`)) {
      return { handle, realPath, [Symbol.asyncDispose]: () => handle.close() };
    }
  } catch (cause) {
    await handle.close();
    throw cause;
  }
  await handle.close();
  return undefined;
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
