/**
 * Where an agent keeps things, laid out as Mesos does (reference/mesos-behaviour.md 2.4): sandboxes under `slaves/`, the
 * agent's notes under `meta/`. Ids come from outside and become parts of paths, so each is checked first. Pure.
 */

import { join } from "node:path";
import { BadInput } from "../../base/errors.ts";

const partMaxBytes = 255;

/** As Mesos' own check of ids: no slash, no control characters, neither `.` nor `..`, short enough for a file name. */
export function parsePathPart(text: string, path: string): string {
  const fits = text.length > 0 && Buffer.byteLength(text) <= partMaxBytes - ".new".length;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (!fits || text === "." || text === ".." || /[/\\\u0000-\u001f\u007f]/.test(text)) {
    throw new BadInput(
      path,
      `"${text.slice(0, 80)}" cannot be an id`,
      "1 to 251 bytes without slash or control characters",
    );
  }
  return text;
}

export interface RunIds {
  readonly agentId: string;
  readonly frameworkId: string;
  readonly executorId: string;
  readonly containerId: string;
}

export class WorkDirectory {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get agents(): string {
    return join(this.root, "meta", "slaves");
  }

  /** A link to the id in use. */
  get latestAgent(): string {
    return join(this.agents, "latest");
  }

  agentInfo(agentId: string): string {
    return join(this.agents, agentId, "slave.info");
  }

  frameworks(agentId: string): string {
    return join(this.agents, agentId, "frameworks");
  }

  frameworkInfo(agentId: string, frameworkId: string): string {
    return join(this.frameworks(agentId), frameworkId, "framework.info");
  }

  executors(agentId: string, frameworkId: string): string {
    return join(this.frameworks(agentId), frameworkId, "executors");
  }

  runs(ids: Omit<RunIds, "containerId">): string {
    return join(this.executors(ids.agentId, ids.frameworkId), ids.executorId, "runs");
  }

  /** The agent's notes on one run of an executor. */
  run(ids: RunIds): string {
    return join(this.runs(ids), ids.containerId);
  }

  taskInfo(ids: RunIds, taskId: string): string {
    return join(this.run(ids), "tasks", taskId, "task.info");
  }

  taskUpdates(ids: RunIds, taskId: string): string {
    return join(this.run(ids), "tasks", taskId, "task.updates");
  }

  killRequest(ids: RunIds): string {
    return join(this.run(ids), "kill.request");
  }

  /** There when nothing about the run is left to be done or told. */
  sentinel(ids: RunIds): string {
    return join(this.run(ids), "executor.sentinel");
  }

  sandboxes(ids: Omit<RunIds, "containerId">): string {
    return join(this.root, "slaves", ids.agentId, "frameworks", ids.frameworkId, "executors", ids.executorId, "runs");
  }

  sandbox(ids: RunIds): string {
    return join(this.sandboxes(ids), ids.containerId);
  }
}
