/** The JSON mapping of Mesos: what is accepted, what is refused and how, what is written. */

import { describe, expect, test } from "bun:test";
import { uuidFromBase64, uuidToBase64 } from "./base64.ts";
import { CallRefused, parseAgentEvent, parseSchedulerCall, parseSchedulerEvent } from "./call-union.ts";
import { formatDuration, parseDuration } from "./durations.ts";
import { frameworkCapabilities } from "./framework-info.ts";
import { decodeMessage, encodeMessage } from "./message-json.ts";
import { messages } from "./message-table.ts";
import { operationTypes } from "./offer.ts";
import { statusReasons, taskStates } from "./task-status.ts";

const task = { name: "web", task_id: { value: "web.1" }, agent_id: { value: "S1" } };

describe("reading", () => {
  const accepted: readonly [name: string, json: object, expected: object][] = [
    ["unknown names are dropped, null is unset", { ...task, extra: 1, data: null }, task],
    [
      "a single value stands for a list",
      { ...task, resources: { name: "cpus", type: "SCALAR", scalar: { value: "0.5" } } },
      { ...task, resources: [{ name: "cpus", type: "SCALAR", scalar: { value: 0.5 } }] },
    ],
    [
      "an unknown enum name leaves an optional field unset",
      { ...task, health_check: { type: "QUIC", delay_seconds: 1 } },
      { ...task, health_check: { delay_seconds: 1 } },
    ],
    [
      "numbers and booleans may be text, limits may be infinite",
      { ...task, command: { shell: "false" }, limits: { mem: { value: "Infinity" } } },
      { ...task, command: { shell: false }, limits: { mem: { value: Number.POSITIVE_INFINITY } } },
    ],
  ];
  for (const [name, json, expected] of accepted) {
    test(name, () => expect(decodeMessage("TaskInfo", json)).toEqual(expected as never));
  }

  const refused: readonly [name: string, json: unknown, message: string][] = [
    [
      "required fields are named with their path",
      { task_id: {} },
      "Missing required fields: name, task_id.value, agent_id",
    ],
    ["a list is no message", [], "Expecting a JSON object, not a list"],
    ["an enum as number", { ...task, container: { type: 1 } }, "container.type: Expecting the name of an enum value"],
    ["an unknown name in a required enum", { ...task, container: { type: "LXC" } }, "Failed to find enum for 'LXC'"],
    ["text that is not base64", { ...task, data: "a" }, "data: Failed to base64 decode"],
    ["a number for a text", { ...task, name: 1 }, "name: Expecting a string, not 1"],
    [
      "a fraction for a whole number",
      { ...task, health_check: { http: { port: 80.5 } } },
      "health_check.http.port: Expecting a whole number",
    ],
    [
      "a list entry is named by its index",
      {
        ...task,
        resources: [
          { name: "cpus", type: "SCALAR" },
          { name: "mem", type: "SCALAR", scalar: { value: {} } },
        ],
      },
      "resources[1].scalar.value: Expecting a number, not an object",
    ],
  ];
  for (const [name, json, message] of refused) {
    test(`${name} is refused`, () => expect(() => decodeMessage("TaskInfo", json)).toThrow(message));
  }

  test("a message nested without end is refused, not a crash", () => {
    let json: object = { value: "x" };
    for (let depth = 0; depth < 500; depth++) json = { value: "x", parent: json };
    const status = { task_id: { value: "t" }, state: "TASK_RUNNING", container_status: { container_id: json } };
    expect(() => decodeMessage("TaskStatus", status)).toThrow("Nested too deeply");
  });
});

describe("writing", () => {
  test("defaults are written, doubles keep a point, empty lists and unknown names are not written", () => {
    const info = { user: "root", name: "x", roles: [], failover_timeout: 15, extra: 1 };
    expect(encodeMessage("FrameworkInfo", info)).toBe(
      '{"user":"root","name":"x","failover_timeout":15.0,"checkpoint":false}',
    );
    expect(encodeMessage("AgentInfo", { hostname: "a" })).toBe('{"hostname":"a","port":5051}');
  });
  test("times are bare whole numbers and infinity stays valid JSON", () => {
    const status = {
      task_id: { value: "t" },
      state: "TASK_UNREACHABLE",
      unreachable_time: { nanoseconds: 1_767_000_000_000_000_000 },
    } as const;
    expect(encodeMessage("TaskStatus", status)).toContain('"unreachable_time":{"nanoseconds":1767000000000000000}');
    expect(encodeMessage("TaskInfo", { ...task, limits: { mem: { value: Number.POSITIVE_INFINITY } } })).toContain(
      '"limits":{"mem":{"value":"Infinity"}}',
    );
  });
  test("what is written reads back as itself", () => {
    const info = { ...task, data: "aGVsbG8K", labels: { labels: [{ key: "a" }] }, limits: { cpus: { value: 1.5 } } };
    expect(decodeMessage("TaskInfo", JSON.parse(encodeMessage("TaskInfo", info)))).toEqual(info);
  });
});

