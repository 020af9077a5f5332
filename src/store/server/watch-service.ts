/**
 * etcd's Watch service: many watchers on one stream, each with an id. Every watcher pulls from the engine only when
 * its last message has gone into the connection, so a client that does not read holds nothing but its position.
 */
import type { Clock } from "../../base/clock.ts";
import { isAbort, OperationError } from "../../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { compareBytes, isOpenEnded, type KeyRange } from "../engine/requests.ts";
import type { Watcher, WatcherBatch } from "../engine/watcher.ts";
import {
  type Event,
  Watch,
  type WatchCreateRequest,
  WatchCreateRequest_FilterType,
  type WatchRequest,
  WatchResponse,
} from "../etcd-protocol/etcd-api.ts";
import type { GrpcServer, StreamCall } from "../etcd-protocol/grpc-server.ts";
import { eventMessage, type HeaderOf } from "./wire.ts";

/** How often an idle watcher with progress_notify hears that it missed nothing (etcd: 10 minutes). */
const progressEveryMs = 60_000;
const watchersPerStreamMax = 10_000;
/** Above this a watcher that asked for fragments gets its events in several messages. */
const fragmentBytes = 1.5 * 1024 * 1024;

export function serveWatch(server: GrpcServer, engine: Engine, header: HeaderOf, clock: Clock): void {
  const { watch } = Watch;
  server.stream(watch, (call) => new WatchStream(engine, header, clock, call).serve());
}

interface Registered {
  readonly id: bigint;
  readonly watcher: Watcher;
  readonly request: WatchCreateRequest;
  /** Up to here everything has been sent. */
  sentRevision: number;
  /** Something was sent since the last look of the progress timer. */
  active: boolean;
}

class WatchStream {
  readonly #engine: Engine;
  readonly #header: HeaderOf;
  readonly #clock: Clock;
  readonly #call: StreamCall<WatchRequest, WatchResponse>;
  readonly #watchers = new Map<bigint, Registered>();
  #nextId = 0n;
  #failure: unknown;

  constructor(engine: Engine, header: HeaderOf, clock: Clock, call: StreamCall<WatchRequest, WatchResponse>) {
    this.#engine = engine;
    this.#header = header;
    this.#clock = clock;
    this.#call = call;
  }

