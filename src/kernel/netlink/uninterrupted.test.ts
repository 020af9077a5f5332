/** Dumps during which the table changes. */
import { expect, test } from "bun:test";
import { uninterrupted } from "./uninterrupted.ts";

/** A reading of this length is interrupted so often, and then comes through. */
function readingInterrupted(times: number) {
  let readings = 0;
  const read = () => {
    readings++;
    return { found: [`reading ${readings}`], interrupted: readings <= times };
  };
  return { read, readings: () => readings };
}

test("23: what an interrupted dump had found is thrown away, and the next one counts", () => {
  for (const times of [0, 1, 3, 4]) {
    const { read, readings } = readingInterrupted(times);
    expect(uninterrupted("list links", read)).toEqual([`reading ${times + 1}`]);
    expect(readings()).toBe(times + 1);
  }
});

test("23: a dump that never comes through is an error to try again later, and never half a picture", () => {
  const { read, readings } = readingInterrupted(Number.POSITIVE_INFINITY);
  let thrown: unknown;
  try {
    uninterrupted("list links", read);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "EINTR", retry: "backoff" });
  expect(readings()).toBe(5);
});
