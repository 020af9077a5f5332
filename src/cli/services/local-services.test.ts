/** A service that calicoctl starts: started again when it dies, stopped with everything, found again after kill -9. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { freePort } from "../../store/testing/store-process.ts";
import { type ServiceToStart, serviceReady, startService, stopService, until } from "./local-services.ts";
import { isAlive, logPath, readRecord, recordPath, runningService, type ServicePlaces } from "./service-record.ts";

let folder: string;
let places: ServicePlaces;
let port: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "margay-services-"));
  places = { runDir: join(folder, "run"), logDir: join(folder, "log") };
  port = await freePort();
});
afterEach(async () => {
  await stopService(places, "store", systemClock);
  rmSync(folder, { recursive: true });
});

const store = (...words: readonly string[]): ServiceToStart => ({
  name: "store",
  words: ["store", `--listen=http://127.0.0.1:${port}`, `--data-dir=${folder}/data`, ...words],
  places,
  env: process.env,
  clock: systemClock,
});
const answers = async () => {
  try {
    return (await fetch(`http://127.0.0.1:${port}/version`)).ok;
  } catch {
    return false;
  }
};
const child = () => readRecord(places, "store")?.child ?? undefined;
const ends = (what: string, look: () => Promise<boolean>) =>
  until(systemClock, 15_000, async () => ((await look()) ? true : undefined)).then((done) =>
    expect([what, done]).toEqual([what, true]),
  );

test("a service that dies is started again, and stopping ends it and its supervisor", async () => {
  const { id, supervisor } = await startService(store());
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  await serviceReady(store(), 15_000, answers);
  expect(readFileSync(recordPath(places, "store"), "utf8").split("\n")[0]).toBe(String(supervisor.pid));
  const first = child();
  if (first === undefined) throw new Error("no child");
  process.kill(first.pid, "SIGKILL");
  await ends("another child", async () => child()?.pid !== first.pid && (await answers()));
  expect((await runningService(places, "store"))?.id).toBe(id);
  const second = child();
  expect(await stopService(places, "store", systemClock)).toBe(true);
  expect([await isAlive(supervisor), second !== undefined && (await isAlive(second))]).toEqual([false, false]);
  expect([await answers(), existsSync(recordPath(places, "store"))]).toEqual([false, false]);
  expect(await stopService(places, "store", systemClock)).toBe(false);
  expect(readFileSync(logPath(places, "store"), "utf8")).toContain("listening");
}, 60_000);

test("what a killed supervisor has left is ended before the next is started", async () => {
  const first = await startService(store());
  await serviceReady(store(), 15_000, answers);
  const orphan = child();
  process.kill(first.supervisor.pid, "SIGKILL");
  await ends("the supervisor is gone", async () => !(await isAlive(first.supervisor)));
  expect(await answers()).toBe(true);
  const next = await startService(store());
  expect(next.id).not.toBe(first.id);
  expect(orphan !== undefined && (await isAlive(orphan))).toBe(false);
  await serviceReady(store(), 15_000, answers);
}, 60_000);

test("a service whose words are wrong is not repeated, and its last words are the error", async () => {
  const started = (async () => {
    await startService(store("--retention=never"));
    await serviceReady(store("--retention=never"), 15_000, answers);
  })();
  await expect(started).rejects.toThrow(/margay store did not start: .*--retention: "never"/);
  expect(existsSync(recordPath(places, "store"))).toBe(false);
}, 60_000);
