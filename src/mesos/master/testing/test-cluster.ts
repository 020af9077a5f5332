/** A whole cluster in one process under a standing clock: one real master on a real store, any number of fake parties. */

import { TestClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { openSqliteStore } from "../../../store/sqlite-store.ts";
import type { Store } from "../../../store/store.ts";
import type { FrameworkInfo } from "../../protocol/framework-info.ts";
import { parseMasterFlags } from "../flags.ts";
import { Master } from "../master.ts";
import { FakeAgent } from "./fake-agent.ts";
import { FakeScheduler } from "./fake-scheduler.ts";

export class TestCluster implements AsyncDisposable {
  readonly clock: TestClock;
  readonly store: Store;
  readonly flags: readonly string[];
  readonly agents: FakeAgent[] = [];
  readonly schedulers: FakeScheduler[] = [];
  master: Master;

  private constructor(clock: TestClock, store: Store, flags: readonly string[], master: Master) {
    this.clock = clock;
    this.store = store;
    this.flags = flags;
    this.master = master;
  }

  static async create(flags: readonly string[] = [], seed = 1): Promise<TestCluster> {
    const clock = new TestClock(undefined, seed);
    const store = await openSqliteStore({ path: ":memory:", clock });
    return new TestCluster(clock, store, flags, await startMaster(clock, store, flags));
  }

  async addAgent(options: { resources?: string; hostname?: string } = {}): Promise<FakeAgent> {
    const number = this.agents.length + 1;
    const agent = new FakeAgent(this.clock, { hostname: `host${number}`, ip: `10.0.0.${number}`, ...options });
    this.agents.push(agent);
    await agent.subscribe(this.master);
    await this.settle();
    return agent;
  }

  async addScheduler(info: Partial<FrameworkInfo> = {}): Promise<FakeScheduler> {
    const scheduler = new FakeScheduler(info);
    this.schedulers.push(scheduler);
    scheduler.subscribe(this.master);
    await this.settle();
    return scheduler;
  }

  /** Kills the master without a word and starts another on the same store. Everybody is disconnected. */
  async restartMaster(): Promise<void> {
    for (const party of [...this.agents, ...this.schedulers]) party.forget();
    await this.master[Symbol.asyncDispose]();
    this.master = await startMaster(this.clock, this.store, this.flags);
  }

  /** Until nobody has anything to read. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10_000; round++) {
      const parties = [...this.agents, ...this.schedulers];
      const moved = parties.filter((party) => party.pump()).length;
      if (moved > 0) continue;
      await this.clock.advance(0);
      if (!parties.some((party) => (party.link?.inbox.length ?? 0) > 0)) return;
    }
    throw new Error("the cluster does not come to rest");
  }

  /** In steps, everybody reading in between. */
  async advance(ms: number, stepMs = 500): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(stepMs, left));
      await this.settle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.master[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }
}

async function startMaster(clock: TestClock, store: Store, flags: readonly string[]): Promise<Master> {
  const { settings } = parseMasterFlags(["--work_dir=unused", ...flags], {});
  const info = { ip: 0, port: 5050, pid: "master@10.0.0.100:5050", hostname: "10.0.0.100" };
  return await Master.start({ clock, log: silentLog, store, settings, info });
}
