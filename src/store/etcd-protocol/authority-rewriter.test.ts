/** The rewriter on every form of header frame, on any cut into chunks, and on nonsense. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AuthorityRewriter } from "./authority-rewriter.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

function frame(type: number, flags: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(1, 5);
  return Buffer.concat([head, payload]);
}

const literal = (text: string) => [text.length, ...Buffer.from(text)];
/** :method POST, :scheme http, :path literal, :authority literal with indexing, a literal without, an indexed one. */
const block = (authority: string) =>
  Buffer.from([
    0x83,
    0x86,
    0x44,
    ...literal("/a/b"),
    0x41,
    ...literal(authority),
    0x00,
    ...literal("te"),
    ...literal("trailers"),
    0xbe,
  ]);
const settings = frame(4, 0, new Uint8Array(6));
const data = frame(0, 1, Buffer.from([1, 0x41, 4, 1, 1, 1]));
const stream = (authority: string) =>
  Buffer.concat([
    preface,
    settings,
    frame(1, 0x4, block(authority)),
    data,
    frame(1, 0x4 | 0x20, Buffer.concat([Buffer.alloc(5), block(authority)])),
    frame(1, 0x4 | 0x8, Buffer.concat([Buffer.from([2]), block(authority), Buffer.alloc(2)])),
    frame(0, 1, Buffer.alloc(100_000, 0x41)),
  ]);

test("the authority is exchanged in every form of a header frame, and every other byte passes", () => {
  expect(new AuthorityRewriter().push(stream("http://127.0.0.1:2379"))).toEqual(stream("etcd"));
});

test("however the bytes are cut into chunks, the result is the same", () => {
  const bytes = stream("passthrough:///http://127.0.0.1:2379");
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 60 }), (cuts) => {
      const rewriter = new AuthorityRewriter();
      const parts: Buffer[] = [];
      let at = 0;
      for (const length of [...cuts, bytes.length]) {
        parts.push(rewriter.push(bytes.subarray(at, at + length)));
        at += length;
      }
      expect(Buffer.concat(parts).equals(stream("etcd"))).toBe(true);
    }),
  );
});

test("a block without a literal authority, or one that goes on, or nonsense, passes as it is", () => {
  for (const payload of [
    Buffer.from([0x83, 0x86, 0xbe, 0x3f, 0xe1, 0x1f]),
    Buffer.from([0x41, 0xff, 0xff, 0xff]),
    Buffer.alloc(0),
  ]) {
    const bytes = Buffer.concat([preface, frame(1, 0x4, payload), data]);
    expect(new AuthorityRewriter().push(bytes)).toEqual(bytes);
  }
  const continued = Buffer.concat([preface, frame(1, 0, block("http://x")), frame(9, 4, Buffer.from([0xbe]))]);
  expect(new AuthorityRewriter().push(continued)).toEqual(continued);
});

test("random bytes after the preface never throw and are never lost", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
      const rewriter = new AuthorityRewriter();
      rewriter.push(preface);
      for (const chunk of chunks) rewriter.push(Buffer.from(chunk));
    }),
  );
});
