/**
 * The SQLite file: its tables, and typed access to the rows. No decisions here.
 *
 * - `history` holds every version of every key since the last compaction, in order of writing; `previous` leads to the
 *   version it replaced, so that compaction costs as much as what changed, not as much as what there is.
 * - `current` leads from a key to its living version; an index, nothing more.
 * - `leases` and `meta` are what their names say. Lease ids are text: they have 63 bits, more than a JS number.
 */
import { Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { closeSync, fstatSync, fsyncSync, openSync, writeSync } from "node:fs";
import { OperationError } from "../../base/errors.ts";
import type { Bytes, KeyRange, Row } from "./requests.ts";
import { isOpenEnded, noBytes } from "./requests.ts";

const schemaVersion = 1;
const schema = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
  id INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL,
  key BLOB NOT NULL,
  create_revision INTEGER NOT NULL,
  version INTEGER NOT NULL,
  lease TEXT,
  value BLOB,
  previous INTEGER
);
CREATE INDEX IF NOT EXISTS history_revision ON history (revision);
CREATE INDEX IF NOT EXISTS history_key ON history (key, revision);
CREATE TABLE IF NOT EXISTS current (key BLOB PRIMARY KEY, id INTEGER NOT NULL, lease TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS current_lease ON current (lease) WHERE lease IS NOT NULL;
CREATE TABLE IF NOT EXISTS leases (id TEXT PRIMARY KEY, ttl_seconds INTEGER NOT NULL) WITHOUT ROWID;
`;

/** A version with its row id, needed to chain its successor to it. */
export interface StoredRow extends Row {
  readonly id: number;
}

type Cells = [number, Bytes, number, number, number, string | null, Bytes | null];

const columns = "h.id, h.key, h.create_revision, h.revision, h.version, h.lease, h.value";
const columnsWithoutValue = "h.id, h.key, h.create_revision, h.revision, h.version, h.lease, NULL";
const noLimit = -1;

export class EngineDatabase {
  readonly #path: string;
  readonly #db: Database;
  readonly #statements = new Map<string, Statement>();
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.#path = path;
    this.#db = open(path);
  }

  /** Everything written by `work` becomes durable together, or nothing does. */
  begin(): void {
    this.#run("BEGIN IMMEDIATE");
  }

  commit(): void {
    this.#run("COMMIT");
  }

  rollback(): void {
    // After some errors (disk full, I/O) SQLite has rolled back by itself.
    if (this.#db.inTransaction) this.#run("ROLLBACK");
  }

  meta(name: string): number | undefined {
    const row = this.#values("SELECT value FROM meta WHERE name = ?", name)[0] as [number] | undefined;
    return row?.[0];
  }

  setMeta(name: string, value: number): void {
    this.#run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value);
  }

  /** Newest revision and row id ever written that are still there. */
  newest(): { readonly revision: number; readonly id: number } {
    const row = this.#values("SELECT max(revision), max(id) FROM history")[0] as [number | null, number | null];
    return { revision: row[0] ?? 0, id: row[1] ?? 0 };
  }

  point(key: Bytes): StoredRow | undefined {
    const cells = this.#values(
      `SELECT ${columns} FROM current c JOIN history h ON h.id = c.id WHERE c.key = ?`,
      key,
    )[0] as Cells | undefined;
    return cells === undefined ? undefined : rowOf(cells);
  }

  /** Living rows in key order. */
  range(range: KeyRange, limit: number, keysOnly: boolean): StoredRow[] {
    const where = whereKey("c.key", range);
    const wanted = keysOnly ? columnsWithoutValue : columns;
    return this.#rows(
      `SELECT ${wanted} FROM current c JOIN history h ON h.id = c.id WHERE ${where.sql} ORDER BY c.key LIMIT ?`,
      ...where.bindings,
      limit > 0 ? limit : noLimit,
    );
  }

  count(range: KeyRange): number {
    const where = whereKey("key", range);
    const row = this.#values(`SELECT count(*) FROM current WHERE ${where.sql}`, ...where.bindings)[0] as [number];
    return row[0];
  }

  /** Rows that lived at `revision`, in key order. */
  rangeAt(range: KeyRange, revision: number, limit: number, keysOnly: boolean): StoredRow[] {
    const where = whereKey("h.key", range);
    const wanted = keysOnly ? columnsWithoutValue : columns;
    return this.#rows(
      `SELECT ${wanted} FROM history h WHERE ${where.sql} AND h.version > 0 AND h.revision =
         (SELECT max(n.revision) FROM history n WHERE n.key = h.key AND n.revision <= ?) ORDER BY h.key LIMIT ?`,
      ...where.bindings,
      revision,
      limit > 0 ? limit : noLimit,
    );
  }

  /** From what there is now, and what has come and gone since: a page of a long list is asked for at its first page's revision. */
  countAt(range: KeyRange, revision: number): number {
    const where = whereKey("key", range);
    const [came] = this.#values(
      `SELECT coalesce(sum(CASE WHEN version = 0 THEN -1 WHEN previous IS NULL THEN 1 ELSE 0 END), 0)
         FROM history WHERE revision > ? AND ${where.sql}`,
      revision,
      ...where.bindings,
    )[0] as [number];
    return this.count(range) - came;
  }

  /** Versions below `range` written from revision `first` to `last`, each with the version it replaced. */
  changes(range: KeyRange, first: number, last: number): { readonly row: Row; readonly previous: Row | undefined }[] {
    const where = whereKey("h.key", range);
    const cells = this.#values(
      `SELECT ${columns}, p.id, p.create_revision, p.revision, p.version, p.lease, p.value
         FROM history h LEFT JOIN history p ON p.id = h.previous
        WHERE h.revision BETWEEN ? AND ? AND ${where.sql} ORDER BY h.id`,
      first,
      last,
      ...where.bindings,
    ) as [...Cells, number | null, number, number, number, string | null, Bytes | null][];
    return cells.map(([id, key, create, mod, version, lease, value, previous, ...rest]) => ({
      row: rowOf([id, key, create, mod, version, lease, value]),
      previous: previous === null ? undefined : rowOf([previous, key, ...rest]),
    }));
  }

  insertVersion(id: number, row: Row, previous: number | undefined): void {
    const lease = row.lease === "0" ? null : row.lease;
    this.#run(
      "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      id,
      row.modRevision,
      row.key,
      row.createRevision,
      row.version,
      lease,
      row.version === 0 ? null : row.value,
      previous ?? null,
    );
    if (row.version === 0) this.#run("DELETE FROM current WHERE key = ?", row.key);
    else {
      this.#run(
        "INSERT INTO current VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET id = excluded.id, lease = excluded.lease",
        row.key,
        id,
        lease,
      );
    }
  }

  /**
   * Removes what nobody may read any more after a compaction from revision `from` to `to`: versions replaced in
   * (from, to] and deletions in [from, to). The deletion at `to` itself stays, for a watch that starts there.
   */
  scrub(from: number, to: number): void {
    this.#run(
      `DELETE FROM history WHERE id IN
         (SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous IS NOT NULL)`,
      from,
      to,
    );
    this.#run("DELETE FROM history WHERE revision >= ? AND revision < ? AND version = 0", from, to);
  }

  leases(): { readonly id: string; readonly ttlSeconds: number }[] {
    const rows = this.#values("SELECT id, ttl_seconds FROM leases") as [string, number][];
    return rows.map(([id, ttlSeconds]) => ({ id, ttlSeconds }));
  }

  insertLease(id: string, ttlSeconds: number): void {
    this.#run("INSERT INTO leases VALUES (?, ?)", id, ttlSeconds);
  }

  deleteLease(id: string): void {
    this.#run("DELETE FROM leases WHERE id = ?", id);
  }

  leaseKeys(id: string): Bytes[] {
    const rows = this.#values("SELECT key FROM current WHERE lease = ? ORDER BY key", id) as [Bytes][];
    return rows.map(([key]) => key);
  }

  size(): { readonly bytes: number; readonly bytesInUse: number } {
    const [pages, free, pageBytes] = this.#values(
      "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )[0] as [number, number, number];
    return { bytes: pages * pageBytes, bytesInUse: (pages - free) * pageBytes };
  }

  /** Gives free pages back to the file system; stops everything else meanwhile. */
  vacuum(): void {
    this.#run("VACUUM");
    this.#run("PRAGMA wal_checkpoint(TRUNCATE)");
    growLog(this.#path);
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
    this.#db.close(true);
  }

  #rows(sql: string, ...bindings: SQLQueryBindings[]): StoredRow[] {
    return (this.#values(sql, ...bindings) as Cells[]).map(rowOf);
  }

  #values(sql: string, ...bindings: SQLQueryBindings[]): unknown[][] {
    return this.#statement(sql).values(...bindings) as unknown[][];
  }

  #run(sql: string, ...bindings: SQLQueryBindings[]): void {
    this.#statement(sql).run(...bindings);
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** As much as the log grows to before SQLite writes it back (1,000 pages), and as much again for large transactions. */
const logBytes = 8 * 1024 * 1024;

/**
 * Writes zeros behind what the write-ahead log holds, so that a commit's sync need not record a longer file too: half the
 * time, and a tenth of the worst on a busy disk. SQLite stops reading a log at the first frame without a valid checksum.
 */
function growLog(path: string): void {
  if (path === ":memory:") return;
  const log = openSync(`${path}-wal`, "a", 0o600);
  try {
    const { size } = fstatSync(log);
    if (size >= logBytes) return;
    writeSync(log, new Uint8Array(logBytes - size));
    fsyncSync(log);
  } finally {
    closeSync(log);
  }
}

function open(path: string): Database {
  const db = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    // One process owns the file: a second one is refused instead of handing out the same revisions.
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("PRAGMA journal_mode = WAL");
    // NORMAL does not sync on commit: durability.ts does, off the event loop, once for all commits that wait.
    db.run("PRAGMA synchronous = NORMAL");
    db.run("PRAGMA cache_size = -65536");
    db.run("PRAGMA temp_store = MEMORY");
    db.run("BEGIN IMMEDIATE");
    const { user_version: found } = db.query("PRAGMA user_version").get() as { user_version: number };
    if (found !== 0 && found !== schemaVersion) {
      throw new OperationError(
        "STORE_SCHEMA_UNKNOWN",
        `${path} has schema version ${found}, expected ${schemaVersion}`,
        {
          remedy: "start the version of Margay that wrote it, or move the file away",
        },
      );
    }
    db.run(schema);
    db.run(`PRAGMA user_version = ${schemaVersion}`);
    db.run("COMMIT");
    // Not before: SQLite removes a log that it finds beside an empty file.
    growLog(path);
    return db;
  } catch (cause) {
    db.close();
    if (cause instanceof OperationError) throw cause;
    const busy = cause instanceof Error && "code" in cause && cause.code === "SQLITE_BUSY";
    throw new OperationError(
      busy ? "STORE_IN_USE" : "STORE_CANNOT_OPEN",
      busy ? `another process has the store ${path} open` : `cannot open the store ${path}`,
      { cause, retry: "after-change" },
    );
  }
}

function rowOf([id, key, createRevision, modRevision, version, lease, value]: Cells): StoredRow {
  return { id, key, createRevision, modRevision, version, lease: lease ?? "0", value: value ?? noBytes };
}

function whereKey(column: string, range: KeyRange): { readonly sql: string; readonly bindings: Bytes[] } {
  if (range.rangeEnd.length === 0) return { sql: `${column} = ?`, bindings: [range.key] };
  if (isOpenEnded(range)) return { sql: `${column} >= ?`, bindings: [range.key] };
  return { sql: `${column} >= ? AND ${column} < ?`, bindings: [range.key, range.rangeEnd] };
}
