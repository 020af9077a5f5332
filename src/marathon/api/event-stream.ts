/**
 * `/v2/events`: server-sent events (reference: marathon 8.1). Lines end CRLF, a bare CRLF every 10 s keeps the connection
 * alive, and a client that does not read is cut off when its buffer is full: others never wait for it.
 */

import type { Engine } from "../engine.ts";
import type { MarathonEvent } from "../events/event-bus.ts";
import { type Route, type RouteContext, route } from "./route.ts";

const keepAliveMs = 10_000;
const encoder = new TextEncoder();

/** Streams that are open, so that stopping ends them. */
export class EventStreams {
  readonly #engine: Engine;
  readonly #closers = new Set<() => void>();

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.metrics.gauge("http.event-streams.active.gauge", () => this.#closers.size);
  }

  get routes(): readonly Route[] {
    return [route({ method: "GET", path: "/v2/events", run: (context) => this.#open(context) })];
  }

  close(): void {
    for (const close of [...this.#closers]) close();
  }

  #open({ request, query, clientIp }: RouteContext): Response {
    const accept = request.headers.get("Accept") ?? "*/*";
    if (!/text\/event-stream|\*\/\*/.test(accept)) return new Response(null, { status: 405 });
    const { bus, settings } = this.#engine;
    const types = new Set(query.getAll("event_type"));
    let close = () => {};
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const send = (event: MarathonEvent) => {
            if (types.size > 0 && !types.has(event.eventType)) return;
            if ((controller.desiredSize ?? 0) <= 0) return close();
            controller.enqueue(frame(event));
          };
          const listening = bus.listen(send);
          let timer = this.#keepAlive(controller, (next) => {
            timer = next;
          });
          close = () => {
            listening[Symbol.dispose]();
            timer[Symbol.dispose]();
            if (!this.#closers.delete(close)) return;
            bus.publish("event_stream_detached", { remoteAddress: clientIp });
            try {
              controller.close();
            } catch {
              // The client has gone already: there is nothing left to close.
            }
          };
          this.#closers.add(close);
          bus.publish("event_stream_attached", { remoteAddress: clientIp });
        },
        cancel: () => close(),
      },
      { highWaterMark: settings.eventsOutstandingMax },
    );
    request.signal.addEventListener("abort", () => close(), { once: true });
    return new Response(body, { headers: { "Content-Type": "text/event-stream;charset=UTF-8" } });
  }

  #keepAlive(controller: ReadableStreamDefaultController<Uint8Array>, onNext: (timer: Disposable) => void): Disposable {
    return this.#engine.clock.timer(keepAliveMs, () => {
      controller.enqueue(encoder.encode("\r\n"));
      onNext(this.#keepAlive(controller, onNext));
    });
  }
}

function frame(event: MarathonEvent): Uint8Array {
  return encoder.encode(`event: ${event.eventType}\r\ndata: ${JSON.stringify(event)}\r\n\r\n`);
}
