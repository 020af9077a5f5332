/** An EventStream held in memory: what is sent waits in an inbox until the other side is pumped, and is lost with the link. */

import type { EventStream } from "../event-stream.ts";

export class Link<Event> implements EventStream<Event> {
  readonly id: string;
  readonly inbox: Event[] = [];
  /** Closed by the master: what was sent before still arrives. */
  closed = false;

  constructor(id: string) {
    this.id = id;
  }

  send(event: Event): void {
    if (!this.closed) this.inbox.push(event);
  }

  close(): void {
    this.closed = true;
  }
}
