/**
 * The connection to a Mesos master: `POST /api/v1/scheduler`, JSON, nothing else (reference: mesos-api 2).
 *
 * - One subscription at a time; its events are handled one after another, in the order of the stream.
 * - Calls go out one after another too, each with the subscription's stream id; without a subscription they fail at once.
 * - Silence for several heartbeats, an ended stream and a refused call all mean: subscribe again, with back-off.
 * Absent on purpose: what events mean. The handlers know; a handler that throws ends the subscription, not the process.
 */

import { Backoff } from "../../base/backoff.ts";
import { type Clock, deadline } from "../../base/clock.ts";
import { describeError, OperationError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { orAborted } from "../../base/or-aborted.ts";
import type { FrameworkInfo } from "../../mesos/protocol/framework-info.ts";
import { readRecords } from "../../mesos/protocol/recordio.ts";
import type { SchedulerCall } from "../../mesos/protocol/scheduler-call.ts";
import type { MasterInfo, SchedulerEvent } from "../../mesos/protocol/scheduler-event.ts";

/** `fetch`, or a test's stand-in for it. */
export type Transport = (url: string, init: RequestInit) => Promise<Response>;

export interface SchedulerHandlers {
  /** The id to subscribe with, and who we say we are. */
  framework(): { readonly id: string | undefined; readonly info: FrameworkInfo };
  onSubscribed(frameworkId: string, master: MasterInfo | undefined): Promise<void>;
  onEvent(event: SchedulerEvent): Promise<void>;
  onDisconnected(): void;
}

export interface SchedulerConnectionOptions {
  /** Base URLs of masters, tried in turn. */
  readonly masters: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly transport: Transport;
  readonly handlers: SchedulerHandlers;
  readonly heartbeatsMissedMax: number;
}

/** A call as its sender writes it: the connection adds the framework's id. */
export type OutgoingCall = DistributiveOmit<SchedulerCall, "framework_id">;
type DistributiveOmit<Union, Key extends PropertyKey> = Union extends unknown ? Omit<Union, Key> : never;

/** The master will not have this framework any more; trying again cannot help. */
export class FrameworkRefused extends Error {
  override readonly name = "FrameworkRefused";
}

interface Subscription {
  readonly url: string;
  readonly streamId: string;
  readonly frameworkId: string;
  readonly controller: AbortController;
}

const callTimeoutMs = 10_000;
const connectTimeoutMs = 15_000;
const heartbeatDefaultSeconds = 15;
const redirectsMax = 5;

export class SchedulerConnection {
  readonly #options: SchedulerConnectionOptions;
  #subscription: Subscription | undefined;
  #calls: Promise<void> = Promise.resolve();

  constructor(options: SchedulerConnectionOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#subscription !== undefined;
  }

  /** The master that leads, as we reached it. */
  get masterUrl(): string | undefined {
    return this.#subscription?.url;
  }

  /** Until the signal aborts; throws FrameworkRefused only. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, masters, handlers } = this.#options;
    const backoff = new Backoff({ clock, minMs: 200, maxMs: 3_000 });
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const url = masters[attempt % masters.length] ?? "";
      try {
        await this.#subscribe(url, signal, () => backoff.reset());
      } catch (error) {
        if (error instanceof FrameworkRefused) throw error;
        if (!signal.aborted) log.warn({ event: "master_connection_lost", master: url, error: describeError(error) });
      } finally {
        if (this.#subscription !== undefined) {
          this.#subscription.controller.abort();
          this.#subscription = undefined;
          handlers.onDisconnected();
        }
      }
      if (!signal.aborted) await backoff.wait(signal).catch(() => undefined); // aborted: the loop ends
    }
  }

  /** Sends a call after those before it. Throws if it was not accepted; whether it took effect is then unknown. */
  call(call: OutgoingCall): Promise<void> {
    const sent = this.#calls.then(() => this.#send(call));
    this.#calls = sent.catch(() => undefined); // the caller has the error; the next call goes on
    return sent;
  }

  async #send(call: OutgoingCall): Promise<void> {
    const subscription = this.#subscription;
    if (subscription === undefined) throw notSubscribed();
    const { clock, transport } = this.#options;
    const signal = deadline(clock, callTimeoutMs, subscription.controller.signal);
    const response = await transport(`${subscription.url}/api/v1/scheduler`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        "Mesos-Stream-Id": subscription.streamId,
      },
      body: JSON.stringify({ framework_id: { value: subscription.frameworkId }, ...call }),
      signal,
      redirect: "manual",
    });
    const text = await response.text();
    if (response.ok) return;
    // Gone over, fenced off or forgotten by the master: the subscription is no longer ours.
    if ([307, 400, 403, 503].includes(response.status)) subscription.controller.abort();
    throw new OperationError(
      "MASTER_REFUSED_CALL",
      `${call.type} was refused with ${response.status}: ${text.slice(0, 300)}`,
      {
        retry: "backoff",
      },
    );
  }

  async #subscribe(master: string, signal: AbortSignal, onSuccess: () => void): Promise<void> {
    const { clock, handlers } = this.#options;
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    using connectTimer = clock.timer(connectTimeoutMs, () => controller.abort(silence(connectTimeoutMs)));
    try {
      const { url, response } = await this.#open(master, controller.signal);
      const streamId = response.headers.get("Mesos-Stream-Id") ?? "";
      let silenceMs = connectTimeoutMs;
      let watchdog: Disposable = connectTimer;
      const records = readRecords(response.body ?? new ReadableStream())[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await orAborted(records.next(), controller.signal);
          watchdog[Symbol.dispose]();
          if (next.done)
            throw new OperationError("MASTER_CLOSED_STREAM", "the master closed the event stream", {
              retry: "backoff",
            });
          const event = JSON.parse(next.value) as SchedulerEvent;
          if (event.type === "SUBSCRIBED") {
            const { framework_id, heartbeat_interval_seconds, master_info } = event.subscribed;
            silenceMs =
              (heartbeat_interval_seconds ?? heartbeatDefaultSeconds) * 1000 * this.#options.heartbeatsMissedMax;
            this.#subscription = { url, streamId, frameworkId: framework_id.value, controller };
            onSuccess();
            await handlers.onSubscribed(framework_id.value, master_info);
          } else if (event.type === "ERROR") throw refusal(event.error.message);
          else await handlers.onEvent(event);
          watchdog = clock.timer(silenceMs, () => controller.abort(silence(silenceMs)));
        }
      } finally {
        watchdog[Symbol.dispose]();
        controller.abort();
        // Ends the reader; what it was waiting for has been aborted.
        void records.return?.().catch(() => undefined);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #open(master: string, signal: AbortSignal): Promise<{ readonly url: string; readonly response: Response }> {
    const { handlers, transport } = this.#options;
    const { id, info } = handlers.framework();
    const framework = id === undefined ? {} : { framework_id: { value: id } };
    const framework_info = id === undefined ? info : { ...info, id: { value: id } };
    let url = master;
    for (let redirects = 0; redirects <= redirectsMax; redirects += 1) {
      const response = await transport(`${url}/api/v1/scheduler`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ type: "SUBSCRIBE", ...framework, subscribe: { framework_info } }),
        signal,
        redirect: "manual",
      });
      if (response.status === 200) return { url, response };
      const text = (await response.text()).slice(0, 300);
      const location = response.headers.get("Location");
      if (response.status !== 307 || location === null) {
        throw new OperationError(
          "MASTER_REFUSED_SUBSCRIBE",
          `${url} refused the subscription with ${response.status}: ${text}`,
          {
            retry: "backoff",
          },
        );
      }
      // Scheme-relative, as real masters send it: //leader:5050/api/v1/scheduler
      url = new URL(location, url).origin;
    }
    throw new OperationError("MASTER_REDIRECTS", `${master} leads nowhere: more than ${redirectsMax} redirects`, {
      retry: "backoff",
    });
  }
}

function notSubscribed(): OperationError {
  return new OperationError("NOT_SUBSCRIBED", "there is no connection to a Mesos master", { retry: "backoff" });
}

function silence(ms: number): OperationError {
  return new OperationError("MASTER_SILENT", `nothing was heard from the master for ${ms} ms`, { retry: "backoff" });
}

function refusal(message: string): Error {
  const final = ["Framework failed over", "Framework has been removed"].some((text) => message.includes(text));
  return final
    ? new FrameworkRefused(message)
    : new OperationError("MASTER_ERROR", `the master ended the subscription: ${message}`, { retry: "backoff" });
}
