/**
 * The Store on an etcd v3 server: a real etcd cluster, or `margay store`.
 *
 * - Connects when first needed, and again when the connection is lost, to any of the endpoints.
 * - Every call has a deadline. While the store is out of reach a call waits for it until then; a request that was sent
 *   is only sent again if it reads, because a write may have happened although nobody said so.
 */
import { Backoff } from "../base/backoff.ts";
import { OperationError } from "../base/errors.ts";
import { closedError, EtcdConnection, type EtcdConnectionOptions } from "./etcd-connection.ts";
import { EtcdError } from "./etcd-error.ts";
import { bytesOf, keysBelow, keyValueOf, outcomeOf, singleKey, txnRequest } from "./etcd-messages.ts";
import {
  type KeyValue as KeyValueMessage,
  KV,
  Lease,
  type Method,
  type RangeResponse,
  type ResponseHeader,
} from "./etcd-protocol/etcd-api.ts";
import type { GrpcChannel } from "./etcd-protocol/grpc-channel.ts";
import { EtcdWatch } from "./etcd-watch.ts";
import type {
  KeyValue,
  ListPage,
  ListPagesOptions,
  Store,
  Transaction,
  TransactionOutcome,
  WatchBatch,
} from "./store.ts";

export interface EtcdClientOptions extends EtcdConnectionOptions {
  /** Deadline of each call. */
  readonly callTimeoutMs?: number;
}

const callTimeoutDefaultMs = 10_000;
const retryMinMs = 20;
const retryMaxMs = 500;
/** Keys fetched in one message; keeps a big list from standing in everybody's way. */
const listPageKeys = 5_000;
const listAttemptsMax = 3;

export async function connectEtcd(options: EtcdClientOptions): Promise<Store> {
  return new EtcdClient(options);
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Reading changes nothing, so it may be repeated. */
  readonly reads?: boolean;
}

interface PagesWish {
  /** Revision and number of keys asked for; 0: the newest, all. */
  readonly asked: number;
  readonly limit: number;
  readonly except: string | undefined;
  readonly signal: AbortSignal | undefined;
}

