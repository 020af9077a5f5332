/** How many keys a range had at an earlier revision, when only some of them are read. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { TestClock } from "../../base/clock.ts";
import { Engine } from "./engine.ts";
import { noBytes, prefixRange } from "./requests.ts";

const below = prefixRange(Buffer.from("a/"));
const step = fc.record({
  key: fc.constantFrom("a/1", "a/2", "a/3", "a/4", "b/1"),
  what: fc.constantFrom("put", "delete", "delete and put"),
});

test("the count of a page is that of the whole range at its revision, whatever came, went and came back since", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.boolean(), async (steps, compacted) => {
      await using engine = Engine.open({ path: ":memory:", clock: new TestClock() });
      for (const { key, what } of steps) {
        const bytes = Buffer.from(key);
        if (what !== "put") await engine.delete({ kind: "delete", key: bytes, rangeEnd: noBytes });
        if (what !== "delete") await engine.put({ kind: "put", key: bytes, value: bytes, lease: "0" });
      }
      const first = compacted ? Math.ceil(engine.revision / 2) : 1;
      if (compacted && first > 1) await engine.compact(first, true);
      for (let revision = first; revision <= engine.revision; revision++) {
        const { rows } = await engine.range({ kind: "range", ...below, revision });
        const page = await engine.range({ kind: "range", ...below, revision, limit: 1 });
        expect(page.count).toBe(rows.length);
      }
    }),
  );
});
