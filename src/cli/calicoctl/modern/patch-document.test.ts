/** The examples of RFC 6902 and RFC 7396 and what they refuse; Kubernetes' directives. */

import { expect, test } from "bun:test";
import { type PatchType, patched } from "./patch-document.ts";

const cases: readonly [type: PatchType, document: unknown, patch: unknown, result: unknown][] = [
  // RFC 7396, appendix A
  ["merge", { a: "b" }, { a: "c" }, { a: "c" }],
  ["merge", { a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  ["merge", { a: "b" }, { a: null }, {}],
  ["merge", { a: "b", b: "c" }, { a: null }, { b: "c" }],
  ["merge", { a: ["b"] }, { a: "c" }, { a: "c" }],
  ["merge", { a: "c" }, { a: ["b"] }, { a: ["b"] }],
  ["merge", { a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  ["merge", { a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  ["merge", { e: null }, { a: 1 }, { e: null, a: 1 }],
  ["merge", {}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  // RFC 6902, appendix A
  ["json", { foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { baz: "qux", foo: "bar" }],
  ["json", { foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], { foo: ["bar", "qux", "baz"] }],
  ["json", { baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
  ["json", { foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["bar", "baz"] }],
  ["json", { baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
  [
    "json",
    { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
    [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
    { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
  ],
  [
    "json",
    { foo: ["all", "grass", "cows", "eat"] },
    [{ op: "move", from: "/foo/1", path: "/foo/3" }],
    { foo: ["all", "cows", "eat", "grass"] },
  ],
  [
    "json",
    { baz: "qux", foo: ["a", 2, "c"] },
    [
      { op: "test", path: "/baz", value: "qux" },
      { op: "test", path: "/foo/1", value: 2 },
    ],
    { baz: "qux", foo: ["a", 2, "c"] },
  ],
  [
    "json",
    { foo: "bar" },
    [{ op: "add", path: "/child", value: { grandchild: {} } }],
    { foo: "bar", child: { grandchild: {} } },
  ],
  ["json", { "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
  ["json", { foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["abc", "def"] }], { foo: ["bar", ["abc", "def"]] }],
  [
    "json",
    { a: { b: 1 } },
    [
      { op: "copy", from: "/a", path: "/c" },
      { op: "replace", path: "/c/b", value: 2 },
    ],
    { a: { b: 1 }, c: { b: 2 } },
  ],
  ["json", { a: 1 }, [{ op: "replace", path: "", value: [1] }], [1]],
  // Strategic merge
  ["strategic", { a: { b: 1, c: 2 }, l: [1, 2] }, { a: { b: null, d: 3 }, l: [3] }, { a: { c: 2, d: 3 }, l: [3] }],
  ["strategic", { a: { b: 1, c: 2 } }, { a: { $patch: "replace", d: 3 } }, { a: { d: 3 } }],
  ["strategic", { a: { b: 1 }, c: 1 }, { a: { $patch: "delete" } }, { c: 1 }],
  ["strategic", { a: { b: 1, c: 2 } }, { a: { $retainKeys: ["c", "d"], d: 3 } }, { a: { c: 2, d: 3 } }],
  [
    "strategic",
    { l: ["a", "b", "c"] },
    { "$deleteFromPrimitiveList/l": ["b"], "$setElementOrder/l": ["a"] },
    { l: ["a", "c"] },
  ],
];
for (const [type, document, patch, result] of cases) {
  test(`${type} ${JSON.stringify(patch)} makes ${JSON.stringify(result)}, and leaves its input alone`, () => {
    const before = JSON.stringify(document);
    expect(patched(document, patch, type)).toEqual(result);
    expect(JSON.stringify(document)).toBe(before);
  });
}

const refused: readonly [type: PatchType, document: unknown, patch: unknown, problem: string][] = [
  ["merge", {}, [1], "is not an object"],
  ["strategic", {}, "x", "is not an object"],
  ["strategic", {}, { $patch: "mangle" }, "unknown directive"],
  ["strategic", {}, { $other: 1 }, "unknown directive"],
  ["json", {}, { a: 1 }, "Invalid input"],
  ["json", {}, [], "Too small"],
  ["json", {}, [{ op: "grow", path: "/a" }], "patch/0/op"],
  ["json", {}, [{ op: "add", path: "a", value: 1 }], "is not a JSON pointer"],
  ["json", {}, [{ op: "remove", path: "/a" }], "path /a does not exist"],
  ["json", {}, [{ op: "replace", path: "/a", value: 1 }], "path /a does not exist"],
  ["json", { foo: "bar" }, [{ op: "add", path: "/baz/bat", value: "qux" }], "path /baz/bat does not exist"],
  ["json", { foo: [] }, [{ op: "add", path: "/foo/2", value: 1 }], "is outside of the list"],
  ["json", { foo: [] }, [{ op: "add", path: "/foo/01", value: 1 }], "is outside of the list"],
  ["json", { a: "1" }, [{ op: "test", path: "/a", value: 1 }], "test of /a failed"],
  ["json", { a: {} }, [{ op: "move", from: "/a", path: "/a/b" }], "moves a value into itself"],
];
for (const [type, document, patch, problem] of refused) {
  test(`${type} ${JSON.stringify(patch)} is refused: ${problem}`, () => {
    expect(() => patched(document, patch, type)).toThrow(problem);
  });
}
