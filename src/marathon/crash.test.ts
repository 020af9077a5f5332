/**
 * Marathon dies at every write to the store and every call to the master, before and after it took effect, and is started
 * again: what was promised is done, nothing is launched twice, nothing is left behind (reference: marathon-behaviour 12).
 */

import { describe, expect, test } from "bun:test";
import type { Store, Transaction } from "../store/store.ts";
import { MarathonLab } from "./testing/marathon-lab.ts";

type When = "before" | "after";

/** A store whose user dies at the n-th write: the write happens or not, and nothing works from then on. */
class MortalStore {
  writes = 0;
  dead = false;
  readonly #store: Store;
  readonly #dieAt: number;
  readonly #when: When;

  constructor(store: Store, dieAt: number, when: When) {
    this.#store = store;
    this.#dieAt = dieAt;
    this.#when = when;
  }

  get store(): Store {
    const store = this.#store;
    const alive = () => {
      if (this.dead) throw new Error("dead");
    };
    return {
      ...Object.fromEntries(
        (["get", "put", "delete", "watch", "grantLease", "keepAlive", "revokeLease"] as const).map((name) => [
          name,
          () => alive(),
        ]),
      ),
      list: async (prefix: string, options: object) => {
        alive();
        return store.list(prefix, options);
      },
      transact: async (transaction: Transaction) => {
        alive();
        this.writes += 1;
        if (this.writes !== this.#dieAt) return store.transact(transaction);
        this.dead = true;
        if (this.#when === "after") await store.transact(transaction);
        throw new Error("dead");
      },
      [Symbol.asyncDispose]: async () => undefined,
    } as unknown as Store;
  }
}

const app = { id: "web", cmd: "sleep 1000", cpus: 0.1, mem: 32 };

/** What the user does, again and again until it is answered; then what must hold. */
const story: readonly {
  readonly name: string;
  readonly ask: (lab: MarathonLab) => Promise<boolean>;
  readonly alive: number;
  readonly launchedMax: number;
}[] = [
  {
    name: "create",
    ask: (lab) => answered(lab, "POST", "/v2/apps", { ...app, instances: 2 }, [201, 409]),
    alive: 2,
    launchedMax: 2,
  },
  {
    name: "scale up",
    ask: (lab) => answered(lab, "PUT", "/v2/apps/web?force=true", { instances: 3 }, [200]),
    alive: 3,
    launchedMax: 3,
  },
  {
    name: "scale down",
    ask: (lab) => answered(lab, "PUT", "/v2/apps/web?force=true", { instances: 1 }, [200]),
    alive: 1,
    launchedMax: 3,
  },
  {
    name: "upgrade",
    ask: (lab) => answered(lab, "PUT", "/v2/apps/web?force=true", { cmd: "sleep 2000" }, [200]),
    alive: 1,
    launchedMax: 4,
  },
  {
    name: "destroy",
    ask: (lab) => answered(lab, "DELETE", "/v2/apps/web", undefined, [200, 404]),
    alive: 0,
    launchedMax: 4,
  },
];

async function answered(
  lab: MarathonLab,
  method: string,
  path: string,
  body: unknown,
  statuses: readonly number[],
): Promise<boolean> {
  return statuses.includes((await lab.ask(method, path, body)).status);
}

/** @param died whether this life is over; a fresh life follows then. */
async function live(lab: MarathonLab, died: () => boolean): Promise<void> {
  const revive = async () => {
    if (!died()) return;
    await lab.kill();
    await lab.start();
  };
  for (const { name, ask, alive, launchedMax } of story) {
    for (let attempt = 0; ; attempt += 1) {
      if (attempt > 3) throw new Error(`${name} was never answered`);
      const done = await ask(lab).catch(() => false);
      await revive();
      if (done) break;
    }
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 100) {
      await revive();
      lab.master.resend();
      const { deployments, instances } = lab.marathon.engine.state;
      if (deployments.size === 0 && instances.size === alive && lab.master.alive().length === alive) break;
      await lab.clock.advance(100);
    }
    expect(`${name}: ${lab.master.alive().length} alive`).toBe(`${name}: ${alive} alive`);
    expect(lab.master.tasks.size).toBeLessThanOrEqual(launchedMax);
  }
  const known = [...lab.marathon.engine.state.instances.values()].map(({ taskId }) => taskId as string);
  expect(known).toEqual(lab.master.alive().map(({ info }) => info.task_id.value));
  const { kvs } = await lab.store.list("/margay/marathon/");
  expect(kvs.map(({ key }) => key)).toEqual(["/margay/marathon/framework-id"]);
  lab.master.resend();
  await lab.clock.advance(500);
  expect(lab.master.unacknowledgedCount).toBe(0);
}

async function countOf(kind: "writes" | "calls"): Promise<number> {
  let mortal: MortalStore | undefined;
  await using lab = await MarathonLab.open({
    wrapStore: (store) => {
      mortal ??= new MortalStore(store, Number.POSITIVE_INFINITY, "before");
      return mortal.store;
    },
  });
  await live(lab, () => false);
  return kind === "writes" ? (mortal?.writes ?? 0) : lab.master.calls.length;
}

const writes = await countOf("writes");
const calls = await countOf("calls");

describe("killed at a write to the store", () => {
  for (const when of ["before", "after"] as const) {
    for (let at = 1; at <= writes; at += 1) {
      test(`${when} write ${at} of ${writes}`, async () => {
        let life = 0;
        let mortal: MortalStore | undefined;
        await using lab = await MarathonLab.open({
          wrapStore: (store) => {
            life += 1;
            mortal = life === 1 ? new MortalStore(store, at, when) : undefined;
            return mortal?.store ?? store;
          },
        });
        await live(lab, () => mortal?.dead === true);
        expect(life).toBeGreaterThan(1);
      });
    }
  }
});

describe("killed at a call to the master", () => {
  for (const when of ["before", "after"] as const) {
    for (let at = 2; at <= calls; at += 1) {
      test(`${when} call ${at} of ${calls}`, async () => {
        await using lab = await MarathonLab.open();
        let count = lab.master.calls.length;
        let dead = false;
        lab.master.failCall = () => {
          count += 1;
          if (count === at) {
            dead = true;
            return when === "after" ? "after" : true;
          }
          return dead;
        };
        await live(lab, () => {
          const died = dead;
          if (dead) lab.master.failCall = () => false;
          dead = false;
          return died;
        });
      });
    }
  }
});

describe("a store that fails for a moment", () => {
  for (let at = 1; at <= writes; at += 1) {
    test(`at write ${at}, having written or not, is survived without a restart`, async () => {
      for (const when of ["before", "after"] as const) {
        let count = 0;
        await using lab = await MarathonLab.open({
          wrapStore: (store) => ({
            ...({} as Store),
            list: (prefix, options) => store.list(prefix, options),
            transact: async (transaction) => {
              count += 1;
              if (count !== at) return store.transact(transaction);
              if (when === "after") await store.transact(transaction);
              throw new Error("the store did not answer");
            },
          }),
        });
        await live(lab, () => false);
      }
    });
  }
});
