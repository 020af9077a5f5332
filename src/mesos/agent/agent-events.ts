/**
 * Events from the master, checked as far as the agent relies on them: ids that become paths, and the members that decide.
 * What is inside a TaskInfo is looked at where it is used.
 */

import { z } from "zod";
import type { AgentEvent } from "../protocol/agent-link.ts";

const id = z.looseObject({ value: z.string().min(1) });
const framework = z.looseObject({ name: z.string(), id });
const task = z.looseObject({ name: z.string(), task_id: id, agent_id: id });

const agentEvent = z.discriminatedUnion("type", [
  z.looseObject({
    type: z.literal("SUBSCRIBED"),
    subscribed: z.looseObject({
      agent_id: id,
      master_id: z.string(),
      ping_interval_seconds: z.number(),
      ping_timeout_seconds: z.number(),
    }),
  }),
  z.looseObject({ type: z.literal("RUN_TASK"), run_task: z.looseObject({ framework, task }) }),
  z.looseObject({ type: z.literal("KILL_TASK"), kill_task: z.looseObject({ framework_id: id, task_id: id }) }),
  z.looseObject({
    type: z.literal("ACKNOWLEDGE"),
    acknowledge: z.looseObject({ framework_id: id, task_id: id, uuid: z.string() }),
  }),
  z.looseObject({ type: z.literal("PING"), ping: z.looseObject({ sequence: z.number() }) }),
  z.looseObject({
    type: z.literal("RECONCILE"),
    reconcile: z.looseObject({
      tasks: z.array(z.looseObject({ framework_id: id, task_id: id, partition_aware: z.boolean() })),
    }),
  }),
  z.looseObject({ type: z.literal("SHUTDOWN_FRAMEWORK"), shutdown_framework: z.looseObject({ framework_id: id }) }),
  z.looseObject({
    type: z.literal("SHUTDOWN_EXECUTOR"),
    shutdown_executor: z.looseObject({ framework_id: id, executor_id: id }),
  }),
  z.looseObject({ type: z.literal("MESSAGE"), message: z.looseObject({ framework_id: id, executor_id: id }) }),
  z.looseObject({ type: z.literal("UPDATE_FRAMEWORK"), update_framework: z.looseObject({ framework }) }),
  z.looseObject({ type: z.literal("SHUTDOWN"), shutdown: z.looseObject({ message: z.string() }) }),
  z.looseObject({ type: z.literal("ERROR"), error: z.looseObject({ message: z.string() }) }),
]);

/** Undefined: not an event this agent knows. */
export function parseAgentEvent(record: string): AgentEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(record);
  } catch {
    return undefined;
  }
  const parsed = agentEvent.safeParse(value);
  return parsed.success ? (parsed.data as unknown as AgentEvent) : undefined;
}
