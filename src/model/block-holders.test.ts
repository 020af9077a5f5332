/** The short way to the holders of a block's addresses against the whole of decodeBlock. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseCidr } from "../base/addresses.ts";
import { decodeBlockHolders } from "./block-holders.ts";
import { allocationsOf, decodeBlock } from "./ipam-documents.ts";

const usual = {
  cidr: "10.0.0.4/30",
  affinity: "host:host1",
  affinity_claim_time: "2026-01-01T00:00:00Z",
  allocations: [0, null, 1, 0],
  unallocated: [1],
  attributes: [
    { handle_id: "libnetwork.e1", secondary: { node: "host1" } },
    { handle_id: "libnetwork.e2", secondary: { node: "host2" } },
  ],
  sequenceNumber: 4,
  sequenceNumberForAllocation: { "0": 1, "2": 3 },
  deleted: false,
};

test("a block with counters of nanoseconds is read as it is", () => {
  const text = JSON.stringify(usual).replace('"sequenceNumber":4', '"sequenceNumber":1790000000000000123');
  expect(decodeBlockHolders(text)).toEqual({
    cidr: parseCidr("10.0.0.4/30"),
    affinity: "host:host1",
    nodes: new Map([
      [0, "host1"],
      [2, "host2"],
      [3, "host1"],
    ]),
  });
});

const numbers = [
  "-1",
  "1.0",
  "18e17",
  "1790000000000000123",
  "-1790000000000000123",
  "9".repeat(400),
  "1e400",
] as const;
const anything = fc.oneof(
  fc.constantFrom<unknown[]>(null, "", "x", "10.0.0.4", "10.0.0.0/30", "fd00::4/126", 0, 1, 2, true, [], {}),
  fc.constantFrom<unknown[]>([0, 1, 1, 0], [2, null, null, null], ["0"], [null], [{}], { node: "host3" }, { node: 1 }),
  fc.constantFrom<unknown[]>([{ secondary: null }, {}], [{ secondary: { node: 1 } }], [{ handle_id: null }]),
  // Written as they are here: JSON.stringify would change them.
  fc.constantFrom(...numbers).map((number) => `<<${number}>>`),
  fc.constantFrom(...numbers).map((number) => ({ "0": `<<${number}>>` })),
  fc.constantFrom(...numbers).map((number) => [`<<${number}>>`, null, null, null]),
  fc.jsonValue(),
);
const changed = fc
  .tuple(
    fc.array(
      fc.tuple(
        fc.constantFrom<"" | "0" | "1">("", "", "0", "1"),
        fc.constantFrom(...Object.keys(usual), "foreign", "__proto__", "handle_id", "secondary"),
        fc.option(anything, { nil: undefined }),
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom("", "", "", "x", "{"),
  )
  .map(([changes, after]) => {
    const document = structuredClone(usual);
    for (const [part, field, value] of changes) {
      const owner: unknown = part === "" ? document : document.attributes?.[Number(part)];
      if (typeof owner === "object" && owner !== null)
        Object.defineProperty(owner, field, { value: structuredClone(value), enumerable: true, configurable: true });
    }
    return JSON.stringify(document).replace(/"<<(.*?)>>"/g, "$1") + after;
  });

test("it answers what decodeBlock says, and refuses what that refuses", () => {
  let valid = 0;
  fc.assert(
    fc.property(changed, (text) => {
      const quick = outcome(() => decodeBlockHolders(text, "block"));
      const whole = outcome(() => {
        const block = decodeBlock(text, "block");
        const nodes = new Map(allocationsOf(block).map(({ ordinal, attributes }) => [ordinal, attributes.node]));
        return { cidr: block.cidr, affinity: block.affinity, nodes };
      });
      expect(quick).toEqual(whole);
      if (typeof whole === "object") valid++;
    }),
    { numRuns: 3_000 },
  );
  expect(valid).toBeGreaterThan(500);
});

function outcome<Result>(run: () => Result): Result | string {
  try {
    return run();
  } catch (error) {
    return String(error);
  }
}
