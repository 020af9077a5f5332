/**
 * A service's log file: bounded, readable, followable. It is cut in place, because the writer keeps it open: the newer
 * half goes to `<file>.1`, the file becomes empty, and the writer, who appends, goes on at its start.
 */

import { copyFile, open, stat, truncate } from "node:fs/promises";
import { systemClock } from "../base/clock.ts";

const logMaxBytes = 16 * 1024 * 1024;
const followEveryMs = 200;

export async function rotateLog(path: string, maxBytes = logMaxBytes): Promise<void> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size <= maxBytes) return;
  await copyFile(path, `${path}.1`);
  // Lines written between the copy and this are lost: a bound on the disk is worth more.
  await truncate(path, 0);
}

/** The last lines, from the last 64 KiB. */
export async function logTail(path: string, lineCount: number): Promise<string> {
  const { text } = await readFrom(path, -65_536).catch(() => ({ text: "" }));
  return text.trimEnd().split("\n").slice(-lineCount).join("\n");
}

/** Prints a log and, when following, what is added until the signal is aborted. */
export async function printLog(
  path: string,
  options: { readonly follow: boolean; readonly prefix: string; readonly signal: AbortSignal },
  print: (text: string) => void,
): Promise<void> {
  let at = 0;
  let rest = "";
  for (;;) {
    const { text, next } = await readFrom(path, at).catch(() => ({ text: "", next: 0 }));
    at = next;
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (lines.length > 0) print(lines.map((line) => `${options.prefix}${line}\n`).join(""));
    if (text !== "") continue;
    if (!options.follow || options.signal.aborted) break;
    await systemClock.sleep(followEveryMs, options.signal).catch(() => undefined);
  }
  if (rest !== "") print(`${options.prefix}${rest}\n`);
}

/** At most 1 MiB from a place on; a negative place counts from the end; a file cut meanwhile is read from its start. */
async function readFrom(path: string, from: number): Promise<{ text: string; next: number }> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const start = from < 0 ? Math.max(0, size + from) : from > size ? 0 : from;
  const buffer = Buffer.alloc(Math.min(size - start, 1024 * 1024));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return { text: buffer.toString("utf8", 0, bytesRead), next: start + bytesRead };
}
