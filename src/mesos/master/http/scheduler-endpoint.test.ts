/** The scheduler API over real HTTP (reference: mesos-behaviour 13.1; the numbers are its). */

import { describe, expect, test } from "bun:test";
import { parseSchedulerEvent } from "../../protocol/call-union.ts";
import { readRecords } from "../../protocol/recordio.ts";
import type { SchedulerEvent } from "../../protocol/scheduler-event.ts";
import { postJson, RawConnection, startTestServer, type TestServer, until } from "../testing/test-server.ts";

const subscribe = {
  type: "SUBSCRIBE",
  subscribe: { framework_info: { user: "nobody", name: "café", failover_timeout: 60 } },
};

async function openStream(server: TestServer, body: unknown = subscribe, headers: Record<string, string> = {}) {
  const stop = new AbortController();
  const response = await postJson(`${server.url}/api/v1/scheduler`, body, headers, stop.signal);
  const records = readRecords(response.body ?? new ReadableStream());
  const next = async (): Promise<SchedulerEvent | undefined> => {
    const { value } = await records.next();
    return value === undefined ? undefined : parseSchedulerEvent(value);
  };
  const streamId = response.headers.get("Mesos-Stream-Id") ?? "";
  return { response, next, streamId, close: () => stop.abort() };
}

async function subscribed(server: TestServer, body: unknown = subscribe) {
  const stream = await openStream(server, body);
  const first = await stream.next();
  if (first?.type !== "SUBSCRIBED") throw new Error(`not SUBSCRIBED: ${JSON.stringify(first)}`);
  await stream.next();
  const frameworkId = first.subscribed.framework_id;
  const call = (
    type: string,
    more: object = {},
    headers: Record<string, string> = { "Mesos-Stream-Id": stream.streamId },
  ) => postJson(`${server.url}/api/v1/scheduler`, { type, framework_id: frameworkId, ...more }, headers);
  return { ...stream, frameworkId, call };
}

describe("refusals before a stream", () => {
  const refused: readonly [name: string, init: RequestInit, status: number, text: string][] = [
    ["no Content-Type (2)", { method: "POST", body: new Blob(["{}"]) }, 400, "Expecting 'Content-Type' to be present"],
    [
      "a body that is not JSON (3)",
      { method: "POST", body: "foobar", headers: json() },
      400,
      "Failed to parse body into JSON",
    ],
    [
      "JSON that is no Call (3)",
      { method: "POST", body: "[]", headers: json() },
      400,
      "Failed to convert JSON into Call",
    ],
    ["an unknown type", { method: "POST", body: '{"type":"X"}', headers: json() }, 501, "unknown type"],
    [
      "an unknown media type (4)",
      { method: "POST", body: "x", headers: { "Content-Type": "application/unknown" } },
      415,
      "application/json",
    ],
    [
      "protobuf, not served yet",
      { method: "POST", body: "x", headers: { "Content-Type": "application/x-protobuf" } },
      415,
      "not served yet",
    ],
    ["GET (5)", { method: "GET" }, 405, "Expecting one of { 'POST' }"],
    [
      "Accept: foo (7)",
      { method: "POST", body: JSON.stringify(subscribe), headers: { ...json(), Accept: "foo" } },
      406,
      "Expecting 'Accept' to allow",
    ],
    [
      "a stream id on SUBSCRIBE (9)",
      { method: "POST", body: JSON.stringify(subscribe), headers: { ...json(), "Mesos-Stream-Id": "x" } },
      400,
      "should not include",
    ],
    [
      "two different framework ids (14)",
      { method: "POST", body: JSON.stringify({ ...subscribe, framework_id: { value: "a" } }), headers: json() },
      400,
      "differs from",
    ],
    [
      "a call from nobody (20)",
      { method: "POST", body: '{"type":"TEARDOWN","framework_id":{"value":"x"}}', headers: json() },
      400,
      "Framework cannot be found",
    ],
    [
      "a body beyond all measure",
      { method: "POST", body: "x".repeat(17 * 1024 * 1024), headers: json() },
      413,
      "larger than",
    ],
  ];
  for (const [name, init, status, text] of refused) {
    test(`${name} is answered ${status}`, async () => {
      await using server = await startTestServer();
      const response = await fetch(`${server.url}/api/v1/scheduler`, init);
      expect(response.status).toBe(status);
      expect(await response.text()).toContain(text);
      if (status === 405) expect(response.headers.get("Allow")).toBe("POST");
      expect(server.master.context.cluster.frameworks.size).toBe(0);
    });
  }
});

