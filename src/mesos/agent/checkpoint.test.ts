/** What was written is found again, also after a crash in the middle of a write; ids cannot leave the work directory. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestClock } from "../../base/clock.ts";
import { BadInput } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { Checkpoint } from "./checkpoint.ts";
import { RecordFile } from "./durable-file.ts";
import { SandboxGc } from "./sandbox-gc.ts";
import { parsePathPart, type RunIds, WorkDirectory } from "./work-directory.ts";

let folder: string;
let directory: WorkDirectory;
let checkpoint: Checkpoint;

const ids: RunIds = { agentId: "a", frameworkId: "f", executorId: "t.1", containerId: "c" };
const framework: FrameworkInfo & { id: { value: string } } = { id: { value: "f" }, name: "test", user: "root" };
const task: TaskInfo = { name: "t", task_id: { value: "t.1" }, agent_id: { value: "a" } };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "margay-checkpoint-"));
  directory = new WorkDirectory(folder);
  checkpoint = new Checkpoint(directory, silentLog);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function accept(): Promise<void> {
  await checkpoint.saveAgent({ hostname: "host1", id: { value: "a" } });
  await checkpoint.saveFramework("a", framework);
  await checkpoint.saveRun(ids, task);
}

test("agent, frameworks, tasks, updates and kill requests are found again", async () => {
  await accept();
  const updates = checkpoint.openUpdates(ids, "t.1");
  const status = { task_id: { value: "t.1" }, state: "TASK_RUNNING", uuid: "u" } as const;
  await updates.append({ type: "UPDATE", status });
  await updates.append({ type: "ACK", uuid: "u" });
  await updates.close();
  const kill = { cause: "framework", graceMs: 5, atMs: 6 } as const;
  await checkpoint.saveKill(ids, kill);
  expect(await checkpoint.loadAgent()).toMatchObject({ hostname: "host1", id: { value: "a" } });
  expect(await checkpoint.loadRuns("a")).toEqual([
    {
      ids,
      framework,
      task,
      kill,
      updates: [
        { type: "UPDATE", status },
        { type: "ACK", uuid: "u" },
      ],
    },
  ]);
  expect(await checkpoint.hasRun(ids)).toBe(true);
  expect(await checkpoint.hasRun({ ...ids, executorId: "t.2" })).toBe(false);
});

test("a run that is complete is not found again, and an agent that was forgotten neither", async () => {
  await accept();
  await checkpoint.complete(ids);
  expect(await checkpoint.loadRuns("a")).toEqual([]);
  expect(await checkpoint.hasRun(ids)).toBe(true);
  await checkpoint.forgetAgent();
  expect(await checkpoint.loadAgent()).toBeUndefined();
  expect(await checkpoint.agentIds()).toEqual(["a"]);
});

test("a file that cannot be read does not hide the other tasks", async () => {
  await accept();
  const second = { ...ids, executorId: "t.2", containerId: "c2" };
  await checkpoint.saveRun(second, { ...task, task_id: { value: "t.2" } });
  writeFileSync(directory.taskInfo(ids, "t.1"), "{");
  expect((await checkpoint.loadRuns("a")).map((run) => run.ids.executorId)).toEqual(["t.2"]);
});

test("a record torn by a crash is cut off, and what follows is whole", async () => {
  const path = join(folder, "records");
  const first = new RecordFile(path);
  await first.append({ n: 1, text: "ä" });
  await first.close();
  appendFileSync(path, '{"n":2');
  const second = new RecordFile(path);
  expect(await second.read()).toEqual([{ n: 1, text: "ä" }]);
  await second.append({ n: 3 });
  await second.close();
  expect(readFileSync(path, "utf8")).toBe('{"n":1,"text":"ä"}\n{"n":3}\n');
});

test("records are replaced as a whole, and appended to afterwards", async () => {
  const file = new RecordFile(join(folder, "records"));
  await file.append(1);
  await file.replace([2, 3]);
  await file.append(4);
  await file.close();
  expect(await new RecordFile(join(folder, "records")).read()).toEqual([2, 3, 4]);
});

test("sandboxes go when their time is over, and only of runs that are complete", async () => {
  await accept();
  const live = { ...ids, executorId: "t.2", containerId: "c2" };
  await checkpoint.saveRun(live, { ...task, task_id: { value: "t.2" } });
  await checkpoint.complete(ids);
  const gc = (atMs: number) =>
    new SandboxGc({ clock: new TestClock(atMs), log: silentLog, directory, delayMs: 60_000 }).pass(
      new AbortController().signal,
    );
  const nowMs = Date.now();
  await gc(nowMs);
  expect(await checkpoint.hasRun(ids)).toBe(true);
  await gc(nowMs + 120_000);
  expect(await checkpoint.hasRun(ids)).toBe(false);
  expect((await checkpoint.loadRuns("a")).map((run) => run.ids.executorId)).toEqual(["t.2"]);
});

describe("an id", () => {
  for (const text of ["", ".", "..", "a/b", "../../etc", "a\0b", "a\nb", "x".repeat(300)]) {
    test(`${JSON.stringify(text.slice(0, 20))} cannot become a path`, () => {
      expect(() => parsePathPart(text, "task_id")).toThrow(BadInput);
    });
  }
  for (const text of ["web.7c3", "web.instance-1._app.1", "a b:c", "..."]) {
    test(`${JSON.stringify(text)} can`, () => expect(parsePathPart(text, "task_id")).toBe(text));
  }
});
