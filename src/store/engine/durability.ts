/**
 * When is a committed write safe? A commit in WAL mode without sync survives a kill -9 of the process (the bytes are
 * with the kernel), not a power cut. This file syncs the log off the event loop and tells when a commit is on the
 * disk; commits made while a sync runs share the next one (group commit). Nothing is acknowledged, and nothing is
 * shown to a reader or watcher, before that: after a power cut no client knows a revision the store does not.
 *
 * A failed sync is final: the kernel may have dropped the dirty pages, so no later sync can make the write safe.
 */
import { closeSync, fdatasync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { EtcdError } from "../etcd-error.ts";
import { unavailable } from "../etcd-error.ts";

interface Waiter {
  readonly commit: number;
  readonly resolve: () => void;
  readonly reject: (error: EtcdError) => void;
}

export interface Durability {
  /** Commits are counted from 1; `durable` is the last one that is safe. */
  readonly durable: number;
  committed(): number;
  /** Resolves when commit number `commit` is safe. */
  wait(commit: number): Promise<void>;
  close(): Promise<void>;
}

/** For a store in memory: a commit is as safe as it will ever be. */
export class MemoryDurability implements Durability {
  #commits = 0;
  readonly #onDurable: () => void;

  constructor(onDurable: () => void) {
    this.#onDurable = onDurable;
  }

  get durable(): number {
    return this.#commits;
  }

  committed(): number {
    this.#commits++;
    // Not at once: the caller has not yet taken note of what it committed.
    queueMicrotask(this.#onDurable);
    return this.#commits;
  }

  wait(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {}
}

export class FileDurability implements Durability {
  readonly #logDescriptor: number;
  readonly #onDurable: () => void;
  readonly #onFailure: (error: EtcdError) => void;
  #commits = 0;
  #durable = 0;
  #syncing = false;
  #failure: EtcdError | undefined;
  #waiters: Waiter[] = [];
  #idle: (() => void) | undefined;

  /** The write-ahead log must exist, that is, something must have been written since the file was opened. */
  constructor(databasePath: string, onDurable: () => void, onFailure: (error: EtcdError) => void) {
    this.#onFailure = onFailure;
    this.#logDescriptor = openSync(`${databasePath}-wal`, "r+");
    this.#onDurable = onDurable;
    const directory = openSync(dirname(databasePath), "r");
    fsyncSync(directory);
    closeSync(directory);
  }

  get durable(): number {
    return this.#durable;
  }

  committed(): number {
    this.#commits++;
    if (!this.#syncing) this.#sync();
    return this.#commits;
  }

  wait(commit: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (commit <= this.#durable) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ commit, resolve, reject }));
  }

  /** Waits for the sync under way; the file may be closed afterwards. */
  async close(): Promise<void> {
    if (this.#syncing) await new Promise<void>((resolve) => (this.#idle = resolve));
    closeSync(this.#logDescriptor);
  }

  #sync(): void {
    if (this.#failure !== undefined) return;
    this.#syncing = true;
    const upTo = this.#commits;
    fdatasync(this.#logDescriptor, (error) => {
      this.#syncing = false;
      if (error !== null && error !== undefined) this.#fail(error);
      else this.#advance(upTo);
      if (this.#failure === undefined && this.#commits > upTo) this.#sync();
      else this.#idle?.();
    });
  }

  #advance(upTo: number): void {
    this.#durable = upTo;
    this.#onDurable();
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.commit > upTo);
    for (const waiter of waiters) if (waiter.commit <= upTo) waiter.resolve();
  }

  #fail(error: Error): void {
    this.#failure = unavailable("the store's disk refused to sync; it must be restarted", error);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#failure);
    this.#onFailure(this.#failure);
  }
}
