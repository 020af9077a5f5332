/** The tables against etcd.proto and against another implementation of protobuf: the same names, bytes and refusals. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, createFileRegistry, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import fc, { type Arbitrary } from "fast-check";
import * as api from "./etcd-api.ts";
import type { MessageType } from "./protobuf.ts";
import { Malformed } from "./protobuf-bytes.ts";

const descriptor = readFileSync(join(import.meta.dir, "../testing/etcd.binpb"));
const described = [...createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptor)).files];
const messages = described.flatMap((file) => file.messages);
const tables: Readonly<Record<string, unknown>> = api;

function tableOf({ name }: DescMessage): MessageType<unknown> {
  return tables[name] as MessageType<unknown>;
}

/** What to make a message of: each field there or not. */
function anyOf(type: DescMessage, depth = 0): Arbitrary<Record<string, unknown>> {
  const members = type.members.map((member) => {
    const value =
      member.kind === "oneof"
        ? fc.oneof(
            ...member.fields.map((field) =>
              anyValue(field, depth).map((choice) => ({ case: field.localName, value: choice })),
            ),
          )
        : anyValue(member, depth);
    return [member.localName, value] as const;
  });
  return fc.record(Object.fromEntries(members), { requiredKeys: [] });
}

function anyValue(field: DescMessage["fields"][number], depth: number): Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "message":
      return depth > 3 ? fc.constant({}) : anyOf(field.message, depth + 1);
    case "enum":
      return enumNumber;
    case "scalar":
      return scalarOf(field.scalar);
    case "list": {
      const item =
        field.listKind === "message"
          ? depth > 3
            ? fc.constant({})
            : anyOf(field.message, depth + 1)
          : field.listKind === "enum"
            ? enumNumber
            : scalarOf(field.scalar);
      return fc.array(item, { maxLength: 3 });
    }
    case "map":
      throw new Error(`${field}: etcd has no maps`);
  }
}

const enumNumber = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer());

function scalarOf(type: ScalarType): Arbitrary<unknown> {
  switch (type) {
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 300 });
    case ScalarType.STRING:
      return fc.string({ unit: "binary", maxLength: 200 });
    case ScalarType.UINT32:
      return fc.integer({ min: 0, max: 2 ** 32 - 1 });
    case ScalarType.INT64:
      return fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: 0n, max: 1000n }));
    case ScalarType.UINT64:
      return fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 2n ** 48n, max: 2n ** 54n }));
    default:
      throw new Error(`a scalar of type ${type}`);
  }
}

/** Without what only one of the two implementations adds. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([name, member]) => !name.startsWith("$") && member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [name, plain(member)]));
}

function outcome(read: () => unknown): unknown {
  try {
    return plain(read());
  } catch {
    return "refused";
  }
}

/** A field that no message has, in each layout. */
const unknownFields = ["c03e808001", "c13e0102030405060708", "c23e03616263", "c53e01020304"].map((hex) =>
  Buffer.from(hex, "hex"),
);

test("every message, enum and call of etcd.proto has its table", () => {
  expect(messages.length).toBeGreaterThan(40);
  for (const type of messages) {
    const named = Object.keys(tableOf(type).make({}) as object);
    expect([type.name, ...named]).toEqual([type.name, ...type.members.map(({ localName }) => localName)]);
  }
  for (const { name, parent, values } of [
    ...described.flatMap((file) => file.enums),
    ...messages.flatMap(({ nestedEnums }) => nestedEnums),
  ]) {
    const known = tables[parent === undefined ? name : `${parent.name}_${name}`];
    expect(known).toEqual(Object.fromEntries(values.map((value) => [value.name, value.number])));
  }
  for (const service of described.flatMap((file) => file.services)) {
    const calls = tables[service.name] as Record<string, api.Method<unknown, unknown>>;
    for (const { name, localName, input, output } of service.methods) {
      expect(calls[localName]).toMatchObject({ name, path: `/${service.typeName}/${name}` });
      expect(calls[localName]?.request).toBe(tableOf(input));
      expect(calls[localName]?.response).toBe(tableOf(output));
    }
  }
});

