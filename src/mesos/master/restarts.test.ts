/**
 * Whatever order masters, agents and schedulers die and come back in, with whatever is lost on the way:
 * no task is started twice, every end of a task is acknowledged once, and nothing is held that nobody uses.
 * Seeded: a failure names the seed, and the seed replays it.
 */

import { expect, test } from "bun:test";
import { TestClock } from "../../base/clock.ts";
import { equalResources, normalizeResources } from "../protocol/resources.ts";
import { isTerminal } from "../protocol/task-status.ts";
import type { FakeAgent } from "./testing/fake-agent.ts";
import { type FakeScheduler, taskOn } from "./testing/fake-scheduler.ts";
import { TestCluster } from "./testing/test-cluster.ts";

const seeds = 60;
const steps = 80;

class Chaos {
  readonly cluster: TestCluster;
  readonly dice: TestClock;
  readonly history: string[] = [];
  launched = 0;
  calm = false;

  constructor(cluster: TestCluster, seed: number) {
    this.cluster = cluster;
    this.dice = new TestClock(0, seed);
  }

  async prepare(): Promise<void> {
    for (let count = 0; count < 3; count++) await this.cluster.addAgent();
    const aware = await this.cluster.addScheduler({ name: "aware", capabilities: [{ type: "PARTITION_AWARE" }] });
    const unaware = await this.cluster.addScheduler({ name: "unaware" });
    for (const scheduler of [aware, unaware]) {
      scheduler.onOffers = (offers) => {
        for (const offer of offers) {
          if (this.calm || this.dice.random() < 0.5) {
            scheduler.call({ type: "DECLINE", decline: { offer_ids: [offer.id], filters: { refuse_seconds: 1 } } });
          } else {
            const tasks = [0, 1].map(() =>
              taskOn(offer, `${scheduler.info.name}-${this.launched++}`, "cpus:0.5;mem:64"),
            );
            scheduler.launch([offer], tasks, 1);
          }
        }
        scheduler.offers = [];
      };
    }
    for (const scheduler of [aware, unaware]) scheduler.call({ type: "REVIVE" });
    await this.cluster.settle();
  }

