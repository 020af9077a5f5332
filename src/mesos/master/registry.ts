/**
 * What the master must remember over its own death: admitted, unreachable and gone agents, and frameworks with their
 * failover settings. Tasks and offers are never kept: agents and schedulers bring them back.
 *
 * - An agent is written before it is told its id, and before it is declared unreachable.
 * - Frameworks are written behind: a lost one is accepted again under its old id.
 * - Keys: `/margay/mesos/master/{agents,frameworks}/<id>`, values JSON with unknown fields kept away.
 */

import { z } from "zod";
import { type Clock, deadline } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { Reconciler } from "../../base/reconciler.ts";
import { Tracker } from "../../base/tracker.ts";
import type { Store } from "../../store/store.ts";
import type { AgentInfo } from "../protocol/agent-info.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import { decodeMessage, encodeMessage } from "../protocol/message-json.ts";

export interface AgentRecord {
  readonly state: "admitted" | "unreachable" | "gone";
  /** Since when it is in that state, seconds are enough. */
  readonly sinceMs: number;
  /** With id. */
  readonly info: AgentInfo;
}
export interface FrameworkRecord {
  readonly state: "known" | "removed";
  readonly sinceMs: number;
  /** With id. */
  readonly info: FrameworkInfo;
}

const root = "/margay/mesos/master/";
const agentsPrefix = `${root}agents/`;
const frameworksPrefix = `${root}frameworks/`;
const resyncEveryMs = 60_000;
/** Mesos' --registry_store_timeout. */
const writeTimeoutMs = 20_000;

const agentDocument = z.object({
  state: z.enum(["admitted", "unreachable", "gone"]),
  sinceMs: z.number(),
  info: z.unknown(),
});
const frameworkDocument = z.object({ state: z.enum(["known", "removed"]), sinceMs: z.number(), info: z.unknown() });

export class Registry {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #wanted = new Tracker<string, string>();
  readonly #reconciler: Reconciler;
  #lastWrite: Promise<void> = Promise.resolve();
  readonly agents = new Map<string, AgentRecord>();
  readonly frameworks = new Map<string, FrameworkRecord>();

  constructor(options: { readonly store: Store; readonly clock: Clock; readonly log: Log }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#reconciler = new Reconciler({
      name: "master-registry",
      clock: options.clock,
      log: options.log,
      pass: (signal) => this.#writeBehind(signal),
      resyncEveryMs,
    });
  }

  /** Reads everything; the maps are filled afterwards. A record that cannot be read is left alone and reported. */
  async load(signal?: AbortSignal): Promise<void> {
    const { kvs } = await this.#store.list(root, signal === undefined ? {} : { signal });
    const seen = new Map<string, string>();
    for (const { key, value } of kvs) {
      try {
        if (key.startsWith(agentsPrefix)) this.agents.set(key.slice(agentsPrefix.length), readAgent(value));
        else if (key.startsWith(frameworksPrefix)) {
          this.frameworks.set(key.slice(frameworksPrefix.length), readFramework(value));
        } else continue;
        seen.set(key, value);
        this.#wanted.want(key, value);
      } catch (cause) {
        this.#log.error({ event: "registry_record_unreadable", key, error: describeError(cause) });
      }
    }
    this.#wanted.observed(seen);
  }

  /** Writes what was put off, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#reconciler.run(signal);
  }

  /** Resolves when it is durable. Throws STORE_UNAVAILABLE, then nothing has changed here. */
  async putAgent(id: string, record: AgentRecord, signal?: AbortSignal): Promise<void> {
    const key = agentsPrefix + id;
    const value = writeRecord(record, encodeMessage("AgentInfo", record.info));
    await this.#oneByOne(async () => {
      const stop = deadline(this.#clock, writeTimeoutMs, signal);
      if (this.#wanted.actual(key) !== value) await this.#store.put(key, value, { signal: stop });
      this.#wanted.want(key, value);
      this.#wanted.applied(key, value);
    });
    this.agents.set(id, record);
  }

  putAgentSoon(id: string, record: AgentRecord): void {
    this.agents.set(id, record);
    this.#want(agentsPrefix + id, writeRecord(record, encodeMessage("AgentInfo", record.info)));
  }

  removeAgentSoon(id: string): void {
    this.agents.delete(id);
    this.#want(agentsPrefix + id, undefined);
  }

  putFrameworkSoon(id: string, record: FrameworkRecord): void {
    this.frameworks.set(id, record);
    this.#want(frameworksPrefix + id, writeRecord(record, encodeMessage("FrameworkInfo", record.info)));
  }

  removeFrameworkSoon(id: string): void {
    this.frameworks.delete(id);
    this.#want(frameworksPrefix + id, undefined);
  }

  get pendingWrites(): number {
    return this.#wanted.pendingPuts.size + this.#wanted.pendingRemovals.size;
  }

  #want(key: string, value: string | undefined): void {
    this.#wanted.want(key, value);
    this.#reconciler.poke();
  }

  async #writeBehind(signal: AbortSignal): Promise<void> {
    for (const key of [...this.#wanted.pendingPuts.keys(), ...this.#wanted.pendingRemovals]) {
      await this.#oneByOne(async () => {
        const value = this.#wanted.desired(key);
        if (value === this.#wanted.actual(key)) return;
        if (value === undefined) await this.#store.delete(key, { signal });
        else await this.#store.put(key, value, { signal });
        this.#wanted.applied(key, value);
      });
    }
  }

  /** Two writes of one key must reach the store in the order they were decided. */
  async #oneByOne(write: () => Promise<void>): Promise<void> {
    const before = this.#lastWrite;
    const turn = Promise.withResolvers<void>();
    this.#lastWrite = turn.promise;
    await before;
    try {
      await write();
    } finally {
      turn.resolve();
    }
  }
}

function writeRecord(record: AgentRecord | FrameworkRecord, info: string): string {
  return `{"state":${JSON.stringify(record.state)},"sinceMs":${record.sinceMs},"info":${info}}`;
}

function readAgent(value: string): AgentRecord {
  const document = agentDocument.parse(JSON.parse(value));
  return { ...document, info: decodeMessage("AgentInfo", document.info) };
}

function readFramework(value: string): FrameworkRecord {
  const document = frameworkDocument.parse(JSON.parse(value));
  return { ...document, info: decodeMessage("FrameworkInfo", document.info) };
}
