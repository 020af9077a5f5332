/** A tar archive in memory, in the ustar form of POSIX.1-1988: what diagnostics are handed on in, on hosts without tar. */

export interface ArchiveFile {
  /** Relative, parted by slashes. */
  readonly path: string;
  readonly content: string | Uint8Array;
}

const recordBytes = 512;
const nameMax = 100;
const prefixMax = 155;

export function tarArchive(files: readonly ArchiveFile[], nowMs: number): Uint8Array {
  const parts = files.flatMap(({ path, content }) => {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const padding = Buffer.alloc((recordBytes - (bytes.length % recordBytes)) % recordBytes);
    return [header(path, bytes.length, nowMs), bytes, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * recordBytes)]);
}

function header(path: string, size: number, nowMs: number): Uint8Array {
  const { name, prefix } = parted(path);
  const record = Buffer.alloc(recordBytes);
  const octal = (value: number, at: number, length: number) =>
    record.write(
      `${Math.floor(value)
        .toString(8)
        .padStart(length - 1, "0")}\0`,
      at,
    );
  record.write(name, 0);
  octal(0o600, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(nowMs / 1000, 136, 12);
  record.write("        ", 148); // the checksum counts as blanks
  record.write("0", 156);
  record.write("ustar\u000000", 257);
  record.write(prefix, 345);
  const checksum = record.reduce((sum, byte) => sum + byte, 0);
  record.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
  return record;
}

/** A long path is parted at a slash; what fits nowhere loses its beginning. */
function parted(path: string): { readonly name: string; readonly prefix: string } {
  const bytes = (text: string) => Buffer.byteLength(text);
  if (bytes(path) <= nameMax) return { name: path, prefix: "" };
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (bytes(name) <= nameMax && bytes(prefix) <= prefixMax) return { name, prefix };
  }
  return { name: Buffer.from(path).subarray(-nameMax).toString(), prefix: "" };
}
