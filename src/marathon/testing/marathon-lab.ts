/** A Marathon on a fake master and an in-process store, driven by a TestClock; with verbs that tests read well with. */

import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import type { MarathonEvent } from "../events/event-bus.ts";
import type { Probe } from "../health/probe.ts";
import { defaultSettings, type MarathonSettings } from "../settings.ts";
import { type Marathon, startMarathon } from "../start-marathon.ts";
import { FakeMaster } from "./fake-master.ts";

export interface LabOptions {
  readonly hosts?: number;
  readonly settings?: Partial<MarathonSettings>;
  readonly probe?: Probe;
  readonly knownNetworks?: () => Promise<ReadonlySet<string> | undefined>;
  readonly wrapStore?: (store: Store) => Store;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
  readonly text: string;
}

export class MarathonLab implements AsyncDisposable {
  readonly clock = new TestClock();
  readonly master = new FakeMaster(this.clock);
  readonly events: MarathonEvent[] = [];
  readonly #options: LabOptions;
  readonly #store: Store;
  #marathon: Marathon | undefined;

  private constructor(options: LabOptions, store: Store) {
    this.#options = options;
    this.#store = store;
  }

  static async open(options: LabOptions = {}): Promise<MarathonLab> {
    const clock = new TestClock();
    const store = await openSqliteStore({ path: ":memory:", clock });
    const lab = new MarathonLab(options, store);
    for (let host = 1; host <= (options.hosts ?? 3); host += 1) lab.master.addAgent(`host${host}`);
    await lab.start();
    return lab;
  }

  get marathon(): Marathon {
    if (this.#marathon === undefined) throw new Error("Marathon is not running");
    return this.#marathon;
  }

  get store(): Store {
    return this.#store;
  }

  async start(): Promise<void> {
    this.#marathon = await startMarathon({
      settings: { ...defaultSettings, ...this.#options.settings },
      store: this.#options.wrapStore?.(this.#store) ?? this.#store,
      clock: this.clock,
      log: silentLog,
      transport: this.master.transport,
      probe: this.#options.probe ?? (async () => ({ healthy: true })),
      knownNetworks: this.#options.knownNetworks ?? (async () => undefined),
    });
    this.#marathon.engine.bus.listen((event) => this.events.push(event));
    await this.clock.advance(100);
  }

  /** Ends Marathon without a word to anybody, as kill -9 does; the master notices. */
  async kill(): Promise<void> {
    await this.#marathon?.[Symbol.asyncDispose]();
    this.#marathon = undefined;
    this.master.disconnect();
  }

  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const request = new Request(`http://marathon:8080${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const response = await this.marathon.fetch(request);
    const text = await response.text();
    const json = /json/.test(response.headers.get("Content-Type") ?? "");
    return {
      status: response.status,
      text,
      headers: response.headers,
      body: json ? (JSON.parse(text) as Record<string, unknown>) : {},
    };
  }

  /** Lets time pass until the condition holds; fails after `withinMs` of the test's own time. */
  async until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
    for (let passedMs = 0; passedMs <= withinMs; passedMs += 50) {
      if (await holds()) return;
      await this.clock.advance(50);
    }
    throw new Error(`not within ${withinMs} ms: ${what}\n${this.master.print()}`);
  }

  /** No deployment is under way. */
  async deployed(withinMs = 10_000): Promise<void> {
    await this.until("all deployments done", () => this.marathon.engine.state.deployments.size === 0, withinMs);
  }

  async app(id: string): Promise<Record<string, unknown>> {
    const { body } = await this.ask("GET", `/v2/apps${id}`);
    return body.app as Record<string, unknown>;
  }

  async tasks(id: string): Promise<readonly Record<string, unknown>[]> {
    const { body } = await this.ask("GET", `/v2/apps${id}/tasks`);
    return (body.tasks ?? []) as Record<string, unknown>[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#store[Symbol.asyncDispose]();
  }
}
