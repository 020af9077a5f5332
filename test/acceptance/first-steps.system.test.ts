/** docs/first-steps.md is typed in as it stands: every command works, and prints what the page says it prints. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { addressesOf, Cluster } from "./cluster.ts";

const root = dirname(dirname(import.meta.dir));
const labName = "t-docs";

interface Step {
  readonly command: string;
  /** What the page shows below the command; empty when it shows nothing. */
  readonly shown: string;
}

/** Commands begin with "$ " in a code block and go on while a quote is open; what follows is their output. */
function stepsOf(page: string): readonly Step[] {
  const blocks = [...page.matchAll(/^```\n(\$ [\s\S]*?)^```$/gm)].map(([, block]) => block ?? "");
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const lines = text.split("\n");
        let taken = 1;
        while (taken < lines.length && quoteOpen(lines.slice(0, taken).join("\n"))) taken++;
        return { command: lines.slice(0, taken).join("\n"), shown: lines.slice(taken).join("\n") };
      }),
  );
}

function quoteOpen(text: string): boolean {
  const withoutComments = text.replaceAll(/\s#.*$/gm, "");
  return (withoutComments.match(/'/g) ?? []).length % 2 === 1;
}

const steps = stepsOf(readFileSync(join(root, "docs/first-steps.md"), "utf8"));
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.create({ hosts: 3, name: labName });
}, 120_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

test("the page has the steps that this test is about", () => expect(steps.length).toBeGreaterThanOrEqual(7));

for (const { command, shown } of steps)
  test(command.split("\n")[0] ?? "", async () => {
    const instances = command.includes("PUT") || command.includes("ADDRESS") ? 3 : 1;
    const address = command.includes("ADDRESS")
      ? addressesOf(await cluster.healthy("my-docker-task", instances))[0]
      : "";
    // The page speaks of the only lab of a machine; this one stands beside others.
    const typed = command
      .replace(/^margay lab (\w+)/, `margay lab $1 --name ${labName}`)
      .replaceAll("http://127.0.0.1:8080", cluster.apiUrl)
      .replaceAll("ADDRESS", address ?? "");
    const shell = Bun.spawn(["bash", "-c", typed], {
      env: { ...process.env, PATH: `${root}:${process.env.PATH}` },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(shell.stdout).text(),
      new Response(shell.stderr).text(),
      shell.exited,
    ]);
    expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
    if (shown !== "") expect(stdout).toBe(shown);
    if (command.startsWith("curl")) await cluster.healthy("my-docker-task", instances);
  }, 90_000);
