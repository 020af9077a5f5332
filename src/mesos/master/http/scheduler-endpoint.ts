/** `POST /api/v1/scheduler`: calls of schedulers, and their streams of events (reference: mesos-api 1.1, 2). */

import type { IncomingMessage, ServerResponse } from "node:http";
import { CallRefused, parseSchedulerCall } from "../../protocol/call-union.ts";
import { encodeMessage } from "../../protocol/message-json.ts";
import type { SchedulerEvent } from "../../protocol/scheduler-event.ts";
import type { EventStream } from "../event-stream.ts";
import type { Master } from "../master.ts";
import { acceptRefusal, contentTypeRefusal } from "./media-types.ts";
import { RecordStream } from "./record-stream.ts";
import { answer, readBody } from "./request-body.ts";

/** A scheduler may launch hundreds of tasks in one call. */
const bodyMaxBytes = 16 * 1024 * 1024;
const streamIdHeader = "Mesos-Stream-Id";

export async function serveScheduler(
  master: Master,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = contentTypeRefusal(request.headers["content-type"]);
  if (refusal !== undefined) return answer(response, refusal.status, refusal.text);
  const { clock, log } = master.context;
  const text = await readBody(request, clock, bodyMaxBytes);
  const streamId = headerOf(request, streamIdHeader);
  try {
    const call = parseSchedulerCall(text);
    if (call.type !== "SUBSCRIBE") {
      const outcome = master.schedulerCall(call, streamId);
      return answer(response, outcome.status, outcome.text);
    }
    const problem = master.subscribeProblem(call) ?? acceptRefusal(request.headers.accept);
    if (problem !== undefined) return answer(response, problem.status, problem.text);
    if (streamId !== undefined) {
      return answer(response, 400, `Subscribe calls should not include the '${streamIdHeader}' header`);
    }
    const id = clock.uuid();
    const encode = (event: SchedulerEvent) => encodeMessage("scheduler.Event", event);
    const headers = { [streamIdHeader]: id };
    const onEnd = () => master.frameworkStreamEnded(stream);
    const stream: EventStream<SchedulerEvent> = new RecordStream({ id, response, headers, encode, clock, log, onEnd });
    master.subscribeFramework(call.subscribe, stream);
  } catch (error) {
    if (!(error instanceof CallRefused)) throw error;
    answer(response, error.status, error.message);
  }
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value[0] : value;
}
