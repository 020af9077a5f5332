/**
 * Events in Marathon's shapes (reference: marathon 8.2), to everybody who listens, in the order of publishing. A listener
 * that does not keep up is cut off by its stream (event-stream.ts), never waited for.
 */

import type { Clock } from "../../base/clock.ts";
import { timestamp } from "../app/app-id.ts";

export interface MarathonEvent {
  readonly eventType: string;
  readonly timestamp: string;
  readonly [field: string]: unknown;
}

export type Listener = (event: MarathonEvent) => void;

export class EventBus {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  publish(eventType: string, fields: Readonly<Record<string, unknown>> = {}): MarathonEvent {
    const event: MarathonEvent = { ...fields, eventType, timestamp: timestamp(this.#clock.nowMs()) };
    for (const listener of [...this.#listeners]) listener(event);
    return event;
  }

  listen(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }
}