describe("calls and events", () => {
  const refused: readonly [body: string, status: number, message: string][] = [
    ["foobar", 400, "Failed to parse body into JSON"],
    ['{"accept":{}}', 501, "unknown type"],
    ['{"type":"NEW_THING"}', 501, "unknown type"],
    ['{"type":"SUBSCRIBE"}', 400, "Expecting 'subscribe' to be present"],
    [
      '{"type":"ACCEPT","framework_id":{"value":"F"}}',
      400,
      "Failed to validate scheduler::Call: Expecting 'accept' to be present",
    ],
    ['{"type":"TEARDOWN"}', 400, "Expecting 'framework_id' to be present"],
    [
      '{"type":"KILL","kill":{}}',
      400,
      "Failed to convert JSON into Call protobuf: Missing required fields: kill.task_id",
    ],
    ['"SUBSCRIBE"', 400, "Failed to convert JSON into Call protobuf"],
  ];
  for (const [body, status, message] of refused) {
    test(`${body} is refused with ${status}`, () => {
      try {
        parseSchedulerCall(body);
        throw new Error("was accepted");
      } catch (error) {
        if (!(error instanceof CallRefused)) throw error;
        expect(error.status).toBe(status as 400);
        expect(error.message).toContain(message);
      }
    });
  }
  test("calls without a body need none", () => {
    expect(parseSchedulerCall('{"type":"REVIVE","framework_id":{"value":"F"}}').type).toBe("REVIVE");
  });
  test("events of a newer master are skipped", () => {
    expect(parseSchedulerEvent('{"type":"BRAND_NEW"}')).toBeUndefined();
    expect(parseAgentEvent('{"type":"BRAND_NEW"}')).toBeUndefined();
    expect(parseSchedulerEvent('{"type":"HEARTBEAT"}')).toEqual({ type: "HEARTBEAT" });
  });
});

describe("the table and the types say the same", () => {
  const pairs: readonly [enumeration: string, message: string, field: string, names: readonly string[]][] = [
    ["states", "TaskStatus", "state", taskStates],
    ["reasons", "TaskStatus", "reason", statusReasons],
    ["operations", "Operation", "type", operationTypes],
    ["framework capabilities", "FrameworkCapability", "type", frameworkCapabilities],
  ];
  for (const [name, message, field, names] of pairs) {
    test(name, () => {
      const type = messages.get(message)?.fields.find((one) => one.name === field)?.type;
      expect(type?.kind).toBe("enum");
      if (type?.kind === "enum") expect([...type.enumeration.numbers.keys()].toSorted()).toEqual(names.toSorted());
    });
  }
  test("no message uses a field name or number twice", () => {
    for (const message of messages.values()) {
      expect(new Set(message.fields.map((field) => field.name)).size).toBe(message.fields.length);
      expect(new Set(message.fields.map((field) => field.number)).size).toBe(message.fields.length);
    }
  });
});

describe("small texts", () => {
  test("a uuid is 16 raw bytes in base64", () => {
    const uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    expect(uuidToBase64(uuid)).toHaveLength(24);
    expect(uuidFromBase64(uuidToBase64(uuid))).toBe(uuid);
    expect(uuidFromBase64("aGVsbG8K")).toBeUndefined();
    expect(() => uuidToBase64("x")).toThrow();
  });
  const durations: readonly [text: string, ms: number][] = [
    ["15secs", 15_000],
    ["1mins", 60_000],
    ["2hrs", 7_200_000],
    ["2weeks", 1_209_600_000],
    ["90secs", 90_000],
    ["500ms", 500],
  ];
  for (const [text, ms] of durations) {
    test(`${text} is ${ms} ms and prints as itself`, () => {
      expect(parseDuration(text, "")).toBe(ms);
      expect(formatDuration(ms)).toBe(text);
    });
  }
  for (const bad of ["15", "secs", "15 secs", "-1secs", "1e3secs", "15minutes"]) {
    test(`"${bad}" is no duration`, () => expect(() => parseDuration(bad, "--x")).toThrow("--x"));
  }
});
