/** The small parts of the host agent: health, waiting for revisions, link-local addresses. */
import { describe, expect, test } from "bun:test";
import { TestClock } from "../base/clock.ts";
import { HealthBoard } from "./health-board.ts";
import { linkLocalOfMac } from "./link-local-address.ts";
import { RevisionWaiters } from "./revision-waiters.ts";

const { signal } = new AbortController();

describe("health", () => {
  test("56: a node is ready when all its parts are, and says which one is not", () => {
    const board = new HealthBoard(new TestClock());
    board.register("Datastore", { detail: "waiting" });
    board.register("Dataplane", { detail: "applied" });
    board.report("Dataplane", { ready: true });
    expect(board.summary()).toMatchObject({ live: true, ready: false });
    expect(board.summary().table).toBe(
      "COMPONENT  TIMEOUT  LIVENESS  READINESS  DETAIL\n" +
        "Datastore  -        live      not ready  waiting\n" +
        "Dataplane  -        live      ready      applied\n",
    );
    board.report("Datastore", { ready: true });
    expect(board.summary()).toMatchObject({ live: true, ready: true });
  });

  test("56: a part that stops reporting is not live", async () => {
    const clock = new TestClock();
    const board = new HealthBoard(clock);
    board.register("Dataplane", { timeoutMs: 90_000, detail: "" });
    board.report("Dataplane", { ready: true });
    await clock.advance(90_000);
    expect(board.summary().live).toBe(true);
    await clock.advance(1);
    expect(board.summary()).toMatchObject({ live: false, ready: false });
    board.report("Dataplane", {});
    expect(board.summary()).toMatchObject({ live: true, ready: true });
  });
});

describe("waiting for a revision", () => {
  test("ends when the key was seen at it or later, before or after the question", async () => {
    const waiters = new RevisionWaiters();
    waiters.seen("a", 5);
    await waiters.until("a", 5, signal);
    let done = false;
    const waiting = waiters.until("a", 7, signal).then(() => {
      done = true;
    });
    waiters.seen("a", 6);
    waiters.seen("b", 9);
    await Promise.resolve();
    expect(done).toBe(false);
    waiters.seen("a", 8);
    await waiting;
  });

  test("a key that went is waited for, until the signal ends it", async () => {
    const waiters = new RevisionWaiters();
    waiters.seen("a", 5);
    waiters.seen("a", undefined);
    const stop = new AbortController();
    const waiting = waiters.until("a", 1, stop.signal);
    stop.abort(new Error("time is over"));
    await expect(waiting).rejects.toThrow("time is over");
  });
});

test("a link-local address follows from the MAC as the kernel makes it", () => {
  expect(linkLocalOfMac("5a:3f:02:1a:77:b1") as string).toBe("fe80::583f:2ff:fe1a:77b1");
  expect(linkLocalOfMac("ee:ee:ee:ee:ee:ee") as string).toBe("fe80::ecee:eeff:feee:eeee");
  expect(linkLocalOfMac("")).toBeUndefined();
});
