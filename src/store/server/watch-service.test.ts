/** What the contract cannot see of the Watch service: ids, filters, progress, fragments, cancelling, hanging up. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock, TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { Engine } from "../engine/engine.ts";
import { noBytes, prefixRange } from "../engine/requests.ts";
import {
  Event_EventType,
  Watch,
  WatchCreateRequest,
  WatchCreateRequest_FilterType,
  WatchRequest,
  type WatchResponse,
} from "../etcd-protocol/etcd-api.ts";
import { type ClientStream, GrpcChannel } from "../etcd-protocol/grpc-channel.ts";
import { EtcdServer } from "./etcd-server.ts";

let clock: TestClock;
let engine: Engine;
let server: EtcdServer;
let channel: GrpcChannel;

beforeEach(async () => {
  clock = new TestClock();
  engine = Engine.open({ path: ":memory:", clock });
  server = await EtcdServer.start({ engine, clock, log: silentLog, listen: [{ host: "127.0.0.1", port: 0 }] });
  channel = await GrpcChannel.open(server.urls[0] ?? "", systemClock, 2_000);
});
afterEach(async () => {
  channel.close();
  await server[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

class WatchClient {
  readonly responses: WatchResponse[] = [];
  readonly stream: ClientStream<WatchRequest>;
  #wake: () => void = () => undefined;

  constructor() {
    this.stream = channel.stream(Watch.watch, {
      onMessage: (message) => {
        this.responses.push(message);
        this.#wake();
      },
      onEnd: () => this.#wake(),
    });
  }

  create(request: Partial<WatchCreateRequest>): void {
    this.stream.send(
      WatchRequest.make({ requestUnion: { case: "createRequest", value: WatchCreateRequest.make(request) } }),
    );
  }

  cancel(watchId: bigint): void {
    this.stream.send(WatchRequest.make({ requestUnion: { case: "cancelRequest", value: { watchId } } }));
  }

  progress(): void {
    this.stream.send(WatchRequest.make({ requestUnion: { case: "progressRequest", value: {} } }));
  }

  async next(): Promise<WatchResponse> {
    const timeout = AbortSignal.timeout(3_000);
    for (;;) {
      const response = this.responses.shift();
      if (response !== undefined) return response;
      if (timeout.aborted) throw new Error("no watch response within 3 s");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timeout.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}

const put = (key: string, value = "v") => engine.put({ kind: "put", key: Buffer.from(key), value: Buffer.from(value) });
const remove = (key: string) => engine.delete({ kind: "delete", key: Buffer.from(key), rangeEnd: noBytes });
const below = (prefix: string) => prefixRange(Buffer.from(prefix));
const shown = (response: WatchResponse) =>
  response.events.map(
    (event) => `${event.type === Event_EventType.PUT ? "put" : "delete"} ${Buffer.from(event.kv?.key ?? noBytes)}`,
  );

test("watchers of one stream have ids of their own, chosen by the server or the client, and none twice", async () => {
  const client = new WatchClient();
  client.create(below("a"));
  client.create({ ...below("a"), watchId: 1n });
  client.create(below("b"));
  client.create({ ...below("b"), watchId: 1n });
  const created = [await client.next(), await client.next(), await client.next(), await client.next()];
  expect(
    created.map(({ watchId, created, canceled, cancelReason }) => [watchId, created, canceled, cancelReason]),
  ).toEqual([
    [0n, true, false, ""],
    [1n, true, false, ""],
    [2n, true, false, ""],
    [-1n, true, true, "mvcc: duplicate watch ID provided on the WatchStream"],
  ]);
  await put("b1");
  expect(await client.next()).toMatchObject({ watchId: 2n });
  await put("a1");
  expect([(await client.next()).watchId, (await client.next()).watchId].toSorted()).toEqual([0n, 1n]);
});

test("filters and previous values are per watcher", async () => {
  await put("k", "old");
  const client = new WatchClient();
  client.create({ ...below("k"), watchId: 1n, filters: [WatchCreateRequest_FilterType.NOPUT], prevKv: true });
  client.create({ ...below("k"), watchId: 2n, filters: [WatchCreateRequest_FilterType.NODELETE] });
  await client.next();
  await client.next();
  await put("k", "new");
  const seen = await client.next();
  expect([seen.watchId, shown(seen), seen.events[0]?.prevKv]).toEqual([2n, ["put k"], undefined]);
  await remove("k");
  const removed = await client.next();
  expect([
    removed.watchId,
    shown(removed),
    Buffer.from(removed.events[0]?.prevKv?.value ?? noBytes).toString(),
  ]).toEqual([1n, ["delete k"], "new"]);
});

test("a cancelled watcher says so and is silent from then on", async () => {
  const client = new WatchClient();
  client.create({ ...below("k"), watchId: 7n });
  await client.next();
  client.cancel(7n);
  expect(await client.next()).toMatchObject({ watchId: 7n, canceled: true });
  await put("k");
  client.create({ ...below("x"), watchId: 8n });
  expect(await client.next()).toMatchObject({ watchId: 8n, created: true });
  expect(engine.watcherCount).toBe(1);
});

test("a watch from before the compaction is created, then cancelled with the revision that is left", async () => {
  for (const value of ["1", "2", "3"]) await put("k", value);
  await engine.compact(3);
  const client = new WatchClient();
  client.create({ ...below("k"), startRevision: 2n });
  expect(await client.next()).toMatchObject({ created: true, canceled: false });
  expect(await client.next()).toMatchObject({ canceled: true, compactRevision: 3n, events: [] });
  client.create({ ...below("k"), startRevision: 3n });
  await client.next();
  expect((await client.next()).events.length).toBe(2);
});

test("an empty range is refused", async () => {
  const client = new WatchClient();
  client.create({ key: Buffer.from("b"), rangeEnd: Buffer.from("a") });
  expect(await client.next()).toMatchObject({
    created: true,
    canceled: true,
    cancelReason: "mvcc: watcher range is empty",
  });
});

test("progress is told on request for all, and on a timer to the idle who asked", async () => {
  const client = new WatchClient();
  client.create({ ...below("k"), progressNotify: true });
  await client.next();
  await put("elsewhere");
  client.progress();
  expect(await client.next()).toMatchObject({ watchId: -1n, events: [], header: { revision: 2n } });
  await put("elsewhere");
  await clock.advance(60_000);
  expect(await client.next()).toMatchObject({ watchId: 0n, events: [], header: { revision: 3n } });
  await put("k");
  await client.next();
  await clock.advance(60_000);
  await clock.advance(60_000);
  expect(await client.next()).toMatchObject({ watchId: 0n, events: [], header: { revision: 4n } });
});

test("a transaction too large for one message comes in fragments to whoever asked for them", async () => {
  const success = Array.from({ length: 40 }, (_, index) => ({
    kind: "put" as const,
    key: Buffer.from(`k${String(index).padStart(2, "0")}`),
    value: Buffer.alloc(100_000, 0x61),
  }));
  const client = new WatchClient();
  client.create({ ...below("k"), watchId: 1n, fragment: true });
  client.create({ ...below("k"), watchId: 2n });
  await client.next();
  await client.next();
  await engine.transact({ kind: "txn", compare: [], success, failure: [] });
  const parts: WatchResponse[] = [];
  while (parts.filter((part) => !part.fragment).length < 2) parts.push(await client.next());
  const fragmented = parts.filter((part) => part.watchId === 1n);
  expect(fragmented.map((part) => part.fragment)).toEqual([true, true, false]);
  expect(fragmented.flatMap(shown).length).toBe(40);
  expect(parts.filter((part) => part.watchId === 2n).map((part) => part.events.length)).toEqual([40]);
});

test("a client that hangs up leaves no watcher behind", async () => {
  const client = new WatchClient();
  client.create(below("k"));
  await client.next();
  expect(engine.watcherCount).toBe(1);
  client.stream.cancel();
  const timeout = AbortSignal.timeout(3_000);
  while (engine.watcherCount > 0 && !timeout.aborted) await new Promise((resolve) => setImmediate(resolve));
  expect(engine.watcherCount).toBe(0);
});
