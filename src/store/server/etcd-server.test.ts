/** The server as a stranger meets it: HTTP/1.1 beside gRPC, nonsense, requests too large, no room left. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { systemClock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { Engine } from "../engine/engine.ts";
import { KV, Lease } from "../etcd-protocol/etcd-api.ts";
import { GrpcChannel } from "../etcd-protocol/grpc-channel.ts";
import { EtcdServer } from "./etcd-server.ts";

let engine: Engine;
let server: EtcdServer;
let url: string;

beforeAll(async () => {
  engine = Engine.open({ path: ":memory:", clock: systemClock, sizeMaxBytes: 20 * 1024 * 1024 });
  server = await EtcdServer.start({
    engine,
    clock: systemClock,
    log: silentLog,
    listen: [{ host: "127.0.0.1", port: 0 }],
  });
  url = server.urls[0] ?? "";
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

const options = { timeoutMs: 3_000, signal: undefined };

async function withChannel<T>(use: (channel: GrpcChannel) => Promise<T>): Promise<T> {
  const channel = await GrpcChannel.open(url, systemClock, 2_000);
  try {
    return await use(channel);
  } finally {
    channel.close();
  }
}

async function stillServes(): Promise<void> {
  await withChannel(async (channel) => {
    const answer = await channel.unary(KV.range, { key: Buffer.from("x") }, options);
    expect(answer.header?.revision).toBeGreaterThan(0n);
  });
}

async function refusalOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "accepted",
    (error: unknown) => describeError(error),
  );
}

test("health, version and metrics are answered over HTTP/1.1 on the same port, everything else is not there", async () => {
  expect(await (await fetch(`${url}/health`)).json()).toEqual({ health: "true" });
  expect(await (await fetch(`${url}/version`)).json()).toEqual({ etcdserver: "3.4.0", etcdcluster: "3.4.0" });
  expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^etcd_debugging_mvcc_current_revision \d+$/m);
  expect((await fetch(`${url}/other`)).status).toBe(404);
  expect((await fetch(`${url}/health`, { method: "POST", body: "x" })).status).toBe(404);
});

test("a request head that comes in pieces is understood", async () => {
  const answer = await speak(["GE", "T /health HT", "TP/1.1\r\nHost: x\r\n", "\r\n"]);
  expect(answer).toContain('{"health":"true"}');
});

for (const [what, bytes] of [
  ["nonsense", ["\u0000\u0001\u0002\r\n\r\n"]],
  ["a TLS hello", ["\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003".repeat(900)]],
  ["an endless request head", ["GET /", "a".repeat(20_000)]],
  ["HTTP/2 that turns into nonsense", ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u00ff".repeat(500)]],
  ["HTTP/2 that stops in its preface", ["PRI * HT"]],
] as const) {
  test(`${what} ends that connection and no other`, async () => {
    await withChannel(async (other) => {
      await speak(bytes);
      const answer = await other.unary(KV.range, { key: Buffer.from("x") }, options);
      expect(answer.count).toBe(0n);
    });
    await stillServes();
  });
}

test("a request beyond 1.5 MiB is refused in etcd's words, one beyond 2 MiB in gRPC's, and nothing is stored", async () => {
  await withChannel(async (channel) => {
    const put = (bytes: number) =>
      refusalOf(channel.unary(KV.put, { key: Buffer.from("big"), value: Buffer.alloc(bytes) }, options));
    expect(await put(1.5 * 1024 * 1024)).toContain("etcdserver: request is too large");
    expect(await put(3 * 1024 * 1024)).toContain("grpc: received message larger than max");
    const answer = await channel.unary(KV.range, { key: Buffer.from("big") }, options);
    expect(answer.count).toBe(0n);
  });
});

test("many connections that come and go, and calls cut off in the middle, leave it serving", async () => {
  for (let round = 0; round < 20; round++) {
    const channel = await GrpcChannel.open(url, systemClock, 2_000);
    const calls = Array.from({ length: 20 }, (_, index) =>
      refusalOf(channel.unary(KV.put, { key: Buffer.from(`cut${index}`), value: Buffer.alloc(10_000) }, options)),
    );
    if (round % 2 === 0) await calls[0];
    channel.close();
    for (const outcome of await Promise.all(calls))
      expect(["accepted"].includes(outcome) || outcome.includes("lost")).toBe(true);
  }
  await stillServes();
});

test("a store that is full refuses puts, says so in its status, and takes them again when there is room", async () => {
  await withChannel(async (channel) => {
    const value = Buffer.alloc(1024 * 1024, 0x61);
    const key = (index: number) => Buffer.from(`full/${index}`);
    let index = 0;
    let refusal = "accepted";
    for (; index < 400 && refusal === "accepted"; index++) {
      refusal = await refusalOf(channel.unary(KV.put, { key: key(index % 60), value }, options));
    }
    expect(refusal).toContain("etcdserver: mvcc: database space exceeded");
    await channel.unary(KV.deleteRange, { key: Buffer.from("full/"), rangeEnd: Buffer.from("full0") }, options);
    await channel.unary(KV.compact, { revision: BigInt(engine.revision), physical: true }, options);
    expect(await refusalOf(channel.unary(KV.put, { key: key(0), value }, options))).toBe("accepted");
  });
}, 30_000);

test("keep-alives of one stream are answered in order", async () => {
  await withChannel(async (channel) => {
    const lease = await channel.unary(Lease.leaseGrant, { TTL: 50n }, options);
    const answer = await channel.unary(Lease.leaseKeepAlive, { ID: lease.ID }, options);
    expect([answer.ID, answer.TTL]).toEqual([lease.ID, 50n]);
    const gone = await channel.unary(Lease.leaseKeepAlive, { ID: 1n }, options);
    expect([gone.ID, gone.TTL]).toEqual([1n, 0n]);
  });
});

/** Sends the pieces one after the other; what came back until the server closed or two tenths of a second of silence. */
function speak(pieces: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    let answer = "";
    const socket: Socket = connect(Number(port), hostname, () => {
      const send = (index: number) => {
        const piece = pieces[index];
        if (piece === undefined) return;
        socket.write(Buffer.from(piece, "latin1"), () => setImmediate(() => send(index + 1)));
      };
      send(0);
    });
    socket.setTimeout(200, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
    });
    socket.on("error", (error) => ("code" in error && error.code === "ECONNRESET" ? undefined : reject(error)));
    socket.on("close", () => resolve(answer));
  });
}
