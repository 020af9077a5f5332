/**
 * A tar archive (POSIX ustar) from entries in memory: the same entries give the same bytes, whoever makes it and when.
 * Pure.
 */

import { BadInput } from "../../base/errors.ts";

export type TarEntry =
  | { readonly kind: "folder"; readonly path: string; readonly mode: number }
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: "link"; readonly path: string; readonly target: string };

const blockBytes = 512;
const typeFlags = { file: "0", link: "2", folder: "5" } as const;

/** Paths without a leading slash; written in their order by name, folders before what they hold. */
export function tarArchive(entries: readonly TarEntry[]): Uint8Array {
  const sorted = [...entries].sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
  const parts = sorted.flatMap((entry) => {
    const content = entry.kind === "file" ? entry.content : new Uint8Array();
    return [header(entry, content.length), content, new Uint8Array(padding(content.length))];
  });
  // Two empty blocks end the archive.
  return Buffer.concat([...parts, new Uint8Array(2 * blockBytes)]);
}

function padding(length: number): number {
  return (blockBytes - (length % blockBytes)) % blockBytes;
}

function header(entry: TarEntry, size: number): Uint8Array {
  const block = Buffer.alloc(blockBytes);
  const text = (value: string, at: number, length: number) => {
    if (Buffer.byteLength(value) > length)
      throw new BadInput(entry.path, "its name is too long for tar", `${length} bytes`);
    block.write(value, at, length, "utf8");
  };
  const octal = (value: number, at: number, length: number) =>
    text(`${value.toString(8).padStart(length - 1, "0")}\0`, at, length);
  const [prefix, name] = splitPath(entry.kind === "folder" ? `${entry.path}/` : entry.path);
  text(name, 0, 100);
  octal(entry.kind === "link" ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  text("        ", 148, 8);
  text(typeFlags[entry.kind], 156, 1);
  if (entry.kind === "link") text(entry.target, 157, 100);
  text("ustar\x0000", 257, 8);
  text("root", 265, 32);
  text("root", 297, 32);
  text(prefix, 345, 155);
  const sum = block.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}

/** A long path is split at a slash into prefix and name. */
function splitPath(path: string): readonly [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  const at = path.indexOf("/", Math.max(0, path.length - 101));
  return at < 0 ? ["", path] : [path.slice(0, at), path.slice(at + 1)];
}

/** All folders above the entries that are not among them. */
export function withParents(entries: readonly TarEntry[]): readonly TarEntry[] {
  const there = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    const names = path.split("/");
    for (let length = 1; length < names.length; length++) {
      const parent = names.slice(0, length).join("/");
      if (!there.has(parent)) there.set(parent, { kind: "folder", path: parent, mode: 0o755 });
    }
  }
  return [...there.values()];
}
