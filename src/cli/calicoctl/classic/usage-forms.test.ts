/** Words against forms: docopt's rules that scripts rely on (calicoctl.md 3.1). */

import { expect, test } from "bun:test";
import { type CalicoctlContext, UsageError } from "../command.ts";
import { commandOfForms, matchWords } from "./usage-forms.ts";

const patterns: readonly [pattern: string, words: string, captured: Record<string, string[]> | undefined][] = [
  ["show", "show", { show: ["show"] }],
  ["show", "show x", undefined],
  ["add CIDR", "add 1", { add: ["add"], CIDR: ["1"] }],
  ["add CIDRS...", "add 1 2", { add: ["add"], CIDRS: ["1", "2"] }],
  ["add CIDRS...", "add", undefined],
  ["set NAMES*", "set", { set: ["set"], NAMES: [] }],
  ["on|off", "off", { "on|off": ["off"] }],
  ["on|off", "maybe", undefined],
  ["", "", {}],
  ["", "x", undefined],
];
for (const [pattern, words, captured] of patterns) {
  test(`"${words}" against "${pattern}"`, () => {
    const found = matchWords(pattern, words === "" ? [] : words.split(" "));
    expect(found === undefined ? undefined : Object.fromEntries(found)).toEqual(captured as never);
  });
}

const said: string[] = [];
const command = commandOfForms("Usage:\n", [
  {
    words: "add NAME",
    options: ["--interface=", "--ipip", "--ipv4"],
    run: (_context, typed) => {
      said.push(JSON.stringify([typed.word("NAME"), typed.option("--interface") ?? null, typed.has("--ipip")]));
      return 0;
    },
  },
  { words: "remove NAME", run: () => 0 },
]);
const context = {} as CalicoctlContext;

const accepted: readonly [args: string, result: unknown][] = [
  ["add a", ["a", null, false]],
  ["--interface=eth2 add a", ["a", "eth2", false]],
  ["add --interface eth2 a --ipip", ["a", "eth2", true]],
  ["add a --int=eth2", ["a", "eth2", false]],
  ["add a --ipi", ["a", null, true]],
  ["add -- --ipip", ["--ipip", null, false]],
];
for (const [args, result] of accepted) {
  test(`accepted: ${args}`, async () => {
    said.length = 0;
    expect(await command(context, args.split(" "))).toBe(0);
    expect(JSON.parse(said[0] ?? "")).toEqual(result);
  });
}

for (const args of [
  "add",
  "add a b",
  "add a --ip",
  "add a --ipip=1",
  "add a --interface",
  "remove a --ipip",
  "add a --bogus",
]) {
  test(`a usage error: ${args}`, async () => {
    expect(command(context, args.split(" "))).rejects.toThrow(UsageError);
  });
}

test("a word that is nearly one of the forms is named", async () => {
  try {
    await command(context, ["ad", "x"]);
    throw new Error("accepted");
  } catch (error) {
    expect(error).toMatchObject({ usage: 'Did you mean "add"?\nUsage:\n' });
  }
});