describe("against another implementation", () => {
  for (const type of messages) {
    const table = tableOf(type);
    const written = anyOf(type).map((init) => toBinary(type, create(type, init)));
    const theirs = (bytes: Uint8Array) => outcome(() => fromBinary(type, bytes));
    const ours = (bytes: Uint8Array) => outcome(() => table.decode(bytes));

    test(`${type.name}: what it writes is read as it reads it, and written as it writes it`, () => {
      fc.assert(
        fc.property(written, (bytes) => {
          expect(ours(bytes)).toEqual(theirs(bytes));
          expect(table.encode(table.decode(bytes)).equals(bytes)).toBe(true);
        }),
      );
    });

    test(`${type.name}: two parts of one message, and one cut off, are read alike; unknown fields are passed over`, () => {
      fc.assert(
        fc.property(written, written, fc.nat(), (first, second, at) => {
          const both = Buffer.concat([first, second]);
          expect(ours(both)).toEqual(theirs(both));
          const cut = first.subarray(0, at % (first.length + 1));
          expect(ours(cut)).toEqual(theirs(cut));
          expect(ours(Buffer.concat([...unknownFields, first, ...unknownFields]))).toEqual(theirs(first));
        }),
      );
    });
  }
});

test("numbers that come one by one are read as those that come packed", () => {
  const filters = [0, 1, 1];
  const oneByOne = Buffer.from("280028012801", "hex");
  expect(api.WatchCreateRequest.decode(oneByOne).filters).toEqual(filters);
  const packed = api.WatchCreateRequest.encode(api.WatchCreateRequest.make({ filters }));
  expect(packed.toString("hex")).toBe("2a03000101");
});

for (const [what, hex] of [
  ["a field of number 0", "0001"],
  ["a group", "0b0c"],
  ["a layout that does not exist", "0f01"],
  ["a number of eleven bytes", "10ffffffffffffffffffff01"],
  ["a tag of eight bytes", "8a80808080808001"],
  ["a length of eight bytes", "0affffffffffffff01"],
  ["a value that ends too early", "0a05616263"],
  ["a fixed number that ends too early", "f93e010203"],
] as const) {
  test(`${what} is refused`, () => expect(() => api.KeyValue.decode(Buffer.from(hex, "hex"))).toThrow(Malformed));
}

test("a part that reaches beyond its message is refused", () => {
  // A response whose header of two bytes has a field of three.
  expect(() => api.RangeResponse.decode(Buffer.from("0a0218ffff01", "hex"))).toThrow(Malformed);
});

test("transactions in one another are read to a depth, and refused beyond", () => {
  const nested = (depth: number): api.TxnRequest => {
    if (depth === 0) return api.TxnRequest.make({});
    const request = { case: "requestTxn", value: nested(depth - 1) } as const;
    return api.TxnRequest.make({ success: [api.RequestOp.make({ request })] });
  };
  const deep = api.TxnRequest.encode(nested(50));
  expect(api.TxnRequest.encode(api.TxnRequest.decode(deep)).equals(deep)).toBe(true);
  expect(() => api.TxnRequest.decode(api.TxnRequest.encode(nested(51)))).toThrow(Malformed);
});

test("a number beyond its 64 bits is not written", () => {
  const written = (lease: bigint) => () => api.KeyValue.encode(api.KeyValue.make({ lease }));
  for (const lease of [2n ** 63n, -(2n ** 63n) - 1n]) expect(written(lease)).toThrow(RangeError);
  for (const clusterId of [2n ** 64n, -1n]) {
    expect(() => api.ResponseHeader.encode(api.ResponseHeader.make({ clusterId }))).toThrow(RangeError);
  }
});

test("the list that a message lacks is nobody's to fill", () => {
  expect(() => api.RangeResponse.make({}).kvs.push(api.KeyValue.make({}))).toThrow(TypeError);
});
