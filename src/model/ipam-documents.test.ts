/** IPAM documents as upstream writes them, read without loss. */

import { expect, test } from "bun:test";
import {
  allocationsOf,
  decodeAffinity,
  decodeBlock,
  decodeHandle,
  decodeIpamConfig,
  encodeBlock,
  encodeHandle,
} from "./ipam-documents.ts";
import { parseJson, stringifyJson } from "./json.ts";

/** A block of four addresses written by 3.26: null members, no claim time. */
const old =
  '{"cidr":"10.0.0.0/30","affinity":"host:n1","allocations":[0,null,1,null],"unallocated":[3,1],' +
  '"attributes":[{"handle_id":null,"secondary":null},{"handle_id":"h\\rx","secondary":{"node":"n2"}}],' +
  '"sequenceNumber":1780308090123456791,"sequenceNumberForAllocation":{"0":1780308090123456789},"deleted":false,"hostAffinity":"n1"}';

test("64: 19 digit sequence numbers survive a read and a write", () => {
  const copy = encodeBlock(decodeBlock(old));
  expect(copy).toContain('"sequenceNumber":1780308090123456791');
  expect(copy).toContain('"0":1780308090123456789');
  expect(copy).toContain('"unallocated":[3,1]');
  expect(copy).toContain('"hostAffinity":"n1"');
  expect(decodeBlock(copy)).toEqual(decodeBlock(old));
});

test("allocations carry handle, attributes and sequence; a handle ends at a carriage return", () => {
  expect(
    allocationsOf(decodeBlock(old)).map(({ address, handle, attributes, sequence }) => [
      address as string,
      handle,
      attributes,
      sequence,
    ]),
  ).toEqual([
    ["10.0.0.0", undefined, {}, 1780308090123456789n],
    ["10.0.0.2", "h", { node: "n2" }, undefined],
  ]);
});

test("where the two lists contradict each other, allocations are right", () => {
  const text = old.replace('"unallocated":[3,1]', '"unallocated":[0,3,3]');
  expect(decodeBlock(text).unallocated).toEqual([3, 1]);
  expect(decodeBlock(old.replace('"unallocated":[3,1]', '"unallocated":null')).unallocated).toEqual([1, 3]);
});

test("a block that cannot be right is refused", () => {
  expect(() => decodeBlock(old.replace("10.0.0.0/30", "10.0.0.0/29"))).toThrow("4 entries");
  expect(() => decodeBlock(old.replace("[0,null,1,null]", "[0,null,2,null]"))).toThrow("attribute 2 does not exist");
});

test("64: small documents keep upstream's meaning of what is absent", () => {
  expect(decodeAffinity("")).toBe("confirmed");
  expect(decodeAffinity('{"state":"pending","deleted":"false"}')).toBe("pending");
  expect(decodeIpamConfig("{}").autoAllocateBlocks).toBe(false);
  const handle = '{"block":{"192.168.10.64/26":1},"deleted":false}';
  expect(encodeHandle(decodeHandle(handle))).toBe(handle);
});

test("JSON keeps integers beyond 2^53, and only those, as bigint", () => {
  const text = '{"a":[9007199254740991,9007199254740993,-9007199254740993],"b":"1780308090123456791","c":1.5e20}';
  expect(parseJson(text)).toEqual({
    a: [9007199254740991, 9007199254740993n, -9007199254740993n],
    b: "1780308090123456791",
    c: 1.5e20,
  });
  expect(stringifyJson(parseJson(text))).toBe(text.replace("1.5e20", "150000000000000000000"));
});
