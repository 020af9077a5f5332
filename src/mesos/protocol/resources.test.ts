/** Resource arithmetic: nothing appears, nothing is lost, scalars do not drift; and the texts that users write. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { coalesceRanges, countRanges, formatRanges, subtractRanges } from "./ranges.ts";
import { parseAttributes, parseResources, resourceNames } from "./resource-grammar.ts";
import type { Resource } from "./resource-info.ts";
import {
  addResources,
  containsResources,
  equalResources,
  formatResources,
  normalizeResources,
  resourcesProblem,
  scalarOf,
  subtractResources,
} from "./resources.ts";

const scalar = fc.record({
  name: fc.constantFrom("cpus", "mem"),
  type: fc.constant("SCALAR" as const),
  scalar: fc.record({ value: fc.integer({ min: 0, max: 1_000_000 }).map((thousandths) => thousandths / 1000) }),
  role: fc.constantFrom("*", "prod"),
});
const ports = fc.record({
  name: fc.constant("ports"),
  type: fc.constant("RANGES" as const),
  ranges: fc.record({
    range: fc.array(fc.tuple(fc.nat(50), fc.nat(5)).map(([begin, more]) => ({ begin, end: begin + more }))),
  }),
  role: fc.constantFrom("*", "prod"),
});
const set = fc.record({
  name: fc.constant("bugs"),
  type: fc.constant("SET" as const),
  set: fc.record({ item: fc.uniqueArray(fc.constantFrom("a", "b", "c")) }),
});
const anyResources: fc.Arbitrary<Resource[]> = fc.array(fc.oneof(scalar, ports, set), { maxLength: 6 });

describe("resources", () => {
  test("a sum contains both parts, and taking a scalar part away leaves the other", () => {
    fc.assert(
      fc.property(anyResources, anyResources, (one, other) => {
        const sum = addResources(normalizeResources(one), other);
        expect(containsResources(sum, one)).toBe(true);
        expect(containsResources(sum, other)).toBe(true);
        const scalars = (list: readonly Resource[]) => normalizeResources(list.filter((r) => r.type === "SCALAR"));
        expect(equalResources(subtractResources(scalars(sum), scalars(other)), scalars(one))).toBe(true);
      }),
    );
  });

  test("what is contained can be taken away and given back without a trace", () => {
    fc.assert(
      fc.property(anyResources, anyResources, (wholeList, part) => {
        const whole = normalizeResources(wholeList);
        fc.pre(containsResources(whole, part));
        const rest = subtractResources(whole, part);
        expect(equalResources(addResources(rest, part), whole)).toBe(true);
        expect(normalizeResources(rest)).toEqual(rest);
      }),
    );
  });

  test("a tenth added ten thousand times is one thousand exactly", () => {
    const tenth = parseResources("cpus:0.1", "");
    let sum: readonly Resource[] = [];
    for (let count = 0; count < 10_000; count++) sum = addResources(sum, tenth);
    expect(scalarOf(sum, "cpus")).toBe(1000);
  });

  test("roles and revocable resources are kinds of their own; allocation is not", () => {
    const cpus: Resource = { name: "cpus", type: "SCALAR", scalar: { value: 1 } };
    const sum = addResources(
      [cpus],
      [
        { ...cpus, role: "prod" },
        { ...cpus, revocable: {} },
        { ...cpus, role: "*" },
      ],
    );
    expect(sum.map((resource) => resource.scalar?.value)).toEqual([2, 1, 1]);
    expect(containsResources([cpus], [{ ...cpus, allocation_info: { role: "prod" } }])).toBe(true);
    expect(containsResources([cpus], [{ ...cpus, role: "prod" }])).toBe(false);
    const newForm: Resource = { ...cpus, reservations: [{ type: "STATIC", role: "prod" }] };
    expect(containsResources([{ ...cpus, role: "prod" }], [newForm])).toBe(true);
  });

  const problems: readonly [resource: Resource, problem: string | undefined][] = [
    [{ name: "cpus", type: "SCALAR", scalar: { value: 0.00001 } }, undefined],
    [{ name: "cpus", type: "SCALAR", scalar: { value: -1 } }, "non-negative"],
    [{ name: "cpus", type: "SCALAR", scalar: { value: Number.NaN } }, "non-negative"],
    [{ name: "cpus", type: "SCALAR", scalar: { value: Number.POSITIVE_INFINITY } }, "non-negative"],
    [{ name: "gpus", type: "SCALAR", scalar: { value: 0.5 } }, "unsigned integer"],
    [{ name: "cpus", type: "SCALAR" }, "Invalid scalar"],
    [{ name: "", type: "SCALAR", scalar: { value: 1 } }, "Empty resource name"],
    [{ name: "ports", type: "RANGES", ranges: { range: [{ begin: 2, end: 1 }] } }, "lower bound"],
    [{ name: "x", type: "TEXT" }, "Unsupported"],
    [{ name: "x", type: "SET", set: { item: ["a", "a"] } }, "duplicated"],
  ];
  for (const [resource, problem] of problems) {
    test(`${JSON.stringify(resource)} ${problem === undefined ? "is fine" : `is refused: ${problem}`}`, () => {
      if (problem === undefined) expect(resourcesProblem([resource])).toBeUndefined();
      else expect(resourcesProblem([resource])).toContain(problem);
    });
  }
});

describe("ranges", () => {
  test("cuts, joins and counts", () => {
    expect(
      coalesceRanges([
        { begin: 5, end: 7 },
        { begin: 1, end: 4 },
      ]),
    ).toEqual([{ begin: 1, end: 7 }]);
    expect(
      subtractRanges(
        [{ begin: 1, end: 10 }],
        [
          { begin: 3, end: 4 },
          { begin: 10, end: 12 },
        ],
      ),
    ).toEqual([
      { begin: 1, end: 2 },
      { begin: 5, end: 9 },
    ]);
    expect(
      countRanges([
        { begin: 1, end: 3 },
        { begin: 2, end: 5 },
      ]),
    ).toBe(5);
    expect(
      formatRanges([
        { begin: 31000, end: 32000 },
        { begin: 1, end: 1 },
      ]),
    ).toBe("[1-1, 31000-32000]");
  });
});

describe("resource grammar", () => {
  const good: readonly [text: string, printed: string][] = [
    ["cpus:4;mem:1024;ports:[31000-32000,33000-33100]", "cpus:4; mem:1024; ports:[31000-32000, 33000-33100]"],
    [" cpus : 4 \n mem:1.0009 ", "cpus:4; mem:1.001"],
    ["disk(prod):4096;bugs:{a,b}", "disk(reservations: [(STATIC,prod)]):4096; bugs:{a, b}"],
    ["cpus:1;cpus:2;ports:[1-2,3-4]", "cpus:3; ports:[1-4]"],
    ["cpus:0", ""],
    ['[{"name":"cpus","type":"SCALAR","scalar":{"value":2}}]', "cpus:2"],
  ];
  for (const [text, printed] of good) {
    test(`${JSON.stringify(text)} is ${printed}`, () => {
      expect(formatResources(parseResources(text, "--resources"))).toBe(printed);
    });
  }
  for (const bad of ["cpus", "cpus:", "cpus:abc", "cpus:-1", "ports:[2-1]", "ports:[a-b]", ":1", "cpus(:1", "[{}]"]) {
    test(`${bad} is refused with the flag's name`, () => {
      expect(() => parseResources(bad, "--resources")).toThrow("--resources: ");
    });
  }
  test("names given as zero are known as given", () => {
    expect([...resourceNames("cpus:0;disk(prod):1")]).toEqual(["cpus", "disk"]);
  });
  test("attributes keep order and repetition; only the first colon splits", () => {
    expect(parseAttributes("rack:r7;url:http://a;level:10;zone:[1-3];rack:r8", "--attributes")).toEqual([
      { name: "rack", type: "TEXT", text: { value: "r7" } },
      { name: "url", type: "TEXT", text: { value: "http://a" } },
      { name: "level", type: "SCALAR", scalar: { value: 10 } },
      { name: "zone", type: "RANGES", ranges: { range: [{ begin: 1, end: 3 }] } },
      { name: "rack", type: "TEXT", text: { value: "r8" } },
    ]);
    expect(() => parseAttributes("rack", "--attributes")).toThrow("--attributes");
  });
});
