/** Sets of whole numbers as sorted, disjoint, coalesced ranges, both ends included: ports. Pure. */

import type { Range } from "./values.ts";

export function coalesceRanges(ranges: readonly Range[]): readonly Range[] {
  if (ranges.length < 2) return ranges;
  const sorted = [...ranges].sort((one, other) => one.begin - other.begin);
  const merged: { begin: number; end: number }[] = [];
  for (const range of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && range.begin <= last.end + 1) last.end = Math.max(last.end, range.end);
    else merged.push({ begin: range.begin, end: range.end });
  }
  return merged;
}

export function addRanges(one: readonly Range[], other: readonly Range[]): readonly Range[] {
  return coalesceRanges([...one, ...other]);
}

export function subtractRanges(from: readonly Range[], what: readonly Range[]): readonly Range[] {
  let rest: readonly Range[] = coalesceRanges(from);
  for (const cut of what) {
    rest = rest.flatMap((range) => {
      if (cut.end < range.begin || cut.begin > range.end) return [range];
      const parts: Range[] = [];
      if (range.begin < cut.begin) parts.push({ begin: range.begin, end: cut.begin - 1 });
      if (cut.end < range.end) parts.push({ begin: cut.end + 1, end: range.end });
      return parts;
    });
  }
  return rest;
}

export function containsRanges(whole: readonly Range[], part: readonly Range[]): boolean {
  const merged = coalesceRanges(whole);
  return part.every((range) => merged.some((one) => one.begin <= range.begin && range.end <= one.end));
}

export function countRanges(ranges: readonly Range[]): number {
  return coalesceRanges(ranges).reduce((sum, range) => sum + range.end - range.begin + 1, 0);
}

/** `[31000-31005, 32000-32000]`, as the unversioned endpoints print them. */
export function formatRanges(ranges: readonly Range[]): string {
  return `[${coalesceRanges(ranges)
    .map((range) => `${range.begin}-${range.end}`)
    .join(", ")}]`;
}