class EtcdClient implements Store {
  readonly #options: EtcdClientOptions;
  readonly #connection: EtcdConnection;
  readonly #closing = new AbortController();
  #clusterId: bigint | undefined;
  #seenRevision = 0;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
    this.#connection = new EtcdConnection(options);
  }

  async get(
    key: string,
    options: { readonly revision?: number; readonly signal?: AbortSignal } = {},
  ): Promise<KeyValue | undefined> {
    const request = { ...singleKey(key), revision: BigInt(options.revision ?? 0) };
    const answer = await this.#call(KV.range, request, { signal: options.signal, reads: true });
    const [kv] = answer.kvs;
    return kv === undefined ? undefined : keyValueOf(kv);
  }

  async list(
    prefix: string,
    options: { readonly revision?: number; readonly limit?: number; readonly signal?: AbortSignal } = {},
  ): Promise<ListPage> {
    const asked = options.revision ?? 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const kvs: KeyValue[] = [];
        let revision = asked;
        for await (const page of this.#pages(prefix, {
          asked,
          limit: options.limit ?? 0,
          except: undefined,
          signal: options.signal,
        })) {
          revision = page.revision;
          for (const kv of page.kvs) kvs.push(kv);
        }
        return { revision, kvs };
      } catch (error) {
        // Compacted between two pages: the whole list again, at a newer revision.
        const again = asked === 0 && attempt < listAttemptsMax;
        if (!(again && error instanceof OperationError && error.code === "STORE_COMPACTED")) throw error;
      }
    }
  }

  listPages(prefix: string, { except, signal }: ListPagesOptions = {}): AsyncIterable<ListPage> {
    return this.#pages(prefix, { asked: 0, limit: 0, except, signal });
  }

  /** The next page is asked for before the one that is there is handed out. */
  async *#pages(prefix: string, { asked, limit, except, signal }: PagesWish): AsyncGenerator<ListPage> {
    const { key: first, rangeEnd } = keysBelow(prefix);
    const fetchPage = (key: Uint8Array, revision: number, left: number) => {
      const request = { key, rangeEnd, limit: BigInt(left), revision: BigInt(revision) };
      const page: Promise<RangeResponse> = this.#call(KV.range, request, { signal, reads: true });
      page.catch(() => undefined); // thrown where it is awaited; nobody awaits it when the reader has had enough
      return page;
    };
    const pageKeys = (had: number) => (limit > 0 ? Math.min(listPageKeys, limit - had) : listPageKeys);
    let revision = asked;
    let had = 0;
    for (let next: Promise<RangeResponse> | undefined = fetchPage(first, asked, pageKeys(0)); next !== undefined; ) {
      const page: RangeResponse = await next;
      if (revision === 0) revision = revisionOf(page.header);
      had += page.kvs.length;
      const last = page.kvs.at(-1);
      const done = !page.more || last === undefined || (limit > 0 && had >= limit);
      next = done ? undefined : fetchPage(keyAfter(last, except), revision, pageKeys(had));
      const kvs = page.kvs.map(keyValueOf);
      yield { revision, kvs: except === undefined ? kvs : kvs.filter(({ key }) => !key.startsWith(except)) };
    }
  }

  async put(
    key: string,
    value: string,
    options: { readonly lease?: string; readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    const request = { key: bytesOf(key), value: bytesOf(value), lease: BigInt(options.lease ?? "0") };
    const answer = await this.#call(KV.put, request, { signal: options.signal });
    return revisionOf(answer.header);
  }

  async delete(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    const answer = await this.#call(KV.deleteRange, singleKey(key), { signal: options.signal });
    return answer.deleted > 0n;
  }

  async transact(
    transaction: Transaction,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<TransactionOutcome> {
    const branches = [...transaction.success, ...(transaction.failure ?? [])];
    const reads = branches.every((operation) => "get" in operation || "list" in operation);
    const answer = await this.#call(KV.txn, txnRequest(transaction), { signal: options.signal, reads });
    return {
      succeeded: answer.succeeded,
      revision: revisionOf(answer.header),
      responses: answer.responses.map(outcomeOf),
    };
  }

  async *watch(
    prefix: string,
    options: { readonly fromRevision: number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchBatch> {
    const { clock } = this.#options;
    const signal = AbortSignal.any([options.signal, this.#closing.signal]);
    const watch = new EtcdWatch({
      connection: this.#connection,
      clock,
      prefix,
      fromRevision: options.fromRevision,
      signal,
      sameCluster: (id) => this.#sameCluster(id),
      seenRevision: () => this.#seenRevision,
    });
    yield* watch.run();
    if (this.#closing.signal.aborted && !options.signal.aborted) throw closedError();
  }

  async grantLease(ttlSeconds: number): Promise<string> {
    const answer = await this.#call(Lease.leaseGrant, { TTL: BigInt(Math.ceil(ttlSeconds)) }, {});
    return answer.ID.toString();
  }

  async keepAlive(lease: string, signal?: AbortSignal): Promise<number> {
    // A stream in etcd; one question and one answer of it are all that is needed here.
    const answer = await this.#call(Lease.leaseKeepAlive, { ID: BigInt(lease) }, { signal, reads: true });
    return Math.max(0, Number(answer.TTL));
  }

  async revokeLease(lease: string): Promise<void> {
    try {
      await this.#call(Lease.leaseRevoke, { ID: BigInt(lease) }, {});
    } catch (error) {
      if (!(error instanceof OperationError && error.code === "STORE_LEASE_NOT_FOUND")) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(closedError());
    this.#connection.close();
  }

  /** True, and from now on only for this one, if no other cluster was seen before. */
  #sameCluster(id: bigint): boolean {
    const before = this.#clusterId;
    this.#clusterId = id;
    if (before === undefined || before === id) return true;
    this.#seenRevision = 0;
    this.#options.log.warn({ event: "store-replaced", before: before.toString(), now: id.toString() });
    return false;
  }

  async #call<Request, Response extends { readonly header: ResponseHeader | undefined }>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    options: CallOptions,
  ): Promise<Response> {
    const answer = await this.#attempt(
      (channel, timeoutMs) => channel.unary(method, request, { timeoutMs, signal: options.signal }),
      options,
    );
    this.#seenRevision = Math.max(this.#seenRevision, revisionOf(answer.header));
    return answer;
  }

  /** Connects, calls, and does so again where that is safe, until the deadline. */
  async #attempt<T>(call: (channel: GrpcChannel, timeoutMs: number) => Promise<T>, options: CallOptions): Promise<T> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + (this.#options.callTimeoutMs ?? callTimeoutDefaultMs);
    let backoff: Backoff | undefined;
    for (;;) {
      options.signal?.throwIfAborted();
      let sent = false;
      try {
        const channel = await this.#connection.channel(untilMs - clock.monotonicMs(), options.signal);
        sent = true;
        return await call(channel, Math.max(1, untilMs - clock.monotonicMs()));
      } catch (error) {
        if (!(error instanceof EtcdError) || error.code !== "STORE_UNAVAILABLE") throw error;
        if (sent && options.reads !== true && error.retry !== "now") throw error;
        backoff ??= new Backoff({ clock, minMs: retryMinMs, maxMs: retryMaxMs });
        const waitMs = backoff.next();
        if (clock.monotonicMs() + waitMs >= untilMs) throw error;
        await clock.sleep(waitMs, options.signal);
      }
    }
  }
}

/** The smallest key after this one, or after all that are left out if it is one of them. */
function keyAfter(last: KeyValueMessage, except: string | undefined): Uint8Array {
  if (except !== undefined && keyValueOf(last).key.startsWith(except)) return keysBelow(except).rangeEnd;
  return Buffer.concat([last.key, new Uint8Array([0])]);
}

function revisionOf(header: ResponseHeader | undefined): number {
  return Number(header?.revision ?? 0n);
}
