/** Durations as Mesos writes them in flags: a number directly followed by a unit, such as `15secs`, `1mins`, `1.5hrs`. */

import { BadInput } from "../../base/errors.ts";

const unitMs = [
  ["weeks", 7 * 24 * 3_600_000],
  ["days", 24 * 3_600_000],
  ["hrs", 3_600_000],
  ["mins", 60_000],
  ["secs", 1_000],
  ["ms", 1],
  ["us", 1e-3],
  ["ns", 1e-6],
] as const;

export function parseDuration(text: string, path: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ns|us|ms|secs|mins|hrs|days|weeks)$/.exec(text.trim());
  const unit = unitMs.find(([name]) => name === match?.[2]);
  if (match === null || unit === undefined) {
    throw new BadInput(path, `"${text}" is not a duration`, "a number with a unit, such as 15secs, 1mins, 2hrs, 500ms");
  }
  return Number(match[1]) * unit[1];
}

/** The largest unit that divides it, as Mesos prints: 60000 is `1mins`, 90000 is `90secs`. */
export function formatDuration(ms: number): string {
  for (const [name, size] of unitMs) {
    if (ms >= size && Number.isInteger(ms / size)) return `${ms / size}${name}`;
  }
  return ms === 0 ? "0ns" : `${ms}ms`;
}
