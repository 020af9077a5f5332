/**
 * Texts of calls and events to checked unions: `type` is known and the member that belongs to it is present.
 * Refusals carry the status and text of Mesos (reference: mesos-api 1.1).
 */

import type { AgentCall, AgentEvent } from "./agent-link.ts";
import { decodeMessage, MessageError } from "./message-json.ts";
import type { SchedulerCall } from "./scheduler-call.ts";
import type { SchedulerEvent } from "./scheduler-event.ts";

export class CallRefused extends Error {
  override readonly name = "CallRefused";
  readonly status: 400 | 501;

  constructor(status: 400 | 501, message: string) {
    super(message);
    this.status = status;
  }
}

/** Member that a type needs; types not listed need none. */
const schedulerMembers: Readonly<Record<string, string>> = {
  SUBSCRIBE: "subscribe",
  ACCEPT: "accept",
  DECLINE: "decline",
  KILL: "kill",
  SHUTDOWN: "shutdown",
  ACKNOWLEDGE: "acknowledge",
  RECONCILE: "reconcile",
  MESSAGE: "message",
  REQUEST: "request",
  ACCEPT_INVERSE_OFFERS: "accept_inverse_offers",
  DECLINE_INVERSE_OFFERS: "decline_inverse_offers",
  ACKNOWLEDGE_OPERATION_STATUS: "acknowledge_operation_status",
  RECONCILE_OPERATIONS: "reconcile_operations",
  UPDATE_FRAMEWORK: "update_framework",
};
const schedulerEventMembers: Readonly<Record<string, string>> = {
  SUBSCRIBED: "subscribed",
  OFFERS: "offers",
  RESCIND: "rescind",
  UPDATE: "update",
  MESSAGE: "message",
  FAILURE: "failure",
  ERROR: "error",
  UPDATE_OPERATION_STATUS: "update_operation_status",
};
const agentCallMembers: Readonly<Record<string, string>> = {
  SUBSCRIBE: "subscribe",
  STATUS_UPDATE: "status_update",
  PONG: "pong",
  MESSAGE: "message",
};
const agentEventMembers: Readonly<Record<string, string>> = {
  SUBSCRIBED: "subscribed",
  RUN_TASK: "run_task",
  KILL_TASK: "kill_task",
  ACKNOWLEDGE: "acknowledge",
  PING: "ping",
  RECONCILE: "reconcile",
  SHUTDOWN_FRAMEWORK: "shutdown_framework",
  SHUTDOWN_EXECUTOR: "shutdown_executor",
  MESSAGE: "message",
  UPDATE_FRAMEWORK: "update_framework",
  SHUTDOWN: "shutdown",
  ERROR: "error",
};

/** Throws CallRefused. */
export function parseSchedulerCall(text: string): SchedulerCall {
  const call = decode("scheduler.Call", text);
  requireMember("scheduler::Call", call, schedulerMembers);
  if (call.type !== "SUBSCRIBE" && call.framework_id === undefined) {
    throw new CallRefused(400, "Failed to validate scheduler::Call: Expecting 'framework_id' to be present");
  }
  return call;
}

/** For a scheduler. Undefined for an event type that it does not know, which must be ignored. Throws CallRefused. */
export function parseSchedulerEvent(text: string): SchedulerEvent | undefined {
  const event = decode("scheduler.Event", text);
  if (!isKnown(event.type)) return undefined;
  requireMember("scheduler::Event", event, schedulerEventMembers);
  return event;
}

/** For the master's side of the agent link. Throws CallRefused. */
export function parseAgentCall(text: string): AgentCall {
  const call = decode("margay.AgentCall", text);
  requireMember("agent link call", call, agentCallMembers);
  if (call.type !== "SUBSCRIBE" && call.agent_id === undefined) {
    throw new CallRefused(400, "Failed to validate agent link call: Expecting 'agent_id' to be present");
  }
  return call;
}

/** For the agent. Undefined for an event type that it does not know, which must be ignored. Throws CallRefused. */
export function parseAgentEvent(text: string): AgentEvent | undefined {
  const event = decode("margay.AgentEvent", text);
  if (!isKnown(event.type)) return undefined;
  requireMember("agent link event", event, agentEventMembers);
  return event;
}

/** Other ends may be newer: what the table does not know arrives without a type, whatever TypeScript says. */
function isKnown(type: string | undefined): boolean {
  return type !== undefined && type !== "UNKNOWN";
}

function decode<Name extends "scheduler.Call" | "scheduler.Event" | "margay.AgentCall" | "margay.AgentEvent">(
  name: Name,
  text: string,
) {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CallRefused(400, `Failed to parse body into JSON: ${cause instanceof Error ? cause.message : "invalid"}`);
  }
  try {
    return decodeMessage(name, json);
  } catch (cause) {
    if (!(cause instanceof MessageError)) throw cause;
    throw new CallRefused(400, `Failed to convert JSON into Call protobuf: ${cause.message}`);
  }
}

function requireMember(what: string, call: { readonly type: string }, members: Readonly<Record<string, string>>): void {
  if (!isKnown(call.type)) throw new CallRefused(501, `${what}: unknown type`);
  const member = Object.hasOwn(members, call.type) ? members[call.type] : undefined;
  if (member !== undefined && !Object.hasOwn(call, member)) {
    throw new CallRefused(400, `Failed to validate ${what}: Expecting '${member}' to be present`);
  }
}
