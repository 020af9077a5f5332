/** The tables of calico-datastore.md 4: what parses to which normal form and id, what matches, what is refused. */

import { expect, test } from "bun:test";
import { BadInput } from "../../base/errors.ts";
import { parseSelector } from "./parse.ts";
import { matches, normalForm } from "./selector.ts";

const normalForms: readonly [text: string, normal: string][] = [
  ["", "all()"],
  [" \t ", "all()"],
  ["has( my-calico-net )", "has(my-calico-net)"],
  ["my-calico-net == ''", 'my-calico-net == ""'],
  [`app=='web'&&tier=="fe"`, '(app == "web" && tier == "fe")'],
  ["env in {'test','dev','test'}", 'env in {"dev", "test"}'],
  ["!(has(b) || !has(a))", "!(has(b) || !has(a))"],
  ["!all()", "!all()"],
  ["global( )", "global()"],
  ["((a == 'b'))", 'a == "b"'],
  ["!!has(a)", "has(a)"],
  ["!!!has(a)", "!has(a)"],
  ["!a == 'b'", '!a == "b"'],
  ["a == 'b' || c == 'd' && e == 'f'", '(a == "b" || (c == "d" && e == "f"))'],
  ["(a == 'b' || c == 'd') && e == 'f'", '((a == "b" || c == "d") && e == "f")'],
  ["has(a) && (has(b) && has(c))", "(has(a) && (has(b) && has(c)))"],
  ["a notin {'x'}", 'a not in {"x"}'],
  ["a not \t in{'x',}", 'a not in {"x"}'],
  ["a in {}", "a in {}"],
  [`a == 'say "hi"'`, `a == 'say "hi"'`],
  [`a startswith"x"`, 'a starts with "x"'],
  ["a ends  with 'x'", 'a ends with "x"'],
  ["a contains 'x'", 'a contains "x"'],
  ["in == 'x'", 'in == "x"'],
  ["has == 'x'", 'has == "x"'],
  ["not in {'x'}", 'not in {"x"}'],
  ["not not in {'x'}", 'not not in {"x"}'],
  ["a in {'\u{1F600}', '\uFFFD'}", 'a in {"\uFFFD", "\u{1F600}"}'],
];
for (const [text, normal] of normalForms) {
  test(`38: normal form of ${JSON.stringify(text)} is ${normal}`, () => {
    expect(normalForm(parseSelector(text))).toBe(normal);
    expect(normalForm(parseSelector(normal))).toBe(normal);
  });
}

const refused: readonly string[] = [
  ..."b · b == · b == b · 'b1' == b · b = 'x' · b & c · b | c · ! · has(foo) && · && has(foo) · has(foo) has(bar)".split(
    " · ",
  ),
  ...`foo in "" · foo in { · foo in {"a" · foo in {"a" "b"} · foo == "x · has(foo · has() · all(x) · (all() · all())`.split(
    " · ",
  ),
  ...["a == 'b' || ", "$ == 'x'", `${"x".repeat(513)} == 'a'`, "has (x)", "a inx", "a in {,}", "has(a)\n"],
  "(".repeat(10_000),
  `${"!(".repeat(1_000)}has(a)${")".repeat(1_000)}`,
];
for (const text of refused) {
  test(`38: refused: ${text.slice(0, 40)}`, () => {
    expect(() => parseSelector(text, "spec.selector")).toThrow(BadInput);
  });
}

const verdicts: readonly [selector: string, labels: Record<string, string>, matched: boolean][] = [
  ["a == 'x'", {}, false],
  ["a == ''", {}, false],
  ["a == ''", { a: "" }, true],
  ["a != 'x'", {}, true],
  ["a != 'x'", { a: "x" }, false],
  ["a in {'x', 'y'}", { a: "y" }, true],
  ["a in {'x'}", {}, false],
  ["a not in {'x'}", {}, true],
  ["a not in {'x'}", { a: "x" }, false],
  ["a in {}", { a: "x" }, false],
  ["a not in {}", { a: "x" }, true],
  ["has(a)", { a: "" }, true],
  ["has(a)", {}, false],
  ["a contains 'b'", { a: "abc" }, true],
  ["a contains ''", { a: "" }, true],
  ["a contains ''", {}, false],
  ["a starts with 'b'", { a: "abc" }, false],
  ["a ends with 'bc'", { a: "abc" }, true],
  ["!a == 'b'", { a: "b" }, false],
  ["has(a) || has(b) && has(c)", { a: "" }, true],
  ["(has(a) || has(b)) && has(c)", { a: "" }, false],
  ["", {}, true],
];
for (const [selector, labels, matched] of verdicts) {
  test(`39: ${selector || "(blank)"} ${matched ? "matches" : "does not match"} ${JSON.stringify(labels)}`, () => {
    expect(matches(parseSelector(selector), new Map(Object.entries(labels)))).toBe(matched);
  });
}

test("global() is refused in rule selectors and combined namespace selectors", () => {
  expect(() => parseSelector("global()", "", { global: "refuse" })).toThrow("can only be used in an EntityRule");
  expect(() => parseSelector("global() && has(a)", "", { global: "only-alone" })).toThrow("cannot be combined");
  expect(parseSelector("global()", "", { global: "only-alone" }).kind).toBe("global");
});
