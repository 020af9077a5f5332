/** What the registry promises: order, durability before the answer, and that one bad record spoils nothing. */

import { expect, test } from "bun:test";
import { TestClock } from "../../base/clock.ts";
import { OperationError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { openSqliteStore } from "../../store/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import { type AgentRecord, Registry } from "./registry.ts";

const record = (state: AgentRecord["state"], id = "S1"): AgentRecord => ({
  state,
  sinceMs: 1,
  info: { hostname: "host1", port: 5051, id: { value: id } },
});

async function open() {
  const clock = new TestClock();
  const store = await openSqliteStore({ path: ":memory:", clock });
  const registry = () => new Registry({ store, clock, log: silentLog });
  return { clock, store, registry };
}

test("what was put is there after a restart, with what was written behind", async () => {
  const { clock, store, registry } = await open();
  await using _ = store;
  const first = registry();
  const stop = new AbortController();
  const running = first.run(stop.signal);
  await first.putAgent("S1", record("admitted"));
  first.putAgentSoon("S2", record("unreachable", "S2"));
  first.putFrameworkSoon("F1", {
    state: "known",
    sinceMs: 5,
    info: { user: "a", name: "b", id: { value: "F1" }, failover_timeout: 7 },
  });
  await clock.advance(0);
  expect(first.pendingWrites).toBe(0);
  const second = registry();
  await second.load();
  expect([...second.agents].map(([id, one]) => [id, one.state])).toEqual([
    ["S1", "admitted"],
    ["S2", "unreachable"],
  ]);
  expect(second.frameworks.get("F1")?.info.failover_timeout).toBe(7);
  stop.abort();
  await running;
});

test("a record that cannot be read is left alone, the others are used", async () => {
  const { clock, store, registry } = await open();
  await using _ = store;
  await registry().putAgent("S1", record("admitted"));
  await store.put("/margay/mesos/master/agents/S2", "{broken");
  await store.put("/margay/mesos/master/agents/S3", '{"state":"flying","sinceMs":1,"info":{}}');
  const again = registry();
  await again.load();
  expect([...again.agents.keys()]).toEqual(["S1"]);
  const stop = new AbortController();
  const running = again.run(stop.signal);
  await clock.advance(120_000);
  expect((await store.get("/margay/mesos/master/agents/S2"))?.value).toBe("{broken");
  stop.abort();
  await running;
});

test("a write that fails changes nothing here; writes behind it are tried again", async () => {
  const { clock, store } = await open();
  await using _ = store;
  let down = true;
  const flaky = new Proxy(store, {
    get(target, name) {
      if (name === "put" && down)
        return () => Promise.reject(new OperationError("STORE_UNAVAILABLE", "down", { retry: "backoff" }));
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) satisfies Store;
  const registry = new Registry({ store: flaky, clock, log: silentLog });
  const stop = new AbortController();
  const running = registry.run(stop.signal);
  await expect(registry.putAgent("S1", record("admitted"))).rejects.toThrow("down");
  await clock.advance(0);
  expect(registry.agents.size).toBe(0);
  registry.putAgentSoon("S2", record("admitted", "S2"));
  await clock.advance(1_000);
  expect(registry.pendingWrites).toBe(1);
  down = false;
  await clock.advance(60_000);
  expect(registry.pendingWrites).toBe(0);
  expect(await store.get("/margay/mesos/master/agents/S2")).toBeDefined();
  stop.abort();
  await running;
});

test("two writes of one agent reach the store in the order they were decided", async () => {
  const { clock, store } = await open();
  await using _ = store;
  const gates: (() => void)[] = [];
  const slow = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== "put") return typeof value === "function" ? value.bind(target) : value;
      return async (...given: Parameters<Store["put"]>) => {
        await new Promise<void>((resolve) => gates.push(resolve));
        return await target.put(...given);
      };
    },
  }) satisfies Store;
  const registry = new Registry({ store: slow, clock, log: silentLog });
  const first = registry.putAgent("S1", record("unreachable"));
  const second = registry.putAgent("S1", record("admitted"));
  await clock.advance(0);
  expect(gates).toHaveLength(1);
  gates.shift()?.();
  await first;
  await clock.advance(0);
  gates.shift()?.();
  await second;
  expect((await store.get("/margay/mesos/master/agents/S1"))?.value).toContain('"admitted"');
});
