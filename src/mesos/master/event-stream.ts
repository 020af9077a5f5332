/** One connected party as the master's core sees it: events go out, in order, until one side closes. */

export interface EventStream<Event> {
  /** A uuid; calls on other connections name it. */
  readonly id: string;
  /** After close: nothing happens. */
  send(event: Event): void;
  /** Ends the stream after what was sent. Never calls back into the core. */
  close(): void;
}
