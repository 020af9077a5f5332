/** The functions a template may call: those of Go's library that make sense here, and calicoctl's own three. */

import { BadInput } from "../../../../base/errors.ts";
import { goText, isTrue } from "./values.ts";

export type TemplateFunction = (...given: readonly unknown[]) => unknown;

const lengthOf = (value: unknown): number => {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  if (typeof value === "object" && value !== null) return Object.keys(value).length;
  throw new BadInput("len", `of ${goText(value)}`, "a text, list or map");
};

const isBelow = (a: unknown, b: unknown): boolean => {
  if (typeof a !== typeof b || (typeof a !== "number" && typeof a !== "string")) {
    throw new BadInput("comparison", "incompatible types for comparison", "two numbers or two texts");
  }
  return (a as string) < (b as string);
};

const isEqual = (a: unknown, ...others: readonly unknown[]) => others.some((b) => goText(a) === goText(b));

const joined = (list: unknown, separator: unknown): string =>
  (Array.isArray(list) ? list : []).map(goText).join(String(separator));

export const templateFunctions: Readonly<Record<string, TemplateFunction>> = {
  and: (...given) => given.at(given.findIndex((one) => !isTrue(one))),
  or: (...given) => given.find(isTrue) ?? given.at(-1),
  not: (one) => !isTrue(one),
  eq: isEqual,
  ne: (a, b) => !isEqual(a, b),
  lt: isBelow,
  le: (a, b) => isBelow(a, b) || isEqual(a, b),
  gt: (a, b) => isBelow(b, a),
  ge: (a, b) => isBelow(b, a) || isEqual(a, b),
  len: lengthOf,
  index: (value, ...path) =>
    path.reduce<unknown>((at, step) => (at as Readonly<Record<string, unknown>> | undefined)?.[String(step)], value),
  print: (...given) => given.map(goText).join(""),
  println: (...given) => `${given.map(goText).join(" ")}\n`,
  printf: (format, ...given) => formatted(String(format), given),
  join: joined,
  joinAndTruncate: (list, separator, most) => {
    const text = joined(list, separator);
    return text.length > Number(most) ? `${text.slice(0, Number(most) - 3)}...` : text;
  },
};

/** The verbs people use: %s %v %d %q %t and %%, with a width. */
function formatted(format: string, given: readonly unknown[]): string {
  let at = 0;
  return format.replaceAll(/%(-?)(\d*)(.)/g, (whole, left: string, width: string, verb: string) => {
    if (verb === "%") return "%";
    if (!"svdqt".includes(verb)) throw new BadInput("printf", `verb ${whole} is not supported`, "%s, %v, %d, %q or %t");
    if (at >= given.length) return `%!${verb}(MISSING)`;
    const text = goText(given[at++]);
    const shown = verb === "q" ? JSON.stringify(text) : text;
    return left === "-" ? shown.padEnd(Number(width)) : shown.padStart(Number(width));
  });
}
