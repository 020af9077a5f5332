/** RecordIO: whatever the cuts, the records are the same; what is malformed is refused at once. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeRecord, RecordDecoder, RecordIoError, readRecords } from "./recordio.ts";

const text = new TextDecoder();

function decodeAll(bytes: Uint8Array, cuts: readonly number[], recordMaxBytes = 1 << 20): string[] {
  const decoder = new RecordDecoder({ recordMaxBytes });
  const records: string[] = [];
  let start = 0;
  for (const cut of [...cuts].sort((a, b) => a - b).concat(bytes.length)) {
    const end = Math.min(cut, bytes.length);
    // The same buffer is reused for every chunk, as a socket would.
    const chunk = new Uint8Array(bytes.subarray(start, Math.max(start, end)));
    records.push(...decoder.push(chunk).map((record) => text.decode(record)));
    chunk.fill(0x2a);
    start = Math.max(start, end);
  }
  expect(decoder.atBoundary).toBe(true);
  return records;
}

function concat(records: readonly string[]): Uint8Array {
  return Buffer.concat(records.map((record) => encodeRecord(record)));
}

describe("recordio", () => {
  test("a record is its byte length, a line feed and its bytes, also for text that is not ASCII (13.1: 18)", () => {
    expect(text.decode(encodeRecord('{"type":"HEARTBEAT"}'))).toBe('20\n{"type":"HEARTBEAT"}');
    expect(text.decode(encodeRecord("aäあ"))).toBe("6\naäあ");
  });

  test("a stream cut at every single byte gives the same records", () => {
    const records = ["a", "", "äöü", '{"x":1}', "12\n34"];
    const bytes = concat(records);
    expect(decodeAll(bytes, [...bytes.keys()])).toEqual(records);
    for (let cut = 0; cut <= bytes.length; cut++) expect(decodeAll(bytes, [cut])).toEqual(records);
  });

  test("any records at any cuts come back", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), fc.array(fc.nat(500)), (records, cuts) => {
        expect(decodeAll(concat(records), cuts)).toEqual(records);
      }),
    );
  });

  const refused: readonly [name: string, stream: string, message: string][] = [
    ["a length that is not a number", "x\n", "not a number"],
    ["a negative length", "-1\n", "not a number"],
    ["a missing length", "\n", "missing"],
    ["a record above the limit", "101\n", "exceeds the limit of 100"],
    ["a length of very many digits", "000000000000000000000000", "too long"],
  ];
  for (const [name, stream, message] of refused) {
    test(`${name} is refused, and so is everything after it`, () => {
      const decoder = new RecordDecoder({ recordMaxBytes: 100 });
      expect(() => decoder.push(Buffer.from(stream))).toThrow(message);
      expect(() => decoder.push(Buffer.from("1\na"))).toThrow(RecordIoError);
    });
  }

  test("a body that ends inside a record is an error, one that ends between records is not", async () => {
    const collect = async (body: string) => {
      const records: string[] = [];
      for await (const record of readRecords(new Response(body).body ?? new ReadableStream())) records.push(record);
      return records;
    };
    expect(await collect("1\na2\nbc")).toEqual(["a", "bc"]);
    await expect(collect("1\na2\nb")).rejects.toThrow("ended inside a record");
    await expect(collect("1\na2")).rejects.toThrow("ended inside a record");
  });
});
