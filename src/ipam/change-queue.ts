/**
 * Makes many small changes to the address plan in few transactions: whoever waits while one is under way goes together
 * into the next. Within this process nobody conflicts with anybody; against other processes the transaction is a
 * compare-and-swap that is planned anew on a fresh read when it loses, up to a limit, with jitter.
 * - A request is answered after the transaction that carries it has succeeded, also when the answer is a refusal that
 *   depends on what others in the same transaction got.
 * - With known documents (known-documents.ts) the first attempt needs no read.
 * - One transaction at a time; the order of requests is kept.
 */

import type { Clock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import type { Compare, KeyValue, Operation, Store, Transaction, TransactionOutcome } from "../store/store.ts";
import { Draft } from "./draft.ts";
import { ipamError } from "./ipam-error.ts";
import type { KnownDocuments } from "./known-documents.ts";

export interface Change<Result> {
  /** Keys and prefixes worth reading ahead; a hint only. */
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
  /** Called anew for each attempt, on a fresh draft; a throw refuses this request alone. */
  readonly plan: (draft: Draft) => Promise<Result>;
  /** Written in the same transaction. */
  readonly also: ((result: Result) => readonly Operation[]) | undefined;
  /** True: what it rests on is compared when it is written, now or later, so that it may be planned on known documents first. */
  readonly mayRestOnKnown: boolean;
  /** Must hold in the same transaction, or the request is refused with IPAM_PRECONDITION_FAILED. */
  readonly require: readonly Compare[];
  readonly signal: AbortSignal | undefined;
}

interface Waiting {
  readonly change: Change<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Answer = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: unknown };

const attemptsMax = 100;
const retryDelayMaxMs = 100;
/** etcd's own limit is 128 operations. */
const operationsPerTransactionMax = 96;
const readAheadMax = 16;

export class ChangeQueue {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #known: KnownDocuments | undefined;
  readonly #waiting: Waiting[] = [];
  #running = false;
  #readAhead: readonly string[] = [];

  constructor(store: Store, clock: Clock, known?: KnownDocuments) {
    this.#store = store;
    this.#clock = clock;
    this.#known = known;
  }

  submit<Result>(change: Change<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject } as Waiting);
      if (!this.#running) void this.#run(); // never rejects: each request gets its own answer
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      // Let everybody who asks in this turn of the event loop into the first transaction.
      await Promise.resolve();
      while (this.#waiting.length > 0) {
        await this.#commit(this.#waiting.splice(0, operationsPerTransactionMax));
      }
    } finally {
      this.#running = false;
    }
  }

  /** Answers everybody in the batch or puts them back into the queue. */
  async #commit(batch: readonly Waiting[]): Promise<void> {
    let pending = batch;
    try {
      let readAhead = this.#readAhead;
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        if (attempt > 1) await this.#clock.sleep(this.#clock.random() * Math.min(retryDelayMaxMs, 2 ** attempt));
        pending = pending.filter(isStillWanted);
        const known = attempt === 0 ? this.#knownFor(pending) : undefined;
        const draft = await this.#readFor(pending, known === undefined ? readAhead : [], known);
        const answers = await planAll(draft, pending);
        if (known === undefined) for (const kv of draft.documents) this.#known?.read(kv);
        // A refusal is decided on what the store says now.
        if (known !== undefined && answers.some(({ ok }) => !ok)) continue;
        this.#waiting.unshift(...pending.slice(answers.length));
        pending = pending.slice(0, answers.length);
        const transaction = draft.transaction();
        const outcome = await this.#transact(transaction);
        if (outcome.succeeded) {
          this.#readAhead = draft.blocksTouched.slice(0, readAheadMax);
          this.#known?.written(transaction.success, outcome.revision);
          answerAll(pending, answers);
          return;
        }
        const now = new Map(outcome.responses.flatMap(({ kvs }) => kvs.map((kv) => [kv.key, kv] as const)));
        pending = pending.filter((waiting) => preconditionsHold(waiting, now));
        readAhead = transaction.compare.map(({ key }) => key);
      }
      throw ipamError("IPAM_CONTENTION", "Max retries hit - excessive concurrent IPAM requests", { retry: "backoff" });
    } catch (error) {
      for (const { reject } of pending) reject(error);
    }
  }

  #knownFor(batch: readonly Waiting[]): KnownDocuments | undefined {
    if (this.#known?.isCurrent !== true) return undefined;
    return batch.every(({ change }) => change.mayRestOnKnown) ? this.#known : undefined;
  }

  async #readFor(
    batch: readonly Waiting[],
    readAhead: readonly string[],
    known: KnownDocuments | undefined,
  ): Promise<Draft> {
    const draft = new Draft(this.#store, known);
    const changes = batch.map(({ change }) => change);
    const keys = [...readAhead, ...changes.flatMap((change) => change.keys)];
    await draft.fetch(
      keys,
      changes.flatMap((change) => change.prefixes),
    );
    return draft;
  }

  async #transact(transaction: Transaction): Promise<TransactionOutcome> {
    const { compare, success } = transaction;
    if (compare.length === 0 && success.length === 0) return { succeeded: true, responses: [], revision: 0 };
    return this.#store.transact(transaction);
  }
}

