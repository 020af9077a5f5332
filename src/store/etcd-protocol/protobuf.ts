/**
 * Protobuf messages described by tables: a name, a number and a type for each field. As much of proto3 as etcd's interface
 * uses. What a message lacks has the zero of its type, and fields that nobody knows are passed over. Numbers of 64 bits are
 * bigint; bytes that were read are a part of the message's, not a copy.
 *
 * Why not a library's generated code: building its descriptors took 12 of the 43 ms of a short command.
 */
import { Reader, tagOf, Writer, wire } from "./protobuf-bytes.ts";

/** A type of values. `Zero` is what a field of it has that was not written: for a message, undefined. */
interface Type<T, Zero> {
  readonly layout: number;
  readonly zero: Zero;
  isZero(value: T | Zero): value is Zero;
  /** `begun`: a message may come in parts. */
  read(from: Reader, begun: T | Zero | undefined): T;
  write(to: Writer, value: T): void;
}

export interface MessageType<T> extends Type<T, undefined> {
  /** With the zeros of what is not given. */
  make(given: Partial<T>): T;
  encode(message: T): Buffer;
  /** @throws Malformed */
  decode(bytes: Uint8Array): T;
}

export type MessageOf<M> = M extends MessageType<infer T> ? T : never;

function scalar<T>(
  layout: number,
  zero: T,
  read: (from: Reader) => T,
  write: (to: Writer, value: T) => void,
  isZero = (value: T): value is T => value === zero,
): Type<T, T> {
  return { layout, zero, isZero, read, write };
}

export const int64 = scalar(
  wire.varint,
  0n,
  (from) => from.int64(),
  (to, value) => to.int64(value),
);
export const uint64 = scalar(
  wire.varint,
  0n,
  (from) => from.uint64(),
  (to, value) => to.uint64(value),
);
export const uint32 = scalar(
  wire.varint,
  0,
  (from) => Number(BigInt.asUintN(32, from.uint64())),
  (to, value) => to.number(value),
);
/** Of an enum: also one that is not known. */
export const choice = scalar(
  wire.varint,
  0,
  (from) => Number(BigInt.asIntN(32, from.uint64())),
  (to, value) => to.int64(BigInt(value)),
);
export const bool = scalar<boolean>(
  wire.varint,
  false,
  (from) => from.uint64() !== 0n,
  (to, value) => to.number(value ? 1 : 0),
);
export const bytes = scalar<Uint8Array>(
  wire.lengthDelimited,
  new Uint8Array(0),
  (from) => from.bytes(),
  (to, value) => {
    to.bytes(value);
    to.number(value.length);
  },
  (value): value is Uint8Array => value.length === 0,
);
export const text = scalar(
  wire.lengthDelimited,
  "",
  (from) => Buffer.from(from.bytes()).toString("utf8"),
  (to, value) => to.number(to.text(value)),
);

/** A member of a message in this program, which may be several fields on the wire. */
interface Member<T> {
  readonly zero: T;
  readonly occurrences: readonly Occurrence<T>[];
  write(to: Writer, value: T): void;
}

interface Occurrence<T> {
  readonly tag: number;
  /** `before`: what has been read of the member. */
  read(from: Reader, before: T): T;
}

export function field<T, Zero>(number: number, type: Type<T, Zero>): Member<T | Zero> {
  const tag = tagOf(number, type.layout);
  return {
    zero: type.zero,
    occurrences: [{ tag, read: type.read }],
    write: (to, value) => {
      if (type.isZero(value)) return;
      type.write(to, value);
      to.number(tag);
    },
  };
}

/** Shared by all messages that lack a list. */
const nothing: never[] = [];
Object.freeze(nothing);

/** Numbers may come packed into one field, too, and are written so. */
export function list<T, Zero>(number: number, type: Type<T, Zero>): Member<T[]> {
  const tag = tagOf(number, type.layout);
  const packedTag = tagOf(number, wire.lengthDelimited);
  const add = (from: Reader, before: T[]) => {
    const items = before === nothing ? [] : before;
    items.push(type.read(from, undefined));
    return items;
  };
  const addPacked = (from: Reader, before: T[]) =>
    from.within(() => {
      let items = before;
      while (!from.done) items = add(from, items);
      return items;
    });
  const packs = tag !== packedTag;
  return {
    zero: nothing,
    occurrences: [{ tag, read: add }, ...(packs ? [{ tag: packedTag, read: addPacked }] : [])],
    write: (to, items) => {
      const end = to.length;
      for (const item of items.toReversed()) {
        type.write(to, item);
        if (!packs) to.number(tag);
      }
      if (!packs || items.length === 0) return;
      to.number(to.length - end);
      to.number(packedTag);
    },
  };
}

