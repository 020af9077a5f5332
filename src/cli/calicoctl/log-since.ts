/** The end of a log that is not older than a time. A line without a time of its own belongs to the one before. Pure. */

/** As pino, Felix, BIRD, confd and systemd write it: at the beginning of the line, or as the field "time" of a JSON object. */
const lineTime = /^\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)|"time":(?:"([^"]+)"|(\d{13}))/;

export function logSince(text: string, sinceMs: number): string {
  let at = 0;
  for (const line of text.split(/(?<=\n)/)) {
    const timeMs = timeOf(line);
    if (timeMs !== undefined && timeMs >= sinceMs) return text.slice(at);
    at += line.length;
  }
  return "";
}

/** Times without a zone are in UTC, as on hosts that run nodes. */
function timeOf(line: string): number | undefined {
  const [, day, time, iso, epochMs] = lineTime.exec(line.slice(0, 200)) ?? [];
  const ms = epochMs === undefined ? Date.parse(iso ?? `${day}T${time}Z`) : Number(epochMs);
  return Number.isNaN(ms) ? undefined : ms;
}
