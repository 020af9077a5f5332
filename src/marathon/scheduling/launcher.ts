/**
 * Turns wishes into launches: asks for offers, gathers them for a moment, lets the matching decide, stores the instances and
 * accepts. Offers that do not serve are declined at once, so that others can have them.
 */

import { describeError } from "../../base/errors.ts";
import type { Offer } from "../../mesos/protocol/offer.ts";
import type { TaskInfo } from "../../mesos/protocol/task-info.ts";
import { type AppId, instanceIdFor, taskIdFor } from "../app/app-id.ts";
import type { Engine } from "../engine.ts";
import type { Instance } from "../plan/instance.ts";
import { type LaunchWish, matchOffers, type Placement } from "../plan/offer-matching.ts";
import type { Step } from "../plan/planner.ts";
import { taskInfo } from "../plan/task-info.ts";
import { put } from "../state/records.ts";
import type { OfferBook } from "./offer-book.ts";
import type { StatusUpdates } from "./status-updates.ts";

type LaunchStep = Extract<Step, { kind: "launch" }>;
type WaitStep = Extract<Step, { kind: "wait" }>;

/** Instances stored in one transaction. */
const launchBatchMax = 100;

export class Launcher {
  readonly #engine: Engine;
  readonly #book: OfferBook;
  readonly #updates: StatusUpdates;
  readonly #onUncertain: () => void;

  /** @param onUncertain a launch was sent and not confirmed: reconciliation has to tell. */
  constructor(engine: Engine, book: OfferBook, updates: StatusUpdates, onUncertain: () => void) {
    this.#engine = engine;
    this.#book = book;
    this.#updates = updates;
    this.#onUncertain = onUncertain;
  }

  /** Answers when to come back. Only within exclusive(). */
  async place(launches: readonly LaunchStep[], waits: readonly WaitStep[]): Promise<number> {
    try {
      return await this.#place(launches, waits);
    } catch (error) {
      this.#book.askAgain();
      throw error;
    }
  }

  async #place(launches: readonly LaunchStep[], waits: readonly WaitStep[]): Promise<number> {
    const { clock, state, connection, queue } = this.#engine;
    this.#updateQueue(launches, waits);
    if (!connection.connected) return Number.POSITIVE_INFINITY;
    const wishes = this.#wishes(launches);
    let wakeMs = await this.#ask(wishes);
    const offers = this.#book.offers;
    if (offers.length === 0) return wakeMs;
    if (wishes.length === 0) {
      await this.#decline(offers);
      return wakeMs;
    }
    if (clock.nowMs() < this.#book.readyAtMs) return Math.min(wakeMs, this.#book.readyAtMs);
    const matching = matchOffers(wishes, offers, [...state.instances.values()], {
      instancesPerOfferMax: this.#engine.settings.instancesPerOfferMax,
      random: () => clock.random(),
    });
    for (const { app } of wishes) {
      const rejections = matching.rejections.filter((rejection) => rejection.app.id === app.id);
      const used = matching.placements.filter((placement) => placement.app.id === app.id).length;
      queue.looked(app.id, rejections, used, clock.nowMs());
    }
    const byOffer = Map.groupBy(matching.placements, ({ offer }) => offer.id.value);
    await this.#decline(offers.filter(({ id }) => !byOffer.has(id.value)));
    for (const placements of byOffer.values()) await this.#launch(placements);
    if (matching.placements.length > 0) {
      // What is still missing is planned, and asked for, in the next pass.
      this.#engine.poke();
      wakeMs = Math.min(wakeMs, clock.nowMs() + 1);
    }
    return wakeMs;
  }

