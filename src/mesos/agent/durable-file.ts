/**
 * Files that survive a crash at any instruction: written beside, synced, renamed; appended with a sync per record.
 * A reader sees the old content or the new, never half of one; a record torn by a power loss is cut off when read.
 */

import { type FileHandle, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "../containerizer/sandbox-file.ts";

/** The directory is made when missing. Mode 0600: task environments hold secrets. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Undefined: there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return undefined;
    throw cause;
  }
}

/** A file of JSON records, one per line. */
export class RecordFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Every whole record; `valid` tells which lines are one. A torn end is cut off before the next append. */
  async read(): Promise<readonly unknown[]> {
    const text = (await readIfThere(this.#path)) ?? "";
    const records: unknown[] = [];
    let end = 0;
    for (let next = text.indexOf("\n"); next >= 0; next = text.indexOf("\n", end)) {
      try {
        records.push(JSON.parse(text.slice(end, next)));
      } catch {
        break; // torn in the middle: nothing behind it was confirmed
      }
      end = next + 1;
    }
    if (end < text.length) {
      const file = await open(this.#path, "r+");
      try {
        await file.truncate(Buffer.byteLength(text.slice(0, end)));
        await file.sync();
      } finally {
        await file.close();
      }
    }
    return records;
  }

  /** Resolves when the record is on the disk; records keep the order of the calls. */
  append(record: unknown): Promise<void> {
    const written = this.#writing.then(() => this.#append(record));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Puts these in place of all records; a crash leaves the old ones or the new. */
  replace(records: readonly unknown[]): Promise<void> {
    const written = this.#writing.then(async () => {
      await this.#file?.close();
      this.#file = undefined;
      await writeDurably(this.#path, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #append(record: unknown): Promise<void> {
    if (this.#file === undefined) {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      this.#file = await open(this.#path, "a", 0o600);
      await syncDirectory(dirname(this.#path));
    }
    await this.#file.appendFile(`${JSON.stringify(record)}\n`);
    await this.#file.datasync();
  }
}
