/** The index against comparing everything with everything, over random histories. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseSelector } from "../model/selector/parse.ts";
import { matches } from "../model/selector/selector.ts";
import { LabelIndex } from "./label-index.ts";

const labels = ["a", "b", "c"] as const;
const values = ["", "x", "y"] as const;
const someLabels = fc.dictionary(fc.constantFrom(...labels), fc.constantFrom(...values), { maxKeys: 3 });

const atom = fc.oneof(
  fc.constantFrom(...labels).map((label) => `has(${label})`),
  fc
    .tuple(fc.constantFrom(...labels), fc.constantFrom("==", "!=", "contains"), fc.constantFrom(...values))
    .map(([label, operator, value]) => `${label} ${operator} '${value}'`),
  fc
    .tuple(fc.constantFrom(...labels), fc.constantFrom("in", "not in"), fc.subarray([...values]))
    .map(([label, operator, list]) => `${label} ${operator} {${list.map((value) => `'${value}'`).join(", ")}}`),
  fc.constant("all()"),
);
const { selector } = fc.letrec<{ selector: string }>((tie) => ({
  selector: fc.oneof(
    { depthSize: "small" },
    atom,
    tie("selector").map((one) => `!(${one})`),
    fc.array(tie("selector"), { minLength: 2, maxLength: 3 }).map((all) => `(${all.join(" && ")})`),
    fc.array(tie("selector"), { minLength: 2, maxLength: 3 }).map((all) => `(${all.join(" || ")})`),
  ),
}));

const step = fc.oneof(
  fc.record({
    kind: fc.constant("item" as const),
    id: fc.constantFrom("i1", "i2", "i3", "i4"),
    source: fc.option(fc.record({ labels: someLabels, profiles: fc.subarray(["p", "q"]) })),
  }),
  fc.record({ kind: fc.constant("profile" as const), id: fc.constantFrom("p", "q"), labels: fc.option(someLabels) }),
  fc.record({
    kind: fc.constant("selector" as const),
    id: fc.constantFrom("s1", "s2", "s3"),
    text: fc.option(selector),
  }),
);

test("whatever comes and goes, each selector has exactly the items that match it", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const told = new Map<string, Map<string, number>>();
      const index = new LabelIndex<string>((id, item, matched) => {
        const counts = told.get(id) ?? new Map();
        told.set(id, counts);
        counts.set(item, (counts.get(item) ?? 0) + (matched ? 1 : -1));
      });
      const items = new Map<string, { labels: Record<string, string>; profiles: readonly string[] }>();
      const profiles = new Map<string, Record<string, string>>();
      const selectors = new Map<string, string>();
      for (const one of steps) {
        switch (one.kind) {
          case "item":
            if (one.source === null) {
              index.removeItem(one.id);
              items.delete(one.id);
            } else {
              index.setItem(one.id, one.source, one.id);
              items.set(one.id, one.source);
            }
            break;
          case "profile":
            index.setProfileLabels(one.id, one.labels ?? undefined);
            if (one.labels === null) profiles.delete(one.id);
            else profiles.set(one.id, one.labels);
            break;
          case "selector":
            if (selectors.delete(one.id)) index.removeSelector(one.id);
            told.delete(one.id);
            if (one.text === null) break;
            selectors.set(one.id, one.text);
            index.addSelector(one.id, parseSelector(one.text, "s"));
            break;
        }
      }
      for (const [id, text] of selectors) {
        const expected = [...items]
          .filter(([, source]) => {
            const effective = new Map<string, string>();
            for (const profile of source.profiles.toReversed())
              for (const [label, value] of Object.entries(profiles.get(profile) ?? {})) effective.set(label, value);
            for (const [label, value] of Object.entries(source.labels)) effective.set(label, value);
            return matches(parseSelector(text, "s"), effective);
          })
          .map(([item]) => item);
        const counted = [...(told.get(id) ?? [])].filter(([, count]) => count !== 0);
        expect(counted.every(([, count]) => count === 1)).toBe(true);
        expect(counted.map(([item]) => item).sort()).toEqual(expected.sort());
        expect([...index.itemsOf(id)].sort()).toEqual(expected.sort());
      }
    }),
    { numRuns: 300 },
  );
});

test("it counts what is in it, what was compared with what, and how that was found", () => {
  const index = new LabelIndex<string>(() => {});
  for (let at = 0; at < 5; at++) index.setItem(`web${at}`, { labels: { role: "web" }, profiles: [] }, "");
  index.setItem("db", { labels: { role: "db" }, profiles: [] }, "");
  for (const [id, text] of [
    ["one", "role == 'web'"],
    ["several", "role in {'web', 'db'}"],
    ["label", "has(role)"],
    ["broad", "role != 'web'"],
  ] as const) {
    index.addSelector(id, parseSelector(text));
  }
  // Five that are alike are one comparison: 1 + 2 + 2 that match; the broad one matches the other group alone.
  expect(index.counts).toEqual({
    items: 6,
    selectors: { byLabel: 3, broad: 1 },
    evaluations: { matched: 6, unmatched: 1 },
    searches: { "one-value": 1, "several-values": 1, label: 1, "all-groups": 1 },
  });
  index.removeSelector("broad");
  index.removeItem("db");
  expect(index.counts).toMatchObject({ items: 5, selectors: { byLabel: 3, broad: 0 }, evaluations: { matched: 6 } });
});
