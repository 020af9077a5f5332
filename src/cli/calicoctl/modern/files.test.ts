/** validate, diff, --dry-run and --force: what a file would do, and how flags are refused. */

import { expect, test } from "bun:test";
import { TestClock } from "../../../base/clock.ts";
import { calicoctlCluster, call } from "../testing/cluster.ts";

const header = "apiVersion: projectcalico.org/v3\n";
const pool = (name: string, cidr: string, more = "") =>
  `${header}kind: IPPool\nmetadata:\n  name: ${name}\nspec:\n  cidr: ${cidr}\n${more}`;
const several = (...texts: readonly string[]) => texts.join("---\n");
const offline = (line: string, stdin: string) =>
  call(line, { stdin }, new TestClock(), () => Promise.reject(new Error("must not be opened")));

test("71: validate needs no datastore", async () => {
  const good = several(pool("a", "10.0.0.0/16"), pool("b", "10.1.0.0/16"));
  expect(await offline("validate -f -", good)).toEqual({
    code: 0,
    stdout: "Successfully validated 2 'IPPool' resource(s)\n",
    stderr: "",
  });
  const mixed = several(pool("a", "10.0.0.0/16"), `${header}kind: Tier\nmetadata: {name: t}\n`);
  expect((await offline("validate -f -", mixed)).stdout).toBe("Successfully validated 2 resource(s)\n");
  expect((await offline("validate -f - -o yaml", pool("a", "10.0.0.0/16"))).stdout).toContain("  blockSize: 26\n");
  expect(JSON.parse((await offline("validate -f - -o json", mixed)).stdout)).toHaveLength(2);
});

const invalid: readonly [what: string, text: string, stderr: string][] = [
  ["malformed YAML", "a: [1", "failed to execute command: "],
  [
    "a negative AS number",
    `${header}kind: BGPPeer\nmetadata: {name: p}\nspec: {peerIP: 10.0.0.1, asNumber: -1}\n`,
    "failed to execute command: spec.asNumber: must be an AS number from 0 to 4294967295 (-, document 1, line 4)\n",
  ],
  [
    "a list where a text belongs",
    `${header}kind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec:\n  selector: [a]\n`,
    "failed to execute command: spec.selector: Invalid input: expected string, received array (-, document 1, line 5)\n",
  ],
  [
    "two fields of one",
    `${header}kind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec:\n  selector: a ==\n  ingress:\n  - action: Allow\n    protocol: TCPP\n`,
    "failed to validate 'GlobalNetworkPolicy' resource: [error with the following fields:\n-  Selector = 'a ==' (",
  ],
  [
    "an address of two",
    several(pool("a", "10.0.0.0/16"), pool("b", "10.0.0.1/16")),
    "hit error: [error with field IPPool.Spec.CIDR (IPPool CIDR is not strictly masked)]\n  at -, document 2, line 13 (spec.CIDR)\n",
  ],
];
for (const [what, text, stderr] of invalid) {
  test(`71: validate refuses ${what}`, async () => {
    const said = await offline("validate -f -", text);
    expect(said.code).toBe(1);
    expect(said.stderr).toStartWith(stderr);
  });
}

test("each of several problems has its place", async () => {
  const text = `${header}kind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec:\n  selector: a ==\n  ingress:\n  - action: Allow\n    protocol: TCPP\n`;
  const { stderr } = await offline("validate -f -", text);
  expect(stderr).toEndWith(
    "  at -, document 1, line 5 (spec.selector)\n  at -, document 1, line 8 (spec.ingress[0].protocol)\n",
  );
});

test("diff shows what apply would change, and nothing once it is applied", async () => {
  await using at = await calicoctlCluster();
  const text = several(pool("a", "10.0.0.0/16"), pool("b", "10.1.0.0/16"));
  const first = await at.run("diff -f -", text);
  expect(first.code).toBe(1);
  expect(first.stdout).toContain("--- /dev/null\n+++ -, document 2, line 11\n@@ -0,0 ");
  expect(await at.keys()).toEqual([]);
  await at.run("apply -f -", text);
  expect(await at.run("diff -f -", text)).toEqual({ code: 0, stdout: "", stderr: "" });
  const before = await at.store.list("/");
  const changed = await at.run("diff -f -", several(pool("a", "10.0.0.0/16", "  natOutgoing: true\n"), text));
  expect(changed).toEqual({
    code: 1,
    stderr: "",
    stdout:
      "--- IPPool(a)\n+++ -, document 1, line 4\n@@ -10,5 +10,6 @@\n   blockSize: 26\n   cidr: 10.0.0.0/16\n   ipipMode: Never\n" +
      "+  natOutgoing: true\n   nodeSelector: all()\n   vxlanMode: Never\n" +
      "--- IPPool(a)\n+++ -, document 2, line 12\n@@ -10,6 +10,5 @@\n   blockSize: 26\n   cidr: 10.0.0.0/16\n   ipipMode: Never\n" +
      "-  natOutgoing: true\n   nodeSelector: all()\n   vxlanMode: Never\n",
  });
  const refused = await at.run("diff -f -", pool("c", "10.0.1.0/24"));
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toContain(
    "(IPPool(c) CIDR overlaps with IPPool(a) CIDR 10.0.0.0/16)\n  at -, document 1, line 4\n",
  );
  expect(await at.store.list("/")).toEqual(before);
});

