/**
 * JSON as Mesos reads and writes its messages (reference: mesos-api 1.3), driven by the message table.
 *
 * Reading: unknown names are dropped, null means unset, enums are names (an unknown one leaves an optional field unset),
 * a single value stands for a list of one, numbers may be text. What is wrong is said with its path in the document.
 * Writing: fields in table order, defaults written out, empty lists omitted, doubles with a point (`15.0`), unknown
 * fields never: strict clients refuse a record that holds one. An infinite double is written as text, which stays JSON.
 */

import type { AgentInfo } from "./agent-info.ts";
import type { AgentCall, AgentEvent } from "./agent-link.ts";
import { decodeBase64 } from "./base64.ts";
import type { FrameworkInfo } from "./framework-info.ts";
import { type Field, type Message, messages, type ScalarKind } from "./message-table.ts";
import type { Offer } from "./offer.ts";
import type { Resource } from "./resource-info.ts";
import type { SchedulerCall } from "./scheduler-call.ts";
import type { SchedulerEvent } from "./scheduler-event.ts";
import type { Task } from "./task.ts";
import type { TaskInfo } from "./task-info.ts";
import type { TaskStatus } from "./task-status.ts";

/** What a name in the table looks like in TypeScript. The union members of calls and events are checked by call-union.ts. */
export interface MessageTypes {
  readonly AgentInfo: AgentInfo;
  readonly FrameworkInfo: FrameworkInfo;
  readonly Offer: Offer;
  readonly Resource: Resource;
  readonly Task: Task;
  readonly TaskInfo: TaskInfo;
  readonly TaskStatus: TaskStatus;
  readonly "scheduler.Call": SchedulerCall;
  readonly "scheduler.Event": SchedulerEvent;
  readonly "margay.AgentCall": AgentCall;
  readonly "margay.AgentEvent": AgentEvent;
}
export type MessageName = keyof MessageTypes;

export class MessageError extends Error {
  override readonly name = "MessageError";
}

/** ContainerID nests; protobuf itself stops at 100. */
const depthMax = 100;

export function decodeMessage<Name extends MessageName>(name: Name, json: unknown): MessageTypes[Name] {
  const missing: string[] = [];
  const decoded = readMessage(messageNamed(name), json, "", missing, 0);
  if (missing.length > 0) throw new MessageError(`Missing required fields: ${missing.join(", ")}`);
  // The table and the types say the same (message-json.test.ts holds them together).
  return decoded as unknown as MessageTypes[Name];
}

/** One line of JSON. */
export function encodeMessage<Name extends MessageName>(name: Name, value: MessageTypes[Name]): string {
  return writeMessage(messageNamed(name), value as unknown as JsonObject);
}

type JsonObject = Readonly<Record<string, unknown>>;

