/** Archives: the same bytes whatever the order of entries, and readable by tar itself. */

import { expect, test } from "bun:test";
import { imageArchive } from "./image-archive.ts";
import { type TarEntry, tarArchive, withParents } from "./tar-archive.ts";

const entries: readonly TarEntry[] = [
  { kind: "file", path: "bin/tool", mode: 0o755, content: Buffer.from("#!") },
  { kind: "link", path: "bin/alias", target: "tool" },
  { kind: "folder", path: "tmp", mode: 0o1777 },
  { kind: "file", path: `${"long/".repeat(25)}name`, mode: 0o644, content: Buffer.alloc(512) },
];

test("the order of entries does not matter", () => {
  expect(Buffer.from(tarArchive(entries)).equals(tarArchive(entries.toReversed()))).toBe(true);
});

test("tar reads what was written", async () => {
  const child = Bun.spawn(["tar", "--numeric-owner", "-tvf", "-"], { stdin: tarArchive(withParents(entries)) });
  const listing = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  const lines = listing
    .trim()
    .split("\n")
    .map((line) => line.replaceAll(/ +/g, " "));
  expect(lines).toContain("drwxr-xr-x 0/0 0 1970-01-01 00:00 bin/");
  expect(lines).toContain("-rwxr-xr-x 0/0 2 1970-01-01 00:00 bin/tool");
  expect(lines).toContain("lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin/alias -> tool");
  expect(lines).toContain("drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/");
  expect(lines).toContain(`-rw-r--r-- 0/0 512 1970-01-01 00:00 ${"long/".repeat(25)}name`);
});

test("a name that tar cannot hold is refused", () => {
  expect(() => tarArchive([{ kind: "link", path: "a", target: "x".repeat(101) }])).toThrow("too long");
});

test("an image of the same layer is the same archive", () => {
  const settings = { cmd: ["sh"], env: [], workingDir: "/", exposedPorts: ["80/tcp"], stopSignal: "SIGQUIT" };
  const make = () => imageArchive("nginx:latest", tarArchive(entries), settings, "amd64");
  expect(Buffer.from(make()).equals(make())).toBe(true);
});