type Choices = Readonly<Record<string, readonly [number: number, type: Type<unknown, unknown>]>>;
type OneOf<C extends Choices> =
  | { readonly case: undefined; readonly value?: undefined }
  | {
      [Name in keyof C & string]: {
        readonly case: Name;
        readonly value: C[Name][1] extends Type<infer T, unknown> ? T : never;
      };
    }[keyof C & string];

/** At most one of these fields; of several the last. */
export function oneOf<C extends Choices>(choices: C): Member<OneOf<C>> {
  const zero: Member<OneOf<C>>["zero"] = { case: undefined };
  return {
    zero,
    occurrences: Object.entries(choices).map(([name, [number, type]]) => ({
      tag: tagOf(number, type.layout),
      read: (from, before) => {
        const value = type.read(from, before.case === name ? before.value : undefined);
        return { case: name, value } as OneOf<C>;
      },
    })),
    write: (to, { case: name, value }) => {
      const chosen = name === undefined ? undefined : choices[name];
      if (chosen === undefined) return;
      const [number, type] = chosen;
      type.write(to, value);
      to.number(tagOf(number, type.layout));
    },
  };
}

type Members = Readonly<Record<string, Member<unknown>>>;
type Shape<M extends Members> = { [Name in keyof M]: M[Name] extends Member<infer T> ? T : never };

/** The table is made when it is first needed; it may name messages that stand below. */
export function message<M extends Members>(members: () => M): MessageType<Shape<M>> {
  return new TableType(members) as MessageType<Shape<M>>;
}

type Message = Readonly<Record<string, unknown>>;

class TableType implements MessageType<Message> {
  readonly layout = wire.lengthDelimited;
  readonly zero = undefined;
  readonly #members: () => Members;
  #table: Table | undefined;

  constructor(members: () => Members) {
    this.#members = members;
  }

  isZero(value: Message | undefined): value is undefined {
    return value === undefined;
  }

  make(given: Partial<Message>): Message {
    return { ...this.#made.zeros, ...given };
  }

  encode(message: Message): Buffer {
    const to = new Writer();
    this.#writeMembers(to, message);
    return to.written();
  }

  decode(encoded: Uint8Array): Message {
    return this.#readMembers(new Reader(encoded), undefined);
  }

  readonly read = (from: Reader, begun: Message | undefined): Message =>
    from.within(() => this.#readMembers(from, begun));

  readonly write = (to: Writer, message: Message): void => {
    const end = to.length;
    this.#writeMembers(to, message);
    to.number(to.length - end);
  };

  get #made(): Table {
    this.#table ??= tableOf(this.#members());
    return this.#table;
  }

  #readMembers(from: Reader, begun: Message | undefined): Message {
    const { zeros, byTag } = this.#made;
    const message: Record<string, unknown> = { ...(begun ?? zeros) };
    while (!from.done) {
      const tag = from.number();
      const known = byTag[tag];
      if (known === undefined) from.skip(tag);
      else message[known.name] = known.occurrence.read(from, message[known.name]);
    }
    return message;
  }

  #writeMembers(to: Writer, message: Message): void {
    for (const [name, member] of this.#made.backward) member.write(to, message[name]);
  }
}

interface Table {
  readonly zeros: Message;
  readonly byTag: readonly ({ readonly name: string; readonly occurrence: Occurrence<unknown> } | undefined)[];
  /** In the order in which they are written. */
  readonly backward: readonly (readonly [name: string, member: Member<unknown>])[];
}

function tableOf(members: Members): Table {
  const entries = Object.entries(members);
  const byTag: { name: string; occurrence: Occurrence<unknown> }[] = [];
  for (const [name, { occurrences }] of entries) {
    for (const occurrence of occurrences) byTag[occurrence.tag] = { name, occurrence };
  }
  const zeros = Object.fromEntries(entries.map(([name, { zero }]) => [name, zero]));
  return { zeros, byTag, backward: entries.toReversed() };
}