function messageNamed(name: string): Message {
  const message = messages.get(name);
  if (message === undefined) throw new Error(`broken invariant: no message ${name}`);
  return message;
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function readMessage(message: Message, json: unknown, path: string, missing: string[], depth: number): JsonObject {
  if (!isObject(json)) throw new MessageError(`${at(path)}Expecting a JSON object, not ${describeJson(json)}`);
  if (depth > depthMax) throw new MessageError(`${at(path)}Nested too deeply`);
  const result: Record<string, unknown> = {};
  for (const field of message.fields) {
    const value = Object.hasOwn(json, field.name) ? json[field.name] : undefined;
    const fieldPath = path === "" ? field.name : `${path}.${field.name}`;
    const read = value === undefined || value === null ? undefined : readField(field, value, fieldPath, missing, depth);
    if (read !== undefined) result[field.name] = read;
    else if (field.required) missing.push(fieldPath);
  }
  return result;
}

function readField(field: Field, json: unknown, path: string, missing: string[], depth: number): unknown {
  const { type } = field;
  if (type.kind === "map") {
    if (!isObject(json)) throw new MessageError(`${at(path)}Expecting a JSON object, not ${describeJson(json)}`);
    const entries = Object.entries(json).filter(([, value]) => value !== null);
    return Object.fromEntries(
      entries.map(([key, value]) => [key, readMessage(type.values, value, `${path}["${key}"]`, missing, depth + 1)]),
    );
  }
  if (!field.repeated) return readOne(field, json, path, missing, depth);
  const list: readonly unknown[] = Array.isArray(json) ? json : [json];
  return list.flatMap((entry, index) => {
    if (entry === null) return [];
    const read = readOne(field, entry, `${path}[${index}]`, missing, depth);
    return read === undefined ? [] : [read];
  });
}

function readOne(field: Field, json: unknown, path: string, missing: string[], depth: number): unknown {
  const { type } = field;
  switch (type.kind) {
    case "message":
      return readMessage(type.message, json, path, missing, depth + 1);
    case "enum":
      if (typeof json !== "string") {
        throw new MessageError(`${at(path)}Expecting the name of an enum value, not ${describeJson(json)}`);
      }
      if (type.enumeration.numbers.has(json)) return json;
      if (field.required) throw new MessageError(`${at(path)}Failed to find enum for '${json}'`);
      return undefined;
    case "scalar":
      return readScalar(type.scalar, json, path);
    default:
      throw new Error("broken invariant: maps are read by readField");
  }
}

function readScalar(kind: ScalarKind, json: unknown, path: string): string | number | boolean {
  switch (kind) {
    case "str":
      if (typeof json === "string") return json;
      throw new MessageError(`${at(path)}Expecting a string, not ${describeJson(json)}`);
    case "bytes":
      if (typeof json === "string" && decodeBase64(json) !== undefined) return json;
      throw new MessageError(`${at(path)}Failed to base64 decode ${describeJson(json)}`);
    case "bool":
      if (typeof json === "boolean") return json;
      if (json === "true" || json === "false") return json === "true";
      throw new MessageError(`${at(path)}Expecting a boolean, not ${describeJson(json)}`);
    case "dbl":
      if (json === "Infinity" || json === "-Infinity") return Number(json);
      return readNumber(json, path, "a number");
    default: {
      const value = readNumber(json, path, "a whole number");
      const [low, high] = integerBounds[kind];
      if (Number.isInteger(value) && value >= low && value <= high) return value;
      throw new MessageError(`${at(path)}Expecting a whole number between ${low} and ${high}, not ${value}`);
    }
  }
}

const integerBounds = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  i64: [-(2 ** 63), 2 ** 63],
  u64: [0, 2 ** 64],
} as const;

function readNumber(json: unknown, path: string, expected: string): number {
  if (typeof json === "number") return json;
  if (typeof json === "string" && json.trim() !== "" && Number.isFinite(Number(json))) return Number(json);
  throw new MessageError(`${at(path)}Expecting ${expected}, not ${describeJson(json)}`);
}

function at(path: string): string {
  return path === "" ? "" : `${path}: `;
}

function describeJson(json: unknown): string {
  if (json === null) return "null";
  if (Array.isArray(json)) return "a list";
  if (typeof json === "object") return "an object";
  const text = typeof json === "string" ? JSON.stringify(json) : String(json);
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}

function writeMessage(message: Message, value: JsonObject): string {
  let text = "{";
  for (const field of message.fields) {
    const written = writeField(field, value[field.name]);
    if (written === undefined) continue;
    if (text.length > 1) text += ",";
    text += `"${field.name}":${written}`;
  }
  return `${text}}`;
}

function writeField(field: Field, value: unknown): string | undefined {
  if (value === undefined || value === null) {
    if (field.defaultValue === undefined || field.deprecated || field.repeated) return undefined;
    return writeOne(field, field.defaultValue);
  }
  const { type } = field;
  if (type.kind === "map") {
    const entries = Object.entries(value as Readonly<Record<string, JsonObject>>);
    if (entries.length === 0) return undefined;
    return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${writeMessage(type.values, entry)}`).join(",")}}`;
  }
  if (!field.repeated) return writeOne(field, value);
  const list = value as readonly unknown[];
  return list.length === 0 ? undefined : `[${list.map((entry) => writeOne(field, entry)).join(",")}]`;
}

function writeOne(field: Field, value: unknown): string {
  if (field.type.kind === "message") return writeMessage(field.type.message, value as JsonObject);
  if (typeof value !== "number") return JSON.stringify(value);
  if (!Number.isFinite(value)) return `"${value}"`;
  const isDouble = field.type.kind === "scalar" && field.type.scalar === "dbl";
  return isDouble && Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : String(value);
}