  #wishes(launches: readonly LaunchStep[]): readonly LaunchWish[] {
    const { state, queue } = this.#engine;
    const since = (id: AppId) => queue.get(id)?.sinceMs ?? 0;
    return [...launches]
      .sort((a, b) => since(a.app) - since(b.app))
      .flatMap(({ app: id, count }) => {
        const app = state.apps.get(id);
        return app === undefined ? [] : [{ app, count }];
      });
  }

  #updateQueue(launches: readonly LaunchStep[], waits: readonly WaitStep[]): void {
    const { clock, state, queue } = this.#engine;
    const wanted = new Map<AppId, { app: LaunchWish["app"]; count: number; notBeforeMs: number }>();
    for (const { app: id, count } of launches) {
      const app = state.apps.get(id);
      if (app !== undefined) wanted.set(id, { app, count, notBeforeMs: 0 });
    }
    for (const wait of waits) {
      const app = wait.app === undefined ? undefined : state.apps.get(wait.app);
      if (app === undefined || wait.because !== "backoff") continue;
      const missing = app.instances - state.instancesOf(app.id).filter(({ goal }) => goal === "Running").length;
      wanted.set(app.id, { app, count: Math.max(1, missing), notBeforeMs: wait.untilMs });
    }
    queue.replace(wanted, clock.nowMs());
  }

  /** Revives for new wishes, suppresses when there are none left. */
  async #ask(wishes: readonly LaunchWish[]): Promise<number> {
    const { connection, metrics, state } = this.#engine;
    // With the instances there are: when one ends, room may have become free behind an offer declined before.
    const wish = wishes.map(({ app, count }) => `${app.id} ${app.version} ${count}`).join(",");
    const key = wish === "" ? "" : `${wish} of ${state.instances.size}`;
    const demand = this.#book.demand(key);
    switch (demand.kind) {
      case "nothing":
        return Number.POSITIVE_INFINITY;
      case "later":
        return demand.atMs;
      case "suppress":
        await connection.call({ type: "SUPPRESS" });
        metrics.count("mesos.calls.suppress.counter");
        break;
      case "revive":
        await connection.call({ type: "REVIVE" });
        metrics.count("mesos.calls.revive.counter");
        break;
    }
    this.#book.asked(key);
    return Number.POSITIVE_INFINITY;
  }

  async #decline(offers: readonly Offer[]): Promise<void> {
    if (offers.length === 0) return;
    const { connection, metrics, settings } = this.#engine;
    for (const { id } of offers) this.#book.remove(id.value);
    metrics.count("mesos.offers.declined.counter", offers.length);
    await connection.call({
      type: "DECLINE",
      decline: { offer_ids: offers.map(({ id }) => id), filters: { refuse_seconds: settings.declineSeconds } },
    });
  }

  async #launch(placements: readonly Placement[]): Promise<void> {
    const offer = placements[0]?.offer;
    if (offer === undefined) return;
    const { state, connection, metrics, settings, log } = this.#engine;
    this.#book.remove(offer.id.value);
    const launched = placements.map((placement) => ({ placement, instance: this.#instanceFor(placement) }));
    for (let start = 0; start < launched.length; start += launchBatchMax) {
      const batch = launched.slice(start, start + launchBatchMax).map(({ instance }) => instance);
      await state.commit(batch.map(put.instance), () => {
        for (const instance of batch) state.setInstance(instance);
      });
    }
    for (const { instance } of launched) this.#updates.publishInstance(instance);
    const tasks = launched.map(
      ({ placement, instance }): TaskInfo =>
        taskInfo(placement.app, instance, placement.resources, { prefix: settings.environmentPrefix }),
    );
    metrics.count("mesos.offers.used.counter");
    metrics.count("tasks.launched.counter", tasks.length);
    try {
      await connection.call({
        type: "ACCEPT",
        accept: {
          offer_ids: [offer.id],
          operations: [{ type: "LAUNCH", launch: { task_infos: tasks } }],
          // The rest of the offer may come back at once: there may be more to launch.
          filters: { refuse_seconds: 0 },
        },
      });
    } catch (error) {
      log.warn({
        event: "launch_unconfirmed",
        offer: offer.id.value,
        tasks: tasks.length,
        error: describeError(error),
      });
      this.#onUncertain();
    }
  }

  #instanceFor({ app, offer, place, hostPorts, ports }: Placement): Instance {
    const { clock } = this.#engine;
    const id = instanceIdFor(app.id, clock.uuid());
    const address = offer.url?.address.ip;
    return {
      id,
      appId: app.id,
      taskId: taskIdFor(id),
      runSpecVersion: app.version,
      goal: "Running",
      condition: "Provisioned",
      state: "TASK_STAGING",
      agentId: offer.agent_id.value,
      hostname: offer.hostname,
      ...(address === undefined ? {} : { agentAddress: address }),
      attributes: place,
      role: app.role,
      hostPorts,
      ports,
      networkAddresses: [],
      stagedAtMs: clock.nowMs(),
    };
  }
}
