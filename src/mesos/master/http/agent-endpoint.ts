/** `POST /margay/v1/agent`: the master's side of the agent link (see protocol/agent-link.ts). */

import type { IncomingMessage, ServerResponse } from "node:http";
import { describeError, OperationError } from "../../../base/errors.ts";
import { type AgentEvent, type AgentSubscribe, agentStreamIdHeader } from "../../protocol/agent-link.ts";
import { CallRefused, parseAgentCall } from "../../protocol/call-union.ts";
import { resourcesProblem } from "../../protocol/resources.ts";
import type { EventStream } from "../event-stream.ts";
import { idProblem } from "../id-rules.ts";
import type { Master } from "../master.ts";
import { contentTypeRefusal } from "./media-types.ts";
import { RecordStream } from "./record-stream.ts";
import { answer, readBody } from "./request-body.ts";
import { headerOf } from "./scheduler-endpoint.ts";

/** A returning agent lists all its tasks. */
const bodyMaxBytes = 64 * 1024 * 1024;

export async function serveAgent(master: Master, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refusal = contentTypeRefusal(request.headers["content-type"]);
  if (refusal !== undefined) return answer(response, refusal.status, refusal.text);
  const text = await readBody(request, master.context.clock, bodyMaxBytes);
  try {
    const call = parseAgentCall(text);
    if (call.type === "SUBSCRIBE") return await subscribe(master, call.subscribe, response);
    const outcome = master.agentCall(call, headerOf(request, agentStreamIdHeader));
    answer(response, outcome.status, outcome.text);
  } catch (error) {
    if (!(error instanceof CallRefused)) throw error;
    answer(response, error.status, error.message);
  }
}

async function subscribe(master: Master, body: AgentSubscribe, response: ServerResponse): Promise<void> {
  const { clock, log } = master.context;
  const problem = resourcesProblem(body.agent_info.resources ?? []);
  if (problem !== undefined) return answer(response, 400, `subscribe.agent_info.resources: ${problem}`);
  const id = body.agent_info.id?.value;
  const badId = id === undefined ? undefined : idProblem(id);
  if (badId !== undefined) return answer(response, 400, `subscribe.agent_info.id: ${badId}`);
  let admission: Awaited<ReturnType<Master["admitAgent"]>>;
  try {
    admission = await master.admitAgent(body);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    log.warn({ event: "agent_not_admitted", hostname: body.agent_info.hostname, error: describeError(error) });
    return answer(response, 503, `The agent cannot be admitted now: ${describeError(error)}`);
  }
  const streamId = clock.uuid();
  // Decoded messages have no unknown fields, and plain JSON keeps absent apart from default.
  const encode = (event: AgentEvent) => JSON.stringify(event);
  const headers = { [agentStreamIdHeader]: streamId };
  const onEnd = () => master.agentStreamEnded(stream);
  const stream: EventStream<AgentEvent> = new RecordStream({
    id: streamId,
    response,
    headers,
    encode,
    clock,
    log,
    onEnd,
  });
  if (!admission.admitted) {
    stream.send({ type: "SHUTDOWN", shutdown: { message: admission.message } });
    stream.close();
    return;
  }
  // Also if it went away while the registry was being written: what was admitted must be watched.
  master.attachAgent(admission, body, stream);
}