test("--dry-run says of each resource what would become of it", async () => {
  await using at = await calicoctlCluster();
  await at.run("apply -f -", pool("a", "10.0.0.0/16"));
  const before = await at.store.list("/");
  const text = several(pool("a", "10.0.0.0/16"), pool("b", "10.1.0.0/16"));
  const said = await at.run("apply --dry-run -f -", text);
  expect(said.stdout).toStartWith("IPPool(a): unchanged\nIPPool(b): created\n--- /dev/null\n");
  expect(said.stdout).toEndWith("\nSuccessfully applied 2 'IPPool' resource(s) (dry run)\n");
  expect((await at.run("delete pool a --dry-run")).stdout).toBe(
    "IPPool(a): deleted\nSuccessfully deleted 1 'IPPool' resource(s) (dry run)\n",
  );
  expect((await at.run("create --dry-run -f -", text)).stderr).toContain("already exists: IPPool(a)");
  expect(await at.store.list("/")).toEqual(before);
});

test("61: an old resourceVersion is a conflict, unless it is told not to count", async () => {
  await using at = await calicoctlCluster();
  await at.run("apply -f -", pool("a", "10.0.0.0/16"));
  const old = (await at.run("get pool a -o yaml")).stdout;
  await at.run("apply -f -", pool("a", "10.0.0.0/16", "  disabled: true\n"));
  for (const command of ["apply", "replace", "delete"]) {
    const said = await at.run(`${command} -f -`, old);
    expect([said.code, said.stderr]).toEqual([1, expect.stringContaining("update conflict: IPPool(a)")]);
    if (command !== "delete") expect(await at.run(`${command} --force -f -`, old)).toMatchObject({ code: 0 });
  }
  const now = (await at.run("get pool a -o yaml")).stdout;
  expect((await at.run("replace -f -", now)).code).toBe(0);
  expect((await at.run("delete --force -f -", old)).code).toBe(0);
  expect((await at.run("replace -f -", pool("a", "10.0.0.0/16"))).stderr).toContain(
    "resource does not exist: IPPool(a)",
  );
});

test("74: flags are refused in Cobra's words", async () => {
  await using at = await calicoctlCluster();
  const first = async (line: string) => (await at.run(line)).stderr.split("\n")[0] ?? "";
  expect(await first("apply -m")).toBe("unknown shorthand flag: 'm' in -m");
  expect(await first("apply --unknown-flag")).toBe("unknown flag: --unknown-flag");
  expect(await first("validate -f")).toBe("flag needs an argument: 'f' in -f");
  expect(await first("diff --filename")).toBe("flag needs an argument: --filename");
  expect(await first("apply -f - --dry-run=perhaps")).toBe(
    'invalid argument "perhaps" for "--dry-run" flag: true or false',
  );
  expect((await at.run("apply -f - --dry-run=true", pool("a", "10.0.0.0/16"))).stdout).toContain("(dry run)");
  expect(await at.keys()).toEqual([]);
  expect((await at.run("apply -h")).code).toBe(0);
});

test("long work says how far it has come", async () => {
  await using at = await calicoctlCluster();
  const slow: typeof at.store.transact = async (...given) => {
    await at.clock.sleep(500);
    return await at.store.transact(...given);
  };
  const text = several(...Array.from({ length: 12 }, (_, one) => pool(`p${one}`, `10.${one}.0.0/16`)));
  const said = await at.run("create -f -", { stdin: text, connection: { transact: slow } });
  expect(said.stderr).toMatch(/^created \d+ of 12 \.\.\.\n(created \d+ of 12 \.\.\.\n)+$/);
  expect(said.stdout).toBe("Successfully created 12 'IPPool' resource(s)\n");
});

test("a slip of the finger gets the nearest kind as an answer", async () => {
  await using at = await calicoctlCluster();
  expect((await at.run("delete ipool a")).stderr).toBe(
    "failed to execute command: resource type 'ipool' is not supported\n  did you mean ippool?\n",
  );
});
