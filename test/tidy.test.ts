/** Structure that security or readability hangs on, checked over the whole source; each message says what to write instead. */

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { clocked, folders, forbidden, mayStartProcesses } from "./import-rules.ts";

const root = dirname(import.meta.dir);

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const sources: readonly SourceFile[] = ["src", "test", "bench"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => ({ path: join(folder, name), text: readFileSync(join(root, folder, name), "utf8") })),
);
const isTest = (path: string) => /\.test\.tsx?$/.test(path) || path.includes("/testing/") || !path.startsWith("src/");
const product = sources.filter(({ path }) => !isTest(path));

/** Paths below src/ that a file imports, statically or when called. */
function importsOf({ path, text }: SourceFile): readonly string[] {
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => match[1] ?? "");
  return found.map((target) => relative("src", normalize(join(dirname(path), target))));
}

const folderOf = (path: string) => path.split("/")[0] ?? "";

describe("imports", () => {
  test("go down the list of folders only", () => {
    const wrong = product.flatMap((file) => {
      const from = folders.indexOf(folderOf(relative("src", file.path)) as (typeof folders)[number]);
      if (from < 0) return [];
      return importsOf(file)
        .filter((target) => folders.indexOf(folderOf(target) as (typeof folders)[number]) < from)
        .map((target) => `${file.path} imports ${target}: move what both need further down`);
    });
    expect(wrong).toEqual([]);
  });

  test("keep clear of the forbidden pairs", () => {
    const wrong = product.flatMap((file) =>
      forbidden
        .filter(({ from }) => file.path.startsWith(`src/${from}/`))
        .flatMap(({ to, because }) =>
          importsOf(file)
            .filter((target) => target.startsWith(`${to}/`))
            .map((target) => `${file.path} imports ${target}: ${because}`),
        ),
    );
    expect(wrong).toEqual([]);
  });

  test("reach the lab from the command line and tests only", () => {
    const wrong = product
      .filter(({ path }) => !path.startsWith("src/lab/") && !path.startsWith("src/cli/"))
      .filter((file) => importsOf(file).some((target) => target.startsWith("lab/")));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});

test("every file has a head comment that says what it is for", () => {
  const wrong = sources.filter(({ path, text }) => !path.startsWith("test/fixtures") && !/^(#!.*\n)?\/\*\*/.test(text));
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

test("no file is named after nothing in particular", () => {
  const wrong = sources.filter(({ path }) => /\/(utils?|common|helpers?|misc)\.tsx?$/.test(path));
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

test("time, timers and randomness come from the Clock where a cluster is simulated", () => {
  const direct =
    /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bset(Timeout|Interval)\(|\bperformance\.now\(|\brandomUUID\(/;
  const wrong = product
    .filter(({ path }) => clocked.some((folder) => path.startsWith(`src/${folder}/`)))
    .flatMap(({ path, text }) =>
      text
        .split("\n")
        .map((line, at) => ({ line, at: at + 1 }))
        .filter(({ line }) => direct.test(line) && !/^\s*(\*|\/\/)/.test(line))
        .map(({ line, at }) => `${path}:${at}: ${line.trim()}: take it from the Clock handed in`),
    );
  expect(wrong).toEqual([]);
});

test("processes are started only where there is a reason to", () => {
  const wrong = product
    .filter(({ text }) => /\bBun\.spawn(Sync)?\(|node:child_process/.test(text))
    .filter(({ path }) => !mayStartProcesses.some((allowed) => path.startsWith(allowed.path)));
  expect(
    wrong.map(
      ({ path }) => `${path}: use the kernel's own interface, or add the file to mayStartProcesses with its reason`,
    ),
  ).toEqual([]);
});

test("no shell is given a command line", () => {
  const wrong = product.filter(({ text }) => /\bexecSync\(|shell:\s*true|from "bun".*\$|\bBun\.\$/.test(text));
  expect(wrong.map(({ path }) => `${path}: hand over an argument array`)).toEqual([]);
});

test("no type check is switched off, no work is left marked", () => {
  const marks = new RegExp(["@ts-" + "ignore", "@ts-" + "nocheck", "FIX" + "ME", "TO" + "DO"].join("|"));
  const wrong = sources.filter(({ path, text }) => path !== "test/tidy.test.ts" && marks.test(text));
  expect(wrong.map(({ path }) => path)).toEqual([]);
});
