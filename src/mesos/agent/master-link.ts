/**
 * The agent's side of the agent link (protocol/agent-link.ts): one stream at a time; before the next SUBSCRIBE is
 * composed, the old stream has ended and every event read from it was dealt with. Silence longer than the master said
 * ends the stream. Several masters may be named: they are tried in turn, and a redirect to the leader is followed.
 */

import { Backoff } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import {
  type AgentCall,
  type AgentEvent,
  type AgentSubscribe,
  agentLinkPath,
  agentStreamIdHeader,
} from "../protocol/agent-link.ts";
import { readRecords } from "../protocol/recordio.ts";
import { parseAgentEvent } from "./agent-events.ts";

const connectTimeoutMs = 10_000;
const callTimeoutMs = 10_000;
const redirectsMax = 3;
const reconnectMaxMs = 60_000;

export interface MasterLinkOptions {
  /** Origins such as `http://10.0.0.1:5050`. */
  readonly masters: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** `--registration_backoff_factor`. */
  readonly backoffMinMs: number;
  readonly subscribe: () => AgentSubscribe;
  readonly onEvent: (event: AgentEvent) => Promise<void>;
  readonly onDisconnected: () => void;
}

interface Stream {
  readonly origin: string;
  readonly id: string;
  readonly ended: AbortController;
}

export class MasterLink {
  readonly #options: MasterLinkOptions;
  #stream: Stream | undefined;
  #next = 0;

  constructor(options: MasterLinkOptions) {
    this.#options = options;
  }

  /** Where the current stream comes from; undefined while there is none. */
  get master(): string | undefined {
    return this.#stream?.origin;
  }

  /** Ends with the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, masters, backoffMinMs } = this.#options;
    const backoff = new Backoff({ clock, minMs: backoffMinMs, maxMs: reconnectMaxMs });
    let said = "";
    while (!signal.aborted) {
      const origin = masters[this.#next % masters.length] ?? "";
      try {
        await this.#follow(origin, signal, () => {
          backoff.reset();
          said = "";
        });
        log.warn({ event: "master-disconnected", master: origin });
      } catch (cause) {
        if (signal.aborted) return;
        const error = describeError(cause);
        if (error !== said) log.warn({ event: "master-unreachable", master: origin, error });
        said = error;
      } finally {
        if (this.#stream !== undefined) this.#options.onDisconnected();
        this.#stream?.ended.abort();
        this.#stream = undefined;
      }
      this.#next += 1;
      await backoff.wait(signal);
    }
  }

  /** False when it did not arrive; whoever needs it sends it again after the next SUBSCRIBED. */
  async send(call: Exclude<AgentCall, { type: "SUBSCRIBE" }>, signal?: AbortSignal): Promise<boolean> {
    const stream = this.#stream;
    if (stream === undefined) return false;
    const timeout = this.#after(callTimeoutMs);
    try {
      const parts = [timeout.signal, stream.ended.signal, ...(signal === undefined ? [] : [signal])];
      const response = await post(stream.origin, call, AbortSignal.any(parts), { [agentStreamIdHeader]: stream.id });
      if (response.ok) return true;
      const text = (await response.text()).slice(0, 500);
      this.#options.log.warn({ event: "master-refused", call: call.type, status: response.status, text });
      // 403: the stream is not the current one any more.
      if (response.status === 403) stream.ended.abort();
      return false;
    } catch (cause) {
      if (!stream.ended.signal.aborted) {
        this.#options.log.debug({ event: "master-call-failed", call: call.type, error: describeError(cause) });
      }
      return false;
    } finally {
      timeout.cancel();
    }
  }

  async #follow(origin: string, signal: AbortSignal, onSubscribed: () => void): Promise<void> {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    const call: AgentCall = { type: "SUBSCRIBE", subscribe: this.#options.subscribe() };
    const silence = new Silence(this.#options.clock, connectTimeoutMs, ended);
    try {
      const { response, leader } = await this.#open(origin, call, both);
      const id = response.headers.get(agentStreamIdHeader);
      if (!response.ok || response.body === null || id === null) {
        const text = (await response.text()).slice(0, 500).trim();
        throw new OperationError("MASTER_REFUSED", `${leader} answered ${response.status}: ${text}`, {
          retry: "backoff",
        });
      }
      this.#stream = { origin: leader, id, ended };
      for await (const record of readRecords(response.body)) {
        silence.broken();
        const event = parseAgentEvent(record);
        if (event === undefined) {
          this.#options.log.warn({ event: "master-event-unknown", record: record.slice(0, 200) });
          continue;
        }
        if (event.type === "SUBSCRIBED") {
          silence.limit(event.subscribed.ping_timeout_seconds * 1_000);
          onSubscribed();
        }
        if (event.type === "ERROR") {
          throw new OperationError("MASTER_REFUSED", event.error.message, { retry: "backoff" });
        }
        if (event.type === "PING")
          void this.#pong(call.subscribe, event.ping.sequence); // a lost pong is the next ping's matter
        else await this.#options.onEvent(event);
      }
    } catch (cause) {
      if (silence.tooLong)
        throw new OperationError("MASTER_SILENT", `${origin} was silent for too long`, { cause, retry: "backoff" });
      throw cause;
    } finally {
      silence.end();
      ended.abort();
    }
  }

  async #pong(subscribe: AgentSubscribe, sequence: number): Promise<void> {
    const agentId = subscribe.agent_info.id ?? this.#options.subscribe().agent_info.id;
    if (agentId !== undefined) await this.send({ type: "PONG", agent_id: agentId, pong: { sequence } });
  }

  async #open(origin: string, call: AgentCall, signal: AbortSignal): Promise<{ response: Response; leader: string }> {
    let leader = origin;
    for (let redirects = 0; ; redirects += 1) {
      const response = await post(leader, call, signal);
      const location = response.headers.get("location");
      if (response.status !== 307 || location === null || redirects >= redirectsMax) return { response, leader };
      await response.body?.cancel();
      leader = new URL(location, leader).origin;
    }
  }

  #after(ms: number): { readonly signal: AbortSignal; cancel(): void } {
    const controller = new AbortController();
    const timer = this.#options.clock.timer(ms, () => controller.abort());
    return { signal: controller.signal, cancel: () => timer[Symbol.dispose]() };
  }
}

/** Aborts when nothing was heard for a time. */
class Silence {
  readonly #clock: Clock;
  readonly #ended: AbortController;
  #limitMs: number;
  #timer: Disposable | undefined;
  tooLong = false;

  constructor(clock: Clock, limitMs: number, ended: AbortController) {
    this.#clock = clock;
    this.#ended = ended;
    this.#limitMs = limitMs;
    this.broken();
  }

  limit(ms: number): void {
    this.#limitMs = Math.max(1_000, ms);
    this.broken();
  }

  broken(): void {
    this.end();
    this.#timer = this.#clock.timer(this.#limitMs, () => {
      this.tooLong = true;
      this.#ended.abort();
    });
  }

  end(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}

async function post(
  origin: string,
  call: AgentCall,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const init: BunFetchRequestInit & { timeout?: boolean } = {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", ...headers },
    body: JSON.stringify(call),
    redirect: "manual",
    keepalive: false,
    timeout: false, // the stream lasts as long as both sides; Bun would end it after five idle minutes
    signal,
  };
  return await fetch(`${origin}${agentLinkPath}`, init);
}
