/** Framing and status messages there and back, on any cut into chunks. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeStatusMessage, encodeStatusMessage, FrameReader, frame } from "./grpc-frames.ts";

test("messages come out as they went in, however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), fc.array(fc.nat(20)), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(frame));
      const reader = new FrameReader(50);
      const read: Buffer[] = [];
      let at = 0;
      for (const length of [...cuts, bytes.length]) {
        read.push(...reader.push(bytes.subarray(at, at + length)));
        at += length;
      }
      expect(read.map((message) => message.toString("hex"))).toEqual(
        messages.map((message) => Buffer.from(message).toString("hex")),
      );
      expect(reader.pendingBytes).toBe(0);
    }),
  );
});

test("a message that is too long is refused by its head, before it is held", () => {
  const head = frame(new Uint8Array(11)).subarray(0, 5);
  expect(() => new FrameReader(10).push(head)).toThrow("received message larger than max (11 vs. 10)");
});

test("a compressed message is refused", () => {
  const compressed = frame(new Uint8Array(1));
  compressed[0] = 1;
  expect(() => new FrameReader(10).push(compressed)).toThrow("compressed messages are not supported");
});

test("status messages survive headers", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (message) => {
      const encoded = encodeStatusMessage(message);
      expect(encoded).toMatch(/^[\x20-\x7e]*$/);
      expect(decodeStatusMessage(encoded)).toBe(message);
    }),
  );
  expect(decodeStatusMessage("100% of %zz")).toBe("100% of %zz");
});
