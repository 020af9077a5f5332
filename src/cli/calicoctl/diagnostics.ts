/**
 * Diagnostics of a host, collected item by item: one that cannot be had is said and left out, the others go on. Everything
 * goes into one archive that only its owner may read, without secrets.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import { CommandFailure } from "./command.ts";
import { logSince } from "./log-since.ts";
import { withoutSecrets } from "./secrets.ts";
import { type ArchiveFile, tarArchive } from "./tar-archive.ts";

export interface DiagnosticsOptions {
  readonly say: (text: string) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** First component of the paths in the archive. */
  readonly folder: string;
  /** The classic releases: the output of a failing command is said in other words, and is a file like that of another. */
  readonly keepsFailures?: boolean;
}

const commandTimeoutMs = 20_000;
const fileBytesMax = 20 * 1024 * 1024;

export class Diagnostics {
  readonly #options: DiagnosticsOptions;
  readonly #files: ArchiveFile[] = [];

  constructor(options: DiagnosticsOptions) {
    this.#options = options;
  }

  add(name: string, content: string): void {
    this.#files.push({ path: `${this.#options.folder}/${name}`, content: withoutSecrets(content) });
  }

  /** The output of a command becomes a file; a failing one is said. Without a title it goes on with what was said before. */
  async command(title: string | undefined, words: readonly string[], name: string): Promise<void> {
    const { say, signal } = this.#options;
    if (title !== undefined) say(`${title}\n`);
    try {
      const child = Bun.spawn([...words], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        signal,
        // Programs are waited for in real time, whatever the clock of the command.
        timeout: commandTimeoutMs,
      });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      const exitCode = await child.exited;
      signal.throwIfAborted();
      if (exitCode === 0) this.add(name, stdout);
      else this.#failed(words, name, stdout, stderr.trim() || `ended with ${child.signalCode ?? exitCode}`);
    } catch (error) {
      signal.throwIfAborted();
      this.#failed(words, name, "", describeError(error));
    }
  }

  #failed(words: readonly string[], name: string, output: string, why: string): void {
    const { say, keepsFailures = false } = this.#options;
    const command = words.join(" ");
    say(
      keepsFailures
        ? `Problem running command: ${command}\n  ${why}\n`
        : `Failed to run command: ${command}\nError: ${why}\n`,
    );
    if (keepsFailures) this.add(name, `${output}${why}\n`);
  }

  /** What a function answers becomes a file; that it throws is said. */
  async item(title: string, name: string, content: () => string | Promise<string>): Promise<void> {
    const { say, signal, keepsFailures = false } = this.#options;
    say(`${title}\n`);
    try {
      this.add(name, await content());
    } catch (error) {
      signal.throwIfAborted();
      say(`Failed: ${title}\nError: ${describeError(error)}\n`);
      if (keepsFailures) this.add(name, `${describeError(error)}\n`);
    }
  }

  /** Regular files of a directory and below, but for lock files, from a time on. Answers whether there were any. */
  directory(path: string, name: string, sinceMs = 0): boolean {
    let entries: readonly string[];
    try {
      entries = readdirSync(path, { recursive: true, encoding: "utf8" });
    } catch {
      return false; // there is none: its owner has not started yet
    }
    let found = false;
    for (const entry of entries) {
      const file = join(path, entry);
      const stat = statSync(file, { throwIfNoEntry: false });
      if (stat?.isFile() !== true || entry.split("/").at(-1) === "lock" || stat.size > fileBytesMax) continue;
      if (stat.mtimeMs < sinceMs) continue;
      const text = readFileSync(file, "utf8");
      this.add(`${name}/${entry}`, sinceMs === 0 ? text : logSince(text, sinceMs));
      found = true;
    }
    return found;
  }

  /** Writes the archive to the given file, or to a new one. Answers its path. @throws CommandFailure */
  save(output: string | undefined, newName: string): string {
    const file = output ?? join(mkdtempSync(join(tmpdir(), "calico")), newName);
    try {
      // Read by nobody while it is written, and not through a link that somebody else has put there.
      rmSync(file, { force: true });
      writeFileSync(file, gzipSync(tarArchive(this.#files, this.#options.clock.nowMs())), { mode: 0o600, flag: "wx" });
    } catch (error) {
      throw new CommandFailure("stderr", `cannot write ${file}: ${describeError(error)}\n`);
    }
    return file;
  }
}

/** YYYYmmdd_HHMMSS in UTC. */
export function fileStamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replaceAll(/[-:]/g, "").replace("T", "_").slice(0, 15);
}
