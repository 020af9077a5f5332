/** A scope owns its tasks: the first failure stops the rest and is what comes out. */

import { expect, test } from "bun:test";
import { systemClock } from "./clock.ts";
import { TaskScope } from "./task-scope.ts";

test("the first failure stops the siblings and is thrown", async () => {
  await using scope = new TaskScope("agent");
  let stopped = false;
  scope.run("waits", async (signal) => {
    try {
      await systemClock.sleep(60_000, signal);
    } finally {
      stopped = true;
    }
  });
  scope.run("fails", async () => {
    throw new Error("no netlink");
  });
  await expect(scope.finished).rejects.toThrow("agent: fails failed");
  expect(stopped).toBe(true);
});

test("ends quietly when the signal from outside aborts", async () => {
  const stop = new AbortController();
  await using scope = new TaskScope("agent", stop.signal);
  scope.run("waits", (signal) => systemClock.sleep(60_000, signal));
  stop.abort();
  await scope.finished;
});