  async serve(): Promise<void> {
    let timer = this.#startTimer();
    const onAbort = () => this.#closeAll();
    this.#call.signal.addEventListener("abort", onAbort, { once: true });
    this.#restartTimer = () => {
      timer = this.#startTimer();
    };
    try {
      for await (const request of this.#call.requests) await this.#handle(request);
      // etcd goes on sending when the client has only closed its side: no more requests, but events.
      if (!this.#call.signal.aborted && this.#watchers.size > 0) await this.#hungUp();
      if (this.#failure !== undefined) throw this.#failure;
    } finally {
      timer[Symbol.dispose]();
      this.#call.signal.removeEventListener("abort", onAbort);
      this.#closeAll();
    }
  }

  #restartTimer: () => void = () => undefined;

  #startTimer(): Disposable {
    return this.#clock.timer(progressEveryMs, () => {
      this.#restartTimer();
      for (const registered of this.#watchers.values()) {
        if (registered.request.progressNotify && registered.watcher.idle && !registered.active) {
          this.#sendAside(this.#progress(registered.id, registered.watcher.deliveredRevision));
        }
        registered.active = false;
      }
    });
  }

  #hungUp(): Promise<void> {
    return new Promise((resolve) => this.#call.signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  #closeAll(): void {
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #handle(request: WatchRequest): Promise<void> {
    switch (request.requestUnion.case) {
      case "createRequest":
        return this.#create(request.requestUnion.value);
      case "cancelRequest":
        return this.#cancel(request.requestUnion.value.watchId);
      case "progressRequest":
        return this.#call.send(this.#progress(-1n, this.#progressOfAll()));
      case undefined:
        return;
    }
  }

  async #create(request: WatchCreateRequest): Promise<void> {
    const head = { header: this.#header(this.#engine.visibleRevision), created: true };
    const range = watchedRange(request);
    const problem = this.#problemWith(request, range);
    if (problem !== undefined) {
      const refusal = { ...head, watchId: -1n, canceled: true, cancelReason: problem };
      return this.#call.send(WatchResponse.make(refusal));
    }
    const id = request.watchId !== 0n ? request.watchId : this.#freeId();
    const watcher = this.#engine.watch(range, Number(request.startRevision));
    const registered = { id, watcher, request, sentRevision: watcher.deliveredRevision, active: false };
    this.#watchers.set(id, registered);
    await this.#call.send(WatchResponse.make({ ...head, watchId: id }));
    this.#pump(registered).catch((error: unknown) => {
      this.#failure ??= error;
      this.#closeAll();
    });
  }

  #problemWith(request: WatchCreateRequest, range: KeyRange): string | undefined {
    if (this.#watchers.size >= watchersPerStreamMax) return "too many watchers on one stream";
    if (range.rangeEnd.length > 0 && !isOpenEnded(range) && compareBytes(range.key, range.rangeEnd) >= 0) {
      return "mvcc: watcher range is empty";
    }
    if (request.watchId !== 0n && this.#watchers.has(request.watchId)) {
      return "mvcc: duplicate watch ID provided on the WatchStream";
    }
    return undefined;
  }

  #freeId(): bigint {
    while (this.#watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  async #cancel(id: bigint): Promise<void> {
    const registered = this.#watchers.get(id);
    if (registered === undefined) return;
    this.#watchers.delete(id);
    registered.watcher.close();
    const header = this.#header(this.#engine.visibleRevision);
    await this.#call.send(WatchResponse.make({ header, watchId: id, canceled: true }));
  }

  async #pump(registered: Registered): Promise<void> {
    try {
      while (this.#watchers.get(registered.id) === registered) {
        const batch = await registered.watcher.next();
        if (this.#watchers.get(registered.id) !== registered) return;
        await this.#sendBatch(registered, batch);
        registered.sentRevision = batch.revision;
        registered.active = true;
      }
    } catch (error) {
      // Cancelled by the client, or the client is gone.
      if (this.#call.signal.aborted || this.#watchers.get(registered.id) !== registered || isAbort(error)) return;
      if (!(error instanceof OperationError && error.code === "STORE_COMPACTED")) throw error;
      this.#watchers.delete(registered.id);
      registered.watcher.close();
      await this.#call.send(
        WatchResponse.make({
          header: this.#header(this.#engine.visibleRevision),
          watchId: registered.id,
          canceled: true,
          compactRevision: BigInt(this.#engine.compactRevision),
        }),
      );
    }
  }

  async #sendBatch(registered: Registered, batch: WatcherBatch): Promise<void> {
    const { request, id } = registered;
    const noPut = request.filters.includes(WatchCreateRequest_FilterType.NOPUT);
    const noDelete = request.filters.includes(WatchCreateRequest_FilterType.NODELETE);
    const events = batch.events
      .filter((event) => !(event.type === "put" ? noPut : noDelete))
      .map((event) => eventMessage(event, request.prevKv));
    if (events.length === 0) return;
    const header = this.#header(batch.revision);
    const parts = request.fragment ? fragments(events) : [events];
    for (const [index, part] of parts.entries()) {
      const fragment = index < parts.length - 1;
      await this.#call.send(WatchResponse.make({ header, watchId: id, events: part, fragment }));
    }
  }

  /** What every watcher of the stream has been sent. */
  #progressOfAll(): number {
    let revision = this.#engine.visibleRevision;
    for (const { watcher, sentRevision } of this.#watchers.values()) {
      revision = Math.min(revision, watcher.idle ? watcher.deliveredRevision : sentRevision);
    }
    return revision;
  }

  #progress(watchId: bigint, revision: number): WatchResponse {
    // A watcher of the future has "delivered" what has not happened yet.
    const header = this.#header(Math.min(revision, this.#engine.visibleRevision));
    return WatchResponse.make({ header, watchId });
  }

  #sendAside(message: WatchResponse): void {
    this.#call.send(message).catch((error: unknown) => {
      if (!this.#call.signal.aborted) this.#failure ??= error;
    });
  }
}

/** No key means from the smallest one on, as in etcd. */
function watchedRange(request: WatchCreateRequest): KeyRange {
  const key = request.key.length === 0 ? new Uint8Array([0]) : request.key;
  return { key, rangeEnd: request.rangeEnd };
}

function fragments(events: readonly Event[]): Event[][] {
  const parts: Event[][] = [[]];
  let bytes = 0;
  for (const event of events) {
    const size =
      (event.kv?.value.length ?? 0) + (event.prevKv?.value.length ?? 0) + 2 * (event.kv?.key.length ?? 0) + 64;
    if (bytes > 0 && bytes + size > fragmentBytes) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(event);
    bytes += size;
  }
  return parts;
}
