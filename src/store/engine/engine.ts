/**
 * The embedded store: etcd's data model (one revision per transaction, history until compaction, leases, watches) on
 * one SQLite file. What the gRPC server and the in-process Store are both made of.
 *
 * - Work is synchronous and done in the order of the calls; only waiting for the disk is not. So transactions are
 *   serialisable, and an answer tells of a state that survives a power cut (durability.ts).
 * - Revisions never go back, not even over a restart or a compaction of everything.
 * Absent on purpose: users and roles, clustering, knowledge of gRPC or of what the keys mean.
 */
import type { Clock } from "../../base/clock.ts";
import { EtcdError, refused, unavailable } from "../etcd-error.ts";
import { EngineDatabase } from "./database.ts";
import { type Durability, FileDurability, MemoryDurability } from "./durability.ts";
import { Execution } from "./execution.ts";
import { type LeaseInfo, Leases, leaseTtlMaxSeconds, leaseTtlMinSeconds } from "./leases.ts";
import { type Change, RecentChanges } from "./recent-changes.ts";
import type {
  Bytes,
  DeleteOp,
  EngineEvent,
  KeyRange,
  PutOp,
  RangeOp,
  RangeResult,
  TxnOp,
  TxnResult,
} from "./requests.ts";
import { Retention, type RetentionLimits } from "./retention.ts";
import { checkPut, checkTransaction } from "./transaction-check.ts";
import { Watcher, type WatchSource } from "./watcher.ts";

export interface EngineOptions {
  /** ":memory:" or a file; its directory must exist. */
  readonly path: string;
  readonly clock: Clock;
  readonly retention?: Partial<RetentionLimits>;
  /** Puts are refused when this many bytes are in use; etcd's default is 2 GiB. */
  readonly sizeMaxBytes?: number;
}

export interface EngineStatus {
  readonly revision: number;
  readonly compactRevision: number;
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
  /** Identity of the data, made when the file was; the same after each restart. */
  readonly clusterId: number;
  /** How often this file was opened: plays the part of raft's term. */
  readonly term: number;
}

const sizeMaxDefaultBytes = 2 * 1024 ** 3;
/** How many writes pass between two looks at the size. */
const writesPerSizeCheck = 256;
const revisionsPerScrub = 1_000;

export class Engine implements WatchSource, AsyncDisposable {
  readonly #db: EngineDatabase;
  readonly #clock: Clock;
  readonly #sizeMaxBytes: number;
  readonly #durability: Durability;
  readonly #leases: Leases;
  readonly #retention: Retention;
  readonly #recent = new RecentChanges();
  readonly #watchers = new Set<Watcher>();
  readonly clusterId: number;
  readonly term: number;
  /** Resolves if the disk refuses to sync: from then on only a restart helps. */
  readonly failed: Promise<EtcdError>;
  #revision: number;
  #visibleRevision: number;
  #compactRevision: number;
  #nextRowId: number;
  /** Revisions reached by commits that are not on the disk yet. */
  #unsafe: { readonly commit: number; readonly revision: number }[] = [];
  #lastCommit = 0;
  #writesUntilSizeCheck = 0;
  #full = false;
  #failedSync = false;
  #scrubbing: Promise<void> = Promise.resolve();
  #closed = false;

  static open(options: EngineOptions): Engine {
    return new Engine(options);
  }

