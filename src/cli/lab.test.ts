/** The lab's words: what is refused is refused with one clear sentence, before anything is touched. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { role } from "./lab.ts";

let folder = "";
const before = process.env.MARGAY_LAB_DIR;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "margay-lab-cli-"));
  process.env.MARGAY_LAB_DIR = join(folder, "labs");
});

afterAll(() => {
  rmSync(folder, { recursive: true });
  if (before === undefined) delete process.env.MARGAY_LAB_DIR;
  else process.env.MARGAY_LAB_DIR = before;
});

async function run(...words: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  const collect = (stream: keyof typeof said) => (text: string) => {
    said[stream] += text;
  };
  const exitCode = await role.run(words, {
    stdout: collect("stdout"),
    stderr: collect("stderr"),
    stdin: async () => "",
    env: {},
    signal: new AbortController().signal,
  });
  return { exitCode, ...said };
}

const refused: readonly (readonly [words: string, says: string])[] = [
  ["up --hosts x", "argument 'x' is invalid. A number is expected."],
  ["up --hosts 0", '--hosts: "0" is no number of hosts (expected a number from 1 to 200)'],
  ["up --hosts 999", '--hosts: "999" is no number of hosts'],
  ["up --hosts=-1", "A number is expected."],
  ["up --store zookeeper", "Allowed choices are embedded, etcd."],
  ["up --api-port 70000", "A port from 1 to 65535 is expected."],
  ["up --name ../etc", '"../etc" cannot name a lab'],
  ["up extra", "too many arguments"],
  ["exec", "missing required argument 'host'"],
  ["exec host1", "missing required argument 'cmd'"],
  ["exec host1 true", 'lab "lab" is not up'],
  ["exec --name other host1 -- true", 'lab "other" is not up'],
  ["logs host1", 'lab "lab" is not up'],
  ["cut host1", 'lab "lab" is not up'],
  ["heal", "missing required argument 'host'"],
  ["status -o xml", "Allowed choices are table, json."],
  ["status --name none", 'lab "none" is not up'],
  ["explode", "unknown command 'explode'"],
];

for (const [words, says] of refused) {
  test(`lab ${words} is refused`, async () => {
    const { exitCode, stdout, stderr } = await run(...words.split(" "));
    expect(exitCode).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain(says);
    expect(existsSync(join(folder, "labs"))).toBe(false);
  });
}

test("without a lab, status and down say so and succeed", async () => {
  expect(await run("status")).toEqual({ exitCode: 0, stdout: "No lab is up.\n", stderr: "" });
  expect(await run("status", "-o", "json")).toEqual({ exitCode: 0, stdout: '{\n  "labs": []\n}\n', stderr: "" });
  const down = await run("down", "--name", "not-there");
  expect(down).toEqual({ exitCode: 0, stdout: 'Lab "not-there" is not up: nothing to do.\n', stderr: "" });
});

test("help names every command", async () => {
  const { exitCode, stdout } = await run("--help");
  expect(exitCode).toBe(0);
  for (const name of ["up", "down", "status", "exec", "logs", "cut", "heal", "prerequisites"]) {
    expect(stdout).toContain(`\n  ${name} `);
  }
});
