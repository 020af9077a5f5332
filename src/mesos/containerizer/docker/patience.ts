/**
 * A daemon that is away (restarting, upgraded, hung) says nothing about its containers: whoever asked waits and asks again
 * until it answers. The wait ends with the signal only, and is logged once per outage.
 */

import { Backoff } from "../../../base/backoff.ts";
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { isEngineUnavailable } from "../../../plugins/docker/engine/engine-error.ts";

export class Patience {
  readonly #clock: Clock;
  readonly #log: Log;
  #away = false;

  constructor(options: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** True while the daemon did not answer the last time it was asked. */
  get away(): boolean {
    return this.#away;
  }

  /** Only for calls that may be repeated: the daemon may have done what was asked before it went away. */
  async ask<Answer>(what: string, ask: (signal: AbortSignal) => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    const backoff = new Backoff({ clock: this.#clock, minMs: 200, maxMs: 5_000 });
    for (;;) {
      signal.throwIfAborted();
      try {
        const answer = await ask(signal);
        this.#note(false, what);
        return answer;
      } catch (cause) {
        signal.throwIfAborted();
        if (!isEngineUnavailable(cause)) {
          this.#note(false, what);
          throw cause;
        }
        this.#note(true, what, cause);
        await backoff.wait(signal);
      }
    }
  }

  #note(away: boolean, what: string, cause?: unknown): void {
    if (away === this.#away) return;
    this.#away = away;
    if (away) this.#log.warn({ event: "docker-away", waiting: what, error: describeError(cause) });
    else this.#log.info({ event: "docker-back" });
  }
}
