/** Which shells have completion (what it does in them: completion.system), and that every command has help with examples. */

import { expect, test } from "bun:test";
import { TestClock } from "../../../base/clock.ts";
import { calicoctlCluster, call } from "../testing/cluster.ts";
import { modernCommands } from "./commands.ts";

const never = () => Promise.reject(new Error("must not be opened"));
test("completion is refused for a shell nobody knows", async () => {
  await using at = await calicoctlCluster();
  for (const line of ["completion", "completion tcsh", "completion bash zsh"]) {
    expect(await at.run(line)).toEqual({
      code: 1,
      stdout: "",
      stderr: "Usage:\n  calicoctl completion bash|zsh|fish\n",
    });
  }
});

test("words that only stand before others say what may follow, and which was meant", async () => {
  await using at = await calicoctlCluster();
  const { code, stdout } = await at.run("ipam");
  expect([code, stdout.split("\n")[1]]).toEqual([0, "  calicoctl ipam check"]);
  expect((await at.run("datastore migrate --help")).stdout).toContain("  calicoctl datastore migrate unlock\n");
  const slip = await at.run("ipam shwo");
  expect([slip.code, slip.stdout]).toEqual([1, ""]);
  expect(slip.stderr).toStartWith('unknown command "shwo" for "calicoctl ipam"\n  did you mean show?\n\nUsage:\n');
  for (const line of ["datastore lock", "datastore migrate go", "cluster info"]) {
    expect(await at.run(line)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("unknown command"),
    });
  }
});

const groups = ["ipam", "datastore", "datastore migrate", "cluster"];
for (const name of Object.keys(modernCommands).filter((name) => !groups.includes(name))) {
  test(`calicoctl ${name} --help says what it does, its usage and examples, and opens no store`, async () => {
    const { code, stdout, stderr } = await call(`${name} --help`, {}, new TestClock(), never);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^[A-Z][^\n]+\.?\n/);
    expect(stdout).toContain(`\nUsage:\n  calicoctl ${name}`);
    expect(stdout).toContain(`\nExamples:\n`);
    expect(stdout.split("\nExamples:\n")[1]).toContain(`calicoctl `);
  });
}
