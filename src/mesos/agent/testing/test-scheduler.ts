/**
 * A framework for tests on the real master's v1 scheduler API, run as a program inside the host under test:
 *
 *   bun test-scheduler.ts CONTROL_SOCKET MASTER
 *
 * Launches queued tasks on the first offer, acknowledges every update, and subscribes again under its id when the stream
 * ends. Control: POST /launch queues a TaskInfo; POST /kill; GET /updates lists the statuses that came.
 */

import { readRecords } from "../../protocol/recordio.ts";
import type { TaskInfo } from "../../protocol/task-info.ts";
import type { TaskStatus } from "../../protocol/task-status.ts";

const [controlSocket = "", master = ""] = process.argv.slice(2);
const queue: Omit<TaskInfo, "agent_id">[] = [];
const updates: TaskStatus[] = [];
let frameworkId: { value: string } | undefined;
let streamId = "";
let agentId: { value: string } | undefined;

interface WireOffer {
  readonly id: { value: string };
  readonly agent_id: { value: string };
}
type WireEvent =
  | { readonly type: "SUBSCRIBED"; readonly subscribed: { readonly framework_id: { value: string } } }
  | { readonly type: "OFFERS"; readonly offers: { readonly offers: readonly WireOffer[] } }
  | { readonly type: "UPDATE"; readonly update: { readonly status: TaskStatus } }
  | { readonly type: "HEARTBEAT" };

function post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const init: BunFetchRequestInit & { timeout?: boolean } = {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", ...headers },
    body: JSON.stringify(body),
    keepalive: false,
    timeout: false,
  };
  return fetch(`${master}/api/v1/scheduler`, init);
}

async function call(body: Record<string, unknown>): Promise<void> {
  const answer = await post({ framework_id: frameworkId, ...body }, { "mesos-stream-id": streamId });
  if (!answer.ok) console.error(JSON.stringify(body), answer.status, await answer.text());
}

async function onEvent(event: WireEvent): Promise<void> {
  switch (event.type) {
    case "SUBSCRIBED":
      frameworkId = event.subscribed.framework_id;
      return;
    case "OFFERS":
      for (const offer of event.offers.offers) {
        agentId = offer.agent_id;
        const task_infos = queue.splice(0).map((task) => ({ ...task, agent_id: offer.agent_id }));
        const operations = task_infos.length === 0 ? [] : [{ type: "LAUNCH", launch: { task_infos } }];
        await call({ type: "ACCEPT", accept: { offer_ids: [offer.id], operations, filters: { refuse_seconds: 0.2 } } });
      }
      return;
    case "UPDATE": {
      const { status } = event.update;
      updates.push(status);
      if (status.uuid === undefined) return;
      const acknowledge = { agent_id: status.agent_id, task_id: status.task_id, uuid: status.uuid };
      return await call({ type: "ACKNOWLEDGE", acknowledge });
    }
    case "HEARTBEAT":
      return;
  }
}

async function subscribe(): Promise<void> {
  const framework_info = {
    user: "root",
    name: "test",
    checkpoint: true,
    failover_timeout: 600,
    ...(frameworkId === undefined ? {} : { id: frameworkId }),
    capabilities: [{ type: "PARTITION_AWARE" }, { type: "TASK_KILLING_STATE" }],
  };
  const answer = await post({ type: "SUBSCRIBE", framework_id: frameworkId, subscribe: { framework_info } });
  streamId = answer.headers.get("mesos-stream-id") ?? "";
  if (answer.body === null || !answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  for await (const record of readRecords(answer.body)) await onEvent(JSON.parse(record) as WireEvent);
}

Bun.serve({
  unix: controlSocket,
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/launch":
        queue.push((await request.json()) as TaskInfo);
        return new Response("");
      case "/kill":
        await call({ type: "KILL", kill: { task_id: await request.json(), agent_id: agentId } });
        return new Response("");
      case "/updates":
        return Response.json(updates);
      default:
        return new Response("", { status: 404 });
    }
  },
});

for (;;) {
  await subscribe().catch((cause: unknown) => console.error(String(cause)));
  await Bun.sleep(200);
}
