/**
 * Labels of containers started by somebody who does not hand them over as driver options: taken from the container a moment
 * after its start, when LABEL_ENDPOINTS is on. Docker's `connect` event says which container it is; asking now and then is
 * the fallback. Until then the endpoint has no labels of its own (reference/docker.md 4.6).
 */
import type { Clock } from "../../../base/clock.ts";
import { describeError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { endpointLabels } from "./endpoint-names.ts";

const ASK_EVERY_MS = 250;
/** More endpoints than that waiting for labels at once: the newest go without. */
const WAITING_MAX = 10_000;

export interface EndpointLabellingOptions {
  readonly engine: DockerEngine;
  readonly setLabels: (
    endpointId: string,
    labels: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly waitMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Waiting {
  readonly networkId: string;
  readonly untilMs: number;
}

export class EndpointLabelling {
  readonly #options: EndpointLabellingOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #connected = new Set<string>();
  #wake: (() => void) | undefined;

  constructor(options: EndpointLabellingOptions) {
    this.#options = options;
  }

  expect(endpointId: string, networkId: string): void {
    if (this.#waiting.size >= WAITING_MAX) return;
    this.#waiting.set(endpointId, { networkId, untilMs: this.#options.clock.monotonicMs() + this.#options.waitMs });
    this.#wake?.();
  }

  onConnected(containerId: string): void {
    if (this.#waiting.size === 0 || containerId === "") return;
    this.#connected.add(containerId);
    this.#wake?.();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const containers = [...this.#connected];
      this.#connected.clear();
      for (const containerId of containers) await this.#labelContainer(containerId, signal);
      await this.#askDocker(signal);
      this.#giveUp();
      await this.#untilWoken(this.#waiting.size > 0 ? ASK_EVERY_MS : undefined, signal);
    }
  }

  async #labelContainer(containerId: string, signal: AbortSignal): Promise<void> {
    try {
      const container = await this.#options.engine.containers.inspect(containerId, { signal });
      for (const { EndpointID } of Object.values(container.NetworkSettings.Networks)) {
        if (!this.#waiting.has(EndpointID)) continue;
        const labels = endpointLabels(container.Config.Labels);
        if (Object.keys(labels).length > 0) await this.#options.setLabels(EndpointID, labels, signal);
        this.#waiting.delete(EndpointID);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#options.log.debug({ event: "docker_labels_unread", containerId, error: describeError(error) });
    }
  }

  async #askDocker(signal: AbortSignal): Promise<void> {
    for (const networkId of new Set([...this.#waiting.values()].map((waiting) => waiting.networkId))) {
      try {
        const network = await this.#options.engine.networks.inspect(networkId, {
          signal,
          timeoutMs: this.#options.waitMs,
        });
        for (const [containerId, { EndpointID }] of Object.entries(network?.Containers ?? {})) {
          if (containerId.startsWith("ep-") || !this.#waiting.has(EndpointID)) continue;
          await this.#labelContainer(containerId, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.debug({ event: "docker_labels_unread", networkId, error: describeError(error) });
      }
    }
  }

  #giveUp(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [endpointId, { untilMs }] of this.#waiting) {
      if (nowMs < untilMs) continue;
      this.#waiting.delete(endpointId);
      this.#options.log.warn({ event: "docker_labels_not_found", endpointId, waitedMs: this.#options.waitMs });
    }
  }

  async #untilWoken(ms: number | undefined, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#connected.size > 0) return;
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : this.#options.clock.timer(ms, () => done());
      const done = () => {
        timer?.[Symbol.dispose]();
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
