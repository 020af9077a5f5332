/** Bounded logs that are cut under a writer who keeps them open. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logTail, printLog, rotateLog } from "./service-log.ts";

let folder = "";
let path = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "margay-lab-log-"));
  path = join(folder, "node.log");
});

afterEach(() => rmSync(folder, { recursive: true }));

test("a log beyond its bound is put aside, and its writer goes on at the start", async () => {
  const writer = openSync(path, "a");
  writeSync(writer, "x".repeat(100));
  await rotateLog(path, 100);
  expect(readFileSync(path, "utf8")).toHaveLength(100);
  writeSync(writer, "y");
  await rotateLog(path, 100);
  writeSync(writer, "new\n");
  closeSync(writer);
  expect(readFileSync(path, "utf8")).toBe("new\n");
  expect(readFileSync(`${path}.1`, "utf8")).toHaveLength(101);
});

test("the tail is the last lines; of no file, nothing", async () => {
  writeFileSync(path, "one\ntwo\nthree\n");
  expect(await logTail(path, 2)).toBe("two\nthree");
  expect(await logTail(join(folder, "none"), 2)).toBe("");
});

test("printing without following ends at the end, the last line complete or not", async () => {
  writeFileSync(path, "one\ntwo");
  let text = "";
  await printLog(path, { follow: false, prefix: "node: ", signal: AbortSignal.timeout(5_000) }, (part) => {
    text += part;
  });
  expect(text).toBe("node: one\nnode: two\n");
});

test("following shows what is added, until stopped", async () => {
  writeFileSync(path, "one\n");
  const stop = new AbortController();
  let text = "";
  await printLog(path, { follow: true, prefix: "", signal: stop.signal }, (part) => {
    text += part;
    if (text === "one\n") writeFileSync(path, "two\n", { flag: "a" });
    else stop.abort();
  });
  expect(text).toBe("one\ntwo\n");
});
