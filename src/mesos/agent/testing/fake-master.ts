/**
 * A master for tests, run as a program inside the host under test: it speaks the agent link on 127.0.0.1 of that network
 * namespace, and is told what to do over a Unix socket, which network namespaces do not separate.
 *
 *   bun fake-master.ts CONTROL_SOCKET PORT
 *
 * Control: POST /event sends an AgentEvent; GET /seen lists the calls; POST /acknowledge true|false switches automatic
 * acknowledgement; POST /cut ends the stream; GET /fetch?url= passes a request on into the namespace.
 */

import { type AgentCall, type AgentEvent, agentLinkPath, agentStreamIdHeader } from "../../protocol/agent-link.ts";
import { encodeRecord } from "../../protocol/recordio.ts";

const [controlSocket = "", port = "5050"] = process.argv.slice(2);
const agentId = "5a9ae4b8-0f0e-4b1c-8f4e-6f2d8a1c0e9d-S0";
const seen: AgentCall[] = [];
let acknowledging = true;
let stream: { readonly id: string; send(event: AgentEvent): void; end(): void } | undefined;
let streams = 0;

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  idleTimeout: 0,
  async fetch(request) {
    if (new URL(request.url).pathname !== agentLinkPath) return new Response("", { status: 404 });
    const call = (await request.json()) as AgentCall;
    if (call.type === "SUBSCRIBE") return subscribe(call);
    if (stream === undefined || request.headers.get(agentStreamIdHeader) !== stream.id) {
      return new Response("the stream is not the current one\n", { status: 403 });
    }
    seen.push(call);
    if (call.type === "STATUS_UPDATE" && acknowledging) {
      const { framework_id, status } = call.status_update;
      stream.send({
        type: "ACKNOWLEDGE",
        acknowledge: { framework_id, task_id: status.task_id, uuid: status.uuid ?? "" },
      });
    }
    return new Response(null, { status: 202 });
  },
});

function subscribe(call: AgentCall): Response {
  seen.push(call);
  stream?.end();
  streams += 1;
  const id = `stream-${streams}`;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const own = {
        id,
        send: (event: AgentEvent) => {
          try {
            controller.enqueue(encodeRecord(JSON.stringify(event)));
          } catch {
            // the agent was killed: it asks again when it is back
          }
        },
        end: () => {
          try {
            controller.close();
          } catch {
            // the agent was killed: the stream is closed already
          }
        },
      };
      stream = own;
      own.send({
        type: "SUBSCRIBED",
        subscribed: {
          agent_id: { value: agentId },
          master_id: "m",
          ping_interval_seconds: 5,
          ping_timeout_seconds: 60,
        },
      });
    },
  });
  return new Response(body, { headers: { [agentStreamIdHeader]: id, "content-type": "application/json" } });
}

Bun.serve({
  unix: controlSocket,
  async fetch(request) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/event":
        if (stream === undefined) return new Response("no agent\n", { status: 409 });
        stream.send((await request.json()) as AgentEvent);
        return new Response("");
      case "/seen":
        return Response.json(seen);
      case "/acknowledge":
        acknowledging = (await request.text()) === "true";
        return new Response("");
      case "/cut":
        stream?.end();
        stream = undefined;
        return new Response("");
      case "/fetch": {
        const answer = await fetch(url.searchParams.get("url") ?? "").catch((cause: unknown) => String(cause));
        if (typeof answer === "string") return Response.json({ status: 0, body: answer });
        return Response.json({ status: answer.status, body: await answer.text() });
      }
      default:
        return new Response("", { status: 404 });
    }
  },
});
