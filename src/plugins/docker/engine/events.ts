/**
 * Docker's events as an endless stream that outlives the daemon. Docker buffers 256 events and none across its own restart,
 * so every (re)connection starts with the word "connected": whoever listens must list then, and treat events as hints.
 * After a reconnect events may repeat. Source: reference/docker.md 5.5.
 */
import { z } from "zod";
import { Backoff } from "../../../base/backoff.ts";
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import { type EngineConnection, filtersText } from "./engine-connection.ts";
import { jsonObjects } from "./json-stream.ts";

const RECONNECT_MIN_MS = 100;
const RECONNECT_MAX_MS = 5_000;

const wireEvent = z.looseObject({
  Type: z.string().default(""),
  Action: z.string().default(""),
  time: z.number().default(0),
  timeNano: z.number().default(0),
  Actor: z.looseObject({
    ID: z.string().default(""),
    Attributes: z
      .record(z.string(), z.string())
      .nullish()
      .transform((value) => value ?? {}),
  }),
});

export interface EngineEvent {
  readonly type: string;
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly timeSeconds: number;
}

export type EngineSignal =
  | { readonly kind: "connected" }
  | { readonly kind: "event"; readonly event: EngineEvent }
  | { readonly kind: "disconnected"; readonly reason: string };

export class EngineEvents {
  readonly #connection: EngineConnection;
  readonly #clock: Clock;

  constructor(connection: EngineConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Ends only with the signal. */
  async *follow(options: {
    readonly signal: AbortSignal;
    readonly filters?: Readonly<Record<string, readonly string[]>>;
  }): AsyncGenerator<EngineSignal> {
    const { signal } = options;
    const backoff = new Backoff({ clock: this.#clock, minMs: RECONNECT_MIN_MS, maxMs: RECONNECT_MAX_MS });
    let sinceSeconds: number | undefined;
    while (!signal.aborted) {
      let reason = "Docker ended the event stream";
      try {
        const response = await this.#connection.request({
          method: "GET",
          path: "/events",
          query: { filters: filtersText(options.filters), since: sinceSeconds },
          timeoutMs: "none",
          signal,
        });
        yield { kind: "connected" };
        backoff.reset();
        if (response.body !== null) {
          for await (const object of jsonObjects(response.body)) {
            const parsed = wireEvent.safeParse(object);
            if (!parsed.success) continue; // an event of a kind this client does not know: the next list tells what matters
            const event = parsed.data;
            // Whole seconds: timeNano does not fit a double, and repeats are allowed.
            sinceSeconds = event.time === 0 ? sinceSeconds : event.time;
            yield {
              kind: "event",
              event: {
                type: event.Type,
                action: event.Action,
                id: event.Actor.ID,
                attributes: event.Actor.Attributes,
                timeSeconds: event.time,
              },
            };
          }
        }
      } catch (error) {
        if (signal.aborted) return;
        reason = describeError(error);
      }
      if (signal.aborted) return;
      yield { kind: "disconnected", reason };
      try {
        await backoff.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
    }
  }
}