/** Thrown out of a plan whose writes do not fit into this transaction any more. */
class Postponed extends Error {}

/** One answer for each that fits; the rest has to wait for the next transaction. */
async function planAll(draft: Draft, batch: readonly Waiting[]): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  const written = new Set<string>();
  for (const { change } of batch) {
    const first = answers.length === 0;
    try {
      const result = await draft.attempt(async () => {
        const planned = await change.plan(draft);
        const operations = change.also?.(planned) ?? [];
        draft.attach(operations, change.require);
        if (!first && draft.operationCount > operationsPerTransactionMax) throw new Postponed();
        if (!first && operations.some((operation) => touches(operation, written))) throw new Postponed();
        for (const operation of operations) written.add(targetOf(operation));
        return planned;
      });
      answers.push({ ok: true, result });
    } catch (error) {
      if (error instanceof Postponed) break;
      // The store did not answer: that is true for everybody.
      if (error instanceof OperationError && error.code.startsWith("STORE_")) throw error;
      answers.push({ ok: false, error });
    }
  }
  return answers;
}

function answerAll(batch: readonly Waiting[], answers: readonly Answer[]): void {
  for (const [at, waiting] of batch.entries()) {
    const answer = answers[at];
    if (answer?.ok) waiting.resolve(answer.result);
    else waiting.reject(answer?.error);
  }
}

function isStillWanted({ change, reject }: Waiting): boolean {
  if (change.signal?.aborted !== true) return true;
  reject(change.signal.reason);
  return false;
}

function preconditionsHold({ change, reject }: Waiting, now: ReadonlyMap<string, KeyValue>): boolean {
  const failed = change.require.find((compare) => !holds(compare, now.get(compare.key)));
  if (failed === undefined) return true;
  reject(ipamError("IPAM_PRECONDITION_FAILED", `${failed.key} has been changed meanwhile`, { retry: "now" }));
  return false;
}

function holds(compare: Compare, kv: KeyValue | undefined): boolean {
  if ("modRevision" in compare) return (kv?.modRevision ?? 0) === compare.modRevision;
  if ("version" in compare) return (kv?.version ?? 0) === compare.version;
  return kv?.value === compare.value;
}

function targetOf(operation: Operation): string {
  if ("put" in operation) return operation.put;
  if ("delete" in operation) return operation.delete;
  if ("deletePrefix" in operation) return operation.deletePrefix;
  return "get" in operation ? operation.get : operation.list;
}

/** A key may be written once in a transaction; a deleted prefix counts for all below it. */
function touches(operation: Operation, written: ReadonlySet<string>): boolean {
  if ("get" in operation || "list" in operation) return false;
  const target = targetOf(operation);
  if (written.has(target)) return true;
  return [...written].some((other) => ("deletePrefix" in operation ? other.startsWith(target) : target === other));
}
