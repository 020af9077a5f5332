/** A log copied with any number of interruptions is the log: nothing lost, nothing doubled. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { LogCursor, type SavedCursor } from "./log-cursor.ts";
import { type LogEntry, logEntries, parseTimeNs, sinceText } from "./log-frames.ts";

/** What Docker would send: the entries at or after the base, in the log's order. */
const since = (log: readonly LogEntry[], baseNs: bigint) => log.filter((entry) => entry.timeNs >= baseNs);

test("a log is copied exactly, whatever the times and wherever the agent is killed", () => {
  const steps = fc.array(
    fc.record({ step: fc.integer({ min: -3, max: 4 }), stream: fc.constantFrom("stdout", "stderr") }),
    { minLength: 1, maxLength: 60 },
  );
  // Each stop: how many more entries are copied before it, and how many of these the saved cursor does not know of.
  const stops = fc.array(fc.record({ copied: fc.nat(30), unsaved: fc.nat(5), killed: fc.boolean() }), { maxLength: 8 });
  fc.assert(
    fc.property(steps, stops, (entries, interruptions) => {
      let time = 1_000n;
      const log = entries.map(({ step, stream }, index): LogEntry => {
        time += BigInt(step);
        return { stream: stream as "stdout" | "stderr", timeNs: time, bytes: new TextEncoder().encode(`${index},`) };
      });
      const files = { stdout: "", stderr: "" };
      let saved: SavedCursor | undefined;
      let cursor = new LogCursor();
      const run = (limit: number, unsaved: number) => {
        files.stdout = files.stdout.slice(0, cursor.stdoutBytes);
        files.stderr = files.stderr.slice(0, cursor.stderrBytes);
        let copied = 0;
        for (const entry of since(log, cursor.baseNs)) {
          if (copied >= limit) break;
          if (!cursor.take(entry)) continue;
          files[entry.stream] += new TextDecoder().decode(entry.bytes);
          copied += 1;
          if (copied <= limit - unsaved) saved = cursor.save();
        }
      };
      for (const { copied, unsaved, killed } of interruptions) {
        run(copied, killed ? unsaved : 0);
        if (killed) cursor = new LogCursor(saved);
        else cursor.reconnected();
      }
      run(Number.POSITIVE_INFINITY, 0);
      for (const stream of ["stdout", "stderr"] as const) {
        const expected = log
          .filter((entry) => entry.stream === stream)
          .map((entry) => new TextDecoder().decode(entry.bytes));
        expect(files[stream]).toBe(expected.join(""));
      }
    }),
    { numRuns: 300 },
  );
});

test("the base moves on in a long log, and the cursor stays small", () => {
  const cursor = new LogCursor();
  for (let index = 0; index < 10_000; index += 1) {
    expect(cursor.take({ stream: "stdout", timeNs: BigInt(index * 10), bytes: new Uint8Array(1) })).toBe(true);
  }
  const saved = cursor.save();
  expect(saved.copied).toBeLessThan(2_500);
  expect(saved.stdoutBytes).toBe(10_000);
  const resumed = new LogCursor(saved);
  const again = Array.from({ length: 10_001 }, (_, index) => BigInt(index * 10)).filter(
    (time) => time >= resumed.baseNs,
  );
  expect(
    again.map((timeNs) => resumed.take({ stream: "stdout", timeNs, bytes: new Uint8Array(1) })).lastIndexOf(true),
  ).toBe(again.length - 1);
  expect(resumed.stdoutBytes).toBe(10_001);
});

test("entries that Docker rotated away do not make the rest be skipped", () => {
  const entry = (time: bigint): LogEntry => ({ stream: "stdout", timeNs: time, bytes: new Uint8Array(1) });
  const cursor = new LogCursor();
  for (const time of [1n, 2n, 3n]) cursor.take(entry(time));
  const resumed = new LogCursor(cursor.save());
  expect([3n, 4n, 5n].map((time) => resumed.take(entry(time)))).toEqual([false, true, true]);
});

function frame(stream: number, text: string): Uint8Array {
  const payload = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + payload.length);
  bytes[0] = stream;
  new DataView(bytes.buffer).setUint32(4, payload.length);
  bytes.set(payload, 8);
  return bytes;
}

async function* cut(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

for (const size of [1, 3, 7, 1000]) {
  test(`frames cut every ${size} bytes give the entries`, async () => {
    const raw = Buffer.concat([
      frame(1, "2026-01-02T03:04:05.000000006Z hello\n"),
      frame(2, "2026-01-02T03:04:05.100000000Z oh no\n"),
      frame(1, "2026-01-02T03:04:06Z part without line end"),
    ]);
    const seen: string[] = [];
    for await (const entries of logEntries(cut(raw, size), false)) {
      for (const { stream, timeNs, bytes } of entries)
        seen.push(`${stream} ${timeNs % 1_000_000_000n} ${Buffer.from(bytes)}`);
    }
    expect(seen).toEqual(["stdout 6 hello\n", "stderr 100000000 oh no\n", "stdout 0 part without line end"]);
  });
}

test("a TTY's raw stream is cut at line ends", async () => {
  const raw = Buffer.from("2026-01-02T03:04:05.000000006Z one\r\n2026-01-02T03:04:06Z two");
  const seen: string[] = [];
  for await (const entries of logEntries(cut(raw, 5), true))
    for (const { bytes } of entries) seen.push(String(Buffer.from(bytes)));
  expect(seen).toEqual(["one\r\n", "two"]);
});

test("a time survives the way to Docker's since option", () => {
  const time = parseTimeNs("2026-01-02T03:04:05.000000006Z");
  expect(time).toBe(1767323045000000006n);
  expect(sinceText(1767323045000000006n)).toBe("1767323045.000000006");
  expect(parseTimeNs("yesterday")).toBeUndefined();
});
