/**
 * What the agent knows after a restart: its id, the frameworks, and each run with its task, updates and kill request.
 * A run's task is written before anything is done for it; the sentinel when nothing is left to do or tell.
 * A record that cannot be read is reported and left alone: it never stops the rest from being recovered.
 */

import { mkdir, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { codeOf } from "../containerizer/sandbox-file.ts";
import type { AgentInfo } from "../protocol/agent-info.ts";
import type { FrameworkInfo } from "../protocol/framework-info.ts";
import type { TaskInfo } from "../protocol/task-info.ts";
import { taskStates } from "../protocol/task-status.ts";
import { RecordFile, readIfThere, syncDirectory, writeDurably } from "./durable-file.ts";
import type { UpdateRecord } from "./status-updates.ts";
import type { RunIds, WorkDirectory } from "./work-directory.ts";

const agentDocument = z.looseObject({ id: z.looseObject({ value: z.string().min(1) }), hostname: z.string() });
const frameworkDocument = z.looseObject({ id: z.looseObject({ value: z.string().min(1) }), name: z.string() });
const taskDocument = z.looseObject({ task_id: z.looseObject({ value: z.string().min(1) }), name: z.string() });
const updateDocument = z.union([
  z.looseObject({
    type: z.literal("UPDATE"),
    status: z.looseObject({
      task_id: z.looseObject({ value: z.string() }),
      state: z.enum(taskStates),
      uuid: z.string(),
    }),
  }),
  z.looseObject({ type: z.literal("ACK"), uuid: z.string() }),
]);
const killDocument = z.object({
  cause: z.enum(["framework", "health", "max-completion", "shutdown"]),
  graceMs: z.number().min(0),
  atMs: z.number(),
});

/** Why and how a run is to end; kept, so that a restarted agent goes on ending it. */
export type KillRequest = z.output<typeof killDocument>;

export interface SavedRun {
  readonly ids: RunIds;
  readonly framework: FrameworkInfo;
  readonly task: TaskInfo;
  readonly updates: readonly UpdateRecord[];
  readonly kill: KillRequest | undefined;
}

export class Checkpoint {
  readonly #directory: WorkDirectory;
  readonly #log: Log;

  constructor(directory: WorkDirectory, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  async loadAgent(): Promise<AgentInfo | undefined> {
    const agentId = await this.#latestId();
    if (agentId === undefined) return undefined;
    const text = await readIfThere(this.#directory.agentInfo(agentId));
    if (text === undefined) return undefined;
    return this.#parse(agentDocument, text, this.#directory.agentInfo(agentId)) as AgentInfo | undefined;
  }

  async saveAgent(info: AgentInfo & { readonly id: { readonly value: string } }): Promise<void> {
    await writeDurably(this.#directory.agentInfo(info.id.value), JSON.stringify(info));
    const link = this.#directory.latestAgent;
    await rm(`${link}.new`, { force: true });
    await symlink(info.id.value, `${link}.new`);
    await rename(`${link}.new`, link);
    await syncDirectory(dirname(link));
  }

  /** The next registration gets a new id. Sandboxes and notes stay for whoever wants to look. */
  async forgetAgent(): Promise<void> {
    await rm(this.#directory.latestAgent, { force: true });
  }

  /** Every id this work directory ever had: containers of the old ones are nobody's now. */
  async agentIds(): Promise<readonly string[]> {
    return (await names(this.#directory.agents)).filter((name) => !name.startsWith("latest"));
  }

  async saveFramework(
    agentId: string,
    framework: FrameworkInfo & { readonly id: { readonly value: string } },
  ): Promise<void> {
    await writeDurably(this.#directory.frameworkInfo(agentId, framework.id.value), JSON.stringify(framework));
  }

  /** After this the task is accepted: whatever happens to the agent, its end will be reported. */
  async saveRun(ids: RunIds, task: TaskInfo): Promise<void> {
    await writeDurably(this.#directory.taskInfo(ids, task.task_id.value), JSON.stringify(task));
    await mkdir(this.#directory.sandbox(ids), { recursive: true, mode: 0o755 });
    await relink(join(this.#directory.sandboxes(ids), "latest"), ids.containerId);
    await relink(join(this.#directory.runs(ids), "latest"), ids.containerId);
  }

  /** True when this executor ever had a run here: the task was accepted before. */
  async hasRun(ids: Omit<RunIds, "containerId">): Promise<boolean> {
    return (await names(this.#directory.runs(ids))).length > 0;
  }

  openUpdates(ids: RunIds, taskId: string): RecordFile {
    return new RecordFile(this.#directory.taskUpdates(ids, taskId));
  }

  async saveKill(ids: RunIds, kill: KillRequest): Promise<void> {
    await writeDurably(this.#directory.killRequest(ids), JSON.stringify(kill));
  }

  async complete(ids: RunIds): Promise<void> {
    await writeDurably(this.#directory.sentinel(ids), "");
  }

  /** Runs that are not complete. */
  async loadRuns(agentId: string): Promise<readonly SavedRun[]> {
    const runs: SavedRun[] = [];
    for (const frameworkId of await names(this.#directory.frameworks(agentId))) {
      const path = this.#directory.frameworkInfo(agentId, frameworkId);
      const text = await readIfThere(path);
      const framework =
        text === undefined ? undefined : (this.#parse(frameworkDocument, text, path) as FrameworkInfo | undefined);
      if (framework === undefined) continue;
      for (const executorId of await names(this.#directory.executors(agentId, frameworkId))) {
        for (const containerId of await names(this.#directory.runs({ agentId, frameworkId, executorId }))) {
          if (containerId.startsWith("latest")) continue;
          const run = await this.#loadRun({ agentId, frameworkId, executorId, containerId }, framework);
          if (run !== undefined) runs.push(run);
        }
      }
    }
    return runs;
  }

  async #loadRun(ids: RunIds, framework: FrameworkInfo): Promise<SavedRun | undefined> {
    const [taskId] = await names(join(this.#directory.run(ids), "tasks"));
    const completed = (await readIfThere(this.#directory.sentinel(ids))) !== undefined;
    if (taskId === undefined || completed) return undefined;
    const path = this.#directory.taskInfo(ids, taskId);
    // Without task.info the task was never accepted: the master will ask after it.
    const text = await readIfThere(path);
    const task = text === undefined ? undefined : (this.#parse(taskDocument, text, path) as TaskInfo | undefined);
    if (task === undefined) return undefined;
    const updates: UpdateRecord[] = [];
    for (const record of await this.openUpdates(ids, taskId).read()) {
      const parsed = updateDocument.safeParse(record);
      if (parsed.success) updates.push(parsed.data as UpdateRecord);
      else this.#log.error({ event: "checkpoint-unreadable", path: this.#directory.taskUpdates(ids, taskId) });
    }
    const killText = await readIfThere(this.#directory.killRequest(ids));
    const kill =
      killText === undefined ? undefined : this.#parse(killDocument, killText, this.#directory.killRequest(ids));
    return { ids, framework, task, updates, kill };
  }

  async #latestId(): Promise<string | undefined> {
    try {
      return await readlink(this.#directory.latestAgent);
    } catch (cause) {
      if (codeOf(cause) === "ENOENT") return undefined;
      throw cause;
    }
  }

  #parse<Schema extends z.ZodType>(schema: Schema, text: string, path: string): z.output<Schema> | undefined {
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      this.#log.error({ event: "checkpoint-unreadable", path, error: describeError(cause) });
      return undefined;
    }
  }
}

/** Entries of a directory; none when it does not exist. */
async function names(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return [];
    throw cause;
  }
}

async function relink(link: string, target: string): Promise<void> {
  await rm(`${link}.new`, { force: true });
  await symlink(target, `${link}.new`);
  await rename(`${link}.new`, link);
}