  async step(): Promise<void> {
    const { cluster } = this;
    const agent = this.#pick(cluster.agents);
    const scheduler = this.#pick(cluster.schedulers);
    const actions: readonly [weight: number, name: string, act: () => Promise<void> | void][] = [
      [6, "time passes", () => cluster.advance(this.#between(100, 5_000))],
      [1, "much time passes", () => cluster.advance(this.#between(30_000, 120_000), 5_000)],
      [3, `a task ends on ${agent.hostname}`, () => this.#endOne(agent)],
      [2, `${agent.hostname} loses its stream`, () => agent.disconnect()],
      // The master does not notice: what it sends is lost.
      [1, `${agent.hostname} is cut off`, () => agent.forget()],
      [4, `${agent.hostname} comes`, () => this.#comes(agent)],
      [2, `${scheduler.info.name} loses its stream`, () => scheduler.disconnect()],
      [4, `${scheduler.info.name} comes`, () => this.#comes(scheduler)],
      [2, `${scheduler.info.name} kills a task`, () => this.#killOne(scheduler)],
      [
        1,
        `${scheduler.info.name} is deaf to its updates`,
        () => void Object.assign(scheduler, { acknowledges: false }),
      ],
      [2, `${scheduler.info.name} acknowledges again`, () => void Object.assign(scheduler, { acknowledges: true })],
      [2, "agents send again", () => cluster.agents.forEach((one) => void one.resend())],
      [1, "the master dies", () => cluster.restartMaster()],
      [1, "somebody reads one event", () => void this.#pick([...cluster.agents, ...cluster.schedulers]).pump()],
    ];
    const total = actions.reduce((sum, [weight]) => sum + weight, 0);
    let roll = this.dice.random() * total;
    for (const [weight, name, act] of actions) {
      roll -= weight;
      if (roll >= 0) continue;
      this.history.push(name);
      await act();
      // Half of the time the next blow falls before anybody has read anything.
      if (this.dice.random() < 0.5) await cluster.settle();
      return;
    }
  }

  /** Everybody is back, reads and answers; then every task is ended. */
  async calmDown(): Promise<void> {
    const { cluster } = this;
    this.calm = true;
    for (const scheduler of cluster.schedulers) scheduler.acknowledges = true;
    await this.#everybodyComes();
    for (const agent of cluster.agents) for (const id of [...agent.tasks.keys()]) agent.report(id, "TASK_FINISHED");
    await this.#everybodyComes();
  }

  async #everybodyComes(): Promise<void> {
    const { cluster } = this;
    for (let round = 0; round < 3; round++) {
      for (const party of [...cluster.schedulers, ...cluster.agents]) await this.#comes(party);
      await cluster.settle();
      for (const agent of cluster.agents) agent.resend();
      await cluster.advance(2_000);
    }
  }

  async #comes(party: FakeAgent | FakeScheduler): Promise<void> {
    if (!party.isConnected || !this.calm) await party.subscribe(this.cluster.master);
  }

  #endOne(agent: FakeAgent): void {
    const running = [...agent.tasks].filter(([, task]) => !isTerminal(task.state));
    const [id] = running[Math.floor(this.dice.random() * running.length)] ?? [];
    if (id !== undefined) agent.report(id, this.dice.random() < 0.5 ? "TASK_FINISHED" : "TASK_FAILED");
  }

  #killOne(scheduler: FakeScheduler): void {
    const id = `${scheduler.info.name}-${this.#between(0, Math.max(1, this.launched))}`;
    scheduler.call({ type: "KILL", kill: { task_id: { value: id } } });
  }

  #pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.dice.random() * items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  #between(low: number, high: number): number {
    return low + Math.floor(this.dice.random() * (high - low));
  }
}

/** Holds after every step: what the ledger says is held is what tasks and offers hold. */
function expectBalanced(cluster: TestCluster): void {
  const state = cluster.master.context.cluster;
  for (const agent of state.agents.values()) {
    const live = [...agent.tasks].filter((task) => !isTerminal(task.state));
    const held = normalizeResources([...live, ...agent.offers].flatMap((one) => one.resources));
    expect(equalResources(held, state.ledger.heldOn(agent.id))).toBe(true);
    for (const task of agent.tasks) {
      expect(state.frameworks.get(task.frameworkId)?.tasks.get(task.info.task_id.value)).toBe(task);
    }
  }
}

for (let seed = 1; seed <= seeds; seed++) {
  test(`seed ${seed}: no task is started twice, every end is acknowledged once`, async () => {
    await using cluster = await TestCluster.create([], seed);
    const chaos = new Chaos(cluster, seed);
    await chaos.prepare();
    for (let step = 0; step < steps; step++) {
      await chaos.step();
      expectBalanced(cluster);
    }
    await chaos.calmDown();
    expectBalanced(cluster);
    const started = cluster.agents.flatMap((agent) => agent.started);
    const ended = cluster.agents.flatMap((agent) => agent.ended);
    expect(chaos.launched).toBeGreaterThan(0);
    expect(started.toSorted()).toEqual([...new Set(started)].toSorted());
    expect(ended.toSorted()).toEqual([...new Set(ended)].toSorted());
    // Every task that was started has ended, and its end was acknowledged.
    expect(started.filter((id) => !ended.includes(id))).toEqual([]);
    for (const agent of cluster.agents) expect([...agent.tasks.keys()]).toEqual([]);
    for (const framework of cluster.master.context.cluster.frameworks.values()) {
      expect([...framework.tasks.keys()]).toEqual([]);
      expect([...framework.unreachableTasks.keys()]).toEqual([]);
    }
    // And everybody was told.
    for (const scheduler of cluster.schedulers) {
      for (const id of started.filter((one) => one.startsWith(`${scheduler.info.name}-`))) {
        expect(scheduler.updates.some((status) => status.task_id.value === id && isTerminal(status.state))).toBe(true);
      }
    }
  });
}
