/** Updates reach the framework in order, each until it is acknowledged, also over a restart. */

import { expect, test } from "bun:test";
import { TestClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { TaskState, TaskStatus } from "../protocol/task-status.ts";
import { TaskUpdates, type UpdateRecord } from "./status-updates.ts";

const status = (state: TaskState): TaskStatus => ({ task_id: { value: "t" }, state, uuid: `uuid-${state}` });

function open(records: UpdateRecord[] = [], clock = new TestClock()) {
  const sent: string[] = [];
  const done: string[] = [];
  const updates = new TaskUpdates({
    frameworkId: "f",
    clock,
    log: silentLog,
    records: [...records],
    journal: {
      append: async (record) => void records.push(record),
      replace: async (all) => void records.splice(0, records.length, ...all),
      close: async () => undefined,
    },
    send: (update) => void sent.push(`${update.status.state} (${update.latest_state})`),
    onDone: () => void done.push("done"),
  });
  return { updates, sent, done, clock, records };
}

test("one update at a time, in order, the next after the acknowledgement", async () => {
  const { updates, sent, done } = open();
  await updates.report(status("TASK_STARTING"));
  await updates.report(status("TASK_RUNNING"));
  await updates.report(status("TASK_FINISHED"));
  expect(sent).toEqual(["TASK_STARTING (TASK_STARTING)"]);
  await updates.acknowledge("uuid-TASK_RUNNING");
  expect(sent).toHaveLength(1);
  await updates.acknowledge("uuid-TASK_STARTING");
  await updates.acknowledge("uuid-TASK_RUNNING");
  expect(sent.slice(1)).toEqual(["TASK_RUNNING (TASK_FINISHED)", "TASK_FINISHED (TASK_FINISHED)"]);
  expect(done).toEqual([]);
  await updates.acknowledge("uuid-TASK_FINISHED");
  expect(done).toEqual(["done"]);
  expect(updates.done).toBe(true);
});

test("an update that is not acknowledged goes out again after 10, 20, 40 s, at most 10 min apart", async () => {
  const { updates, sent, clock } = open();
  await updates.report(status("TASK_STARTING"));
  const seen: number[] = [];
  for (let second = 1; second <= 3_600; second += 1) {
    const before = sent.length;
    await clock.advance(1_000);
    if (sent.length > before) seen.push(second);
  }
  expect(seen.slice(0, 4)).toEqual([10, 30, 70, 150]);
  expect(seen.at(-1)).toBe(10 + 20 + 40 + 80 + 160 + 320 + 600 * 4);
});

test("registration sends the head at once and starts the waits anew", async () => {
  const { updates, sent, clock } = open();
  await updates.report(status("TASK_STARTING"));
  await clock.advance(30_000);
  updates.resend();
  expect(sent).toHaveLength(4);
  await clock.advance(10_000);
  expect(sent).toHaveLength(5);
  updates.close();
  await clock.advance(3_600_000);
  expect(sent).toHaveLength(5);
  expect(clock.pendingCount).toBe(0);
});

test("nothing follows a terminal update", async () => {
  const { updates, records } = open();
  await updates.report(status("TASK_FAILED"));
  await updates.report(status("TASK_RUNNING"));
  expect(updates.state).toBe("TASK_FAILED");
  expect(records).toHaveLength(1);
});

test("after a restart the journal says what is still to be told", async () => {
  const first = open();
  await first.updates.report(status("TASK_STARTING"));
  await first.updates.report(status("TASK_RUNNING"));
  await first.updates.acknowledge("uuid-TASK_STARTING");
  first.updates.close();
  const second = open(first.records);
  expect(second.updates.state).toBe("TASK_RUNNING");
  expect(second.updates.latestSent?.state).toBe("TASK_STARTING");
  second.updates.resend();
  expect(second.sent).toEqual(["TASK_RUNNING (TASK_RUNNING)"]);
});

test("a journal that cannot be written holds the update back", async () => {
  const sent: string[] = [];
  const updates = new TaskUpdates({
    frameworkId: "f",
    clock: new TestClock(),
    log: silentLog,
    journal: {
      append: () => Promise.reject(new Error("disk full")),
      replace: async () => undefined,
      close: async () => undefined,
    },
    send: (update) => void sent.push(update.status.state),
    onDone: () => undefined,
  });
  await expect(updates.report(status("TASK_STARTING"))).rejects.toThrow("disk full");
  expect(sent).toEqual([]);
  expect(updates.state).toBe("TASK_STAGING");
});

test("health results that wait behind another update are told by the newest only, also over a restart", async () => {
  const health = (healthy: boolean, at: number): TaskStatus => ({
    ...status("TASK_RUNNING"),
    ...{ uuid: `health-${at}`, reason: "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", healthy },
  });
  const first = open();
  await first.updates.report(status("TASK_RUNNING"));
  for (let at = 1; at <= 5; at += 1) await first.updates.report(health(at % 2 === 0, at));
  await first.updates.report(status("TASK_FINISHED"));
  first.updates.close();
  for (const { updates, sent } of [open([...first.records]), open([...first.records])]) {
    updates.resend();
    for (const uuid of ["uuid-TASK_RUNNING", "health-5", "uuid-TASK_FINISHED"]) await updates.acknowledge(uuid);
    expect(sent.map((one) => one.split(" ")[0])).toEqual(["TASK_RUNNING", "TASK_RUNNING", "TASK_FINISHED"]);
    expect(updates.done).toBe(true);
  }
});

test("the journal of a task that is unhealthy for days stays short and reads back the same", async () => {
  const { updates, records } = open();
  await updates.report(status("TASK_STARTING"));
  await updates.acknowledge("uuid-TASK_STARTING");
  for (let at = 0; at < 3_000; at += 1) {
    const uuid = `health-${at}`;
    await updates.report({
      ...status("TASK_RUNNING"),
      uuid,
      healthy: false,
      reason: "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
    });
    if (at < 2_999) await updates.acknowledge(uuid);
  }
  expect(records.length).toBeLessThan(1_010);
  const second = open([...records]);
  expect(second.updates.history).toEqual(updates.history);
  second.updates.resend();
  expect(second.sent).toHaveLength(1);
  await second.updates.acknowledge("health-2999");
  expect(second.updates.latestSent?.uuid).toBe("health-2999");
});