  private constructor(options: EngineOptions) {
    const db = new EngineDatabase(options.path);
    this.#db = db;
    this.#clock = options.clock;
    this.#sizeMaxBytes = options.sizeMaxBytes ?? sizeMaxDefaultBytes;
    // An empty etcd is at revision 1.
    const newest = db.newest();
    this.#revision = Math.max(1, newest.revision, db.meta("revision") ?? 1);
    this.#visibleRevision = this.#revision;
    this.#compactRevision = db.meta("compact_revision") ?? 0;
    this.#nextRowId = Math.max(newest.id, db.meta("row_id") ?? 0) + 1;
    this.clusterId = db.meta("cluster_id") ?? 1 + Math.floor(options.clock.random() * 2 ** 52);
    this.term = (db.meta("term") ?? 1) + 1;
    db.begin();
    db.setMeta("cluster_id", this.clusterId);
    db.setMeta("term", this.term);
    db.commit();
    const onDurable = () => this.#show();
    const failed = Promise.withResolvers<EtcdError>();
    this.failed = failed.promise;
    this.#durability =
      options.path === ":memory:"
        ? new MemoryDurability(onDurable)
        : new FileDurability(options.path, onDurable, (error) => {
            this.#failedSync = true;
            failed.resolve(error);
          });
    this.#lastCommit = this.#durability.committed();

    this.#leases = new Leases(options.clock, (ids) => this.#expire(ids));
    for (const lease of db.leases()) this.#leases.add(lease.id, lease.ttlSeconds);
    this.#retention = new Retention(options.clock, options.retention ?? {}, {
      revision: () => this.#revision,
      compactRevision: () => this.#compactRevision,
      compact: (revision) => this.#compactTo(revision),
    });
    const scrubbed = db.meta("scrubbed_revision") ?? 0;
    if (scrubbed < this.#compactRevision) this.#startScrub(this.#compactRevision);
  }

  get revision(): number {
    return this.#revision;
  }

  get visibleRevision(): number {
    return this.#visibleRevision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  async range(op: RangeOp): Promise<RangeResult> {
    this.#refuseIfClosed();
    const result = this.#execution().range(op);
    await this.#durability.wait(this.#lastCommit);
    return result;
  }

  async transact(op: TxnOp): Promise<TxnResult> {
    checkTransaction(op);
    const result = this.#write((execution) => execution.txn(op));
    await this.#durability.wait(this.#lastCommit);
    return result;
  }

  async put(op: PutOp): Promise<{ readonly revision: number; readonly previous: PutResultPrevious }> {
    checkPut(op);
    const result = this.#write((execution) => execution.put(op));
    await this.#durability.wait(this.#lastCommit);
    return result;
  }

  async delete(op: DeleteOp): Promise<ReturnType<Execution["delete"]>> {
    if (op.key.length === 0) throw refused("emptyKey");
    const result = this.#write((execution) => execution.delete(op));
    await this.#durability.wait(this.#lastCommit);
    return result;
  }

  /** Changes within `range` from `fromRevision` on; 0: from now on. */
  watch(range: KeyRange, fromRevision: number): Watcher {
    this.#refuseIfClosed();
    const watcher = new Watcher(this, range, fromRevision, () => this.#watchers.delete(watcher));
    this.#watchers.add(watcher);
    return watcher;
  }

  recent(first: number, last: number): readonly Change[] | undefined {
    return this.#recent.between(first, last);
  }

  past(range: KeyRange, first: number, last: number): EngineEvent[] {
    return this.#db
      .changes(range, first, last)
      .map(({ row, previous }) => ({ type: row.version === 0 ? "delete" : "put", row, previous }));
  }

  /** Forgets what was before `revision`. `physical`: wait until its space is free. Answers the store's revision. */
  async compact(revision: number, physical = false): Promise<number> {
    if (revision <= this.#compactRevision) throw refused("compacted");
    if (revision > this.#revision) throw refused("futureRevision");
    this.#compactTo(revision);
    if (physical) await this.#scrubbing;
    await this.#durability.wait(this.#lastCommit);
    return this.#revision;
  }

  /** `id` undefined or "0": the store chooses one. */
  async grantLease(ttlSeconds: number, id?: string): Promise<LeaseInfo> {
    if (ttlSeconds > leaseTtlMaxSeconds) throw refused("leaseTtlTooLarge");
    const chosen = id === undefined || id === "0" ? this.#leases.freeId() : id;
    if (this.#leases.has(chosen)) throw refused("leaseExists");
    const ttl = Math.max(leaseTtlMinSeconds, Math.ceil(ttlSeconds));
    this.#write((execution) => execution.database().insertLease(chosen, ttl));
    this.#leases.add(chosen, ttl);
    await this.#durability.wait(this.#lastCommit);
    return { id: chosen, ttlSeconds: ttl, remainingSeconds: ttl };
  }

  async revokeLease(id: string): Promise<number> {
    if (!this.#leases.has(id)) throw refused("leaseNotFound");
    this.#endLeases([id]);
    await this.#durability.wait(this.#lastCommit);
    return this.#revision;
  }

  /** Seconds the lease has again, 0 if it is gone. */
  renewLease(id: string): number {
    this.#refuseIfClosed();
    return this.#leases.renew(id);
  }

  leaseInfo(id: string): LeaseInfo | undefined {
    return this.#leases.info(id);
  }

  leaseKeys(id: string): Bytes[] {
    return this.#db.leaseKeys(id);
  }

  leaseIds(): string[] {
    return this.#leases.list();
  }

  status(): EngineStatus {
    const size = this.#db.size();
    return {
      revision: this.#revision,
      compactRevision: this.#compactRevision,
      sizeBytes: size.bytes,
      sizeInUseBytes: size.bytesInUse,
      clusterId: this.clusterId,
      term: this.term,
    };
  }

  /** False once the disk refused to sync, or after closing. */
  get healthy(): boolean {
    return !this.#failedSync && !this.#closed;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** True while puts are refused for want of space. */
  get full(): boolean {
    return this.#full;
  }

  async defragment(): Promise<void> {
    await this.#scrubbing;
    this.#refuseIfClosed();
    try {
      this.#db.vacuum();
    } catch (error) {
      throw isDiskFull(error) ? refused("noSpace", error) : error;
    }
    this.#writesUntilSizeCheck = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#leases[Symbol.dispose]();
    this.#retention[Symbol.dispose]();
    for (const watcher of [...this.#watchers]) watcher.close(closedError());
    await this.#scrubbing;
    await this.#durability.close();
    this.#db.close();
  }

  #execution(): Execution {
    return new Execution(this.#db, {
      revision: this.#revision,
      compactRevision: this.#compactRevision,
      nextRowId: this.#nextRowId,
      leaseExists: (id) => this.#leases.has(id),
    });
  }

  #write<T>(work: (execution: Execution) => T): T {
    this.#refuseIfClosed();
    const execution = this.#execution();
    let result: T;
    try {
      result = work(execution);
      if (execution.events.some((event) => event.type === "put")) this.#refuseIfFull();
      execution.commit();
    } catch (error) {
      execution.rollback();
      throw isDiskFull(error) ? refused("noSpace", error) : error;
    }
    if (execution.begun) this.#noteCommit(execution);
    return result;
  }

  #noteCommit(execution: Execution): void {
    this.#nextRowId = execution.nextRowId;
    if (execution.events.length > 0) {
      this.#revision++;
      this.#recent.push({ revision: this.#revision, events: execution.events });
    }
    this.#lastCommit = this.#durability.committed();
    this.#unsafe.push({ commit: this.#lastCommit, revision: this.#revision });
  }

  /** Lets watchers see what is safe now. */
  #show(): void {
    const before = this.#visibleRevision;
    let first = this.#unsafe[0];
    while (first !== undefined && first.commit <= this.#durability.durable) {
      this.#visibleRevision = first.revision;
      this.#unsafe.shift();
      first = this.#unsafe[0];
    }
    if (this.#visibleRevision > before) for (const watcher of [...this.#watchers]) watcher.wake();
  }

  #compactTo(revision: number): void {
    this.#write((execution) => {
      const db = execution.database();
      db.setMeta("compact_revision", revision);
      // The newest rows may be deletions, which the compaction removes: revision and row id must not start over.
      db.setMeta("revision", this.#revision);
      db.setMeta("row_id", this.#nextRowId);
    });
    this.#compactRevision = revision;
    this.#startScrub(revision);
    for (const watcher of [...this.#watchers]) watcher.wake();
  }

  #startScrub(to: number): void {
    // A failure here (disk full, closed meanwhile) costs space only; the next compaction or start goes on.
    this.#scrubbing = this.#scrubbing.then(() => this.#scrub(to)).catch(() => undefined);
  }

  /** In small pieces, so that requests are answered in between. */
  async #scrub(to: number): Promise<void> {
    let from = this.#db.meta("scrubbed_revision") ?? 0;
    while (from < to && !this.#closed) {
      const upTo = Math.min(to, from + revisionsPerScrub);
      const start = from;
      this.#write((execution) => {
        const db = execution.database();
        db.scrub(start, upTo);
        db.setMeta("scrubbed_revision", upTo);
      });
      from = upTo;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  #expire(ids: readonly string[]): void {
    if (!this.#closed) this.#endLeases(ids);
  }

  /** Each lease's keys vanish in one revision. */
  #endLeases(ids: readonly string[]): void {
    for (const id of ids) {
      this.#write((execution) => {
        execution.deleteKeys(this.#db.leaseKeys(id));
        execution.database().deleteLease(id);
      });
      this.#leases.remove(id);
    }
  }

  #refuseIfFull(): void {
    if (this.#full || --this.#writesUntilSizeCheck < 0) {
      this.#full = this.#db.size().bytesInUse > this.#sizeMaxBytes;
      this.#writesUntilSizeCheck = writesPerSizeCheck;
    }
    if (this.#full) throw refused("noSpace");
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw closedError();
  }
}

type PutResultPrevious = ReturnType<Execution["put"]>["previous"];

function closedError(): EtcdError {
  return new EtcdError(unavailable("").status, "etcdserver: server stopped", "STORE_CLOSED", { retry: "never" });
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_FULL";
}
