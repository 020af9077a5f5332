/** Durations in Go's notation, as Calico's configuration has them: 90s, 1m30s, 500ms. */

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds; undefined: none given, or no duration. A bare 0 is one. */
export function parseGoDuration(text: string | undefined): number | undefined {
  const match = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0)$/.exec(text ?? "");
  if (match === null) return undefined;
  const [, sign, amounts = ""] = match;
  const parts = [...amounts.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * (unitsMs[unit] ?? 0), 0);
  return sign === "-" ? -ms : ms;
}
