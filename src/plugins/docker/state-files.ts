/**
 * Small facts about this host that must survive a restart of the node and cannot be had elsewhere in time: one JSON file per
 * id in one directory, replaced atomically. Everything is also held in memory. A file that cannot be read counts as absent:
 * what it said is found again from Docker and the store, more slowly.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { describeError, invariant } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";

const SUFFIX = ".json";

export class StateFiles<Schema extends z.ZodType> {
  readonly #directory: string;
  readonly #entries = new Map<string, z.output<Schema>>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static open<Schema extends z.ZodType>(directory: string, schema: Schema, log: Log): StateFiles<Schema> {
    const files = new StateFiles<Schema>(directory);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) {
      if (!name.endsWith(SUFFIX)) continue; // left by a write that was cut off; replaced by the next one
      const path = join(directory, name);
      try {
        files.#entries.set(name.slice(0, -SUFFIX.length), schema.parse(JSON.parse(readFileSync(path, "utf8"))));
      } catch (error) {
        log.warn({ event: "state_file_unreadable", path, error: describeError(error) });
      }
    }
    return files;
  }

  get(id: string): z.output<Schema> | undefined {
    return this.#entries.get(id);
  }

  entries(): ReadonlyMap<string, z.output<Schema>> {
    return this.#entries;
  }

  put(id: string, value: z.output<Schema>): void {
    invariant(/^[0-9A-Za-z]+$/.test(id), `"${id}" cannot name a state file`);
    const path = join(this.#directory, id + SUFFIX);
    writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#entries.set(id, value);
  }

  delete(id: string): void {
    if (!this.#entries.delete(id)) return;
    rmSync(join(this.#directory, id + SUFFIX), { force: true });
  }
}
