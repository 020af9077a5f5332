/**
 * A watch on an etcd server that outlives its stream: after a lost connection it goes on, at whatever endpoint answers,
 * from the revision after the last one delivered.
 *
 * - One gRPC stream per watch, so that a slow consumer holds up nobody else. What the consumer has not taken is held up
 *   to a limit; beyond it the stream is given up and asked for again when the consumer has caught up.
 * - Without a store for `patienceMs` it throws STORE_UNAVAILABLE: its consumer should know that it is out of date.
 * - A store that is at an earlier revision than was already seen, or is another cluster, was restored or replaced: that
 *   is STORE_COMPACTED too, as what was told is not its history.
 */
import { Backoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { EtcdConnection } from "./etcd-connection.ts";
import { EtcdError, refused, unavailable } from "./etcd-error.ts";
import { keysBelow, watchEventsOf } from "./etcd-messages.ts";
import { KV, Watch, WatchCreateRequest, WatchRequest, type WatchResponse } from "./etcd-protocol/etcd-api.ts";
import type { ClientStream } from "./etcd-protocol/grpc-channel.ts";
import type { WatchBatch } from "./store.ts";

const patienceMs = 10_000;
const createTimeoutMs = 5_000;
const heldCharactersMax = 32 * 1024 * 1024;
const retryMinMs = 20;
const retryMaxMs = 1_000;

export interface EtcdWatchOptions {
  readonly connection: EtcdConnection;
  readonly clock: Clock;
  readonly prefix: string;
  readonly fromRevision: number;
  readonly signal: AbortSignal;
  /** Identity of the cluster seen first by this client. */
  readonly sameCluster: (clusterId: bigint) => boolean;
  /** The newest revision this client has seen, so that the store must have it. */
  readonly seenRevision: () => number;
}

export class EtcdWatch {
  readonly #options: EtcdWatchOptions;
  /** The revision to go on from; 0: from now, until the server has said when that was. */
  #nextRevision: number;
  #held: WatchBatch[] = [];
  #heldCharacters = 0;
  #wake: (() => void) | undefined;
  #stream: ClientStream<WatchRequest> | undefined;
  /** Why the stream ended; it may be made anew if it is STORE_UNAVAILABLE. */
  #ended: EtcdError | undefined;
  #overflowed = false;
  #created = false;
  /** Everything up to here was delivered by this watch; 0 if nothing was yet. */
  #deliveredRevision = 0;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    this.#nextRevision = options.fromRevision;
  }

  async *run(): AsyncGenerator<WatchBatch> {
    const { signal, clock } = this.#options;
    const backoff = new Backoff({ clock, minMs: retryMinMs, maxMs: retryMaxMs });
    const onAbort = () => this.#wake?.();
    signal.addEventListener("abort", onAbort);
    let lostAtMs: number | undefined;
    try {
      while (!signal.aborted) {
        try {
          await this.#open();
          lostAtMs = undefined;
          backoff.reset();
          yield* this.#batches();
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof EtcdError) || error.code !== "STORE_UNAVAILABLE") throw error;
          lostAtMs ??= clock.monotonicMs();
          if (clock.monotonicMs() - lostAtMs > patienceMs) throw error;
          await backoff.wait(signal).catch(() => undefined);
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#stream?.cancel();
    }
  }

  /** Resolves when the server has confirmed the watch. */
  async #open(): Promise<void> {
    this.#stream?.cancel();
    const { connection, clock, prefix, signal } = this.#options;
    const channel = await connection.channel(createTimeoutMs, signal);
    this.#ended = undefined;
    this.#overflowed = false;
    this.#created = false;
    const stream = channel.stream(Watch.watch, {
      onMessage: (message) => {
        if (stream === this.#stream) this.#receive(message);
      },
      onEnd: (error) => {
        if (stream === this.#stream) this.#end(error ?? unavailable(`the watch on ${channel.endpoint} ended`));
      },
    });
    this.#stream = stream;
    stream.send(
      WatchRequest.make({
        requestUnion: {
          case: "createRequest",
          value: WatchCreateRequest.make({
            ...keysBelow(prefix),
            startRevision: BigInt(this.#nextRevision),
            progressNotify: true,
          }),
        },
      }),
    );
    using _timer = clock.timer(createTimeoutMs, () => {
      const error = unavailable(`${channel.endpoint} did not confirm a watch within ${createTimeoutMs} ms`);
      this.#end(error);
      channel.close(error);
    });
    while (!this.#created && this.#ended === undefined && !this.#options.signal.aborted) await this.#news();
    if (this.#ended !== undefined && this.#held.length === 0) throw this.#ended;
  }

  async *#batches(): AsyncGenerator<WatchBatch> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      const batch = this.#held.shift();
      if (batch !== undefined) {
        this.#heldCharacters -= charactersOf(batch);
        this.#nextRevision = batch.revision + 1;
        this.#deliveredRevision = batch.revision;
        yield batch;
      } else if (this.#ended !== undefined) {
        throw this.#ended;
      } else if (this.#overflowed) {
        await this.#open();
      } else {
        await this.#news();
      }
    }
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #receive(message: WatchResponse): void {
    if (this.#overflowed || this.#ended !== undefined) return;
    const revision = Number(message.header?.revision ?? 0n);
    if (message.created) {
      this.#confirm(message, revision);
      return;
    }
    if (message.compactRevision > 0n) {
      this.#end(refused("compacted"));
      return;
    }
    if (message.canceled) {
      this.#end(unavailable(`the server ended the watch: ${message.cancelReason || "no reason given"}`));
      return;
    }
    const events = watchEventsOf(message.events);
    // A header of a message with events may be ahead of what the watch has delivered; of a bare one it is not.
    const delivered = events.at(-1)?.kv.modRevision ?? revision;
    this.#hold({ revision: Math.max(delivered, this.#lastHeld()), events });
  }

  #lastHeld(): number {
    return this.#held.at(-1)?.revision ?? this.#nextRevision - 1;
  }

  #confirm(message: WatchResponse, revision: number): void {
    if (message.canceled) {
      this.#end(
        message.compactRevision > 0n ? refused("compacted") : unavailable(`watch refused: ${message.cancelReason}`),
      );
      return;
    }
    if (!this.#options.sameCluster(message.header?.clusterId ?? 0n)) {
      this.#end(refused("compacted", new Error("the store was replaced by another one")));
      return;
    }
    if (this.#nextRevision <= 0) this.#nextRevision = revision + 1;
    const required = Math.max(this.#deliveredRevision, Math.min(this.#nextRevision - 1, this.#options.seenRevision()));
    if (revision < required) {
      const stream = this.#stream;
      this.#currentRevision().then(
        (current) => {
          if (stream !== this.#stream) return;
          if (current < required) {
            const why = `the store is at revision ${current}, but was at ${required} before`;
            this.#end(refused("compacted", new Error(why)));
          } else this.#markCreated();
        },
        (error: unknown) => {
          if (stream === this.#stream) this.#end(unavailable("the store's revision could not be asked", error));
        },
      );
      return;
    }
    this.#markCreated();
  }

  #markCreated(): void {
    this.#created = true;
    this.#wake?.();
  }

  /** Linearizable: a member of a cluster may be behind, the cluster is not. */
  async #currentRevision(): Promise<number> {
    const { connection, signal } = this.#options;
    const channel = await connection.channel(createTimeoutMs, signal);
    const answer = await channel.unary(
      KV.range,
      { key: new Uint8Array([0]), countOnly: true },
      { timeoutMs: createTimeoutMs, signal },
    );
    return Number(answer.header?.revision ?? 0n);
  }

  #hold(batch: WatchBatch): void {
    if (batch.events.length === 0 && batch.revision <= this.#lastHeld()) return;
    this.#held.push(batch);
    this.#heldCharacters += charactersOf(batch);
    if (this.#heldCharacters > heldCharactersMax) {
      this.#overflowed = true;
      this.#stream?.cancel();
    }
    this.#wake?.();
  }

  #end(error: EtcdError): void {
    this.#ended ??= error;
    this.#wake?.();
  }
}

function charactersOf(batch: WatchBatch): number {
  let characters = 0;
  for (const { kv } of batch.events) characters += 100 + 2 * kv.key.length + kv.value.length;
  return characters;
}
