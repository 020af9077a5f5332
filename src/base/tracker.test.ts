/** A tracker's pending work is always exactly the difference between what should be and what is. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { Tracker } from "./tracker.ts";

const key = fc.constantFrom("a", "b", "c");
const value = fc.constantFrom(1, 2);
const step = fc.oneof(
  fc.record({ do: fc.constant("want" as const), key, value: fc.option(value, { nil: undefined }) }),
  fc.record({ do: fc.constant("applied" as const), key, value: fc.option(value, { nil: undefined }) }),
  fc.record({ do: fc.constant("observed" as const), all: fc.dictionary(key, value) }),
);

test("pending work is the difference after any sequence of calls", () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const tracker = new Tracker<string, number>();
      const desired = new Map<string, number>();
      const actual = new Map<string, number>();
      for (const each of steps) {
        if (each.do === "observed") {
          actual.clear();
          for (const [name, number] of Object.entries(each.all)) actual.set(name, number);
          tracker.observed(new Map(Object.entries(each.all)));
        } else {
          const side = each.do === "want" ? desired : actual;
          if (each.value === undefined) side.delete(each.key);
          else side.set(each.key, each.value);
          tracker[each.do](each.key, each.value);
        }
      }
      const puts = new Map([...desired].filter(([name, number]) => actual.get(name) !== number));
      const removals = new Set([...actual.keys()].filter((name) => !desired.has(name)));
      expect(new Map(tracker.pendingPuts)).toEqual(puts);
      expect(new Set(tracker.pendingRemovals)).toEqual(removals);
    }),
  );
});