describe("the stream", () => {
  test("200, JSON, a stream id, SUBSCRIBED then HEARTBEAT; one record is one chunk, lengths are bytes (6, 8, 18)", async () => {
    await using server = await startTestServer();
    const body = JSON.stringify(subscribe);
    const head = `POST /master/api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    // The request itself arrives in pieces.
    using raw = new RawConnection(server.port, [head.slice(0, 20), head.slice(20), body.slice(0, 9), body.slice(9)]);
    await until("two records", () => raw.chunks().length >= 2);
    expect(raw.head).toContain("HTTP/1.1 200 OK");
    expect(raw.head).toContain("Content-Type: application/json");
    expect(raw.head).toContain("Transfer-Encoding: chunked");
    expect(raw.head).not.toContain("Content-Length");
    expect(raw.head).toMatch(/Mesos-Stream-Id: [0-9a-f-]{36}/);
    const [framework] = server.master.context.cluster.frameworks.values();
    framework?.stream?.send({ type: "ERROR", error: { message: "ünïcödé" } });
    await until("a third record", () => raw.chunks().length >= 3);
    for (const chunk of raw.chunks()) {
      const [length = "", record = ""] = [chunk.slice(0, chunk.indexOf("\n")), chunk.slice(chunk.indexOf("\n") + 1)];
      expect(Number(length)).toBe(Buffer.byteLength(record));
      expect(record).not.toContain("\n");
    }
    expect(raw.chunks().map((chunk) => JSON.parse(chunk.slice(chunk.indexOf("\n") + 1)).type)).toEqual([
      "SUBSCRIBED",
      "HEARTBEAT",
      "ERROR",
    ]);
    expect(raw.chunks()[0]).toContain('"heartbeat_interval_seconds":15.0');
  });

  test("a refused framework gets 200, one ERROR, and the end of the stream (13)", async () => {
    await using server = await startTestServer();
    const stream = await openStream(server, {
      ...subscribe,
      subscribe: { framework_info: { user: "a", name: "b", role: "." } },
    });
    expect(stream.response.status).toBe(200);
    expect((await stream.next())?.type).toBe("ERROR");
    expect(await stream.next()).toBeUndefined();
  });

  test("an empty framework_info.id is no id (15)", async () => {
    await using server = await startTestServer();
    const { framework_info } = subscribe.subscribe;
    await subscribed(server, {
      type: "SUBSCRIBE",
      subscribe: { framework_info: { ...framework_info, id: { value: "" } } },
    });
  });

  test("a second SUBSCRIBE gets another stream id; the first stream gets ERROR and ends (10)", async () => {
    await using server = await startTestServer();
    const first = await subscribed(server);
    const again = { framework_info: { ...subscribe.subscribe.framework_info, id: first.frameworkId } };
    const second = await subscribed(server, { type: "SUBSCRIBE", framework_id: first.frameworkId, subscribe: again });
    expect(second.frameworkId).toEqual(first.frameworkId);
    expect(second.streamId).not.toBe(first.streamId);
    expect(await first.next()).toEqual({ type: "ERROR", error: { message: "Framework failed over" } });
    expect(await first.next()).toBeUndefined();
    expect((await first.call("REVIVE")).status).toBe(400);
    expect((await second.call("REVIVE")).status).toBe(202);
  });

  test("TEARDOWN without or with a wrong stream id is 400, with the right one 202 and the stream ends (11)", async () => {
    await using server = await startTestServer();
    const stream = await subscribed(server);
    const missing = await stream.call("TEARDOWN", {}, {});
    expect([missing.status, await missing.text()]).toEqual([
      400,
      "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
    ]);
    expect((await stream.call("TEARDOWN", {}, { "Mesos-Stream-Id": "wrong" })).status).toBe(400);
    const right = await stream.call("TEARDOWN");
    expect([
      right.status,
      await right.text(),
      right.headers.get("Content-Length"),
      right.headers.get("Content-Type"),
    ]).toEqual([202, "", "0", null]);
    expect(await stream.next()).toBeUndefined();
  });

  test("after the stream has closed, calls are 403 until the failover timeout (20)", async () => {
    await using server = await startTestServer();
    const stream = await subscribed(server);
    stream.close();
    const framework = server.master.context.cluster.frameworks.get(stream.frameworkId.value);
    await until("the master notices", () => framework?.stream === undefined);
    const response = await stream.call("REVIVE");
    expect([response.status, await response.text()]).toEqual([403, "Framework is not subscribed"]);
  });

  test("a stream that is not read is cut off, so that it cannot fill the master's memory", async () => {
    await using server = await startTestServer();
    const body = JSON.stringify(subscribe);
    using raw = new RawConnection(
      server.port,
      `POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await until("subscribed", () => raw.chunks().length >= 2);
    raw.pause();
    const [framework] = server.master.context.cluster.frameworks.values();
    const message = "x".repeat(1024 * 1024);
    for (let count = 0; count < 60; count++) framework?.stream?.send({ type: "ERROR", error: { message } });
    await until("the master gives up", () => framework?.stream === undefined);
  });

  test("an agent that leaves while it is being admitted is watched like one that left later", async () => {
    await using server = await startTestServer(["--agent_ping_timeout=50ms", "--max_agent_ping_timeouts=1"]);
    const { registry, cluster } = server.master.context;
    const put = registry.putAgent.bind(registry);
    const gate = Promise.withResolvers<void>();
    let asked = false;
    registry.putAgent = async (...given) => {
      asked = true;
      await gate.promise;
      await put(...given);
    };
    const call = {
      type: "SUBSCRIBE",
      subscribe: { agent_info: { hostname: "h" }, ip: "127.0.0.1", version: "1.11.0" },
    };
    const body = JSON.stringify(call);
    const head = `POST /margay/v1/agent HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const raw = new RawConnection(server.port, head + body);
    await until("the registry is being written", () => asked);
    raw[Symbol.dispose]();
    await until("the connection is gone", () => server.connections() === 0);
    gate.resolve();
    await until("it was admitted", () => registry.agents.size === 1);
    await until("it counts as unreachable", () =>
      [...registry.agents.values()].every((one) => one.state === "unreachable"),
    );
    expect(cluster.agents.size).toBe(0);
  });

  test("an agent over the same server is offered to the framework", async () => {
    await using server = await startTestServer();
    const stream = await subscribed(server);
    const agent = await postJson(`${server.url}/margay/v1/agent`, {
      type: "SUBSCRIBE",
      subscribe: {
        agent_info: { hostname: "host1", resources: [{ name: "cpus", type: "SCALAR", scalar: { value: 2 } }] },
        ip: "127.0.0.1",
        version: "1.11.0",
      },
    });
    const records = readRecords(agent.body ?? new ReadableStream());
    const first = JSON.parse((await records.next()).value ?? "null");
    expect(first.subscribed.agent_id.value).toBe(`${server.master.context.info.id}-S0`);
    const offers = await stream.next();
    expect(offers?.type).toBe("OFFERS");
    const call = { type: "PONG", agent_id: first.subscribed.agent_id, pong: { sequence: 1 } };
    const header = agent.headers.get("Margay-Stream-Id") ?? "";
    expect((await postJson(`${server.url}/margay/v1/agent`, call, { "Margay-Stream-Id": header })).status).toBe(202);
    expect((await postJson(`${server.url}/margay/v1/agent`, call, { "Margay-Stream-Id": "old" })).status).toBe(403);
    expect((await postJson(`${server.url}/margay/v1/agent`, { type: "PONG" })).status).toBe(400);
    const agent_info = { hostname: "h", id: { value: "../../frameworks/x" } };
    const sneaky = { type: "SUBSCRIBE", subscribe: { agent_info, ip: "127.0.0.1", version: "1.11.0" } };
    expect((await postJson(`${server.url}/margay/v1/agent`, sneaky)).status).toBe(400);
  });
});

function json(): Record<string, string> {
  return { "Content-Type": "application/json" };
}
