/** DSCP values by number and by name. */
import { expect, test } from "bun:test";
import { parseDscp } from "./dscp.ts";

const values: readonly [written: string | number, value: number | undefined][] = [
  [0, 0],
  [63, 63],
  ["46", 46],
  ["EF", 46],
  [" ef ", 46],
  ["DF", 0],
  ["AF11", 10],
  ["af43", 38],
  ["CS6", 48],
  ["CS0", 0],
  [64, undefined],
  [-1, undefined],
  [1.5, undefined],
  ["AF44", undefined],
  ["CS7", undefined],
  ["", undefined],
  ["fast", undefined],
];
for (const [written, value] of values)
  test(`dscp ${JSON.stringify(written)} means ${value}`, () => expect(parseDscp(written)).toBe(value));
