/** Which networks of a membership go into an interval set. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Cidr, cidrCovers, ipFamily, parseCidr, prefixLength } from "../../base/addresses.ts";
import { CoveredNetworks, reduceNetworks } from "./networks.ts";

const cases: readonly [name: string, given: string, kept: string][] = [
  ["a network covers what lies in it", "10.0.0.0/8 10.1.0.0/16 10.1.2.3/32", "10.0.0.0/8"],
  ["order does not matter", "10.1.2.3/32 10.1.0.0/16 10.0.0.0/8", "10.0.0.0/8"],
  ["neighbours stay apart", "10.0.0.0/25 10.0.0.128/25", "10.0.0.0/25 10.0.0.128/25"],
  ["families do not cover each other", "0.0.0.0/0 fd00::/8", "0.0.0.0/1 128.0.0.0/1 fd00::/8"],
  ["everything comes in halves", "::/0", "8000::/1 ::/1"],
];
for (const [name, given, kept] of cases)
  test(`only the widest networks go down: ${name}`, () => {
    expect([...reduceNetworks(given.split(" ").map((text) => parseCidr(text)))].sort().join(" ")).toBe(
      kept.split(" ").sort().join(" "),
    );
  });

test("removing a network brings back what it hid, and a half of a /0 outlives the /0", () => {
  const networks = new CoveredNetworks();
  for (const text of ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "0.0.0.0/1"]) networks.add(parseCidr(text));
  expect([...networks.visible].sort()).toEqual(["0.0.0.0/1", "128.0.0.0/1"] as Cidr[]);
  networks.delete(parseCidr("0.0.0.0/0"));
  expect([...networks.visible]).toEqual(["0.0.0.0/1"] as Cidr[]);
  networks.delete(parseCidr("0.0.0.0/1"));
  expect([...networks.visible]).toEqual(["10.0.0.0/8"] as Cidr[]);
  networks.delete(parseCidr("10.0.0.0/8"));
  expect([...networks.visible]).toEqual(["10.1.2.3/32"] as Cidr[]);
});

/** Few bits, so that networks meet often. */
const someCidr = fc
  .tuple(fc.boolean(), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 8 }))
  .map(([six, byte, length]) =>
    six ? parseCidr(`fd00:${byte}::/${120 + length}`) : parseCidr(`10.0.0.${byte * 85}/${24 + length}`),
  );

test("whatever comes and goes, the visible networks are the uncovered members, and the changes add up to them", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), someCidr), { maxLength: 40 }), (steps) => {
      const told = new Set<Cidr>();
      const members = new Set<Cidr>();
      const networks = new CoveredNetworks((cidr, visible) => {
        expect(told.has(cidr)).toBe(!visible); // each change is one
        if (visible) told.add(cidr);
        else told.delete(cidr);
      });
      for (const [adding, cidr] of steps) {
        if (adding === members.has(cidr)) continue;
        if (adding) members.add(cidr);
        else members.delete(cidr);
        if (adding) networks.add(cidr);
        else networks.delete(cidr);
        const uncovered = [...members].filter(
          (member) =>
            prefixLength(member) > 0 &&
            ![...members].some(
              (other) => other !== member && ipFamily(other) === ipFamily(member) && cidrCovers(other, member),
            ),
        );
        expect([...networks.visible].sort()).toEqual(uncovered.sort());
        expect([...told].sort()).toEqual(uncovered.sort());
      }
    }),
  );
});
